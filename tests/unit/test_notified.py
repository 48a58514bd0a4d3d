"""What triggers tell becomes changes, and what they cannot tell is known to be missing."""

import pytest

from realtime_inspector.model import UNCHANGED, Change, Column, Loss, Operation, Position, Relation, ReplicaIdentity
from realtime_inspector.replication.notified import Told, decode, understood

COLUMNS = (Column("a", 23, is_key=True), Column("body", 25), Column("b", 25, is_key=True))
NOTES = Relation(7, "public", "notes", ReplicaIdentity.DEFAULT, COLUMNS)
KEY, OTHER = {"a": "1", "b": "x"}, {"a": "2", "b": "x"}


def told(operation: str, key: dict[str, str] | None = None, old: dict[str, str] | None = None, table: int = 7) -> Told:
    return Told(1, 700, table, Operation(operation), key, old)


def test_a_notification_is_read_as_the_trigger_writes_it() -> None:
    payload = '["3", "756", "16386", "UPDATE", {"id" : "3", "b \\"x" : "\\\\u0000"}, {"id" : "1", "b \\"x" : "t"}]'
    assert decode(payload) == Told(3, 756, 16386, Operation.UPDATE, {"id": "3", 'b "x': "\\u0000"}, {"id": "1", 'b "x': "t"})
    assert decode('[0, "756", "16386", "INSERT"]') == Told(0, 756, 16386, Operation.INSERT)


@pytest.mark.parametrize(
    "payload",
    ["", "x", "{}", "[]", "[1,2,3]", '[1,2,3,"SELECT"]', '[1,2,3,"INSERT",{"a":1}]', '[1,2,3,"INSERT",{"a":"\\u0000"}]'],
)
def test_what_no_trigger_writes_is_nothing(payload: str) -> None:
    assert decode(payload) is None


def test_the_key_is_known_and_nothing_else() -> None:
    several = [
        told("INSERT", KEY),
        told("UPDATE", OTHER, KEY),
        told("UPDATE", OTHER),
        told("DELETE", None, OTHER),
        told("TRUNCATE"),
    ]
    one, two, gone = ("1", UNCHANGED, "x"), ("2", UNCHANGED, "x"), ("2", None, "x")
    changes, lost = understood(several, {7: NOTES}, 40)
    assert lost == ()
    assert changes == (
        Change(Position(40, 0), Operation.INSERT, NOTES, one),
        Change(Position(40, 1), Operation.UPDATE, NOTES, two, ("1", None, "x")),
        Change(Position(40, 2), Operation.UPDATE, NOTES, two),
        Change(Position(40, 3), Operation.DELETE, NOTES, None, gone),
        Change(Position(40, 4), Operation.TRUNCATE, NOTES),
    )


@pytest.mark.parametrize(
    "each",
    [
        told("INSERT"),
        told("DELETE", KEY),
        told("UPDATE", None, KEY),
        told("INSERT", {"a": "1"}),
        told("INSERT", {}),
        told("INSERT", KEY | {"c": "1"}),
        told("UPDATE", KEY, {"a": "1"}),
        told("UPDATE", KEY, {}),
        told("DELETE", None, {"b": "x"}),
    ],
)
def test_without_the_key_of_today_a_change_is_missing(each: Told) -> None:
    changes, lost = understood([each, told("INSERT", KEY), each], {7: NOTES}, 1)
    assert [change.position for change in changes] == [Position(1, 0)]
    assert lost == (Loss(NOTES, "key_unknown"),)


def test_tables_that_are_not_served_count_for_nothing() -> None:
    assert understood([told("INSERT", KEY, table=8), told("INSERT", table=9)], {7: NOTES}, 1) == ((), ())


def test_a_table_without_a_key_has_no_change_that_could_be_told() -> None:
    keyless = Relation(7, "public", "notes", ReplicaIdentity.DEFAULT, (Column("body", 25),))
    assert understood([told("INSERT", {})], {7: keyless}, 1) == ((), (Loss(keyless, "key_unknown"),))
