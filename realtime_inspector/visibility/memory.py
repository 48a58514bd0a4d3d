"""Remembers which rows were sent to which audiences, so that those alone are told when a row is gone or leaves their sight.

What it says is exact, and what it has forgotten counts as never sent: forgetting withholds, it never leaks. Rows are known by
the texts of their keys, as the log and the snapshot have them; whatever takes a row away is told to it for everybody at once,
so that a key which another row is given later is nobody's.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar
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

    oid: int
    key: tuple[str, ...]
    identity: object


RowId = tuple[Table | str, ...]
"""The table, then the texts of the key."""
NONE: Final[frozenset[int]] = frozenset()
FIRST: Final = (0,)
EMPTY: Final[Mapping[ref[Any], Sent]] = {}


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
            known = self._tables[oid] = Table(oid, key, identity)
        return known

    def forget_table(self, oid: int) -> None:
        """All rows of the relation are gone."""
        self._tables.pop(oid, None)

    def sent(self, row: RowId) -> Mapping[ref[Holder], Sent]:
        """What each audience was sent of the row."""
        return self._rows.get(row, EMPTY)

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

    def put(self, row: RowId, sent: dict[ref[Holder], Sent]) -> None:
        """These audiences were sent this of the row, and nothing else; nothing at all is kept as nothing."""
        known = self._rows.get(row)
        if known is None:
            known = sent if all(sent.values()) else {holder: what for holder, what in sent.items() if what}
            if not known:
                return
            self._rows[row] = known
        else:
            self._pairs -= len(known)
            known.update(sent)
            for holder in [holder for holder, what in sent.items() if not what]:
                del known[holder]
            self._rows.move_to_end(row)
        self._pairs += len(known)
        while self._pairs > self._limit:
            self._pairs -= len(self._rows.popitem(last=False)[1])

    def taken(self, holders: Iterable[Holder]) -> dict[Holder, dict[RowId, Sent]]:
        """What each of these was sent, for another memory, which passes the same changes."""
        known = {ref(holder): holder for holder in holders}
        found: dict[Holder, dict[RowId, Sent]] = {holder: {} for holder in known.values()}
        for row, sent in self._rows.items():
            if self._is_present(row):
                for holder in known.keys() & sent.keys():
                    found[known[holder]][row] = sent[holder]
        return found

    def give(self, holder: Holder, rows: Mapping[RowId, Sent]) -> None:
        """It was sent these as well, as another memory says. Of tables that are others here it was sent nothing."""
        for row, sent in rows.items():
            table = row[0]
            assert isinstance(table, Table)
            self._tables.setdefault(table.oid, table)
            if self._is_present(row):
                latest = dict(self.sent(row).get(ref(holder), ()))
                latest.update({place: max(at, latest.get(place, at)) for place, at in sent})
                self.put(row, {ref(holder): tuple(latest.items())})

    def _is_present(self, row: RowId) -> bool:
        table = row[0]
        return isinstance(table, Table) and self._tables.get(table.oid) is table

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
    which it was sent. `again`: the changes that took away a row whose key is in the snapshot again. `now`: by row and
    audience, what it has been sent of it so far. `sent`: that of the row that is reached, and what was sent of it before.
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
    _emptied: Table | None = None
    _told: dict[tuple[int, tuple[int, ...]], Sent] = field(default_factory=dict)

    def trace(self, table: Table, keys: Iterable[Sequence[str] | None]) -> None:
        """Finds the rows. `keys`: per change, the key of its row in the snapshot, if it has one."""
        for change in self.changes:
            if change.operation is Operation.TRUNCATE:
                table = self._emptied = Table(table.oid, table.key, table.identity)
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
        for row, parted in zip(self.found, self.parted, strict=True):
            if row is not None and parted:
                self.memory.forget(row)
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
        row = self._passage.found[number]
        return [] if row is None else [(self._subscriptions[place], position) for place, position in self._sent(row)]

    def forget(self, number: int) -> None:
        """The row that the change found is gone."""
        row = self._passage.found[number]
        if row is not None:
            self._put(row, ())

    def leave(self, number: int, subscriptions: Iterable[Subscription]) -> None:
        """The row that the change found is out of the sight of these subscriptions, and of those with the same filter."""
        row = self._passage.found[number]
        if row is not None:
            left = {subscription.filter for subscription in subscriptions}
            self._put(row, tuple(pair for pair in self._sent(row) if self._subscriptions[pair[0]].filter not in left))
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
        kept = [pair for pair in before if pair[0] not in places] if before else ()
        now[holder] = (*kept, *told) if kept else told
        if self._left:
            self._left = [row for row in self._left if row != self._passage.reached[number]]

    def _sent(self, row: RowId) -> Sent:
        now = self._passage.now.get(row)
        known = None if now is None else now.get(self._holder)
        return self._passage.memory.sent(row).get(self._holder, ()) if known is None else known

    def _put(self, row: RowId, sent: Sent) -> None:
        self._passage.now.setdefault(row, {})[self._holder] = sent
