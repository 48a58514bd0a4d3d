"""Counts what became of every event for every socket, without deciding each of them for each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from realtime_inspector.model import Identity, Position, Reason
from realtime_inspector.ports import Outlet
from realtime_inspector.visibility.decisions import Decision, Joined, decide
from realtime_inspector.visibility.index import Audience
from realtime_inspector.visibility.subscription import Subscription
from realtime_inspector.visibility.verdicts import Evidence

NOBODY: Final = ""
"""Claims that nobody has: who has them was asked about nothing, and sees nothing that policies decide about."""


@dataclass(slots=True)
class Tally:
    """How many events were delivered or withheld, by reason; one count per event and socket."""

    reasons: Counter[Reason] = field(default_factory=Counter)

    def count(self, reason: Reason, events: int) -> None:
        """Adds events to a reason."""
        if events > 0:
            self.reasons[reason] += events


@dataclass(frozen=True, slots=True)
class _Usual:
    """What becomes of the changes, by number, for somebody of a role who sees nothing; and how often each reason occurs."""

    reasons: dict[int, Reason]
    totals: Counter[Reason]


class Counting:
    """Counts the changes of one relation in one batch: what is the same for a whole role once, and then the differences."""

    def __init__(self, tally: Tally, evidence: Evidence) -> None:
        self._tally = tally
        self._evidence = evidence
        self._usual: dict[tuple[str, frozenset[tuple[str, bool]]], _Usual] = {}

    def count(self, audience: Audience[Outlet], subscriptions: Sequence[Subscription], decisions: Sequence[Decision]) -> None:
        """Counts for each socket of the audience. `decisions`: those that differ, or all."""
        usual = self._for(audience.key.identity.role, subscriptions)
        counted = Counter({reason: events * len(audience.members) for reason, events in usual.totals.items()})
        for after in audience.joining.values():
            counted.update(reason for number, reason in usual.reasons.items() if self._position(number) > after)
        corrected: set[int] = set()
        for decision in decisions:
            number = decision.number
            if number not in corrected and number in usual.reasons:
                counted[usual.reasons[number]] -= self._sockets(audience, number, None)
            corrected.add(number)
            counted[decision.verdict.reason] += self._sockets(audience, number, decision.joined)
        for reason, events in counted.items():
            self._tally.count(reason, events)

    def hidden(self, role: str, subscriptions: Sequence[Subscription], sockets: int) -> None:
        """Counts for sockets that were not looked at, because they see nothing."""
        for reason, events in self._for(role, subscriptions).totals.items():
            self._tally.count(reason, events * sockets)

    def alike(self, role: str, subscriptions: Sequence[Subscription], decisions: Sequence[Decision], sockets: int) -> None:
        """Counts for sockets that have waited for nothing, and of which all are sent the same."""
        usual = self._for(role, subscriptions)
        counted = Counter({reason: events * sockets for reason, events in usual.totals.items()})
        for number in {decision.number for decision in decisions} & usual.reasons.keys():
            counted[usual.reasons[number]] -= sockets
        for decision in decisions:
            counted[decision.verdict.reason] += sockets
        for reason, events in counted.items():
            self._tally.count(reason, events)

    def _sockets(self, audience: Audience[Outlet], number: int, joined: Joined | None) -> int:
        """How many sockets a decision about this change is for."""
        if joined is None:
            position = self._position(number)
            return len(audience.members) + sum(position > after for after in audience.joining.values())
        since, until = joined
        waited = [after for after in audience.joining.values() if after < self._position(number)]
        return sum(since <= after < until for after in (*audience.members.values(), *waited))

    def _position(self, number: int) -> Position:
        return self._evidence.changes[number].position

    def _for(self, role: str, subscriptions: Sequence[Subscription]) -> _Usual:
        """Who sees nothing is told the same whatever the filters are, unless these read columns that the role may not."""
        access = self._evidence.access.get(role)
        form = frozenset(
            (s.binding.event, all(access is None or access.reads(c.column) for c in s.conditions)) for s in subscriptions
        )
        known = self._usual.get((role, form))
        if known is None:
            decisions = decide(subscriptions, Identity(role, NOBODY), self._evidence, explain=True)
            reasons = {decision.number: decision.verdict.reason for decision in decisions}
            known = self._usual[role, form] = _Usual(reasons, Counter(reasons.values()))
        return known
