"""Remembers which rows were sent to which audiences, so that those alone are told when a row is gone or leaves their sight.

What it says is exact, and what it has forgotten counts as never sent: forgetting withholds, it never leaks. Rows are known by
the texts of their keys, as the log and the snapshot have them; whatever takes a row away is told to it for everybody at once,
so that a key which another row is given later is nobody's.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from weakref import ref

from realtime_inspector.model import Change, Operation, Position
from realtime_inspector.visibility.subscription import Subscription

Holder = TypeVar("Holder")
"""An audience. The memory keeps none alive."""
Sent = tuple[tuple[int, Position], ...]
"""Through which subscriptions, by their places among those of the audience, a row was sent, and when last."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A relation as long as its rows are what they were: until it is emptied, or another key finds them."""

    key: tuple[str, ...]
    identity: object


RowId = tuple[Table | str, ...]
"""The table, then the texts of the key."""


class Memory(Generic[Holder]):
    """What was sent, least recently sent rows first to go. `limit`: so many pairs of row and audience; 0: nothing is kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pairs = 0
        self._rows: OrderedDict[RowId, dict[ref[Holder], Sent]] = OrderedDict()
        self._tables: dict[int, Table] = {}

    def __len__(self) -> int:
        return self._pairs

    def clear(self) -> None:
        """Changes were lost: nothing that is kept is certain any more."""
        self._rows.clear()
        self._tables.clear()
        self._pairs = 0

    def table(self, oid: int, key: tuple[str, ...], identity: object) -> Table:
        """The relation's table; a new one, without rows, if its key is another or `identity`, what else its rows depend on."""
        known = self._tables.get(oid)
        if known is None or (known.key, known.identity) != (key, identity):
            known = self._tables[oid] = Table(key, identity)
        return known

    def forget_table(self, oid: int) -> None:
        """All rows of the relation are gone."""
        self._tables.pop(oid, None)

    def sent(self, row: RowId, holder: Holder) -> Sent:
        """What the audience was sent of the row."""
        holders = self._rows.get(row)
        return () if holders is None else holders.get(ref(holder), ())

    def holders(self, row: RowId) -> list[Holder]:
        """The audiences that were sent the row."""
        return [holder for known in self._rows.get(row, ()) if (holder := known()) is not None]

    def concerned(self, changes: Iterable[Change], operations: frozenset[Operation]) -> dict[Holder, None]:
        """The audiences that were sent rows which changes of these kinds found."""
        found: dict[Holder, None] = {}
        for change in changes:
            table = self._tables.get(change.relation.oid)
            if table is not None and change.operation in operations and (row := found_row(change, table)) is not None:
                found.update(dict.fromkeys(self.holders(row)))
        return found

    def put(self, row: RowId, holder: Holder, sent: Sent) -> None:
        """The audience was sent this of the row, and nothing else; nothing at all is kept as nothing."""
        if not sent:
            holders = self._rows.get(row)
            if holders is not None and holders.pop(ref(holder), None) is not None:
                self._pairs -= 1
            return
        holders = self._rows.setdefault(row, {})
        self._rows.move_to_end(row)
        self._pairs -= len(holders)
        holders[ref(holder)] = sent
        self._pairs += len(holders)
        while self._pairs > self._limit:
            self._pairs -= len(self._rows.popitem(last=False)[1])

    def forget(self, row: RowId) -> None:
        """The row is gone for everybody."""
        self._pairs -= len(self._rows.pop(row, ()))

    def pass_by(self, changes: Iterable[Change]) -> None:
        """Takes note of changes that were sent to nobody."""
        for change in changes:
            table = self._tables.get(change.relation.oid)
            if table is not None:
                self._pass(change, table)

    def replace(self, oid: int, table: Table) -> None:
        """The relation was emptied; this is what it is now."""
        self._tables[oid] = table

    def _pass(self, change: Change, table: Table) -> None:
        row = found_row(change, table)
        if row is None:
            self.forget_table(change.relation.oid)
        elif parts(change, table):
            self.forget(row)


def found_row(change: Change, table: Table) -> RowId | None:
    """The row by the key that it had before the change, or that an INSERT gives it; None if the log does not tell.

    With the default identity an UPDATE that leaves the key alone logs no old row: its key is the new one.
    """
    row = change.old if change.old is not None else change.new
    if row is None:
        return None
    full = change.old is not None and change.old_is_full
    known = {c.name: value for c, value in zip(change.relation.columns, row, strict=True) if full or c.is_key}
    texts = [value for name in table.key if isinstance(value := known.get(name), str)]
    return (table, *texts) if len(texts) == len(table.key) else None


def parts(change: Change, table: Table) -> bool:
    """Whether what was sent under the key that the change found is gone. An INSERT says so too: its row is another one."""
    if change.operation is not Operation.UPDATE:
        return True
    if change.old is None or change.new is None:
        return False
    rows = zip(change.relation.columns, change.old, change.new, strict=True)
    return any(column.name in table.key and isinstance(new, str) and old != new for column, old, new in rows)


@dataclass(slots=True)
class Passage(Generic[Holder]):
    """The changes of one relation in one batch on their way through the memory.

    `found`: per change, the row by its old key. `reached`: per change, the row that is sent for it, as it stands in the
    snapshot. `parted`: whether what was sent under the old key is gone. `about`: by audience, the changes that found a row
    which it was sent. `again`: the changes that took away a row whose key is in the snapshot again.
    """

    memory: Memory[Holder]
    oid: int
    changes: Sequence[Change]
    found: list[RowId | None] = field(default_factory=list)
    reached: list[RowId | None] = field(default_factory=list)
    parted: list[bool] = field(default_factory=list)
    about: dict[Holder, list[int]] = field(default_factory=dict)
    again: list[int] = field(default_factory=list)
    _emptied: Table | None = None
    _recalls: list["Recall[Holder]"] = field(default_factory=list)

    def trace(self, table: Table, keys: Iterable[Sequence[str] | None]) -> None:
        """Finds the rows. `keys`: per change, the key of its row in the snapshot, if it has one."""
        for change in self.changes:
            if change.operation is Operation.TRUNCATE:
                table = self._emptied = Table(table.key, table.identity)
            self.found.append(found_row(change, table))
            self.parted.append(parts(change, table))
        self.reached += [None if texts is None else (table, *texts) for texts in keys]
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
        about = self.about.get(holder, ())
        recall = Recall(self, holder, subscriptions, sorted({*about, *self.again}) if about or self.again else ())
        self._recalls.append(recall)
        return recall

    def close(self) -> None:
        """Everything was decided: what was taken away is nobody's any more, what was sent is remembered."""
        if self._emptied is not None:
            self.memory.replace(self.oid, self._emptied)
        rows = zip(self.changes, self.found, strict=True)
        if any(row is None and change.operation is not Operation.TRUNCATE for change, row in rows):
            self.memory.forget_table(self.oid)
            return
        for row, parted in zip(self.found, self.parted, strict=True):
            if row is not None and parted:
                self.memory.forget(row)
        for recall in self._recalls:
            recall.keep()

    def drop(self, holder: Holder) -> None:
        """This audience was sent nothing of the batch after all."""
        self._recalls = [recall for recall in self._recalls if recall.holder is not holder]


class Recall(Generic[Holder]):
    """What one audience was sent, as it becomes in a batch. `numbers`: the changes at which that matters."""

    __slots__ = ("_left", "_now", "_passage", "_subscriptions", "holder", "numbers")

    def __init__(
        self, passage: Passage[Holder], holder: Holder, subscriptions: Sequence[Subscription], numbers: Sequence[int]
    ) -> None:
        self.holder = holder
        self.numbers = numbers
        self._passage = passage
        self._subscriptions = subscriptions
        self._now: dict[RowId, Sent] = {}
        self._left: set[RowId] = set()

    def parted(self, number: int) -> bool:
        """Whether the change took the row away from its old key."""
        return self._passage.parted[number]

    def sent(self, number: int) -> list[tuple[Subscription, Position]]:
        """Through which subscriptions the audience was sent the row that the change found, and when last."""
        row = self._passage.found[number]
        return [] if row is None else [(self._subscriptions[place], position) for place, position in self._sent(row)]

    def forget(self, number: int) -> None:
        """The row that the change found is gone."""
        row = self._passage.found[number]
        if row is not None:
            self._now[row] = ()

    def leave(self, number: int, subscriptions: Iterable[Subscription]) -> None:
        """The row that the change found is out of the sight of these subscriptions, and of those with the same conditions."""
        row = self._passage.found[number]
        if row is not None:
            left = {subscription.conditions for subscription in subscriptions}
            self._now[row] = tuple(pair for pair in self._sent(row) if self._subscriptions[pair[0]].conditions not in left)
            self._left.add(row)

    def has_left(self, number: int) -> bool:
        """Whether that was told in this batch already."""
        return self._passage.found[number] in self._left

    def record(self, number: int, subscriptions: Sequence[Subscription]) -> None:
        """The row that stands in the snapshot for this change is sent through these subscriptions."""
        row = self._passage.reached[number]
        if row is None:
            return
        position = self._passage.changes[number].position
        places = [self._subscriptions.index(subscription) for subscription in subscriptions]
        kept = [pair for pair in self._sent(row) if pair[0] not in places]
        self._now[row] = (*kept, *[(place, position) for place in places])
        self._left.discard(row)

    def keep(self) -> None:
        """Puts it into the memory."""
        for row, sent in self._now.items():
            self._passage.memory.put(row, self.holder, sent)

    def _sent(self, row: RowId) -> Sent:
        known = self._now.get(row)
        return self._passage.memory.sent(row, self.holder) if known is None else known
