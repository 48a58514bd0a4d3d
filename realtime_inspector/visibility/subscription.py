"""A binding that was checked against its table: the unit that the index holds and the pipeline decides about."""

from dataclasses import dataclass

from realtime_inspector.model import Binding, Problem
from realtime_inspector.visibility.filters import Condition


@dataclass(frozen=True, slots=True)
class Subscription:
    """One accepted binding with its parsed filter (ANDed; empty: every row).

    `exact_columns`: name and type oid of the filtered columns whose values may be compared as texts, as long as they have
    that type; their condition values are canonical.
    """

    binding: Binding
    conditions: tuple[Condition, ...] = ()
    exact_columns: frozenset[tuple[str, int]] = frozenset()


@dataclass(frozen=True, slots=True)
class Authorized:
    """The outcome of asking for changes: what was accepted, what was not and why, and from which LSN on it counts.

    `since`: WAL position (LSN) at which the check ran; only commits at or after it are delivered.
    """

    subscriptions: tuple[Subscription, ...]
    problems: tuple[Problem, ...] = ()
    since: int = 0
