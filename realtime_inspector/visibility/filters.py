"""The filter language of postgres_changes: parse it, refuse what is wrong in words, and decide what needs no database."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Condition:
    """One `column=[not.]operator.value`; `values` has one text, or the elements of an `in` list; all are ANDed."""

    column: str
    operator: str
    values: tuple[str, ...]
    negated: bool = False
