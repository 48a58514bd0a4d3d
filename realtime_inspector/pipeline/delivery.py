"""Hands decided changes to the sockets: one joined block of frames per audience and batch, in commit order."""

import asyncio
import secrets
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from realtime_inspector.model import Change, Position, Reason, Told
from realtime_inspector.pipeline.kept import Kept, events, names
from realtime_inspector.pipeline.rendering import Rendering
from realtime_inspector.pipeline.tally import Counting, Tally
from realtime_inspector.pipeline.work import Gathered
from realtime_inspector.ports import Outlet
from realtime_inspector.protocol.frames import gap, system
from realtime_inspector.protocol.positions import PositionTokens
from realtime_inspector.protocol.serializer import Serializer
from realtime_inspector.visibility.audience import Audience, AudienceKey
from realtime_inspector.visibility.crowd import Crowd
from realtime_inspector.visibility.decisions import Decision, Joined, decide, remembers
from realtime_inspector.visibility.memory import Memory, Passage

log = structlog.get_logger(__name__)
LAGGING_BYTES = 262_144
"""Queued bytes from which on the river waits for a socket, for a moment, before it goes on."""
TURN = 0.005
"""Seconds of building frames after which the loop's other work has its turn."""
PATIENCE = 0.05
"""Seconds that the river waits after a batch for lagging sockets; one that still lags is not waited for again."""


Span = tuple[Position | None, Position | None]
"""Of changes that are lost: everything up to the first position was sent, after the second one is again; None: nobody knows."""
UNKNOWN: Final[Span] = (None, None)
NOBODY: Mapping[Outlet, Position] = {}
_Frame = tuple[Position, bytes, Joined | None]
"""A frame to be queued, for all sockets of the audience or for some."""


class Delivery:
    """Where decisions become queued bytes."""

    def __init__(self, record_bytes: int) -> None:
        self.tally = Tally()
        self.gaps: Counter[str] = Counter()
        """Gap notices by reason, once per socket."""
        self.tokens: PositionTokens | None = None
        """How positions are told; known once the stream is attached."""
        self.kept = Kept()
        self._record_bytes = record_bytes
        self._reached: dict[Outlet, None] = {}
        self._lagging: set[Outlet] = set()

    async def hand_over(self, gathered: Sequence[Gathered], memory: Memory[Audience[Outlet]]) -> None:
        """Builds everything that the evidence allows, then queues it without a pause: a batch goes whole or not at all.

        While it builds, the loop has its turn now and then: who left meanwhile is no member any more when it is queued.
        """
        assert self.tokens is not None
        self.kept.begin(min(each.evidence.changes[0].position for each in gathered))
        loop = asyncio.get_running_loop()
        pause_at = loop.time() + TURN
        blocks: dict[Audience[Outlet], list[_Frame]] = {}
        apart: dict[Audience[Outlet], list[Position]] = {}
        for each in gathered:
            rendering = Rendering(
                each.evidence, each.work.committed_at, each.fetched, each.types, self.tokens, self._record_bytes
            )
            making = _Making(each, rendering, Counting(self.tally, each.evidence), _passage(each, memory), self.gaps, self._gap)
            for role, subscriptions, sockets in each.work.hidden:
                making.counting.hidden(role, subscriptions, sockets)
            for audience in each.work.audiences:
                frames = self._frames_or_gap(making, audience)
                if frames:
                    blocks[audience] = [*blocks[audience], *frames] if audience in blocks else frames
                if loop.time() > pause_at:
                    await asyncio.sleep(0)
                    pause_at = loop.time() + TURN
            making.close()
            for audience, own in making.apart.items():
                apart.setdefault(audience, []).extend(own)
        joined: dict[int, bytes] = {}
        shared: dict[int, array[int]] = {}
        for audience, frames in blocks.items():
            if len(gathered) > 1:
                frames.sort(key=lambda frame: frame[0])
            if audience in apart:
                told = events(apart[audience])
            elif id(frames) in shared:
                told = shared[id(frames)]
            else:
                told = shared[id(frames)] = events(position for position, _, _ in frames)
            late = dict(audience.joining) if audience.joining else NOBODY
            windows = _windows(audience, frames) if any(window for _, _, window in frames) else ()
            reached = _send(audience, frames, joined)
            self._reached.update(dict.fromkeys(reached))
            for position, some in windows or ((None, reached),):
                sent = told if position is None else events([position] if names(told, position) else [])
                self.kept.note(sent, some, late)

    def moment(self, position: Position) -> str:
        """A position for clients to come back with, once the stream is attached."""
        assert self.tokens is not None
        return self.tokens.moment(position, secrets.token_bytes(6))

    def announce_gap(
        self, audiences: Iterable[Audience[Outlet]], reason: str, table: tuple[str, str] | None = None, span: Span = UNKNOWN
    ) -> None:
        """Tells subscribers that changes were lost, of this table or of any, before anything newer."""
        for audience in audiences:
            for outlet in (*audience.members, *audience.joining):
                self.tell_gap(outlet, audience.key, reason, table, span)

    def tell_gap(
        self, outlet: Outlet, key: AudienceKey, reason: str, table: tuple[str, str] | None = None, span: Span = UNKNOWN
    ) -> None:
        """The same for one subscriber."""
        outlet.send(self._gap(key, reason, table, span))
        self.gaps[reason] += 1

    def _gap(self, key: AudienceKey, reason: str, table: tuple[str, str] | None, span: Span) -> bytes:
        after, until = (None if position is None else self.moment(position) for position in span)
        return gap(Serializer(key.serializer), key.topic, reason, table, after=after, until=until)

    def announce_resumed(self, resumed: Iterable[tuple[Outlet, AudienceKey]]) -> None:
        """Tells subscribers that came back that they were sent what they missed."""
        for outlet, key in resumed:
            outlet.send(system(Serializer(key.serializer), key.topic, "resume", "ok", "resumed"))

    async def pace(self) -> None:
        """Gives sockets with much queued a moment to take it, so that a large transaction does not overrun healthy ones."""
        reached, self._reached = self._reached, {}
        self._lagging = {outlet for outlet in self._lagging if outlet.queued_bytes > LAGGING_BYTES}
        full = [o for o in reached if o.queued_bytes > LAGGING_BYTES and o not in self._lagging]
        if not full:
            return
        waits = [asyncio.ensure_future(outlet.drained()) for outlet in full]
        await asyncio.wait(waits, timeout=PATIENCE)
        for wait in waits:
            wait.cancel()
        self._lagging.update(outlet for outlet in full if outlet.queued_bytes > LAGGING_BYTES)

    def _frames_or_gap(self, making: "_Making", audience: Audience[Outlet]) -> list[_Frame]:
        """A fault of ours about one audience costs that audience these changes, says so, and costs nobody else anything."""
        work = making.each.work
        try:
            return making.frames(audience)
        except Exception:
            self.tally.count(Reason.INTERNAL_ERROR, len(work.changes))
            log.exception("decision_failed", error_id=secrets.token_hex(4), table=work.relation.name)
            if making.passage is not None:
                making.passage.drop(audience)
            making.apart[audience] = []
            audience.forget(work.changes[-1].position)
            self.gaps[Reason.INTERNAL_ERROR] += len(audience.members) + len(audience.joining)
            lost = self._gap(audience.key, Reason.INTERNAL_ERROR, None, (before(work.changes[0]), work.changes[-1].position))
            return [(work.changes[0].position, lost, None)]


@dataclass(slots=True)
class _Known:
    """What was built for one audience, and how many sockets of others are sent the same."""

    frames: list[_Frame]
    decisions: list[Decision]
    sockets: int = 0


_Like = tuple[Crowd[Audience[Outlet]], str, str]
"""A crowd, the topic and the serializer."""


@dataclass(frozen=True, slots=True)
class _Making:
    """The frames of one relation's changes in one batch, audience by audience."""

    each: Gathered
    rendering: Rendering
    counting: Counting
    passage: Passage[Audience[Outlet]] | None
    gaps: Counter[str]
    gap: Callable[[AudienceKey, str, tuple[str, str] | None, Span], bytes]
    known: dict[_Like, "_Known"] = field(default_factory=dict)
    apart: dict[Audience[Outlet], list[Position]] = field(default_factory=dict)
    """What audiences were sent that are sent verdicts and gaps as well."""

    def frames(self, audience: Audience[Outlet]) -> list[_Frame]:
        """Built once for all audiences between whom only the claims differ, where nobody asks for these."""
        crowd = next((crowd for crowd in audience.crowds if crowd in self.each.work.alike), None)
        if crowd is None:
            return self._frames(audience)[0]
        like = (crowd, audience.key.topic, audience.key.serializer)
        known = self.known.get(like)
        if known is None or audience.joining:
            frames, decisions = self._frames(audience)
            self.known.setdefault(like, _Known(frames, decisions))
            return frames
        known.sockets += len(audience.members)
        return known.frames

    def close(self) -> None:
        """Everything was decided."""
        for (crowd, _, _), known in self.known.items():
            self.counting.alike(crowd.role, crowd.subscriptions, known.decisions, known.sockets)
        if self.passage is not None:
            self.passage.close()

    def _frames(self, audience: Audience[Outlet]) -> tuple[list[_Frame], list[Decision]]:
        key, evidence = audience.key, self.each.evidence
        subscriptions = audience.concerning(self.each.work.relation)
        recall = None
        if self.passage is not None and remembers(subscriptions, key.identity.role, evidence):
            recall = self.passage.recall(audience, key.subscriptions)
        decisions: list[Decision] = []
        frames: list[_Frame] = []
        if self.each.gap and evidence.concerns(key.identity.role):
            self.gaps[self.each.gap] += len(audience.members) + len(audience.joining)
            # What is too slow goes on to be withheld for a while.
            last = evidence.changes[-1].position if self.each.gap is Reason.COLUMNS_CHANGED else None
            lost = self.gap(key, self.each.gap, (evidence.shape.schema, evidence.shape.name), (before(evidence.changes[0]), last))
            frames.append((evidence.changes[0].position, lost, None))
        if key.verdicts or not evidence.blind(key.identity) or (recall is not None and recall.numbers):
            access = evidence.access.get(key.identity.role)
            decisions += decide(subscriptions, key.identity, evidence, explain=bool(key.verdicts), recall=recall)
            for place, decision in enumerate(decisions):
                position, more = evidence.changes[decision.number].position, _goes_on(decisions, place, key.verdicts)
                told = self.rendering.frames(key, access, decision, more=more)
                frames += [(position, frame, decision.joined) for frame in told]
        self.counting.count(audience, subscriptions, decisions)
        if key.verdicts or self.each.gap:
            self.apart[audience] = [evidence.changes[d.number].position for d in decisions if d.subscriptions]
        return frames, decisions


def _passage(each: Gathered, memory: Memory[Audience[Outlet]]) -> Passage[Audience[Outlet]] | None:
    """The changes on their way through the memory; it has nothing to tell of what is not served, has no key, or was altered."""
    evidence, shape, changes = each.evidence, each.evidence.shape, each.work.changes
    if shape.refusal is not None or not shape.key or evidence.altered:
        memory.forget_table(each.work.relation.oid)
        return None
    keys = [[text for name in shape.key if (text := row.get(name)) is not None] for row in evidence.values]
    passage = Passage(memory, each.work.relation.oid, changes)
    table = memory.table(each.work.relation.oid, shape.key, shape.storage)
    whole = [texts if len(texts) == len(shape.key) else None for texts in keys]
    passage.trace(table, [None if row is None else whole[row] for row in evidence.rows])
    return passage


def _goes_on(decisions: Sequence[Decision], place: int, verdicts: Told) -> bool:
    """Whether sockets that are told of this decision are told of a later one about the same change."""
    this = decisions[place]
    for number in range(place + 1, len(decisions)):
        later = decisions[number]
        if later.number != this.number:
            return False
        apart = this.joined and later.joined and (this.joined[1] <= later.joined[0] or later.joined[1] <= this.joined[0])
        if not apart and (later.subscriptions or Told(verdicts).of(later.verdict.reason)):
            return True
    return False


def _send(audience: Audience[Outlet], frames: Sequence[_Frame], blocks: dict[int, bytes]) -> list[Outlet]:
    """Queues the frames to every socket of the audience; one that joined meanwhile gets what was committed after its check.

    `blocks`: frames that several audiences share, already joined.
    """
    reached = list(audience.members)
    if any(joined is not None for _, _, joined in frames):
        reached = _send_apart(audience, frames)
    elif reached:
        block = blocks.get(id(frames))
        if block is None:
            block = blocks[id(frames)] = b"".join([frame for _, frame, _ in frames])
        for outlet in reached:
            outlet.send(block)
    for outlet, after in audience.joining.items():
        began = audience.began(outlet)
        late = b"".join([frame for position, frame, joined in frames if position > after and _names(joined, began)])
        if late:
            outlet.send(late)
            reached.append(outlet)
    audience.settle(frames[-1][0])
    return reached


def before(change: Change) -> Position:
    """What comes before it."""
    return Position(change.position.commit_lsn, change.position.index - 1)


def _windows(audience: Audience[Outlet], frames: Sequence[_Frame]) -> list[tuple[Position, list[Outlet]]]:
    """By event, the sockets that are sent it, where some are sent less than others."""
    everybody = {**audience.members, **audience.joining}
    return [(at, [outlet for outlet, after in everybody.items() if _names(joined, after)]) for at, _, joined in frames]


def _send_apart(audience: Audience[Outlet], frames: Sequence[_Frame]) -> list[Outlet]:
    """The same where some frames are for some members only: those between the same two bounds are sent the same."""
    bounds = sorted({bound for _, _, joined in frames if joined is not None for bound in joined})
    blocks: dict[int, bytes] = {}
    for outlet, after in audience.members.items():
        place = bisect_right(bounds, after)
        if place not in blocks:
            blocks[place] = b"".join([frame for _, frame, joined in frames if _names(joined, after)])
        if blocks[place]:
            outlet.send(blocks[place])
    return [outlet for outlet, after in audience.members.items() if blocks[bisect_right(bounds, after)]]


def _names(joined: Joined | None, after: Position) -> bool:
    return joined is None or joined[0] <= after < joined[1]
