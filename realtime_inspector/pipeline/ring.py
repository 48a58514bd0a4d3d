"""The recent past of the log, for subscribers who come back: which rows changed, but not what they contained.

Rows are selected again under whoever returns, so only their keys are kept, and the old rows that REPLICA IDENTITY FULL puts into
the log, because policies are asked about those.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Final

from realtime_inspector.model import (
    AFTER,
    BEGINNING,
    UNCHANGED,
    Change,
    Position,
    Relation,
    ReplicaIdentity,
    Row,
    Transaction,
    Value,
)
from realtime_inspector.postgres.steps import SCHEMA
from realtime_inspector.replication.membership import Absence

PER_PIECE: Final = 480
"""Bytes that a transaction, or a piece of one, takes beside its changes. All of these as measured with CPython 3.11."""
PER_CHANGE: Final = 220
"""Bytes that a change takes beside its rows: two structs, an integer, a tuple, a place in the piece."""
PER_PLACE: Final = 8
"""Bytes of a column's place in a row, whatever stands there."""
PER_VALUE: Final = 62
"""Bytes of a text beside its characters."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A transaction or a piece of one. `last`: the position up to which it was handed over; `at`: when that was."""

    transaction: Transaction
    last: Position
    size: int
    at: float


class Ring:
    """Bounded by bytes and by age; what falls out is released, so that Postgres need not keep its log for us."""

    def __init__(self, limit_bytes: int, seconds: float) -> None:
        self._limit = limit_bytes
        self._seconds = seconds
        self.held = False
        """Somebody who is connected is served from here: nothing is too old, though it may be too much."""
        self.begin(BEGINNING, 0)

    def begin(self, position: Position, end_lsn: int) -> None:
        """Forgets everything: the log is followed from here on. `end_lsn`: what of it is released."""
        self._pieces: dict[int, _Piece] = {}
        self._first = self._next = 0
        self._bytes = 0
        self.absences: dict[Absence, Position] = {}
        """What the log left out, and after which position last: whoever returns to before has missed it."""
        self._handed_over = end_lsn
        self.floor = self.last = position
        self.released = end_lsn

    def append(self, transaction: Transaction, now: float) -> None:
        """What was just handed over. `now`: seconds of a clock that never goes back."""
        complete = transaction.end_lsn is not None
        if any(change.relation.schema != SCHEMA for change in transaction.changes):  # nobody returns to our own tables
            end = AFTER if complete else transaction.changes[-1].position.index
            self.last = Position(transaction.commit_lsn, end)
            pointers, size = _pointers(transaction.changes)
            size += PER_PIECE
            self._pieces[self._next] = _Piece(replace(transaction, changes=pointers), self.last, size, now)
            self._next += 1
            self._bytes += size
        elif self.last.commit_lsn == transaction.commit_lsn:  # the end of a transaction whose changes came in pieces
            self.last = Position(transaction.commit_lsn, AFTER)
        if transaction.end_lsn is not None:
            self._handed_over = transaction.end_lsn
        self.trim(now)

    def trim(self, now: float, *, pressed: bool = False) -> None:
        """Lets go of what is too old or too much; `pressed`: of everything, because Postgres keeps too much log for it."""
        seconds = inf if self.held else self._seconds
        while self._pieces and (pressed or self._bytes > self._limit or self._pieces[self._first].at + seconds <= now):
            piece = self._pieces.pop(self._first)
            self._first += 1
            self._bytes -= piece.size
            self.floor = piece.last
            self.released = piece.transaction.end_lsn or self.released
        if not self._pieces:
            self.floor, self.released = self.last, self._handed_over
        if self.absences:
            self.absences = {absence: after for absence, after in self.absences.items() if after >= self.floor}

    @property
    def size_bytes(self) -> int:
        """The memory that it takes, about."""
        return self._bytes

    def find(self, position: Position) -> tuple[Transaction, Change] | None:
        """The change there, as far as it is kept, and the piece of its transaction; None if it fell out or never was."""
        numbers = range(self._first, self._next)
        start = bisect_left(numbers, position, key=lambda number: self._pieces[number].last)
        for number in numbers[start : start + 1]:
            transaction = self._pieces[number].transaction
            if transaction.commit_lsn == position.commit_lsn:
                place = bisect_left(transaction.changes, position, key=lambda change: change.position)
                for change in transaction.changes[place : place + 1]:
                    if change.position == position:
                        return transaction, change
        return None

    def following(self, position: Position, changes: int) -> tuple[list[Transaction], Position]:
        """The next pieces with anything after the position, until there are so many changes, and the position up to which
        whoever is given them has everything.
        """
        numbers = range(self._first, self._next)
        start = bisect_right(numbers, position, key=lambda number: self._pieces[number].last)
        found: list[Transaction] = []
        for number in numbers[start:]:
            piece = self._pieces[number]
            found.append(piece.transaction)
            changes -= len(piece.transaction.changes)
            if changes <= 0 and number + 1 < self._next:
                return found, piece.last
        return found, self.last


def _pointers(changes: Sequence[Change]) -> tuple[tuple[Change, ...], int]:
    keys: dict[int, _Keys] = {}  # one object per description of a table; hashing its columns would cost more than all else
    pointers, total = [], 0
    for change in changes:
        known = keys.get(id(change.relation))
        if known is None:
            known = keys[id(change.relation)] = _Keys(change.relation)
        pointer, size = known.pointer(change)
        pointers.append(pointer)
        total += size
    return tuple(pointers), total


class _Keys:
    """What to keep of one relation's new rows: the key where the stream names it, or else everything.

    Once per row, so it is written for speed.
    """

    def __init__(self, relation: Relation) -> None:
        places = [place for place, column in enumerate(relation.columns) if column.is_key]
        named = relation.replica_identity in (ReplicaIdentity.DEFAULT, ReplicaIdentity.INDEX)
        self._places = places if named else []
        self._blank: list[Value] = [UNCHANGED] * len(relation.columns)

    def pointer(self, change: Change) -> tuple[Change, int]:
        """The change without what the row contains, as far as the row can be found without it, and its size in bytes."""
        new, old = change.new, change.old
        size = PER_CHANGE if old is None else PER_CHANGE + _size(old)
        if new is None:
            return change, size
        if not self._places:
            return change, size + _size(new)
        kept = self._blank.copy()
        size += PER_PLACE * len(kept)
        for place in self._places:
            value = kept[place] = new[place]
            size += PER_VALUE + len(value) if isinstance(value, str) else 0
        return Change(change.position, change.operation, change.relation, tuple(kept), old, change.old_is_full), size


def _size(row: Row) -> int:
    return PER_PLACE * len(row) + sum([PER_VALUE + len(value) for value in row if isinstance(value, str)])
