"""Reads the log by the columns as they are called now: by which of their values a row is found, and what they were before."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from msgspec import structs

from realtime_inspector.model import UNCHANGED, Change, Relation, Value
from realtime_inspector.visibility.facts import Shape

NOWHERE = "\x00"
"""Begins the name of a column that is gone: no column can be called so."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The distinct keys of the rows to fetch, and for each change the place of its key, None if it has no stored row.

    `content`: see Wanted.
    """

    distinct: list[tuple[str | None, ...]]
    of_change: list[int | None]
    content: tuple[str, ...] = ()


def as_now(relation: Relation, shape: Shape) -> Relation | None:
    """The relation with its columns' present names, those that are gone under none; None if it cannot be told which are which.

    A name may be another column's now.
    """
    present = iter([(column.name, column.type_oid) for column in shape.columns])
    if all((column.name, column.type_oid) in present for column in relation.columns):
        return relation
    return _dropped(relation, shape) or _renamed(relation, shape)


def _dropped(relation: Relation, shape: Shape) -> Relation | None:
    """If columns were only added, dropped or given other types: those that are there stand in order, with gaps for the others."""
    facts = {column.name: column for column in shape.columns}
    waiting = deque(shape.layout)
    columns = []
    for place, column in enumerate(relation.columns):
        following = (name for name in waiting if name is not None)
        upcoming = next((name for name in following if name == column.name or not facts[name].generated), None)
        if upcoming == column.name:
            while waiting.popleft() != upcoming:
                pass
            readable = facts[upcoming].type_oid == column.type_oid or upcoming in shape.key
        elif waiting and waiting[0] is None:
            waiting.popleft()
            readable = False
        else:
            return None
        columns.append(column if readable else replace(column, name=f"{NOWHERE}{place}"))
    return replace(relation, columns=tuple(columns))


def _renamed(relation: Relation, shape: Shape) -> Relation | None:
    """If columns were only renamed, and none was ever dropped: then their places tell which is which."""
    types = [column.type_oid for column in relation.columns]
    written = [column for column in shape.columns if not column.generated]
    for columns in (shape.columns, written) if None not in shape.layout else ():
        if [column.type_oid for column in columns] == types:
            renamed = [replace(old, name=new.name) for old, new in zip(relation.columns, columns, strict=True)]
            return replace(relation, columns=tuple(renamed))
    return None


def under(changes: Sequence[Change], relation: Relation | None) -> list[Change]:
    """The changes as those of this relation; of none, with nothing of their old rows."""
    if relation is None:
        return [structs.replace(change, old=None, old_is_full=False) for change in changes]
    return [structs.replace(change, relation=relation) for change in changes]


def keys(relation: Relation, changes: Sequence[Change], shape: Shape) -> Keys | None:
    """By what to look for the rows that the changes left; None if the log does not tell."""
    places = {column.name: place for place, column in enumerate(relation.columns)}
    if shape.refusal:
        return none(changes)
    wanted = shape.key or tuple(column.name for column in shape.columns if not column.generated or column.name in places)
    if any(name not in places for name in wanted):
        return None
    found_by = [places[name] for name in wanted]
    known: dict[tuple[str | None, ...], int] = {}
    of_change: list[int | None] = []
    for change in changes:
        values = () if change.new is None else tuple([_value(change, place) for place in found_by])
        complete = change.new is not None and UNCHANGED not in values and (None not in values or not shape.key)
        key = tuple([value for value in values if value is not UNCHANGED])
        of_change.append(known.setdefault(key, len(known)) if complete else None)
    return Keys(list(known), of_change, () if shape.key else wanted)


def none(changes: Sequence[Change]) -> Keys:
    """No row is looked for."""
    return Keys([], [None] * len(changes))


def _value(change: Change, place: int) -> Value:
    """A column of the new row. A key that is stored out of line and did not change stands in the old row only."""
    assert change.new is not None
    value = change.new[place]
    return change.old[place] if value is UNCHANGED and change.old is not None else value
