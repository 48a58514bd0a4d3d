from collections.abc import Iterable

import pytest

from realtime_inspector.model import UNCHANGED, Change, Column, Operation, Position, Relation, ReplicaIdentity, Row, Transaction
from realtime_inspector.replication.assembler import Assembler, UnexpectedMessage
from realtime_inspector.replication.pgoutput import (
    Begin,
    Commit,
    Delete,
    Insert,
    LogicalMessage,
    Message,
    Origin,
    Truncate,
    TypeName,
    Update,
)

NOTES = Relation(1, "public", "notes", ReplicaIdentity.DEFAULT, (Column("id", 20, is_key=True), Column("body", 25)))
TAGS = Relation(2, "public", "tags", ReplicaIdentity.FULL, (Column("name", 25, is_key=True),))


def given(messages: Iterable[Message], assembler: Assembler | None = None) -> list[Transaction]:
    """The pieces that come out."""
    assembler = assembler or described()
    return [piece for message in messages if (piece := assembler.receive(message))]


def described(piece: int = 500) -> Assembler:
    assembler = Assembler(piece)
    assert given([NOTES, TAGS], assembler) == []
    return assembler


def transaction(lsn: int, *messages: Message) -> list[Message]:
    return [Begin(lsn, 1_000, xid=lsn), *messages, Commit(lsn, lsn + 5, 1_000)]


def insert(number: int) -> Insert:
    return Insert(1, (str(number), "x"))


def numbers(piece: Transaction) -> list[str]:
    return [str(change.new[0]) for change in piece.changes if change.new]


def test_a_transaction_holds_its_changes_in_order() -> None:
    (whole,) = given(transaction(100, Insert(1, ("1", "a")), Update(1, ("1", "b")), Delete(1, ("1", None)), Insert(2, ("t",))))
    assert whole == Transaction(
        xid=100,
        commit_lsn=100,
        committed_at=1_000,
        changes=(
            Change(Position(100, 0), Operation.INSERT, NOTES, new=("1", "a")),
            Change(Position(100, 1), Operation.UPDATE, NOTES, new=("1", "b")),
            Change(Position(100, 2), Operation.DELETE, NOTES, old=("1", None)),
            Change(Position(100, 3), Operation.INSERT, TAGS, new=("t",)),
        ),
        end_lsn=105,
    )


def test_a_transaction_without_changes_can_be_acknowledged() -> None:
    message = LogicalMessage(True, 99, "prefix", b"content")
    assert given(transaction(100, Origin(1, "elsewhere"), TypeName(9, "public", "mood"), message)) == [
        Transaction(100, 100, 1_000, (), 105)
    ]


def test_a_logical_message_may_stand_outside_of_transactions() -> None:
    assert given([LogicalMessage(False, 99, "prefix", b"content")]) == []


def test_a_truncate_is_a_change_of_each_relation() -> None:
    (whole,) = given(transaction(100, Truncate((1, 2)), insert(1)))
    assert whole.changes[:2] == (
        Change(Position(100, 0), Operation.TRUNCATE, NOTES),
        Change(Position(100, 1), Operation.TRUNCATE, TAGS),
    )
    assert whole.changes[2].position == Position(100, 2)


@pytest.mark.parametrize(
    ("update", "new", "old", "old_is_full"),
    [
        (Update(1, ("1", UNCHANGED)), ("1", UNCHANGED), None, False),
        (Update(1, ("2", UNCHANGED), ("1", None)), ("2", UNCHANGED), ("1", None), False),
        (Update(1, ("2", UNCHANGED), ("1", "long"), True), ("2", "long"), ("1", "long"), True),
        (Update(1, ("2", None), ("1", "long"), True), ("2", None), ("1", "long"), True),
    ],
)
def test_an_unchanged_long_value_is_taken_from_a_full_old_row(update: Update, new: Row, old: Row, old_is_full: bool) -> None:
    (whole,) = given(transaction(100, update))
    assert whole.changes == (Change(Position(100, 0), Operation.UPDATE, NOTES, new, old, old_is_full),)


def test_a_delete_tells_whether_its_old_row_is_full() -> None:
    (whole,) = given(transaction(100, Delete(2, ("t",), old_is_full=True)))
    assert whole.changes[0].old_is_full


def test_a_relation_described_again_is_another_one_from_then_on() -> None:
    wider = Relation(1, "public", "renamed", ReplicaIdentity.DEFAULT, (*NOTES.columns, Column("more", 25)))
    (whole,) = given(transaction(100, insert(1), wider, Insert(1, ("2", "x", "y"))))
    assert [change.relation for change in whole.changes] == [NOTES, wider]


def test_a_large_transaction_comes_in_pieces_of_which_the_last_can_be_acknowledged() -> None:
    pieces = given(transaction(100, *map(insert, range(5))), described(piece=2))
    assert [numbers(piece) for piece in pieces] == [["0", "1"], ["2", "3"], ["4"]]
    assert [change.position for piece in pieces for change in piece.changes] == [Position(100, index) for index in range(5)]
    assert [piece.end_lsn for piece in pieces] == [None, None, 105]


def test_the_last_piece_is_empty_when_the_one_before_was_full() -> None:
    pieces = given(transaction(100, *map(insert, range(2))), described(piece=2))
    assert [(numbers(piece), piece.end_lsn) for piece in pieces] == [(["0", "1"], None), ([], 105)]


def test_a_piece_can_be_taken_early() -> None:
    assembler = described()
    assert assembler.cut() is None
    assert given([Begin(100, 1_000, 100)], assembler) == []
    assert assembler.cut() is None
    assert given([insert(0)], assembler) == []
    early = assembler.cut()
    assert early is not None
    assert (numbers(early), early.end_lsn) == (["0"], None)
    (rest,) = given([insert(1), Commit(100, 105, 1_000)], assembler)
    assert (numbers(rest), rest.changes[0].position, rest.end_lsn) == (["1"], Position(100, 1), 105)


def test_it_knows_whether_a_transaction_is_open() -> None:
    assembler = described()
    seen = []
    for message in [*transaction(100, insert(0)), *transaction(200)]:
        assembler.receive(message)
        seen.append(assembler.in_transaction)
    assert seen == [True, True, False, True, False]


def test_what_was_given_out_before_a_restart_is_not_given_out_again() -> None:
    assembler = described()
    assert len(given([*transaction(100, insert(0)), *transaction(200, insert(1))], assembler)) == 2
    assembler.restart()
    again = given([NOTES, *(m for lsn in (100, 200, 300) for m in transaction(lsn, insert(lsn)))], assembler)
    assert [(numbers(piece), piece.commit_lsn) for piece in again] == [(["300"], 300)]


@pytest.mark.parametrize("received", range(1, 6))
def test_a_transaction_broken_off_continues_where_its_pieces_ended(received: int) -> None:
    assembler = described(piece=2)
    before = transaction(50, insert(9))
    messages = transaction(100, *map(insert, range(3)), Truncate((1, 2)), insert(3))
    assert len(given(before, assembler)) == 1
    pieces = given(messages[: 1 + received], assembler)
    assembler.restart()
    assert not assembler.in_transaction
    pieces += given([NOTES, TAGS, *before, *messages], assembler)
    changes = [change for piece in pieces for change in piece.changes]
    assert [change.position.index for change in changes] == list(range(6))
    assert [piece.end_lsn for piece in pieces] == [None] * (len(pieces) - 1) + [105]


def test_a_transaction_cut_after_its_last_change_still_ends() -> None:
    assembler = described(piece=1)
    assert len(given([Begin(100, 1_000, 100), insert(0)], assembler)) == 1
    assembler.restart()
    assert given([NOTES, *transaction(100, insert(0))], assembler) == [Transaction(100, 100, 1_000, (), 105)]


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([insert(0)], "INSERT outside of a transaction"),
        ([Update(1, ("1", "x"))], "UPDATE outside of a transaction"),
        ([Delete(1, ("1", "x"))], "DELETE outside of a transaction"),
        ([Truncate((1,))], "TRUNCATE outside of a transaction"),
        ([Commit(1, 2, 3)], "COMMIT outside of a transaction"),
        ([Begin(1, 2, 3), Begin(1, 2, 3)], "BEGIN inside of a transaction"),
        ([Begin(1, 2, 3), Commit(2, 2, 3)], "COMMIT of another transaction"),
        ([Begin(1, 2, 3), Insert(7, ("1",))], "the relation 7, which was not described"),
        ([Begin(1, 2, 3), Truncate((1, 7))], "the relation 7, which was not described"),
        ([Begin(1, 2, 3), Insert(1, ("1",))], r"another width than public\.notes, which has 2 columns"),
        ([Begin(1, 2, 3), Update(1, ("1", "2"), ("1",))], "another width"),
        ([Begin(1, 2, 3), Update(1, ("1", UNCHANGED), ("1",), True)], "another width"),
        ([Begin(1, 2, 3), Delete(1, ("1", "2", "3"))], "another width"),
    ],
)
def test_what_cannot_come_at_this_point_is_refused(messages: list[Message], complaint: str) -> None:
    with pytest.raises(UnexpectedMessage, match=complaint):
        given(messages)


def test_relations_must_be_described_again_after_a_restart() -> None:
    assembler = described()
    assembler.restart()
    with pytest.raises(UnexpectedMessage, match="not described"):
        given(transaction(100, insert(0)), assembler)
