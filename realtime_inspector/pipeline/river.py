"""Follows the stream of changes from the first byte to the last socket, and takes it up again after every fault.

The order of things is the promise: decide everything about a batch, hand it over, then acknowledge it. What fails before
the hand-over is done again from the start; after it, nothing is repeated within this process.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from time import monotonic, time

import structlog

from realtime_inspector.errors import DatabaseUnavailable, RealtimeError, SetupError, SlotInUse, SlotLost, SourceError
from realtime_inspector.lasting import lasting
from realtime_inspector.model import AFTER, BEFORE, Binding, Change, Identity, Position, Reason, Transaction
from realtime_inspector.pipeline.aside import Aside
from realtime_inspector.pipeline.batches import FIRST_RETRY, LAST_RETRY, Batches, Sent, at_once
from realtime_inspector.pipeline.delivery import Delivery
from realtime_inspector.pipeline.evidence import Gatherer
from realtime_inspector.pipeline.guard import Guard
from realtime_inspector.pipeline.letters import Letters
from realtime_inspector.pipeline.pace import Pace
from realtime_inspector.pipeline.returns import Returns
from realtime_inspector.pipeline.ring import Ring
from realtime_inspector.pipeline.tally import Tally
from realtime_inspector.pipeline.watch import Watch
from realtime_inspector.ports import Outlet
from realtime_inspector.postgres.authorizer import Authorizer
from realtime_inspector.postgres.line import Line
from realtime_inspector.postgres.sources import open_source
from realtime_inspector.postgres.state import State
from realtime_inspector.protocol.positions import PositionTokens
from realtime_inspector.replication.membership import Absence
from realtime_inspector.settings import Settings
from realtime_inspector.visibility.audience import Audience
from realtime_inspector.visibility.index import Index
from realtime_inspector.visibility.memory import Memory
from realtime_inspector.visibility.subscription import Authorized

log = structlog.get_logger(__name__)
ELSEWHERE = 4
"""What was sent to those who catch up, or are aside, may be remembered in so many times fewer rows."""
TICK = 1.0
"""Seconds after which an idle river looks whether something of the recent past is too old."""
STEADY_SECONDS = 1.0
"""After a stream that lasted, or a failure that took, so long nobody has to wait longer than at the first one."""
STANDBY_RETRY = 1.0
"""Seconds between attempts at most, while another process reads the slot: so long a takeover takes."""


class Pipeline:
    """The running change engine."""

    def __init__(self, settings: Settings, index: Index[Outlet]) -> None:
        timeout = settings.statement_timeout_ms
        self._index = index
        self._batch_changes = settings.batch_changes
        self._line = Line(settings.reader_url, purpose="keeper", statement_timeout_ms=timeout)
        self._stream, self._bookmark = open_source(settings, self._line, self._ask_anew)
        self.letters = Letters.open(settings, self._line, self._stream)
        self._watch = Watch(self._line, settings.publication, self._stream, self._tell)
        self.guard = Guard(self._line, settings, self._stream)
        self._pace = Pace()
        self._gatherer = Gatherer.open(settings, self._pace, hurried=True)
        self._authorizer = Authorizer(
            settings.evaluator_url,
            publication=settings.publication,
            statement_timeout_ms=timeout,
            announced=settings.source == "notify",
        )
        self._delivery = Delivery(settings.record_bytes)
        self._memory: Sent = Memory(settings.remembered_rows)
        self._batches = Batches(self._gatherer, self._delivery, settings.left_view, self._set_aside)
        self.state: State | None = None
        """Read before the stream is attached; another one after changes were lost."""
        self._lost = self._epoch = self._gap = ""
        self._ring = Ring(settings.resume_bytes, settings.resume_seconds)
        self._returned = asyncio.Event()
        self._returns = Returns(index, self._ring, self._delivery, Memory(settings.remembered_rows // ELSEWHERE), self._memory)
        index.on_return = self._returned.set
        self._aside = Aside(index, self._ring, self._delivery, self._pace, Memory(settings.remembered_rows // ELSEWHERE))
        self._beside = Batches(Gatherer.open(settings, self._pace), self._delivery, settings.left_view, self._set_aside)
        self._attached = asyncio.Event()
        self._fault = "starting"
        self._before: Position | None = None
        """What comes before the batch that is just dealt with."""
        self._position, self._lag, self._flowed, self._stood_by = 0, 0.0, False, False
        self._told: tuple[type, str] | None = None
        self._task: asyncio.Task[None] | None = None
        self._looking: list[asyncio.Task[None]] = []

    @classmethod
    async def open(cls, settings: Settings, index: Index[Outlet]) -> "Pipeline":
        """Starts following the stream in the background; `attached` says when it flows."""
        pipeline = cls(settings, index)
        pipeline._task = asyncio.create_task(pipeline._run(), name="river")
        looking = (pipeline._watch, pipeline.guard) if settings.source == "replication" else (pipeline._watch, pipeline.letters)
        lasts = [lasting(type(each).__name__.lower(), each.run) for each in looking]
        pipeline._looking = [asyncio.create_task(each) for each in (*lasts, pipeline._aside.run(pipeline._beside.deliver))]
        return pipeline

    async def close(self) -> None:
        """Stops following; what was not acknowledged comes again at the next start."""
        for task in (tasks := [*self._looking, *([self._task] if self._task else [])]):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._stream.close()
        await self.letters.close()
        if self._epoch:
            self._bookmark.save(self._ring.released, self._ring.floor.commit_lsn)
        await self._bookmark.close()
        self._line.close()
        await self._batches.close()
        await self._beside.close()
        await self._authorizer.close()

    async def attached(self) -> None:
        """Returns when the stream flows. Raises SetupError when it never will without somebody's help."""
        assert self._task is not None
        waiting = asyncio.ensure_future(self._attached.wait())
        try:
            await asyncio.wait([waiting, self._task], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self._task.done():
            self._task.result()

    async def authorize(
        self, identity: Identity, bindings: Sequence[Binding], topic: str = "", resume: str | None = None
    ) -> Authorized:
        """Checks what a channel asks for. `resume`: what it came back with. Raises DatabaseUnavailable."""
        authorized, tokens = await self._authorizer.authorize(identity, bindings), self._delivery.tokens
        if tokens is None:
            raise DatabaseUnavailable("The stream of changes is not attached yet")
        authorized = replace(authorized, after=self._stream.joined(authorized.after))
        if resume is None:
            return replace(authorized, resume_token=tokens.resume_token(authorized.after, topic, identity))
        left = tokens.opened(resume, topic, identity)
        if left is None:
            token, moment = tokens.resume_token(authorized.after, topic, identity), self._delivery.moment(authorized.after)
            return replace(authorized, resume_token=token, gap=moment)
        return replace(authorized, resume_token=tokens.resume_token(left, topic, identity), after=left, returns=True)

    def moment(self) -> str:
        """The position up to which everything was handed over, for clients that received nothing lately."""
        return self._delivery.moment(self._ring.last)

    def receivers(self, event: Change) -> frozenset[Outlet] | None:
        """The sockets that were sent an event; None if that is not known (any more)."""
        return self._delivery.kept.receivers(event.position)

    async def event(self, event_id: str) -> tuple[Transaction, Change] | None:
        """A change of the recent past and its transaction, under the root's name; None if it is not known (any more)."""
        position = self._delivery.tokens.position(event_id) if self._delivery.tokens else None
        found = self._ring.find(position) if position is not None else None
        if found is None:
            return None
        place = found[0].changes.index(found[1])
        (transaction,) = await self._gatherer.under_roots([found[0]])
        return transaction, transaction.changes[place]

    @property
    def lags_aside(self) -> bool:
        """Whether those whose policies are slow still wait for something that others were sent."""
        return self._aside.lags

    @property
    def gaps(self) -> Counter[str]:
        """Gap notices by reason."""
        return self._delivery.gaps

    @property
    def tally(self) -> Tally:
        """Delivered and withheld events by reason."""
        return self._delivery.tally

    def status(self) -> dict[str, object]:
        """Whether the stream flows, and if not why; the last LSN handed over; seconds from its commit to its hand-over."""
        flowing = self._attached.is_set()
        return {"attached": flowing, "fault": None if flowing else self._fault, "position": self._position, "lag": self._lag}

    async def _run(self) -> None:
        retry = FIRST_RETRY
        while True:
            began = monotonic()
            try:
                await self._attach()
                if self._stood_by and not self._flowed:
                    self._take_over()
                self._flowed, self._stood_by, self._told = True, False, None
                self._attached.set()
                await self._flow()
            except SlotLost as error:
                if self._is_news(error):
                    log.error("slot_lost", reason=error.text)
                self._lose(error.gap)
            except SlotInUse as error:
                self._stood_by = True
                if self._is_news(error):
                    log.info("standing_by", reason=error.text)
            except (SourceError, DatabaseUnavailable) as error:
                if self._is_news(error):
                    log.warning("stream_interrupted", reason=error.text)
                if self._attached.is_set():
                    # A crash takes back what was not on disk, and joins count from what was only written to memory. Who came
                    # back may be further than we are, but not further than what was on disk when we began.
                    certain = max(self._ring.last, Position(self._stream.durable, AFTER))
                    for audience in self._index.audiences():
                        audience.withdraw(certain)
            except SetupError as error:
                if not self._flowed:
                    raise
                if self._is_news(error):
                    log.error("setup_needed", reason=error.text, remedy=error.remedy)
            except Exception:  # a fault of ours; the batch is gone from the stream, and must not be missing without a word
                self._fault = "internal error; the log has the details"
                log.exception("river_failed", error_id=secrets.token_hex(4))
                self._lose(Reason.INTERNAL_ERROR)
            finally:
                self._attached.clear()
            retry = FIRST_RETRY if monotonic() - began > STEADY_SECONDS else min(retry * 2, LAST_RETRY)
            await asyncio.sleep(min(retry, STANDBY_RETRY) if self._stood_by else retry)

    def _ask_anew(self) -> None:
        """The network to Postgres is silent: whoever waits for an answer asks again, and need not find out by itself."""
        for asker in (self._line, self._batches, self._beside, self._authorizer):
            asker.ask_anew()

    def _lose(self, gap: str) -> None:
        """Changes are lost, and positions from before mean nothing any more.

        Whoever is here is told when the stream flows again, not before: they then read what they show anew, and nothing that
        is written after that may be missing.
        """
        self._lost = self.state.epoch if self.state else ""
        self.letters.lose(self.state.saved_at if self.state else 0.0)
        self._gap = gap
        self._memory.clear()
        self._watch.forget()

    def _take_over(self) -> None:
        """Those that joined before the position from which we read miss what the other process was sent."""
        begun = self._stream.acknowledged
        for audience in self._index.audiences():
            for outlet, after in audience.joining.items():
                if after.commit_lsn < begun:
                    self._delivery.tell_gap(outlet, audience.key, "taken_over", span=(after, Position(begun, BEFORE)))

    def _is_news(self, error: RealtimeError) -> bool:
        """Keeps why the stream does not flow; what goes on for a while is said once, however often it is tried again."""
        self._fault = f"{error.text}. {error.remedy}" if error.remedy else error.text
        before, self._told = self._told, (type(error), error.text)
        return self._told != before

    def _tell(self, absence: Absence) -> None:
        log.warning("changes_left_out", reason=absence.reason, table=absence.table and ".".join(absence.table))
        for index in (self._index, self._index.behind, self._index.aside):
            if index is not None:
                self._delivery.announce_gap(index.audiences(absence.table), absence.reason, absence.table)
                index.forget_sent()
        for outlet, key in self._index.aside.arriving(absence.table) if self._index.aside is not None else ():
            self._delivery.tell_gap(outlet, key, absence.reason, absence.table)
        self._ring.absences[absence] = self._before or Position(self._stream.received, AFTER)
        self._memory.clear()
        self._returns.forget()
        self._aside.forget()

    async def _attach(self) -> None:
        # Read every time: while this process waited for the slot, another one may have gone on, or begun anew.
        state = None if self._lost else await self._bookmark.load()
        self.state = state = state or await self._bookmark.begin(self._lost)
        self._lost = ""
        self._delivery.tokens = PositionTokens(state.secret, state.epoch)
        earlier = "" if self._flowed else await self._bookmark.published()
        await self._watch.look()
        await self._stream.attach(state.position)
        # While no process looked the publication may have been another one, or the log: who comes back to before is told so.
        if self._watch.missed(earlier) or (not self._flowed and state.log not in ("", self._stream.log)):
            self.state = state = await self._bookmark.begin(state.epoch)
            self._delivery.tokens = PositionTokens(state.secret, state.epoch)
        await self._bookmark.remember(self._watch.published, self._stream.log)
        await self.letters.begin(state.epoch, self._stream.durable)
        if state.epoch != self._epoch or Position(state.floor, AFTER) > self._ring.last:
            self._begin(state)

    def _begin(self, state: State) -> None:
        """Another log begins, or another process let go of changes that this one has not seen: whoever is here is told."""
        told, self._epoch = bool(self._epoch), state.epoch
        floor = state.floor or self._stream.acknowledged
        self._delivery.kept.clear()
        self._ring.begin(Position(floor, AFTER), self._stream.acknowledged)
        self._bookmark.save(self._stream.acknowledged, floor)
        if not told and not self._gap and not self._stream.begins_with:
            return
        self._index.settle()
        self._memory.clear()
        reason = self._stream.begins_with or self._gap or "slot_lost"
        self._delivery.announce_gap(self._index.audiences(), reason, span=(None, self._ring.last))
        self._gap = ""

    def _release(self) -> None:
        """Lets Postgres forget what nobody can come back to, once it is written down where that ends."""
        ring = self._ring
        if self._bookmark.saved_floor == ring.floor.commit_lsn:
            self._stream.acknowledge(ring.released)
        else:
            self._bookmark.save(ring.released, ring.floor.commit_lsn)
            self._stream.acknowledge(self._bookmark.saved_position)  # while changes keep coming, the floor is always ahead

    async def _flow(self) -> None:
        while True:
            batch = await self._collect()
            if batch:
                self._before = batch[0].before
                batch = await self.letters.deliver(batch)
                self._announce_losses(batch)
                await self._deliver(batch, self._index, self._memory)
                self._note(batch)
                self._before = None
            self._ring.trim(monotonic(), pressed=bool(self.guard.note))
            await self._returns.serve(self._deliver)
            self._release()
            await self._delivery.pace()  # not before it is noted: heartbeats tell meanwhile what was handed over
            await self._bookmark.remember(self._watch.published, self._stream.log)

    async def _collect(self) -> Sequence[Transaction]:
        """The next piece, and what has already arrived behind it: a lone change is never delayed. Nothing if other work waits."""
        first = self._stream.next_nowait()
        if first is None:
            if self._index.returning or self._index.behind is not None:
                return []
            first = await self._first()
            if first is None:
                return []
        batch, size = [first], len(first.changes)
        while size < self._batch_changes and (more := self._stream.next_nowait()) is not None:
            batch.append(more)
            size += len(more.changes)
        return batch

    def _announce_losses(self, batch: Sequence[Transaction]) -> None:
        """Ahead of older changes in the batch as well, which is no harm: who reads again then reads newer rows."""
        for loss in dict.fromkeys(loss for transaction in batch for loss in transaction.lost):
            self._tell(Absence((loss.relation.schema, loss.relation.name), loss.reason))

    async def _first(self) -> Transaction | None:
        """The next piece; None when somebody came back before it, or after a while."""
        self._returned.clear()
        arrival, returned = asyncio.ensure_future(self._stream.next()), asyncio.ensure_future(self._returned.wait())
        try:
            await asyncio.wait((arrival, returned), timeout=TICK, return_when=asyncio.FIRST_COMPLETED)
            return arrival.result() if arrival.done() else None
        finally:
            arrival.cancel()
            returned.cancel()

    def _note(self, batch: Sequence[Transaction]) -> None:
        """What was handed over is the recent past now."""
        now = monotonic()
        for transaction in batch:
            self._ring.append(transaction, now)
        self._aside.wake()
        last = batch[-1]
        if last.end_lsn is not None:
            self._position = last.end_lsn
            self._lag = max(0.0, time() - last.committed_at / 1e6)

    async def _deliver(self, batch: Sequence[Transaction], index: Index[Outlet], memory: Sent) -> None:
        precede = self._watch.precede if index is self._index else at_once
        await self._batches.deliver(batch, index, memory, precede)

    def _set_aside(self, slow: list[Audience[Outlet]], index: Index[Outlet], memory: Sent, position: Position) -> None:
        if index is self._index:
            position = self._ring.last
        self._aside.take(index.depart(slow, position, memory.taken(slow)))
