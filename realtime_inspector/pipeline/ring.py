"""The recent past of the log, for subscribers who come back: which rows changed, but not what they contained.

Rows are selected again under whoever returns, so only their keys are kept, and the old rows that REPLICA IDENTITY FULL puts into
the log, because policies are asked about those.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from math import inf
from typing import Final

from realtime_inspector.model import AFTER, BEGINNING, Change, Position, Relation, Transaction
from realtime_inspector.pipeline.packed import Packed, pack
from realtime_inspector.postgres.steps import SCHEMA
from realtime_inspector.replication.membership import Absence

PER_PIECE: Final = 290
"""Bytes that a piece takes beside its content, as measured with CPython 3.11: objects, integers, a place in the list."""
WORTH_A_MOVE: Final = 1_024
"""Places of pieces that are gone, after which those that are left move up."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A transaction or a piece of one. `index`: that of the last change, or AFTER; `at`: when it was handed over."""

    packed: Packed
    index: int
    at: float

    @property
    def last(self) -> Position:
        """The position up to which it was handed over."""
        return Position(self.packed.commit_lsn, self.index)

    @property
    def size(self) -> int:
        """In bytes, about."""
        return PER_PIECE + len(self.packed.content)


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
        self._pieces: list[_Piece | None] = []
        self._first = 0
        self._relations: dict[tuple[int, ...], tuple[Relation, ...]] = {}
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
            piece = _Piece(pack(transaction, self._relations), end, now)
            self._pieces.append(piece)
            self._bytes += piece.size
        elif self.last.commit_lsn == transaction.commit_lsn:  # the end of a transaction whose changes came in pieces
            self.last = Position(transaction.commit_lsn, AFTER)
        if transaction.end_lsn is not None:
            self._handed_over = transaction.end_lsn
        self.trim(now)

    def trim(self, now: float, *, pressed: bool = False) -> None:
        """Lets go of what is too old or too much; `pressed`: of everything, because Postgres keeps too much log for it."""
        seconds = inf if self.held else self._seconds
        while len(self._pieces) > self._first:
            piece = self._piece(self._first)
            if not pressed and self._bytes <= self._limit and piece.at + seconds > now:
                break
            self._pieces[self._first] = None
            self._first += 1
            self._bytes -= piece.size
            self.floor = piece.last
            self.released = piece.packed.end_lsn or self.released
        if len(self._pieces) == self._first:
            self.floor, self.released = self.last, self._handed_over
            self._relations.clear()
        if self._first > max(WORTH_A_MOVE, len(self._pieces) // 2):
            del self._pieces[: self._first]
            self._first = 0
        if self.absences:
            self.absences = {absence: after for absence, after in self.absences.items() if after >= self.floor}

    @property
    def size_bytes(self) -> int:
        """The memory that it takes, about."""
        return self._bytes

    def find(self, position: Position) -> tuple[Transaction, Change] | None:
        """The change there, as far as it is kept, and the piece of its transaction; None if it fell out or never was."""
        start = bisect_left(range(len(self._pieces)), position, self._first, key=self._last)
        for number in range(start, len(self._pieces))[:1]:
            transaction = self._piece(number).packed.unpacked()
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
        start = bisect_right(range(len(self._pieces)), position, self._first, key=self._last)
        found: list[Transaction] = []
        for number in range(start, len(self._pieces)):
            found.append(self._piece(number).packed.unpacked())
            changes -= len(found[-1].changes)
            if changes <= 0 and number + 1 < len(self._pieces):
                return found, self._last(number)
        return found, self.last

    def _piece(self, number: int) -> _Piece:
        piece = self._pieces[number]
        assert piece is not None
        return piece

    def _last(self, number: int) -> Position:
        return self._piece(number).last
