"""Decides, from evidence alone, which changes of one relation an audience receives, and why it does not receive the others.

Rules of this room: default deny. What is not in the evidence is not visible. A change is delivered with the row as it stands
in the snapshot in which its visibility was checked, never with an older image. That a row is gone is told to who could see it,
or was sent it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from realtime_inspector.model import Identity, Operation, Position, Reason, Verdict
from realtime_inspector.visibility.index import wants
from realtime_inspector.visibility.memory import Recall
from realtime_inspector.visibility.subscription import Subscription
from realtime_inspector.visibility.verdicts import Evidence, Sight

DELIVERED: Final = Verdict(Reason.DELIVERED)
FILTERED: Final = Verdict(Reason.FILTERED)
GONE: Final = Verdict(Reason.ROW_GONE)
ALTERED: Final = Verdict(Reason.COLUMNS_CHANGED, "the table was altered before the change was handled")
HIDDEN: Final = Verdict(Reason.HIDDEN_BY_POLICY)
LEFT: Final = Verdict(Reason.LEFT_VIEW, "the row is not in sight any more; a DELETE says so")
BLIND: Final = Sight()
FIRST: Final = Position(-1, 0)
LAST: Final = Position(1 << 64, 0)
Joined = tuple[Position, Position]
"""Sockets by the position after which they receive everything: from the first of these on, and before the second."""


class Decision(msgspec.Struct, frozen=True):
    """One change for one audience, or for those of its sockets that `joined` names.

    `subscriptions`: those it is delivered to; none if it is withheld. With the reason LEFT_VIEW they are told of a DELETE.
    `old_visible`: the identity may also see the row as it was before. `old_key`: it knows the key that the row had.
    """

    number: int
    verdict: Verdict
    subscriptions: tuple[Subscription, ...] = ()
    old_visible: bool = False
    old_key: bool = False
    joined: Joined | None = None


def decide(
    subscriptions: Sequence[Subscription],
    identity: Identity,
    evidence: Evidence,
    *,
    explain: bool,
    recall: Recall[Any] | None = None,
) -> Iterator[Decision]:
    """The decisions for one audience, in order: with `explain` all, else those that differ from an identity's that sees nothing.

    `recall`: what it was sent before; without it that is nothing, and what it is sent now is not remembered.
    """
    refused = evidence.standing(identity.role).refused
    if refused is not None:
        for number, change in enumerate(evidence.changes if explain else ()):
            if any(wants(s, change.operation) for s in subscriptions):
                yield Decision(number, refused)
        return
    sight = _Sight(evidence, identity)
    deciding = _Deciding(evidence, sight, identity.role, subscriptions)
    for number in range(len(evidence.changes)) if explain else sight.noteworthy(() if recall is None else recall.numbers):
        usual = deciding.usual(number)
        if recall is None or (evidence.changes[number].operation is Operation.INSERT and number not in recall.numbers):
            if usual is not None:
                yield usual
                if recall is not None and usual.subscriptions:
                    recall.record(number, usual.subscriptions)
        else:
            yield from deciding.remembering(number, usual, recall)


def remembers(subscriptions: Iterable[Subscription], role: str, evidence: Evidence) -> bool:
    """Whether it may matter later what these are sent: others are told of every deletion anyway, or of none."""
    standing = evidence.standing(role)
    every = evidence.left_view == "delete" or (standing.checked and evidence.deletes == "checked")
    if standing.refused is None:
        for subscription in subscriptions:
            if (every or subscription.conditions) and subscription.binding.event != Operation.INSERT:
                return True
    return False


class _Sight:
    """What one identity that has the privileges may see of each change."""

    def __init__(self, evidence: Evidence, identity: Identity) -> None:
        self._evidence = evidence
        self._role = identity.role
        self._checked = evidence.standing(identity.role).checked
        self._sight = evidence.sights.get(identity, BLIND)
        self._old_sight = evidence.old_sights.get(identity, BLIND)
        self._rows = frozenset(self._sight.rows)
        self._raised = frozenset(self._sight.raised)
        self._old = frozenset(self._old_sight.rows)

    def noteworthy(self, others: Collection[int]) -> Sequence[int]:
        """The numbers of the changes about which this identity may be told something else than one that sees nothing."""
        evidence = self._evidence
        if not self._checked:
            numbers = evidence.everywhere()
            return sorted({*numbers, *others}) if others else numbers
        rows, old = self._sight, self._old_sight
        deleted = (*old.rows, *old.raised) if evidence.deletes == "checked" else evidence.deletions()
        numbers = evidence.among((*rows.rows, *rows.raised) if rows.raised else rows.rows, deleted)
        if evidence.left_view == "delete" and self._old:
            others = [*others, *(n for n in self._old if evidence.changes[n].operation is Operation.UPDATE)]
        return sorted({*numbers, *others}) if others else numbers

    def of(self, number: int) -> Verdict:
        """The verdict on one change before filters."""
        change = self._evidence.changes[number]
        if change.operation is Operation.TRUNCATE:
            return Verdict(Reason.UNSUPPORTED_RELATION, "TRUNCATE has no rows to check; the protocol has no event for it")
        if self._evidence.altered:
            return ALTERED
        if change.operation is Operation.DELETE:
            return self._of_delete(number)
        row = self._evidence.rows[number]
        if row is None:
            return GONE
        if not self._checked or row in self._rows:
            return DELIVERED
        if row in self._raised:
            return self._sight.told
        return HIDDEN

    def _of_delete(self, number: int) -> Verdict:
        change = self._evidence.changes[number]
        if change.old is None:
            return Verdict(Reason.NO_KEY, "the log does not say which row was deleted; the table needs a replica identity")
        if not self._checked or self._evidence.deletes == "keys" or number in self._old:
            return DELIVERED
        if not change.old_is_full:
            hint = f"alter table {self._evidence.shape.schema}.{self._evidence.shape.name} replica identity full"
            return Verdict(Reason.OLD_ROW_UNKNOWN, f"the policies cannot be asked about a row that is gone; {hint}")
        if self._role in self._evidence.old_refused:
            return Verdict(Reason.OLD_ROW_UNKNOWN, self._evidence.old_refused[self._role])
        if number in self._old_sight.raised:
            return self._old_sight.told
        return HIDDEN

    def old_visible(self, number: int) -> bool:
        """Whether the values that the log has of the old row may be shown."""
        if self._checked:
            return number in self._old and self._role in self._evidence.old_timeless
        return self._evidence.types_hold

    def askable(self, number: int) -> Sequence[str] | None:
        """The columns that a filter may ask about, None for all: whoever is told a key only learns nothing else by filters."""
        deleted = self._evidence.changes[number].operation is Operation.DELETE
        return self._evidence.shape.key if deleted and not self.old_visible(number) else None


class _Deciding:
    """What one audience is told of each change."""

    def __init__(self, evidence: Evidence, sight: _Sight, role: str, subscriptions: Sequence[Subscription]) -> None:
        self._evidence = evidence
        self._sight = sight
        self._subscriptions = self._usable = subscriptions
        self._wanted: dict[Operation, tuple[Subscription, ...]] = {}
        # A filter is no oracle for a column that the role may no longer read.
        reads = evidence.access[role].reads
        unreadable = [c.column for s in subscriptions for c in s.conditions if not reads(c.column)]
        self._unreadable = unreadable and list(dict.fromkeys(unreadable))
        if unreadable:
            self._usable = [s for s in subscriptions if not any(c.column in self._unreadable for c in s.conditions)]
            self._refused = Verdict(Reason.NO_PRIVILEGE, f"role {role} has no SELECT on {', '.join(self._unreadable)}")

    def usual(self, number: int) -> Decision | None:
        """What follows from sight and filters; None when no subscription wants such events."""
        operation = self._evidence.changes[number].operation
        wanting = self._wanted.get(operation)
        if wanting is None:
            wanting = self._wanted[operation] = tuple([s for s in self._usable if wants(s, operation)])
        if not wanting:
            refused = self._unreadable and any(wants(s, operation) for s in self._subscriptions)
            return Decision(number, self._refused) if refused else None
        verdict = self._sight.of(number)
        if verdict is not DELIVERED:
            return Decision(number, verdict)
        passing = tuple([s for s in wanting if not s.conditions or self._passes(s, number)])
        if not passing:
            return Decision(number, self._unfiltered(wanting))
        return Decision(number, DELIVERED, passing, self._sight.old_visible(number))

    def remembering(self, number: int, usual: Decision | None, recall: Recall[Any]) -> Iterator[Decision]:
        """The same for an audience that was sent rows before, and will be asked what it was sent now."""
        operation = self._evidence.changes[number].operation
        if operation is Operation.DELETE:
            yield from self._deletion(number, usual, recall)
        elif operation is Operation.UPDATE:
            yield from self._update(number, usual, recall)
        elif usual is not None:
            yield usual
        if recall.parted(number):
            recall.forget(number)
        if usual is not None and usual.subscriptions and operation is not Operation.DELETE:
            recall.record(number, usual.subscriptions)

    def _deletion(self, number: int, usual: Decision | None, recall: Recall[Any]) -> Iterator[Decision]:
        """Whoever was sent the row is told that it is gone, whatever else is known about it."""
        if usual is None:
            return
        others = [s for s in self._usable if wants(s, Operation.DELETE) and s not in usual.subscriptions]
        for told, joined in _by_time(usual.subscriptions, _limits(others, recall.sent(number))):
            if told:
                yield Decision(number, DELIVERED, told, usual.old_visible, joined=joined)
            else:
                yield replace(usual, joined=joined)

    def _update(self, number: int, usual: Decision | None, recall: Recall[Any]) -> Iterator[Decision]:
        sent = recall.sent(number)
        delivered = usual is not None and bool(usual.subscriptions)
        leaving = self._leaving(number, usual, recall)
        knew = () if recall.has_left(number) else tuple(s for s in leaving if self._saw(s, number))
        for told, joined in _by_time(knew, _limits([s for s in leaving if s not in knew], sent)):
            if told:
                yield Decision(number, LEFT, told, joined=joined)
            elif usual is not None and not delivered:
                yield replace(usual, joined=joined)
        if leaving:
            recall.leave(number, self._subscriptions if self._sight.of(number) is HIDDEN else leaving)
        if usual is not None and delivered:
            yield from self._with_old_key(usual, sent if recall.parted(number) else ())

    def _with_old_key(self, usual: Decision, sent: Sequence[tuple[Subscription, Position]]) -> Iterator[Decision]:
        """The key that a row had before may belong to what was hidden then: it is told to those who were sent it."""
        if usual.old_visible or not sent:
            yield usual
            return
        until = max(position for _, position in sent)
        yield replace(usual, old_key=True, joined=(FIRST, until))
        yield replace(usual, joined=(until, LAST))

    def _leaving(self, number: int, usual: Decision | None, recall: Recall[Any]) -> Sequence[Subscription]:
        """The subscriptions that an UPDATE takes the row from, and that can be told so."""
        if self._evidence.left_view == "ignore":
            return ()
        able = [s for s in self._usable if wants(s, Operation.DELETE)]
        verdict, parted = self._sight.of(number), recall.parted(number)
        if verdict is HIDDEN or (verdict is GONE and parted):
            return able
        if verdict is not DELIVERED:
            return ()
        updated = () if usual is None else usual.subscriptions
        failed = self._evidence.failed
        return [
            s
            for s in able
            if (parted and s not in updated) or not (self._passes(s, number) or any(failed(c) for c in s.conditions))
        ]

    def _saw(self, subscription: Subscription, number: int) -> bool:
        """Whether the row as it was before could be seen, and passed the filter."""
        old_mask = self._evidence.old_mask
        return self._sight.old_visible(number) and subscription.holds(lambda condition: number in old_mask(condition))

    def _passes(self, subscription: Subscription, number: int) -> bool:
        askable = self._sight.askable(number)
        if askable is not None and any(condition.column not in askable for condition in subscription.conditions):
            return False
        return subscription.holds(lambda condition: number in self._evidence.mask(condition))

    def _unfiltered(self, wanting: Iterable[Subscription]) -> Verdict:
        for condition in (c for s in wanting for c in s.conditions):
            if self._evidence.failed(condition):
                return Verdict(Reason.FILTER_FAILED, f"the filter on {condition.column} could not be evaluated")
        return FILTERED


def _limits(
    subscriptions: Iterable[Subscription], sent: Sequence[tuple[Subscription, Position]]
) -> Mapping[Subscription, Position]:
    """Until when a socket must have joined to have been sent the row through each subscription.

    Those with the same filter, or without any, would have been sent it by the same delivery.
    """
    limits = {}
    for subscription in subscriptions if sent else ():
        times = [at for other, at in sent if not subscription.conditions or other.filter == subscription.filter]
        if times:
            limits[subscription] = max(times)
    return limits


def _by_time(
    always: tuple[Subscription, ...], limits: Mapping[Subscription, Position]
) -> Iterator[tuple[tuple[Subscription, ...], Joined | None]]:
    """Which subscriptions are told, by when a socket joined: `always`, and those whose limit it keeps."""
    if not limits:
        yield always, None
        return
    until = LAST
    for limit in sorted(set(limits.values()), reverse=True):
        yield (*always, *(s for s, last in limits.items() if last >= until)), (limit, until)
        until = limit
    yield (*always, *limits), (FIRST, until)
