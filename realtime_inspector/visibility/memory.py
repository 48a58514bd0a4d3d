"""Remembers which rows were sent to which audiences, so that those alone are told when a row is gone or leaves their sight.

What it says is exact, and what it has forgotten counts as never sent: forgetting withholds, it never leaks. Rows are known by
the texts of their keys, as the log and the snapshot have them; whatever takes a row away is told to it for everybody at once,
so that a key which another row is given later is nobody's.

Of what was taken away it is known for a while who had it and until when, for those who come back to before that. A position
says to which changes a row that was sent is open: only to later ones.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, TypeVar
from weakref import ref

from realtime_inspector.model import BEGINNING, Change, Operation, Position

Holder = TypeVar("Holder")
"""An audience. The memory keeps none alive."""
Sent = tuple[tuple[int, Position], ...]
"""Through which subscriptions, by their places among those of the audience, a row was sent, and when last.

One may be there twice, where those of one audience were sent the row at different moments."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A relation as long as its rows are what they were: until it is emptied, or another key finds them.

    `since`: after which position it has these rows.
    """

    oid: int
    key: tuple[str, ...]
    identity: object
    since: Position = BEGINNING


RowId = tuple[Table | str, ...]
"""The table, then the texts of the key."""
EMPTY: Final[Mapping[ref[Any], Sent]] = {}


class Past(NamedTuple):
    """A row that an audience was sent, and the change that took it away, if one did."""

    row: RowId
    sent: Sent
    gone: Position | None


class Memory(Generic[Holder]):
    """What was sent, least recently sent rows first to go. `limit`: so many pairs of row and audience; 0: nothing is kept.

    `past`: so many pairs more of what was taken away.
    """

    def __init__(self, limit: int, past: int = 0) -> None:
        self._limit = limit
        self._past = past
        self._pairs = self._gone_pairs = 0
        self._gone: deque[tuple[Position, RowId, dict[ref[Holder], Sent]]] = deque()
        self._rows: OrderedDict[RowId, dict[ref[Holder], Sent]] = OrderedDict()
        self._tables: dict[int, Table] = {}

    def __len__(self) -> int:
        return self._pairs

    def clear(self) -> None:
        """Changes were lost: nothing that is kept is certain any more."""
        self._rows.clear()
        self._tables.clear()
        self._gone.clear()
        self._pairs = self._gone_pairs = 0

    def trim(self, floor: Position) -> None:
        """Nobody comes back to before this position."""
        while self._gone and self._gone[0][0] <= floor:
            self._gone_pairs -= len(self._gone.popleft()[2])

    def past(self, holders: Iterable[Holder]) -> dict[Holder, list[Past]]:
        """What each of these was sent, that which was taken away first."""
        known = {ref(holder): holder for holder in holders}
        found: dict[Holder, list[Past]] = {holder: [] for holder in known.values()}
        if not found:
            return found
        for gone, row, sent in self._gone:
            for holder in known.keys() & sent.keys():
                found[known[holder]].append(Past(row, sent[holder], gone))
        for row, sent in self._rows.items():
            if self._is_present(row):
                for holder in known.keys() & sent.keys():
                    found[known[holder]].append(Past(row, sent[holder], None))
        return found

    def note(self, position: Position, row: RowId, sent: dict[ref[Holder], Sent]) -> None:
        """A change took the row away from these."""
        self._gone.append((position, row, sent))
        self._gone_pairs += len(sent)
        while self._gone_pairs > self._past:
            self._gone_pairs -= len(self._gone.popleft()[2])

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

    def give(self, holder: Holder, rows: Iterable[tuple[RowId, Sent]]) -> None:
        """It was sent these as well, as another memory says. Of tables that are others here it was sent nothing."""
        for row, sent in rows:
            table = row[0]
            assert isinstance(table, Table)
            here = self._tables.get(table.oid)
            if here is None:
                here = self._tables[table.oid] = Table(table.oid, table.key, table.identity)
            if (here.key, here.identity) == (table.key, table.identity):
                own = (here, *row[1:])
                known = self.sent(own).get(ref(holder), ())
                later = [pair for pair in sent if pair[1] > here.since]
                self.put(own, {ref(holder): tuple(dict.fromkeys((*known, *later)))})

    def drop(self, holder: Holder) -> None:
        """What it was sent is not certain any more."""
        for row in [row for row, sent in self._rows.items() if ref(holder) in sent]:
            self.put(row, {ref(holder): ()})

    def _is_present(self, row: RowId) -> bool:
        table = row[0]
        return isinstance(table, Table) and self._tables.get(table.oid) is table

    def forget(self, row: RowId, position: Position) -> None:
        """The change there took the row away from everybody who was sent it before."""
        sent = self._rows.pop(row, None)
        if sent is None:
            return
        self._pairs -= len(sent)
        self.note(position, row, sent)
        later = {holder: kept for holder, what in sent.items() if (kept := tuple([pair for pair in what if pair[1] >= position]))}
        if later:
            self.put(row, later)

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
            self.forget(row, change.position)


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
