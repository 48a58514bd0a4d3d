"""A binding that was checked against its table: the unit that the index holds and the pipeline decides about."""

from dataclasses import dataclass

from realtime_inspector.model import BEGINNING, Binding, Position, Problem
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
    """The outcome of asking for changes: what was accepted, what was not and why, and the position after which it counts.

    `resume_token`: what the client can come back with, "" if it cannot. `returns`: it came back, and `after` is where it left.
    `gap`: it came back with something that says no position of ours, so what it missed is lost.
    """

    subscriptions: tuple[Subscription, ...]
    problems: tuple[Problem, ...] = ()
    after: Position = BEGINNING
    resume_token: str = ""
    returns: bool = False
    gap: bool = False
