"""Judges tables and policies: what lets people see too much, too little or nothing, and the SQL that mends it."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypedDict, get_args

from realtime_inspector.doctor import lint_rules as rules
from realtime_inspector.doctor.lint_facts import LintFacts
from realtime_inspector.doctor.lint_rules import Fault
from realtime_inspector.errors import InvalidInput

Severity = Literal["error", "warning", "info", "off"]


class FindingObject(TypedDict):
    """What a finding is about."""

    schema: str
    name: str
    kind: str


class ToldFinding(TypedDict):
    """A finding for programs. `remedy_sql`: statements that mend it, or comments where somebody has to decide."""

    id: str
    name: str
    level: Severity
    object: FindingObject
    title: str
    detail: str
    remedy_sql: str
    docs: str


@dataclass(frozen=True, slots=True)
class Lint:
    """One thing that is looked for. `level`: unless the settings say otherwise."""

    name: str
    level: Severity
    title: str
    judge: Callable[[LintFacts], Iterator[Fault]]


@dataclass(frozen=True, slots=True)
class Found:
    """A fault as it is told. `remedy_sql`: statements that mend it, or comments where somebody has to decide."""

    id: str
    name: str
    level: Severity
    schema: str
    subject: str
    kind: str
    title: str
    detail: str
    remedy_sql: str

    def told(self) -> ToldFinding:
        """For programs."""
        return {
            "id": self.id,
            "name": self.name,
            "level": self.level,
            "object": {"schema": self.schema, "name": self.subject, "kind": self.kind},
            "title": self.title,
            "detail": self.detail,
            "remedy_sql": self.remedy_sql,
            "docs": f"docs/lints.md#{self.name}",
        }


LINTS: Final = (
    Lint("rls_disabled", "error", "Everybody sees every row", rules.rls_disabled),
    Lint("policies_without_rls", "error", "Policies that are not in force", rules.policies_without_rls),
    Lint("sensitive_columns", "error", "Sensitive columns without row-level security", rules.sensitive_columns),
    Lint("partition_unprotected", "error", "A partition shows what its root hides", rules.partition_unprotected),
    Lint("view_bypasses_rls", "error", "A view shows what policies hide", rules.view_bypasses_rls),
    Lint("users_exposed", "error", "A view shows the users", rules.users_exposed),
    Lint("materialized_view_exposed", "warning", "A materialized view has no policies", rules.materialized_view_exposed),
    Lint("foreign_table_exposed", "warning", "A foreign table has no policies", rules.foreign_table_exposed),
    Lint("user_metadata", "error", "A policy trusts what users write themselves", rules.user_metadata),
    Lint("always_true", "warning", "A policy lets everybody write everything", rules.always_true),
    Lint("role_above_policies", "error", "A role of subscribers is above the policies", rules.role_above_policies),
    Lint("unreadable_table", "error", "A policy reads a table that the role may not read", rules.unreadable_table),
    Lint("fails_to_plan", "error", "Every SELECT of a role fails", rules.fails_to_plan),
    Lint("key_unreadable", "error", "A role may not read the key", rules.key_unreadable),
    Lint("no_identity", "error", "Changed rows cannot be told apart", rules.no_identity),
    Lint("no_policy", "info", "Nobody sees anything", rules.no_policy),
    Lint("only_restrictive", "warning", "Only restrictive policies: nobody sees anything", rules.only_restrictive),
    Lint("hidden_table", "warning", "A policy reads a table that shows the role nothing", rules.hidden_table),
    Lint("not_inherited", "warning", "A member to whom the policy does not apply", rules.not_inherited),
    Lint("volatile_policy", "warning", "A policy may answer differently each time", rules.volatile_policy),
    Lint("raises_without_claims", "warning", "A policy raises for tokens without claims", rules.raises_without_claims),
    Lint("raises_on_malformed_claims", "info", "A policy raises for claims of another form", rules.raises_on_malformed_claims),
    Lint("search_path", "warning", "A SECURITY DEFINER function without search_path", rules.search_path),
    Lint("initplan", "warning", "Claims are read again for each row", rules.initplan),
    Lint("several_permissive", "warning", "Several permissive policies are asked for each row", rules.several_permissive),
    Lint("old_rows_unknown", "info", "Deletions cannot be checked by policies", rules.old_rows_unknown),
    Lint("column_not_in_log", "info", "A policy uses a column that the log does not have", rules.column_not_in_log),
)
"""In the order in which one would mend them."""
_ORDER: Final = {"error": 0, "warning": 1, "info": 2}


def judge(facts: LintFacts, levels: Mapping[str, Severity]) -> tuple[Found, ...]:
    """Everything that is found, errors first. `levels`: by lint, what its level is instead; `off`: it is not looked for."""
    found = []
    for lint in LINTS:
        level = levels.get(lint.name, lint.level)
        if level == "off":
            continue
        for fault in lint.judge(facts):
            name = f"{lint.name}:{fault.schema}.{fault.name}" + (f":{fault.part}" if fault.part else "")
            remedy = "\n".join(fault.remedy)
            found.append(Found(name, lint.name, level, fault.schema, fault.name, fault.kind, lint.title, fault.detail, remedy))
    return tuple(sorted(found, key=lambda each: _ORDER[each.level]))


def parse_levels(entries: Iterable[str]) -> dict[str, Severity]:
    """From texts such as `no_policy=error`. Raises InvalidInput."""
    known = {lint.name for lint in LINTS}
    levels: dict[str, Severity] = {}
    for entry in entries:
        name, _, level = (part.strip() for part in entry.partition("="))
        if name not in known:
            raise InvalidInput(f"There is no lint {name!r}", hint="docs/lints.md lists them.")
        if level not in get_args(Severity):
            raise InvalidInput(f"{level!r} is no level of a lint", hint=f"Write {name}=error, warning, info or off.")
        levels[name] = level  # type: ignore[assignment]
    return levels


assert all(re.fullmatch(r"[a-z_]+", lint.name) for lint in LINTS)
