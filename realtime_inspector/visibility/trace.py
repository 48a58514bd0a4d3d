"""Explains why an identity sees a row or not: each policy's answer, and what they come to together.

Rules of this room: what is not known counts as denied. It only explains: the row that is selected as that identity decides, and
where the two differ, the difference is told together with what can cause it (see caveats).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Literal

import msgspec

from realtime_inspector.visibility.expressions import Sides, Tree, sides, tree

Command = Literal["SELECT", "INSERT", "UPDATE", "DELETE"]
COMMANDS: Final[tuple[Command, ...]] = ("SELECT", "INSERT", "UPDATE", "DELETE")
Bypass = Literal["bypassrls", "rls_off", "owner"]


class PolicyFacts(msgspec.Struct, frozen=True):
    """A policy as the catalogue has it. `member`: the role has the privileges of one that it is for; `not_inherited`: it could
    only become one. `tables`, `functions`: those of the application that it names.
    """

    name: str
    permissive: bool
    command: str
    roles: tuple[str, ...]
    member: bool
    not_inherited: bool = False
    using: str | None = None
    check: str | None = None
    volatile: bool = False
    functions: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    whole_row: bool | None = False
    system_columns: bool | None = False

    def concerns(self, command: Command) -> bool:
        """Whether it is for this command."""
        return self.command in (command, "ALL")

    def expression(self, command: Command, *, proposed: bool = False) -> str | None:
        """What it asks of a stored row, or of a `proposed` one; without WITH CHECK, USING stands for both."""
        return (self.check or self.using) if proposed or command == "INSERT" else self.using


class Circumstances(msgspec.Struct, frozen=True):
    """What the catalogue says of a relation and a role. `owns`: it has the owner's privileges; `whole_table`: SELECT on all."""

    owner: str
    row_security: bool
    forced: bool
    superuser: bool
    bypassrls: bool
    owns: bool
    schema_usage: bool
    whole_table: bool
    deletes: bool
    privileges: dict[str, bool]
    columns: tuple[str, ...]
    columns_denied: tuple[str, ...]
    generated: dict[str, str] = {}
    policies: tuple[PolicyFacts, ...] = ()

    @property
    def bypass(self) -> Bypass | None:
        """Why no policy is asked, in the order in which Postgres decides (check_enable_rls, src/backend/utils/misc/rls.c)."""
        if self.superuser or self.bypassrls:
            return "bypassrls"
        if not self.row_security:
            return "rls_off"
        return "owner" if self.owns and not self.forced else None

    def may(self, command: Command) -> bool:
        """Whether the grants suffice for any column at all."""
        granted = self.deletes if command == "DELETE" else self.privileges.get(command, False)
        return self.schema_usage and granted

    def shown(self, row: Mapping[str, str | None]) -> dict[str, str | None]:
        """A row without the columns that the role may not read."""
        return {name: text for name, text in row.items() if name not in self.columns_denied}


@dataclass(frozen=True, slots=True)
class Raised:
    """An error that an expression ended in."""

    sqlstate: str
    message: str = ""


Result = bool | None | Raised
"""What an expression came to; None is NULL, which counts as false."""


@dataclass(frozen=True, slots=True)
class LeafTrace:
    """A part of a condition that nothing joins, and the texts of its sides' values."""

    expression: str
    result: Result
    sides: Sides | None = None
    left: str | None = None
    right: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyTrace:
    """One policy asked about one row. `why_not`: why it does not count here; then nothing was asked."""

    policy: PolicyFacts
    expression: str
    why_not: str = ""
    asked: bool = False
    result: Result = None
    tree: Tree | None = None
    leaves: tuple[LeafTrace, ...] = ()

    @property
    def applicable(self) -> bool:
        """Whether Postgres asks it."""
        return not self.why_not


class Sighted(StrEnum):
    """What became of a row for an identity."""

    ALLOWED = "allowed"
    DENIED = "denied"
    RAISED = "raised"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the policies come to. `by`: the one that decided; `ordered`: another order of asking could have ended otherwise."""

    sighted: Sighted
    by: PolicyTrace | None = None
    ordered: bool = False


def applicability(policy: PolicyFacts, role: str, command: Command) -> str:
    """Why a policy does not count for this role and command; empty if it does."""
    if not policy.concerns(command):
        return f"it is for {policy.command} only"
    if policy.member:
        return ""
    named = ", ".join(policy.roles)
    if policy.not_inherited:
        return f"{role} is a member of {named}, but does not inherit its privileges"
    return f"{role} is no member of {named}"


def begun(policies: Iterable[PolicyFacts], role: str, command: Command, *, proposed: bool = False) -> list[PolicyTrace]:
    """The policies before any was asked, taken apart."""
    found = []
    for policy in policies:
        expression = policy.expression(command, proposed=proposed)
        why_not = applicability(policy, role, command) or ("" if expression else "it has no condition for this")
        parts = None if why_not or expression is None else tree(expression)
        leaves = () if parts is None else tuple(LeafTrace(leaf.text, None, sides(leaf.text)) for leaf in parts.leaves())
        found.append(PolicyTrace(policy, expression or "true", why_not, tree=parts, leaves=leaves))
    return found


def combine(policies: Iterable[PolicyTrace]) -> Outcome:
    """All restrictive ones and one permissive must hold; NULL is false; without a permissive one nothing is seen.

    In the order of Postgres: restrictive ones by name, then permissive ones the other way round, each kind only as far as
    necessary (get_row_security_policies, src/backend/rewrite/rowsecurity.c; its list of policies is built back to front).
    """
    asked = sorted((trace for trace in policies if trace.applicable), key=lambda trace: trace.policy.name)
    ordered = any(isinstance(trace.result, Raised) for trace in asked) and len(asked) > 1
    for trace in [trace for trace in asked if not trace.policy.permissive]:
        if isinstance(trace.result, Raised):
            return Outcome(Sighted.RAISED, trace, ordered)
        if trace.result is not True:
            return Outcome(Sighted.DENIED, trace, ordered)
    for trace in reversed([trace for trace in asked if trace.policy.permissive]):
        if isinstance(trace.result, Raised):
            return Outcome(Sighted.RAISED, trace, ordered)
        if trace.result:
            return Outcome(Sighted.ALLOWED, trace, ordered)
    return Outcome(Sighted.DENIED, None, ordered)


def of_tree(parts: Tree, leaves: Mapping[str, Result]) -> Result:
    """What a condition comes to by the results of its leaves, as far as these tell; a Raised where they do not."""
    match parts.kind:
        case "leaf":
            return leaves.get(parts.text)
        case "not":
            result = of_tree(parts.children[0], leaves)
            return result if result is None or isinstance(result, Raised) else not result
        case "and" | "or":
            decisive = parts.kind == "or"
            results = [of_tree(child, leaves) for child in parts.children]
            if decisive in [result for result in results if isinstance(result, bool)]:
                return decisive
            raised = next((result for result in results if isinstance(result, Raised)), None)
            return raised or (None if None in results else not decisive)


def permitted(circumstances: Circumstances, role: str, command: Command, results: Mapping[str, Result]) -> Sighted:
    """Whether the policies let the role do this to a row: to read it, to insert it, to update it as it is, to delete it.

    `results`: by condition, what it comes to for the row. Whoever updates or deletes rows has to find them first, so that the
    policies for SELECT count as well, and after an UPDATE for the new row too.
    """
    if circumstances.bypass is not None:
        return Sighted.ALLOWED
    steps: list[tuple[Command, bool]] = [(command, command == "INSERT")]
    if command in ("UPDATE", "DELETE"):
        steps.insert(0, ("SELECT", False))
    if command == "UPDATE":
        steps.append(("UPDATE", True))
    for asked, proposed in steps:
        policies = begun(circumstances.policies, role, asked, proposed=proposed)
        outcome = combine(replace(trace, result=results.get(trace.expression), asked=True) for trace in policies)
        if outcome.sighted is not Sighted.ALLOWED:
            return outcome.sighted
    return Sighted.ALLOWED


def conditions(circumstances: Circumstances, role: str, commands: Iterable[Command]) -> list[str]:
    """Every condition whose result `permitted` needs for these commands, each once."""
    wanted: list[tuple[Command, bool]] = [("SELECT", False)]
    for command in commands:
        wanted += [(command, False), (command, True)]
    found = (t for command, proposed in wanted for t in begun(circumstances.policies, role, command, proposed=proposed))
    return list(dict.fromkeys(trace.expression for trace in found if trace.applicable))


def answered(trace: PolicyTrace, result: Result, leaves: Sequence[LeafTrace]) -> PolicyTrace:
    """The trace with what was found."""
    return replace(trace, asked=True, result=result, leaves=tuple(leaves))


def untold(trace: PolicyTrace) -> PolicyTrace:
    """The trace with what came out, and without the values and the words of errors, in which values may stand."""
    leaves = tuple(LeafTrace(leaf.expression, _mute(leaf.result)) for leaf in trace.leaves)
    return replace(trace, result=_mute(trace.result), leaves=leaves)


def _mute(result: Result) -> Result:
    return Raised(result.sqlstate) if isinstance(result, Raised) else result
