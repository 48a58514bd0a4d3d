"""Finds those who filter by a value of a column that changed, without asking them one by one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from realtime_inspector.model import UNCHANGED, Change, Row, Value

TypedColumn = tuple[str, int]
"""A column's name and the oid of its type."""
Found = TypeVar("Found")


def by_new_value(changes: Sequence[Change], column: TypedColumn, by_value: Mapping[str, Iterable[Found]]) -> Iterator[Found]:
    """Those who filter by what the rows have now, or had before they were deleted."""
    for change in changes:
        value = _value(change, column)
        if value is UNCHANGED:  # not known here: everybody who filters by this column may be concerned
            for found in by_value.values():
                yield from found
        elif value is not None and value in by_value:
            yield from by_value[value]


def by_old_value(changes: Sequence[Change], column: TypedColumn, by_value: Mapping[str, Iterable[Found]]) -> Iterator[Found]:
    """Those who filter by what rows had before they were updated, as far as the log has it."""
    for change in changes:
        value = None if change.new is None or change.old is None else _old_value(change, change.old, column)
        if value is not None and value is not UNCHANGED and value in by_value:
            yield from by_value[value]


def _value(change: Change, column: TypedColumn) -> Value:
    """The column's value in the row that a filter is decided on; UNCHANGED when the stream does not tell."""
    if change.new is None:
        return UNCHANGED if change.old is None else _old_value(change, change.old, column)
    for position, candidate in enumerate(change.relation.columns):
        if (candidate.name, candidate.type_oid) == column:
            return change.new[position]
    return UNCHANGED


def _old_value(change: Change, old: Row, column: TypedColumn) -> Value:
    for position, candidate in enumerate(change.relation.columns):
        if (candidate.name, candidate.type_oid) == column:
            return old[position] if change.old_is_full or candidate.is_key else UNCHANGED
    return UNCHANGED
