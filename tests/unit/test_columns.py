"""Which of the log's columns are which of the table's, when DDL came between."""

import pytest

from realtime_inspector.model import Change, Column, Operation, Position, Relation, ReplicaIdentity
from realtime_inspector.pipeline.columns import as_now, keys
from realtime_inspector.visibility.facts import ColumnFacts, Kind, Shape
from realtime_inspector.visibility.filters import Comparable

INT, TEXT = 23, 25


def log(text: str) -> Relation:
    """From names with a type: `id:i body:t`."""
    columns = tuple(Column(name, INT if kind == "i" else TEXT) for name, kind in (each.split(":") for each in text.split()))
    return Relation(1, "public", "notes", ReplicaIdentity.FULL, columns)


def table(text: str, *, key: tuple[str, ...] = ("id",)) -> Shape:
    """The same with `-` for a dropped column, and `g` at the end for a generated one."""
    written = [each.split(":") for each in text.split() if each != "-"]
    columns = tuple(
        ColumnFacts(name, INT if kind[0] == "i" else TEXT, "t", "t", "S", Comparable(True, False), generated=kind.endswith("g"))
        for name, kind in written
    )
    layout = tuple(None if each == "-" else each.split(":")[0] for each in text.split())
    return Shape(1, "public", "notes", Kind.TABLE, False, ReplicaIdentity.FULL, columns, key, ("=",) * len(key), layout)


@pytest.mark.parametrize(
    ("logged", "now", "names"),
    [
        ("id:i a:t", "id:i a:t", "id a"),
        ("id:i a:t", "id:i a:t b:t", "id a"),
        ("id:i b:t", "id:i - b:t", "id b"),
        ("id:i b:t", "id:i a:ig b:t", "id b"),
        ("id:i a:t b:t", "id:i - b:t", "id ? b"),
        ("id:i a:t b:t", "id:i - b:t a:t", "id ? b"),
        ("id:i a:t", "id:i - x:i", "id ?"),
        ("id:i a:t b:t", "id:i a:i b:t", "id ? b"),
        ("id:i a:t", "id:t a:t", "id a"),
        ("id:i a:t b:t", "id:i b:t a:t", "id b a"),
        ("id:i a:t", "id:i c:t", "id c"),
        ("id:i a:t", "id:i x:ig c:t", "id c"),
        ("id:i a:t b:t", "id:i b:t a:t -", None),
        ("id:i a:t b:t", "id:i - a:t", None),
        ("id:i a:t b:t", "id:i b:t", None),
        ("id:i a:t", "id:i c:t d:t", None),
    ],
)
def test_columns_are_told_apart_or_it_is_said_that_they_are_not(logged: str, now: str, names: str | None) -> None:
    found = as_now(log(logged), table(now))
    told = found and " ".join("?" if column.name.startswith("\0") else column.name for column in found.columns)
    assert told == names


def change(*new: str | None) -> Change:
    return Change(Position(1, 0), Operation.INSERT, log("id:i a:t"), new)


def test_rows_are_looked_for_by_key_or_by_everything_that_there_is() -> None:
    changes = [change("1", "x"), change("1", "y"), change(None, "z")]
    by_key = keys(log("id:i a:t"), changes, table("id:i a:t"))
    assert by_key is not None
    assert (by_key.distinct, by_key.of_change, by_key.content) == ([("1",)], [0, 0, None], ())
    whole = keys(log("id:i a:t"), changes, table("id:i a:t", key=()))
    assert whole is not None
    assert (whole.of_change, whole.content) == ([0, 1, 2], ("id", "a"))
    assert keys(log("id:i a:t"), changes, table("id:i a:t b:t", key=())) is None
    assert keys(log("id:i a:t"), changes, table("k:i a:t", key=("k",))) is None
