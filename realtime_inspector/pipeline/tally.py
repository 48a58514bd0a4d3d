"""Counts what became of every event for every socket, without deciding each of them for each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from realtime_inspector.model import Identity, Position, Reason
from realtime_inspector.ports import Outlet
from realtime_inspector.visibility.audience import Audience
from realtime_inspector.visibility.decisions import Decision, Joined, decide
from realtime_inspector.visibility.subscription import Subscription
from realtime_inspector.visibility.verdicts import Evidence

NOBODY: Final = ""
"""Claims that nobody has: who has them was asked about nothing, and sees nothing that policies decide about."""


_Form = tuple[str | tuple[str, bool], ...]
"""A role, and of each subscription its event and whether the role may read what it filters by."""


@dataclass(slots=True)
class Tally:
    """How many events were delivered or withheld, by reason; one count per event and socket."""

    reasons: Counter[Reason] = field(default_factory=Counter)
    seen: dict[str, Counter[str]] = field(default_factory=dict)
    """Rows that were delivered to, or denied, each impersonation since they were last written down."""

    def count(self, reason: Reason, events: int) -> None:
        """Adds events to a reason."""
        if events > 0:
            self.reasons[reason] += events


@dataclass(frozen=True, slots=True)
class _Usual:
    """What becomes of the changes, by number, for somebody of a role who sees nothing; and how often each reason occurs."""

    reasons: dict[int, Reason]
    totals: tuple[tuple[Reason, int], ...]


class Counting:
    """Counts the changes of one relation in one batch: what is the same for a whole role once, and then the differences."""

    def __init__(self, tally: Tally, evidence: Evidence) -> None:
        self._tally = tally
        self._evidence = evidence
        self._usual: dict[_Form, _Usual] = {}

    def count(self, audience: Audience[Outlet], subscriptions: Sequence[Subscription], decisions: Sequence[Decision]) -> None:
        """Counts for each socket of the audience. `decisions`: those that differ, or all."""
        usual, sockets = self._for(audience.key.identity.role, subscriptions), len(audience.members)
        if audience.key.session is not None:
            self._count_seen(audience.key.session, usual, decisions)
        if audience.joining or any(decision.joined is not None for decision in decisions):
            self._count_each(audience, usual, decisions)
            return
        self._add(usual, decisions, sockets)

    def _count_seen(self, session: str, usual: _Usual, decisions: Sequence[Decision]) -> None:
        """What nobody asked for (`filtered`) was neither."""
        told: dict[int, Reason] = usual.reasons | {decision.number: decision.verdict.reason for decision in decisions}
        counted = Counter(told.values())
        delivered = counted[Reason.DELIVERED] + counted[Reason.LEFT_VIEW]
        denied = sum(counted.values()) - delivered - counted[Reason.FILTERED]
        seen = self._tally.seen.setdefault(session, Counter())
        seen.update({name: rows for name, rows in (("delivered", delivered), ("denied", denied)) if rows})
        if not seen:
            del self._tally.seen[session]

    def _add(self, usual: _Usual, decisions: Sequence[Decision], sockets: int) -> None:
        reasons = self._tally.reasons
        for reason, events in usual.totals:
            reasons[reason] += events * sockets
        corrected = -1
        for decision in decisions:
            reasons[decision.verdict.reason] += sockets
            if decision.number != corrected and decision.number in usual.reasons:
                reasons[usual.reasons[decision.number]] -= sockets
            corrected = decision.number

    def _count_each(self, audience: Audience[Outlet], usual: _Usual, decisions: Sequence[Decision]) -> None:
        """The same where sockets of one audience differ."""
        counted: Counter[Reason] = Counter()
        for number, reason in usual.reasons.items():
            counted[reason] += self._sockets(audience, number, None)
        for number in {decision.number for decision in decisions} & usual.reasons.keys():
            counted[usual.reasons[number]] -= self._sockets(audience, number, None)
        for decision in decisions:
            counted[decision.verdict.reason] += self._sockets(audience, decision.number, decision.joined)
        for reason, events in counted.items():
            self._tally.count(reason, events)

    def hidden(self, role: str, subscriptions: Sequence[Subscription], sockets: int) -> None:
        """Counts for sockets that were not looked at, because they see nothing."""
        for reason, events in self._for(role, subscriptions).totals:
            self._tally.count(reason, events * sockets)

    def alike(self, role: str, subscriptions: Sequence[Subscription], decisions: Sequence[Decision], sockets: int) -> None:
        """Counts for sockets that have waited for nothing, and of which all are sent the same."""
        self._add(self._for(role, subscriptions), decisions, sockets)

    def _sockets(self, audience: Audience[Outlet], number: int, joined: Joined | None) -> int:
        """How many sockets a decision about this change is for."""
        if joined is None:
            position = self._position(number)
            return len(audience.members) + sum(position > after for after in audience.joining.values())
        since, until = joined
        waited = [audience.began(outlet) for outlet, after in audience.joining.items() if after < self._position(number)]
        return sum(since <= after < until for after in (*audience.members.values(), *waited))

    def _position(self, number: int) -> Position:
        return self._evidence.changes[number].position

    def _for(self, role: str, subscriptions: Sequence[Subscription]) -> _Usual:
        """Who sees nothing is told the same whatever the filters are, unless these read columns that the role may not."""
        form: _Form = (role, *[(s.binding.event, not s.conditions or self._readable(role, s)) for s in subscriptions])
        known = self._usual.get(form)
        if known is None:
            decisions = decide(subscriptions, Identity(role, NOBODY), self._evidence, explain=True)
            reasons = {decision.number: decision.verdict.reason for decision in decisions}
            known = self._usual[form] = _Usual(reasons, tuple(Counter(reasons.values()).items()))
        return known

    def _readable(self, role: str, subscription: Subscription) -> bool:
        access = self._evidence.access.get(role)
        return access is None or all(access.reads(condition.column) for condition in subscription.conditions)
