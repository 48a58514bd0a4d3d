"""Keeps what has to outlive this process: which log the positions given out belong to, their key, and how far we were."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
import structlog

from realtime_inspector.errors import RealtimeError, SetupError
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.connect import Connection
from realtime_inspector.postgres.line import Line

log = structlog.get_logger(__name__)
SAVE_SECONDS = 1.0
CLOSE_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class State:
    """`epoch`: new whenever changes were lost, so that positions of another one mean nothing. `secret`: 32 bytes, kept for ever.

    `position`: an LSN; everything up to there was handed over and need not come again. `floor`: the commit of the last
    transaction with changes before it; who has everything up to there can still be told what came after. `log`: the one that
    all positions are of, empty if that is not known.
    """

    epoch: str
    secret: bytes
    position: int
    floor: int
    log: str = ""
    saved_at: float = field(default=0.0, compare=False)
    """When that was written, by the database's clock; seconds since 1970."""


class Fleeting:
    """Stands in for a Bookmark where nothing outlives a connection: every state is a new one."""

    saved_floor = saved_position = 0

    async def load(self) -> None:
        """Nothing is written."""

    async def begin(self, _lost: str = "") -> State:
        """A new epoch, whatever came before."""
        return State(secrets.token_urlsafe(12), secrets.token_bytes(32), 0, 0)

    def save(self, _position: int, floor: int) -> None:
        """Nobody can come back to it once the connection is lost."""
        self.saved_floor = floor

    async def published(self) -> str:
        """Nothing is written."""
        return ""

    async def remember(self, _published: str, _log: str) -> None:
        """Nobody can come back to it."""

    async def close(self) -> None:
        """There is nothing to close."""


class Bookmark:
    """The row of one slot in realtime_inspector.slots, which several processes may share; one of them reads the slot.

    Methods that wait raise DatabaseUnavailable, and SetupError when there is no such table or it is not ours to write.
    """

    def __init__(self, line: Line, slot: str) -> None:
        self._line = line
        self._slot = slot
        self._epoch = ""
        self._published = self._log = ""
        self._wanted = self._saved = (0, 0)
        self._saving: asyncio.Task[None] | None = None

    async def load(self) -> State | None:
        """What is written, possibly by another process; None at the very first start."""
        async with self._asking() as connection:
            return await self._load(connection)

    async def begin(self, lost: str = "") -> State:
        """Makes the row, or gives it a new epoch in place of the `lost` one; if somebody else was quicker, that is the state.

        Durable when it returns: a new slot under an old epoch would be taken for the lost one.
        """
        async with self._asking() as connection:
            async with connection.transaction():
                await connection.execute("set transaction read write")
                query = sql.load("begin_epoch")
                await connection.execute(query, self._slot, secrets.token_urlsafe(12), secrets.token_bytes(32), lost)
            state = await self._load(connection)
            assert state is not None
            return state

    async def published(self) -> str:
        """What was remembered of the publication, possibly by an earlier process."""
        async with self._asking() as connection:
            query = "select published from realtime_inspector.slots where slot = $1"
            self._published = await connection.fetchval(query, self._slot) or ""
            return self._published

    async def remember(self, published: str, log: str) -> None:
        """Writes down how the publication is, and which log it is, if that is news."""
        if (published, log) == (self._published, self._log):
            return
        async with self._asking() as connection, connection.transaction():
            await connection.execute("set transaction read write")
            query = "update realtime_inspector.slots set published = $2, log = $3 where slot = $1"
            await connection.execute(query, self._slot, published, log)
        self._published, self._log = published, log

    @property
    def saved_position(self) -> int:
        """The position that is written down."""
        return self._saved[0]

    @property
    def saved_floor(self) -> int:
        """The floor that is written down."""
        return self._saved[1]

    def save(self, position: int, floor: int) -> None:
        """Everything up to there was handed over. Written in the background, about once a second while it moves."""
        self._wanted = max(self._wanted, (position, floor))
        if self._saving is None and self._wanted > self._saved:
            self._saving = asyncio.create_task(self._keep_saving(), name="bookmark")

    async def close(self) -> None:
        """Writes down the last position, if that goes at once."""
        if self._saving is not None:
            self._saving.cancel()
            await asyncio.gather(self._saving, return_exceptions=True)
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._save()
        except (RealtimeError, TimeoutError) as error:
            log.warning("position_not_saved", reason=str(error))

    async def _load(self, connection: Connection) -> State | None:
        columns = "epoch, secret, position, floor, log, extract(epoch from updated_at)::float8 as saved_at"
        query = f"select {columns} from realtime_inspector.slots where slot = $1"
        row = await connection.fetchrow(query, self._slot)
        if row is None:
            return None
        self._epoch, self._wanted, self._log = row["epoch"], (row["position"], row["floor"]), row["log"]
        self._saved = self._wanted
        return State(row["epoch"], row["secret"], row["position"], row["floor"], row["log"], row["saved_at"])

    async def _keep_saving(self) -> None:
        try:
            while self._wanted > self._saved:
                try:
                    await self._save()
                except RealtimeError as error:
                    log.warning("position_not_saved", reason=error.text)
                await asyncio.sleep(SAVE_SECONDS)
        finally:
            self._saving = None

    async def _save(self) -> None:
        wanted = self._wanted
        if wanted <= self._saved:
            return
        async with self._asking() as connection, connection.transaction():
            # On disk before Postgres is told to forget that part of the log, or a gap could go unnoticed; on no standby.
            await connection.execute("set transaction read write; set local synchronous_commit = local")
            await connection.execute(sql.load("save_position"), self._slot, self._epoch, *wanted)
        self._saved = max(self._saved, wanted)

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[Connection]:
        async with self._line.asking() as connection:
            try:
                yield connection
            except (asyncpg.SyntaxOrAccessError, asyncpg.InvalidSchemaNameError) as error:
                raise SetupError(f"The service cannot keep its position: {error}") from error
