"""The changes of one batch on their way through the memory of what was sent, as one audience after the other is decided about."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic
from weakref import ref

from realtime_inspector.model import Change, Operation, Position
from realtime_inspector.visibility.memory import Holder, Memory, RowId, Sent, Table, found_row, parts
from realtime_inspector.visibility.subscription import Subscription

NONE: Final[frozenset[int]] = frozenset()
FIRST: Final = (0,)


@dataclass(slots=True)
class Passage(Generic[Holder]):
    """The changes of one relation in one batch on their way through the memory.

    `found`: per change, the row by its old key. `reached`: per change, the row that is sent for it, as it stands in the
    snapshot. `parted`: whether what was sent under the old key is gone. `about`: by audience, the changes that found a row
    which it was sent. `again`: the changes that took away a row whose key is in the snapshot again. `now`: by row and
    audience, what it has been sent of it so far. `sent`: that of the row that is reached, and what was sent of it before.
    `taken`: by change, what an audience had and the memory does not see.
    """

    memory: Memory[Holder]
    oid: int
    changes: Sequence[Change]
    found: list[RowId | None] = field(default_factory=list)
    reached: list[RowId | None] = field(default_factory=list)
    parted: list[bool] = field(default_factory=list)
    about: dict[Holder, list[int]] = field(default_factory=dict)
    again: list[int] = field(default_factory=list)
    now: dict[RowId, dict[ref[Holder], Sent]] = field(default_factory=dict)
    sent: list[tuple[dict[ref[Holder], Sent], Mapping[ref[Holder], Sent]] | None] = field(default_factory=list)
    taken: list[tuple[int, RowId, dict[ref[Holder], Sent]]] = field(default_factory=list)
    _emptied: Table | None = None
    _told: dict[tuple[int, tuple[int, ...]], Sent] = field(default_factory=dict)

    def trace(self, table: Table, keys: Iterable[Sequence[str] | None]) -> None:
        """Finds the rows. `keys`: per change, the key of its row in the snapshot, if it has one."""
        for change in self.changes:
            if change.operation is Operation.TRUNCATE:
                table = self._emptied = Table(table.oid, table.key, table.identity, change.position)
            self.found.append(found_row(change, table))
            self.parted.append(parts(change, table))
        self.reached += [None if texts is None else (table, *texts) for texts in keys]
        self.sent += [None if row is None else (self.now.setdefault(row, {}), self.memory.sent(row)) for row in self.reached]
        standing = set(self.reached)
        for number, (row, change) in enumerate(zip(self.found, self.changes, strict=True)):
            if row is None:
                continue
            if change.operation is not Operation.INSERT and self.parted[number] and row in standing:
                self.again.append(number)
            for holder in self.memory.holders(row):
                self.about.setdefault(holder, []).append(number)

    def recall(self, holder: Holder, subscriptions: Sequence[Subscription]) -> "Recall[Holder]":
        """What this audience was sent, from change to change; `subscriptions`: its own, in their order."""
        about = self.about.get(holder)
        numbers = frozenset((*about, *self.again)) if about else frozenset(self.again) if self.again else NONE
        return Recall(self, ref(holder), subscriptions, numbers)

    def told(self, number: int, places: tuple[int, ...]) -> Sent:
        """A delivery of the change through these subscriptions; the same object for all audiences."""
        known = self._told.get((number, places))
        if known is None:
            position = self.changes[number].position
            known = self._told[number, places] = tuple((place, position) for place in places)
        return known

    def drop(self, holder: Holder) -> None:
        """This audience was sent nothing of the batch after all."""
        for sent in self.now.values():
            sent.pop(ref(holder), None)

    def close(self) -> None:
        """Everything was decided: what was taken away is nobody's any more, what was sent is remembered."""
        if self._emptied is not None:
            self.memory.replace(self.oid, self._emptied)
        rows = zip(self.changes, self.found, strict=True)
        if any(row is None and change.operation is not Operation.TRUNCATE for change, row in rows):
            self.memory.forget_table(self.oid)
            return
        for row, parted, change in zip(self.found, self.parted, self.changes, strict=True):
            if row is not None and parted:
                self.memory.forget(row, change.position)
        for number, row, sent in self.taken:
            self.memory.note(self.changes[number].position, row, sent)
        for row, sent in self.now.items():
            self.memory.put(row, sent)


class Recall(Generic[Holder]):
    """What one audience was sent, as it becomes in a batch. `numbers`: the changes at which that matters."""

    __slots__ = ("_holder", "_left", "_passage", "_subscriptions", "numbers")

    def __init__(
        self, passage: Passage[Holder], holder: ref[Holder], subscriptions: Sequence[Subscription], numbers: frozenset[int]
    ) -> None:
        self.numbers = numbers
        self._holder = holder
        self._passage = passage
        self._subscriptions = subscriptions
        self._left: list[RowId] = []

    def parted(self, number: int) -> bool:
        """Whether the change took the row away from its old key."""
        return self._passage.parted[number]

    def sent(self, number: int) -> list[tuple[Subscription, Position]]:
        """Through which subscriptions the audience was sent the row that the change found, and when last."""
        row, at = self._passage.found[number], self._passage.changes[number].position
        if row is None:
            return []
        return [(self._subscriptions[place], position) for place, position in self._sent(row) if position < at]

    def forget(self, number: int) -> None:
        """The row that the change found is gone."""
        row = self._passage.found[number]
        if row is not None:
            self._take(number, row, self._holder in self._passage.now.get(row, ()), lambda _: True)

    def leave(self, number: int, subscriptions: Iterable[Subscription]) -> None:
        """The row that the change found is out of the sight of these subscriptions, and of those with the same filter."""
        row = self._passage.found[number]
        if row is not None:
            left = {subscription.filter for subscription in subscriptions}
            self._take(number, row, True, lambda place: self._subscriptions[place].filter in left)
            self._left.append(row)

    def has_left(self, number: int) -> bool:
        """Whether that was told in this batch already."""
        return self._passage.found[number] in self._left

    def record(self, number: int, subscriptions: Sequence[Subscription]) -> None:
        """The row that stands in the snapshot for this change is sent through these subscriptions."""
        sent = self._passage.sent[number]
        if sent is None:
            return
        own, holder, (now, then) = self._subscriptions, self._holder, sent
        places = FIRST if len(own) == 1 else tuple([own.index(subscription) for subscription in subscriptions])
        told = self._passage.told(number, places)
        before = now.get(holder)
        if before is None:
            before = then.get(holder)
        at = self._passage.changes[number].position
        kept = [pair for pair in before if pair[0] not in places or pair[1] > at] if before else ()
        now[holder] = (*kept, *told) if kept else told
        if self._left:
            self._left = [row for row in self._left if row != self._passage.reached[number]]

    def _sent(self, row: RowId) -> Sent:
        now = self._passage.now.get(row)
        known = None if now is None else now.get(self._holder)
        return self._passage.memory.sent(row).get(self._holder, ()) if known is None else known

    def _take(self, number: int, row: RowId, unnoted: bool, concerns: Callable[[int], bool]) -> None:
        """Takes away what was sent before the change through these subscriptions. `unnoted`: the memory does not see it."""
        at = self._passage.changes[number].position
        had = self._sent(row)
        taken = tuple([pair for pair in had if pair[1] < at and concerns(pair[0])])
        if taken and unnoted:
            self._passage.taken.append((number, row, {self._holder: taken}))
        self._passage.now.setdefault(row, {})[self._holder] = tuple([pair for pair in had if pair not in taken])
