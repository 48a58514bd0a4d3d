"""Says what an event was to each live channel: what is kept of it, and the engine's own decision from what is stored now."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import orjson

from realtime_inspector.model import Change, GaveUp, Identity, Reason, Relation, Transaction
from realtime_inspector.pipeline.evidence import Gatherer
from realtime_inspector.pipeline.pace import Pace
from realtime_inspector.pipeline.records import Records
from realtime_inspector.pipeline.work import Gathered, Work
from realtime_inspector.ports import Outlet
from realtime_inspector.settings import Settings
from realtime_inspector.visibility.asking import Receiver
from realtime_inspector.visibility.audience import Audience
from realtime_inspector.visibility.crowd import Touched
from realtime_inspector.visibility.decisions import decide
from realtime_inspector.visibility.explanation import NOT_JOINED, Live
from realtime_inspector.visibility.facts import Shape
from realtime_inspector.visibility.index import Index


class Told(NamedTuple):
    """A Reason or one of the words beside them, and what it is about. `size`: of the records, in bytes; 0 if not known."""

    reason: str
    detail: str = ""
    size: int = 0


NOT_SENT = "not_sent"
"""Beside the reasons: it was not sent it, though it would be now."""
NOT_ASKED = Told(Reason.FILTERED, "its subscriptions do not ask for such events")
UNKNOWN = "what was sent before is not kept after a deletion; sockets that had been sent the row were told"


Names = Callable[[], Mapping[Outlet, str]]
"""The name of each live connection."""


class Receivers:
    """Takes decisions about one event with connections of its own."""

    @classmethod
    def open(cls, settings: Settings, index: Index[Outlet]) -> "Receivers":
        """With connections as the river has them, which are made at the first question."""
        return cls(Gatherer.open(settings, Pace()), index, settings.record_bytes)

    def __init__(self, gatherer: Gatherer, index: Index[Outlet], record_bytes: int) -> None:
        self._gatherer = gatherer
        self._record_bytes = record_bytes
        self._index = index
        self.names: Names = dict
        """Tells what connections are called; whoever has them sets it."""
        self.sent: Callable[[Change], frozenset[Outlet] | None] = lambda _: None
        """Tells which sockets were sent an event, as far as it is known; whoever knows sets it."""
        self.gave_up: Sequence[GaveUp] = ()
        """The sockets that were closed of late because their peers did not read, oldest first; whoever has them sets it."""

    async def close(self) -> None:
        """Ends all connections."""
        await self._gatherer.close()

    async def of(self, transaction: Transaction, change: Change, relation: Relation) -> list[Receiver]:
        """One for each channel that names the table, by connection."""
        audiences = self._audiences((relation.schema, relation.name))
        verdicts = await self._verdicts(transaction, change, audiences)
        names, sent = self.names(), self.sent(change)
        found = []
        for audience in audiences:
            for outlet, after in (*audience.members.items(), *audience.joining.items()):
                key = audience.key
                verdict = _what_happened(verdicts.get(audience, NOT_ASKED), outlet, after < change.position, sent)
                subject = str(orjson.loads(key.identity.claims).get("sub") or "")
                said = (names.get(outlet, ""), key.topic, key.identity, subject, verdict.reason, verdict.detail)
                found.append(Receiver(*said, kept=sent is not None, size=verdict.size, queued=outlet.queued_bytes))
        return sorted(found, key=lambda each: (each.connection, each.topic))

    async def live(self, identity: Identity, event: tuple[Transaction, Change] | None, shape: Shape) -> Live:
        """What sockets of this identity there are, what the event was or is to them, and which one was given up."""
        newest = next((each for each in reversed(self.gave_up) if _same(each.identity, identity)), None)
        known = Live(given_up=_given_up(newest) if newest else "", limit=self._record_bytes)
        own = [audience for audience in self._audiences() if _same(audience.key.identity, identity)]
        table = (shape.schema, shape.name)
        naming = [a for a in self._audiences(table) if a in own]
        topics = tuple(dict.fromkeys(audience.key.topic for audience in naming))
        elsewhere = tuple(dict.fromkeys(a.key.topic for a in own if a not in naming))
        known = replace(known, topics=topics, elsewhere=elsewhere)
        if event is None or not naming:
            return known
        receivers = [each for each in await self.of(*event, event[1].relation) if _same(each.identity, identity)]
        best = min(receivers, key=lambda each: (each.reason != Reason.DELIVERED, each.reason == NOT_JOINED), default=None)
        if best is None:
            return known
        return replace(known, reason=best.reason, detail=best.detail, size=best.size, queued=best.queued)

    def _audiences(self, table: tuple[str, str] | None = None) -> list[Audience[Outlet]]:
        parts = (self._index, self._index.behind, self._index.aside)
        return [audience for part in parts if part is not None for audience in part.audiences(table)]

    async def _verdicts(
        self, transaction: Transaction, change: Change, audiences: Sequence[Audience[Outlet]]
    ) -> dict[Audience[Outlet], Told]:
        """Nothing for those whose subscriptions do not ask for such an event."""
        if not audiences:
            return {}
        work = Work(change.relation, Touched(dict.fromkeys(audiences)), [change], [transaction.committed_at])
        gathered = await self._gatherer.gather([work], [], patient=False)
        found: dict[Audience[Outlet], Told] = {}
        for each in gathered:
            records = Records(each.evidence, each.work.committed_at, each.fetched, each.types, self._record_bytes)
            for audience in audiences:
                verdict = _verdict(each, audience, records)
                if verdict is not None:
                    found[audience] = verdict
        return found


def _verdict(each: Gathered, audience: Audience[Outlet], records: Records) -> Told | None:
    identity = audience.key.identity
    decided = list(decide(audience.concerning(each.work.relation), identity, each.evidence, explain=True))
    decision = next((d for d in decided if d.verdict.reason is Reason.DELIVERED), decided[0] if decided else None)
    if decision is None:
        return None
    reason, detail = decision.verdict.reason, decision.verdict.detail
    size = records.size(each.evidence.access.get(identity.role), decision)
    return Told(reason, detail or (UNKNOWN if reason is Reason.OLD_ROW_UNKNOWN else ""), size)


def _what_happened(told: Told, outlet: Outlet, joined: bool, sent: frozenset[Outlet] | None) -> Told:
    """What was sent counts; why it was not is decided anew."""
    if sent is not None and outlet in sent:
        return Told(Reason.DELIVERED, size=told.size)
    if not joined:
        return Told(NOT_JOINED, "it joined after the event")
    if sent is not None and told.reason in (Reason.DELIVERED, Reason.LEFT_VIEW):
        return Told(NOT_SENT, "it was not sent then, and would be now")
    return told


def _given_up(one: GaveUp) -> str:
    return f"the connection {one.connection} did not read what it was sent and was closed {time.time() - one.at:.0f} s ago"


def _same(one: Identity, other: Identity) -> bool:
    """The same person in the same role; tokens of one session differ in when they were made."""
    if one.role != other.role:
        return False
    subjects = [orjson.loads(identity.claims).get("sub") for identity in (one, other)]
    return bool(subjects[0] == subjects[1])
