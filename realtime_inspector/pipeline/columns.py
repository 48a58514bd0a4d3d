"""Reads the log by the columns as they are called now: by which of their values a row is found, and what they were before."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from msgspec import structs

from realtime_inspector.model import UNCHANGED, Change, Relation, Value
from realtime_inspector.visibility.facts import Shape


@dataclass(frozen=True, slots=True)
class Keys:
    """The distinct keys of the rows to fetch, and for each change the place of its key, None if it has no stored row.

    `content`: see Wanted.
    """

    distinct: list[tuple[str | None, ...]]
    of_change: list[int | None]
    content: tuple[str, ...] = ()


def as_now(relation: Relation, shape: Shape) -> Relation | None:
    """The relation with its columns' present names; None if it cannot be told which columns these are.

    A name may be another column's now. As they are if they stand there by these names and types, in this order. Otherwise the
    columns were renamed, if all of them are there still and none was ever dropped: then their places tell which is which.
    """
    present = iter([(column.name, column.type_oid) for column in shape.columns])
    if all((column.name, column.type_oid) in present for column in relation.columns):
        return relation
    types = [column.type_oid for column in relation.columns]
    written = [column for column in shape.columns if not column.generated]
    for columns in (shape.columns, written) if shape.gapless else ():
        if [column.type_oid for column in columns] == types:
            renamed = [replace(old, name=new.name) for old, new in zip(relation.columns, columns, strict=True)]
            return replace(relation, columns=tuple(renamed))
    return None


def under(changes: Sequence[Change], relation: Relation | None) -> list[Change]:
    """The changes as those of this relation; of none, with nothing of their old rows."""
    if relation is None:
        return [structs.replace(change, old=None, old_is_full=False) for change in changes]
    return [structs.replace(change, relation=relation) for change in changes]


def keys(relation: Relation, changes: Sequence[Change], shape: Shape) -> Keys:
    """By what to look for the rows that the changes left."""
    places = {column.name: place for place, column in enumerate(relation.columns)}
    if shape.refusal or any(name not in places for name in shape.key):
        return none(changes)
    if not shape.key:
        return _contents(relation, changes, shape)
    known: dict[tuple[str | None, ...], int] = {}
    of_change: list[int | None] = []
    of_key = [places[name] for name in shape.key]
    for change in changes:
        key = () if change.new is None else tuple([v for place in of_key if isinstance(v := _value(change, place), str)])
        of_change.append(known.setdefault(key, len(known)) if len(key) == len(of_key) else None)
    return Keys(list(known), of_change)


def none(changes: Sequence[Change]) -> Keys:
    """No row is looked for."""
    return Keys([], [None] * len(changes))


def _contents(relation: Relation, changes: Sequence[Change], shape: Shape) -> Keys:
    """Rows of a table without a key, as they were written. What the log has only in part is not looked for."""
    content = tuple(column.name for column in relation.columns)
    if not {column.name for column in shape.columns if not column.generated} <= set(content):
        return none(changes)
    known: dict[tuple[str | None, ...], int] = {}
    of_change: list[int | None] = []
    for change in changes:
        whole = tuple([value for value in change.new or () if value is not UNCHANGED])
        of_change.append(known.setdefault(whole, len(known)) if len(whole) == len(content) else None)
    return Keys(list(known), of_change, content)


def _value(change: Change, place: int) -> Value:
    """A column of the new row. A key that is stored out of line and did not change stands in the old row only."""
    assert change.new is not None
    value = change.new[place]
    return change.old[place] if value is UNCHANGED and change.old is not None else value
