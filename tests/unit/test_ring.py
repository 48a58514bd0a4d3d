"""The recent past in pointers: bounded, without content, and honest about where it ends."""

import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_inspector.model import (
    AFTER,
    BEGINNING,
    UNCHANGED,
    Change,
    Column,
    Operation,
    Position,
    Relation,
    ReplicaIdentity,
    Row,
    Transaction,
)
from realtime_inspector.pipeline.ring import Ring

COLUMNS = (Column("id", 23, -1, True), Column("body", 25))
NOTES = Relation(1, "public", "notes", ReplicaIdentity.DEFAULT, COLUMNS)
FULL = Relation(2, "public", "full", ReplicaIdentity.FULL, tuple(Column(c.name, c.type_oid, -1, True) for c in COLUMNS))
NOTHING = Relation(3, "public", "nothing", ReplicaIdentity.NOTHING, tuple(Column(c.name, c.type_oid) for c in COLUMNS))
OURS = Relation(4, "realtime_inspector", "slots", ReplicaIdentity.DEFAULT, COLUMNS)


def piece(lsn: int, *indexes: int, end: bool = True, relation: Relation = NOTES) -> Transaction:
    changes = [Change(Position(lsn, index), Operation.INSERT, relation, (str(index), "secret")) for index in indexes]
    return Transaction(7, lsn, 0, tuple(changes), lsn + 5 if end else None)


def ring(*pieces: Transaction, seconds: float = 100, limit: int = 1_000_000) -> Ring:
    made = Ring(limit, seconds)
    for number, each in enumerate(pieces):
        made.append(each, number)
    return made


def positions(pieces: Sequence[Transaction]) -> list[tuple[int, int]]:
    return [(change.position.commit_lsn, change.position.index) for each in pieces for change in each.changes]


def test_what_follows_a_position_comes_in_order_and_says_how_far_it_goes() -> None:
    made = ring(piece(10, 0), piece(20, 0, 1), piece(30, 0))
    pieces, reached = made.following(Position(10, 0), 100)
    assert (positions(pieces), reached) == ([(10, 0), (20, 0), (20, 1), (30, 0)], Position(30, AFTER))
    assert made.following(Position(10, AFTER), 100)[0] == pieces[1:]
    assert made.following(made.last, 100) == ([], made.last)


def test_a_slice_ends_after_enough_changes_and_the_next_goes_on_there() -> None:
    made = ring(*[piece(lsn, 0, 1, 2) for lsn in range(10, 100, 10)])
    seen, reached = [], BEGINNING
    while reached < made.last:
        pieces, reached = made.following(reached, 4)
        assert len(positions(pieces)) <= 6
        seen += positions(pieces)
    assert seen == [(lsn, index) for lsn in range(10, 100, 10) for index in range(3)]


def test_pieces_of_one_transaction_are_told_apart() -> None:
    made = ring(piece(10, 0, 1, end=False), piece(10, 2, 3, end=False), piece(10))
    assert made.last == Position(10, AFTER)
    assert positions(made.following(Position(10, 1), 100)[0]) == [(10, 2), (10, 3)]


def test_what_is_too_old_is_released_in_order() -> None:
    made = ring(piece(10, 0), piece(20, 0), piece(30, 0), seconds=10)
    assert (made.floor, made.released) == (BEGINNING, 0)
    made.trim(11)
    assert (made.floor, made.released) == (Position(20, AFTER), 25)
    made.append(piece(40), 12)
    made.trim(100)
    assert (made.floor, made.last, made.released) == (Position(30, AFTER), Position(30, AFTER), 45)


def test_half_a_transaction_is_not_released() -> None:
    made = ring(piece(10, 0), piece(20, 0, end=False), piece(20, 1, end=False), seconds=0.5)
    assert made.released == 15
    made.append(piece(20), 9)
    made.trim(100)
    assert made.released == 25


def test_it_is_bounded_by_bytes() -> None:
    made = ring(*[piece(lsn, *range(100)) for lsn in range(10, 1000, 10)], limit=8_000)
    kept = positions(made.following(made.floor, 1_000_000)[0])
    assert 100 <= len(kept) <= 600
    assert kept[-1] == (990, 99)


@pytest.mark.parametrize(("relation", "kept"), [(NOTES, ("0", UNCHANGED)), (FULL, ("0", "secret")), (NOTHING, ("0", "secret"))])
def test_of_a_row_its_key_is_kept_where_it_is_known(relation: Relation, kept: Row) -> None:
    [transaction], _ = ring(piece(10, 0, relation=relation)).following(BEGINNING, 10)
    assert transaction.changes[0].new == kept


def test_our_own_tables_are_no_past() -> None:
    made = ring(piece(10, 0), piece(20, 0, relation=OURS), seconds=10)
    assert positions(made.following(BEGINNING, 10)[0]) == [(10, 0)]
    made.trim(50)
    assert (made.floor, made.released) == (Position(10, AFTER), 25)


def test_a_new_log_begins_empty() -> None:
    made = ring(piece(10, 0))
    made.begin(Position(5, AFTER), 5)
    assert (made.following(BEGINNING, 10), made.floor, made.released) == (([], Position(5, AFTER)), Position(5, AFTER), 5)


@given(st.lists(st.integers(1, 5), max_size=30), st.integers(0, 40), st.integers(1, 9))
def test_whoever_is_within_reach_is_given_everything_later(sizes: list[int], age: int, size: int) -> None:
    made = ring(*[piece(10 * n, *range(count)) for n, count in enumerate(sizes, 1)], seconds=age)
    everything = [(10 * n, index) for n, count in enumerate(sizes, 1) for index in range(count)]
    for lsn, index in everything:
        left = Position(lsn, index)
        seen, reached = [], left
        while reached < made.last:
            pieces, reached = made.following(reached, size)
            seen += [each for each in positions(pieces) if each > (lsn, index)]
        if left >= made.floor:
            assert seen == [each for each in everything if each > (lsn, index)]


@pytest.mark.parametrize("size", [1, 500])
@pytest.mark.parametrize("relation", [NOTES, FULL], ids=["by key", "whole"])
def test_what_it_counts_is_what_it_takes(relation: Relation, size: int) -> None:
    made = Ring(1_000_000_000, 100_000)
    ring(piece(10, *range(500), relation=relation))  # what Python keeps for the next ones counts as nobody's
    tracemalloc.start()
    try:
        for number in range(20_000 // size):
            # As the stream gives them out: texts of their own, not constants of the program.
            rows = [(str(10_000_000 + number * size + n), "body " * (n % 5 + 1) + str(n)) for n in range(size)]
            lsn = (1 << 33) + 100 * number
            changes = [Change(Position(lsn, n), Operation.INSERT, relation, row) for n, row in enumerate(rows)]
            made.append(Transaction(7, lsn, 1 << 50, tuple(changes), lsn + 50), float(number))
        del rows, changes
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.9 < made.size_bytes / taken < 1.5  # allocators round up, which is not counted here
