"""Takes a batch from its changes to queued frames, and waits for whatever passes by itself."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Final, TypeVar

import structlog

from realtime_inspector.errors import DatabaseUnavailable, SlotLost
from realtime_inspector.model import AFTER, Position, Reason, Relation, Transaction
from realtime_inspector.pipeline.delivery import Delivery, Span
from realtime_inspector.pipeline.evidence import Gatherer
from realtime_inspector.pipeline.partitions import relations_of
from realtime_inspector.pipeline.work import Gathered, LeftView, Work, plan
from realtime_inspector.ports import Outlet
from realtime_inspector.visibility.audience import Audience
from realtime_inspector.visibility.index import Index
from realtime_inspector.visibility.memory import Memory

log = structlog.get_logger(__name__)
T = TypeVar("T")
FAULTS: Final = 3
"""After so many faults of ours over the same batch its subscribers are told of a gap, and the stream goes on."""
LOCK_SECONDS: Final = 30.0
"""So long a batch waits for what passes by itself, such as a lock; then those are withheld whose policies still meet it."""
FIRST_RETRY, LAST_RETRY = 0.1, 5.0
"""Seconds between attempts after a fault; doubled each time."""

Sent = Memory[Audience[Outlet]]
Precede = Callable[[Sequence[Relation]], Awaitable[None]]
SetAside = Callable[[list[Audience[Outlet]], Index[Outlet], Sent, Position], None]


async def at_once(_: Sequence[Relation]) -> None:
    return


class Batches:
    """Everything about a batch is decided, then it is handed over.

    `set_aside`: takes those whose answers are not waited for, before the others are sent anything.
    """

    def __init__(self, gatherer: Gatherer, delivery: Delivery, left_view: LeftView, set_aside: SetAside) -> None:
        self._gatherer = gatherer
        self._delivery = delivery
        self._left_view = left_view
        self._set_aside = set_aside
        self._silent = False
        self._limit: asyncio.Timeout | None = None

    async def close(self) -> None:
        """Ends all connections."""
        await self._gatherer.close()

    def ask_anew(self) -> None:
        """Gives up all connections and what is being asked: Postgres says nothing."""
        self._silent = True
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def deliver(self, batch: Sequence[Transaction], index: Index[Outlet], memory: Sent, precede: Precede = at_once) -> None:
        """To those of the index. `precede`: what comes before the changes of relations. Raises what that raises of SlotLost."""
        rooted = await self._insist(lambda _: self._gatherer.under_roots(batch), relations_of(batch))
        if rooted is None:
            self._delivery.announce_gap(index.audiences(), Reason.INTERNAL_ERROR, span=_span(batch))
            memory.clear()
            return
        works = plan(rooted, index, memory, self._left_view)
        if not works:
            return
        xids = [transaction.xid for transaction in batch if transaction.changes and transaction.xid is not None]

        async def gather(patient: bool) -> list[Gathered]:
            await precede(relations_of(batch))
            return await self._gatherer.gather(works, xids, patient=patient)

        gathered = await self._insist(gather, [work.relation for work in works])
        if gathered is None:
            touched = {a: None for work in works for a in work.touched}
            self._delivery.announce_gap(touched, Reason.INTERNAL_ERROR, span=_span(batch))
            memory.clear()
            return
        late = _without_late([each.work for each in gathered])
        if late:
            self._set_aside(late, index, memory, rooted[0].before)
        await self._delivery.hand_over(gathered, memory)

    async def _insist(self, ask: Callable[[bool], Awaitable[T]], relations: Sequence[Relation]) -> T | None:
        """Waits for the database as long as it takes; None when the fault is ours and trying again does not help.

        `ask` is told whether what passes by itself, such as a lock, is still worth waiting for.
        """
        retry, faults, began = FIRST_RETRY, 0, monotonic()
        while faults < FAULTS:
            if self._silent:  # else each connection would find out by itself
                self._silent = False
                await self._gatherer.close()
            try:
                return await self._within_limit(ask(monotonic() - began < LOCK_SECONDS))
            except SlotLost:
                raise
            except DatabaseUnavailable as error:
                log.warning("batch_delayed", reason=error.text, retry_seconds=retry)
                self._silent = self._silent or isinstance(error.__cause__, TimeoutError)
            except Exception:
                faults += 1
                log.exception("batch_failed", error_id=secrets.token_hex(4), tables=[relation.name for relation in relations])
            await asyncio.sleep(retry)
            retry = min(retry * 2, LAST_RETRY)
        return None

    async def _within_limit(self, asking: Awaitable[T]) -> T:
        """Until `ask_anew`."""
        try:
            async with asyncio.timeout(None) as self._limit:
                return await asking
        except TimeoutError as error:
            raise DatabaseUnavailable("Postgres says nothing") from error
        finally:
            self._limit = None


def _span(batch: Sequence[Transaction]) -> Span:
    last = batch[-1]
    return batch[0].before, Position(last.commit_lsn, last.changes[-1].position.index if last.end_lsn is None else AFTER)


def _without_late(works: Sequence[Work]) -> list[Audience[Outlet]]:
    """Leaves out of all works those whose answer is missing in any: what an audience is sent comes in order or not at all."""
    late = {audience: None for work in works for audience in work.audiences if audience.key.identity in work.late}
    for work in works if late else ():
        work.audiences = [audience for audience in work.audiences if audience not in late]
    return list(late)
