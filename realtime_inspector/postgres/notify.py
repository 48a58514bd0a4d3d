"""Reads committed changes from the notifications of triggers, for databases where logical replication is not to be had."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from itertools import groupby
from typing import Final

import asyncpg
import psycopg
import structlog

from realtime_inspector.errors import SetupError, SlotLost, SourceError, StreamEnded
from realtime_inspector.model import AFTER, Change, Loss, Position, Relation, Transaction
from realtime_inspector.postgres.announced import REMEDY, Announced
from realtime_inspector.postgres.arrivals import Arrivals
from realtime_inspector.postgres.failures import DIRECT, unreachable
from realtime_inspector.postgres.listener import Listener
from realtime_inspector.replication.notified import Told, decode, understood

log = structlog.get_logger(__name__)
PROBE_SECONDS: Final = 5.0
"""Seconds in which a notification to ourselves must arrive."""
WATCH_SECONDS: Final = 5.0
"""Seconds between looks at what no notification tells."""
OVERHEAD: Final = 1_024
"""Bytes that a notification counts for beside its own, as long as it waits here."""
MESSAGES: Final = "messages"
FAULTS: Final = (psycopg.Error, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


class Notifications:
    """A ports.Source over LISTEN: in commit order, at most once. What is committed while nobody listens is lost.

    Postgres tells a commit only when every later snapshot sees it. Positions are this process's own: a number for each
    transaction, as far as it arrived together. About `queue_bytes` wait here for `next`; beyond that nothing is read, and
    notifications wait in Postgres' own queue. That one is everybody's, and who commits to a full one fails: when more than
    `queue_share` of it is used while we do not read, the connection is given up.
    """

    begins_with: Final = "listen_reconnect"

    def __init__(
        self,
        url: str,
        announced: Announced,
        *,
        queue_bytes: int = 8_388_608,
        queue_share: float = 0.5,
        watch_seconds: float = WATCH_SECONDS,
    ) -> None:
        self._url = url
        self._announced = announced
        self._share = queue_share
        self._watch_seconds = watch_seconds
        self._last = 0
        self._silent: frozenset[int] = frozenset()
        self._room = asyncio.Event()
        self._arrivals = Arrivals(queue_bytes, self._room.set, StreamEnded("Nobody listens"))
        self.messages = asyncio.Event()
        """Set when the database has broadcast something (postgres/sql/messages_notify.sql)."""
        self._listener: Listener | None = None
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    async def attach(self, _start_lsn: int = 0, /) -> None:
        """Listens from now on; what was committed before may be lost. Raises SetupError, DatabaseUnavailable, SourceError."""
        await self._disconnect()
        try:
            await self._connect()
        except BaseException:
            await self._disconnect()
            raise
        self._arrivals.fault = None
        self._room.set()
        assert self._listener is not None
        follow, watch = self._follow(self._listener), self._watch()
        self._tasks = asyncio.create_task(follow, name="listener"), asyncio.create_task(watch, name="watch")

    async def next(self) -> Transaction:
        """The next transaction, or what has arrived of it. What arrived before a fault is given out first."""
        return await self._arrivals.next()

    def next_nowait(self) -> Transaction | None:
        """The next transaction if it is here already."""
        return self._arrivals.next_nowait()

    def joined(self, _position: Position, /) -> Position:
        """Where a subscription made now begins, whatever the position in the log: after everything that has arrived."""
        return Position(self._last, AFTER)

    def acknowledge(self, end_lsn: int) -> None:
        """Nothing comes twice, so there is nobody to tell."""

    def lose(self, loss: SlotLost) -> None:
        """Listens no more; what arrived is given out, then the loss is raised."""
        self._fail(loss)

    @property
    def flows(self) -> bool:
        """Whether somebody listens."""
        return self._arrivals.fault is None

    @property
    def log(self) -> str:
        """None that outlives this process."""
        return ""

    @property
    def durable(self) -> int:
        """Nobody comes back to these numbers."""
        return 0

    @property
    def received(self) -> int:
        """The number of the last commit."""
        return self._last

    @property
    def acknowledged(self) -> int:
        """Nothing is."""
        return 0

    @property
    def queued_bytes(self) -> int:
        """How much waits here for `next`."""
        return self._arrivals.size_bytes

    async def close(self) -> None:
        """Listens no more. Who waits in `next` gets StreamEnded."""
        self._arrivals.fail(StreamEnded("The listening connection was closed"))
        await self._disconnect()

    async def _connect(self) -> None:
        try:
            self._listener = await Listener.open(self._url)
            await self._probe(self._listener)
            if not await self._announced.published():
                raise SetupError("The publication does not exist", hint="Run `realtime-inspector init`, or set RTI_PUBLICATION.")
            self._silent = frozenset()
            await self._look()
        except FAULTS as error:
            raise unreachable("The listening connection failed", str(error) or type(error).__name__) from error

    async def _probe(self, listener: Listener) -> None:
        """A pooler takes LISTEN and delivers nothing: so each side tells something, and both have to arrive."""
        nonce = secrets.token_hex(8)
        missing = {f"{nonce} from here", f"{nonce} from beside"}
        await listener.notify(f"{nonce} from here")
        await self._announced.notify(f"{nonce} from beside")
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                while missing:  # what else arrives was committed before this attachment is done
                    missing.difference_update(payload for _, payload in await listener.heard())
        except TimeoutError:
            raise SetupError(
                "Notifications do not arrive: the connection leads through a pooler in transaction mode, which takes LISTEN "
                "and delivers nothing",
                hint=DIRECT,
            ) from None

    async def _follow(self, listener: Listener) -> None:
        try:
            while True:
                await self._room.wait()
                arrived = await listener.heard()
                if any(payload == MESSAGES for _, payload in arrived):
                    self.messages.set()
                heard = [(pid, told, len(payload)) for pid, payload in arrived if (told := decode(payload))]
                if heard:
                    self._enqueue(heard, await self._announced.relations({told.table for _, told, _ in heard}))
        except Exception as error:  # whatever it is: nobody would listen any more, and nobody would know
            self._fail(StreamEnded(f"The listening connection broke: {' '.join(str(error).split())}"))
        finally:
            listener.close()  # at once: who is connected and does not read keeps Postgres' queue from being emptied

    def _enqueue(self, heard: Sequence[tuple[int, Told, int]], relations: dict[int, Relation]) -> None:
        """By process as well: nobody can put something into somebody else's transaction."""
        for _, group in groupby(heard, key=lambda each: (each[0], each[1].xid)):
            _, told, sizes = zip(*group, strict=True)
            self._put(*understood(told, relations, self._last + 1), sum(sizes))

    def _put(self, changes: tuple[Change, ...], lost: tuple[Loss, ...], size: int) -> None:
        """The time of a commit is not told: it is that of its arrival."""
        if not changes and not lost:
            return
        self._last += 1
        size += OVERHEAD * (len(changes) + 1)
        self._arrivals.put(Transaction(None, self._last, time.time_ns() // 1_000, changes, self._last, lost), size)
        if self._arrivals.full:
            self._room.clear()

    async def _watch(self) -> None:
        try:
            while True:
                await asyncio.sleep(self._watch_seconds)
                usage = await self._look()
                if usage > self._share and not self._room.is_set():
                    self._fail(StreamEnded(f"Postgres' queue of notifications is full to {usage:.0%}; it is not held any longer"))
        except Exception as error:
            self._fail(StreamEnded(f"The catalogue cannot be read: {' '.join(str(error).split())}"))

    async def _look(self) -> float:
        """Tables lose changes while they have no triggers, so there is a gap where that begins and another one where it ends."""
        silence = await self._announced.silence()
        changed, fresh = self._silent ^ silence.tables, silence.tables - self._silent
        self._silent = silence.tables
        if changed:
            relations = await self._announced.relations(changed)
            silent = [f"{relation.schema}.{relation.name}" for oid, relation in relations.items() if oid in fresh]
            if silent:
                log.error("table_silent", tables=silent, remedy=REMEDY)
            self._put((), tuple(Loss(relation, "not_announced") for relation in relations.values()), 0)
        return silence.queue_usage

    def _fail(self, fault: SourceError) -> None:
        if self._arrivals.fault is None:
            self._arrivals.fail(fault)
            for task in self._tasks:
                if task is not asyncio.current_task():
                    task.cancel()

    async def _disconnect(self) -> None:
        tasks, self._tasks = self._tasks, ()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()
            self._listener = None
