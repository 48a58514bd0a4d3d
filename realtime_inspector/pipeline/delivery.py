"""Hands decided changes to the sockets: one joined block of frames per audience and batch, in commit order."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from realtime_inspector.model import Position, Reason
from realtime_inspector.pipeline.evidence import Gathered
from realtime_inspector.pipeline.rendering import Rendering
from realtime_inspector.ports import Outlet
from realtime_inspector.protocol.frames import gap, system
from realtime_inspector.protocol.positions import PositionTokens
from realtime_inspector.protocol.serializer import Serializer
from realtime_inspector.replication.values import TypeCatalog
from realtime_inspector.visibility.index import Audience, AudienceKey
from realtime_inspector.visibility.verdicts import decide

log = structlog.get_logger(__name__)
LAGGING_BYTES = 262_144
"""Queued bytes from which on the river waits for a socket, for a moment, before it goes on."""
TURN = 0.005
"""Seconds of building frames after which the loop's other work has its turn."""
PATIENCE = 0.05
"""Seconds that the river waits after a batch for lagging sockets; one that still lags is not waited for again."""


@dataclass(slots=True)
class Tally:
    """How many events were delivered or withheld, by reason; one count per event and socket."""

    reasons: Counter[Reason] = field(default_factory=Counter)

    def count(self, reason: Reason, events: int) -> None:
        """Adds events to a reason."""
        if events > 0:
            self.reasons[reason] += events


class Delivery:
    """Where decisions become queued bytes."""

    def __init__(self, record_bytes: int) -> None:
        self.tally = Tally()
        self.gaps: Counter[str] = Counter()
        """Gap notices by reason, once per socket."""
        self.tokens: PositionTokens | None = None
        """How positions are told; known once the stream is attached."""
        self._record_bytes = record_bytes
        self._lagging: set[Outlet] = set()

    async def hand_over(self, gathered: Sequence[Gathered], types: TypeCatalog) -> list[Outlet]:
        """Builds everything that the evidence allows, then queues it without a pause: a batch goes whole or not at all.

        While it builds, the loop has its turn now and then: who left meanwhile is no member any more when it is queued.
        """
        assert self.tokens is not None
        loop = asyncio.get_running_loop()
        pause_at = loop.time() + TURN
        blocks: dict[Audience[Outlet], list[tuple[Position, bytes]]] = {}
        for each in gathered:
            rendering = Rendering(each.evidence, each.work.committed_at, each.fetched, types, self.tokens, self._record_bytes)
            for audience in each.work.audiences:
                frames = self._frames_or_gap(each, audience, rendering)
                if frames:
                    blocks.setdefault(audience, []).extend(frames)
                if loop.time() > pause_at:
                    await asyncio.sleep(0)
                    pause_at = loop.time() + TURN
        reached: dict[Outlet, None] = {}
        for audience, frames in blocks.items():
            if len(gathered) > 1:
                frames.sort(key=lambda frame: frame[0])
            reached.update(dict.fromkeys(_send(audience, frames)))
        return list(reached)

    def announce_gap(self, audiences: Iterable[Audience[Outlet]], reason: str, table: tuple[str, str] | None = None) -> None:
        """Tells subscribers that changes were lost, of this table or of any, before anything newer."""
        for audience in audiences:
            for outlet in (*audience.members, *audience.joining):
                self.tell_gap(outlet, audience.key, reason, table)

    def tell_gap(self, outlet: Outlet, key: AudienceKey, reason: str, table: tuple[str, str] | None = None) -> None:
        """The same for one subscriber."""
        outlet.send(_gap(key, reason, table))
        self.gaps[reason] += 1

    def announce_resumed(self, audiences: Iterable[Audience[Outlet]]) -> None:
        """Tells subscribers that came back that they were sent what they missed."""
        for audience in audiences:
            key = audience.key
            for outlet in (*audience.members, *audience.joining):
                outlet.send(system(Serializer(key.serializer), key.topic, "resume", "ok", "resumed"))

    async def pace(self, outlets: Iterable[Outlet]) -> None:
        """Gives sockets with much queued a moment to take it, so that a large transaction does not overrun healthy ones."""
        self._lagging = {outlet for outlet in self._lagging if outlet.queued_bytes > LAGGING_BYTES}
        full = [o for o in outlets if o.queued_bytes > LAGGING_BYTES and o not in self._lagging]
        if not full:
            return
        waits = [asyncio.ensure_future(outlet.drained()) for outlet in full]
        await asyncio.wait(waits, timeout=PATIENCE)
        for wait in waits:
            wait.cancel()
        self._lagging.update(outlet for outlet in full if outlet.queued_bytes > LAGGING_BYTES)

    def _frames_or_gap(self, each: Gathered, audience: Audience[Outlet], rendering: Rendering) -> list[tuple[Position, bytes]]:
        """A fault of ours about one audience costs that audience these changes, says so, and costs nobody else anything."""
        try:
            return self._frames(each, audience, rendering)
        except Exception:
            self.tally.count(Reason.INTERNAL_ERROR, len(each.work.changes))
            log.exception("decision_failed", error_id=secrets.token_hex(4), table=each.work.relation.name)
            self.gaps[Reason.INTERNAL_ERROR] += len(audience.members) + len(audience.joining)
            return [(each.work.changes[0].position, _gap(audience.key, Reason.INTERNAL_ERROR))]

    def _frames(self, each: Gathered, audience: Audience[Outlet], rendering: Rendering) -> list[tuple[Position, bytes]]:
        key, evidence = audience.key, each.evidence
        frames: list[tuple[Position, bytes]] = []
        delivered = 0
        if each.gap and evidence.concerns(key.identity.role):
            self.gaps[each.gap] += len(audience.members) + len(audience.joining)
            frames.append(
                (
                    evidence.changes[0].position,
                    _gap(key, each.gap, (evidence.shape.schema, evidence.shape.name)),
                )
            )
        if key.verdicts or not evidence.blind(key.identity):
            access = evidence.access.get(key.identity.role)
            for decision in decide(audience.concerning(each.work.relation), key.identity, evidence, explain=key.verdicts):
                delivered += bool(decision.subscriptions)
                position = evidence.changes[decision.number].position
                frames += [(position, frame) for frame in rendering.frames(key, access, decision)]
        sockets = len(audience.members) + len(audience.joining)
        self.tally.count(Reason.DELIVERED, delivered * sockets)
        self.tally.count(evidence.usual_reason(key.identity), (len(evidence.changes) - delivered) * sockets)
        return frames


def _gap(key: AudienceKey, reason: str, table: tuple[str, str] | None = None) -> bytes:
    return gap(Serializer(key.serializer), key.topic, reason, table)


def _send(audience: Audience[Outlet], frames: Sequence[tuple[Position, bytes]]) -> list[Outlet]:
    """Queues the frames to every socket of the audience; one that joined meanwhile gets what was committed after its check."""
    block = b"".join([frame for _, frame in frames])
    for outlet in audience.members:
        outlet.send(block)
    reached = list(audience.members)
    for outlet, after in audience.joining.items():
        late = b"".join([frame for position, frame in frames if position > after])
        if late:
            outlet.send(late)
            reached.append(outlet)
    audience.settle(frames[-1][0])
    return reached
