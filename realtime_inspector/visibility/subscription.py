"""A binding that was checked against its table: the unit that the index holds and the pipeline decides about."""

from collections.abc import Callable
from dataclasses import dataclass

from realtime_inspector.model import BEGINNING, Binding, Position, Problem
from realtime_inspector.visibility.filters import Condition, Group


@dataclass(frozen=True, slots=True)
class Subscription:
    """One accepted binding with the conditions of its filter (empty: every row). All of them must hold, unless `rule` says which.

    `exact_columns`: name and type oid of the filtered columns whose values may be compared as texts, as long as they have
    that type; their condition values are canonical.
    """

    binding: Binding
    conditions: tuple[Condition, ...] = ()
    exact_columns: frozenset[tuple[str, int]] = frozenset()
    rule: Group | None = None

    @property
    def filter(self) -> tuple[tuple[Condition, ...], Group | None]:
        """Which rows it asks for; equal for those that ask for the same."""
        return self.conditions, self.rule

    @property
    def parts(self) -> tuple[Condition | Group, ...]:
        """What must hold all together."""
        return self.conditions if self.rule is None else self.rule.parts

    def holds(self, passes: Callable[[Condition], bool]) -> bool:
        """Whether its filter holds, given what each condition says."""
        return all(map(passes, self.conditions)) if self.rule is None else self.rule.holds(passes)


@dataclass(frozen=True, slots=True)
class Authorized:
    """The outcome of asking for changes: what was accepted, what was not and why, and the position after which it counts.

    `resume_token`: what the client can come back with, "" if it cannot. `returns`: it came back, and `after` is where it left.
    `notices`: what keeps all changes of an accepted table from this role; told to who asks for `debug`.
    `gap`: where it came back with something that says no position of ours, so that what it missed is lost, the moment of `after`.
    """

    subscriptions: tuple[Subscription, ...]
    problems: tuple[Problem, ...] = ()
    after: Position = BEGINNING
    resume_token: str = ""
    returns: bool = False
    gap: str = ""
    notices: tuple[Problem, ...] = ()
