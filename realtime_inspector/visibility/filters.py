"""The filter language of postgres_changes: parse it, refuse what is wrong in words, and decide what needs no database.

Grammar (Realtime protocol): `column=[not.]operator.value`, several joined by commas, which means AND. A value may be
quoted with `"` (escapes `\\"` and `\\\\`); commas inside quotes or parentheses do not separate.

Extension (as in PostgREST): `[not.]or=(…)` and `[not.]and=(…)`, in whose parentheses stand `column.[not.]operator.value`,
`[not.]or(…)` and `[not.]and(…)`. A negation is carried down to the conditions, each of which does not hold for NULL, negated or
not: so a filter holds exactly where SQL would say TRUE, and never where it would say NULL.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from operator import ge, gt, le, lt
from typing import ClassVar, Literal

from realtime_inspector.errors import RealtimeError
from realtime_inspector.visibility.patterns import objection

OPERATORS = frozenset(["eq", "neq", "lt", "lte", "gt", "gte", "in", "like", "ilike", "is", "match", "imatch", "isdistinct"])
TEXT_OPERATORS = frozenset(("like", "ilike", "match", "imatch"))
EQUALITIES = frozenset(("eq", "neq", "in", "isdistinct"))
MAX_IN_VALUES = 100
MAX_CONDITIONS = 100
MAX_DEPTH = 10
_ORDERINGS = {"lt": lt, "lte": le, "gt": gt, "gte": ge}
_INTEGER = re.compile(r"-?[0-9]+", re.ASCII).fullmatch  # the column may have been text when the filter was accepted
_CONDITION = re.compile(r"([^=]+)=(not\.)?([a-z]+)\.(.*)", re.DOTALL)
_MEMBER = re.compile(r'("(?:[^"\\]|\\.)+"|[^."]+)\.(not\.)?([a-z]+)\.(.*)', re.DOTALL)
_GROUP = re.compile(r"(not\.)?(and|or)(=?)\((.*)\)", re.DOTALL)


class InvalidFilter(RealtimeError):
    """The filter is not valid"""

    code: ClassVar[str] = "InvalidFilter"
    status: ClassVar[int] = 400
    hint: ClassVar[str] = "Write column=operator.value, for example id=eq.5 or status=not.in.(draft,archived)."


@dataclass(frozen=True, slots=True)
class Condition:
    """One `column=[not.]operator.value`; `values` has one text, or the elements of an `in` list; all are ANDed."""

    column: str
    operator: str
    values: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions and groups of which all ("and") or any ("or") must hold; no group is negated itself."""

    kind: Literal["and", "or"]
    parts: "tuple[Condition | Group, ...]"

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All of them, however deep, in the order in which they stand."""
        return tuple(leaf for part in self.parts for leaf in ((part,) if isinstance(part, Condition) else part.conditions))

    def holds(self, passes: Callable[[Condition], bool]) -> bool:
        """Whether it holds, given what each condition says."""
        found = (passes(part) if isinstance(part, Condition) else part.holds(passes) for part in self.parts)
        return all(found) if self.kind == "and" else any(found)

    def replaced(self, conditions: Iterator[Condition]) -> "Group":
        """The same with other conditions, given in their order."""
        parts = [next(conditions) if isinstance(part, Condition) else part.replaced(conditions) for part in self.parts]
        return Group(self.kind, tuple(parts))


@dataclass(frozen=True, slots=True)
class Comparable:
    """How a column's values may be compared without the database.

    `exact`: equal values have equal output texts (not so for numeric 1.0 and 1.00, nor under a nondeterministic
    collation). `integer`: the output text is a whole number, ordered as such.
    """

    exact: bool
    integer: bool


def parse_filter(text: str | None) -> Group:
    """What a filter text asks for, without parts if it is blank. Raises InvalidFilter with the protocol's wording."""
    if text is None or not text.strip():
        return Group("and", ())
    found = Group("and", tuple(_parse_part(segment, _CONDITION, 0, negated=False) for segment in _segments(text)))
    if len(found.conditions) > MAX_CONDITIONS:
        raise InvalidFilter(f"too many conditions in a filter. Maximum {MAX_CONDITIONS}")
    return found


def describe(condition: Condition) -> str:
    """The condition as a filter text again, for sentences about it."""
    value = f"({','.join(condition.values)})" if condition.operator == "in" else condition.values[0]
    return f"{condition.column}={'not.' if condition.negated else ''}{condition.operator}.{value}"


def matches(condition: Condition, value: str | None, comparable: Comparable) -> bool | None:
    """Whether a value satisfies the condition; None when only the database can tell.

    A NULL satisfies nothing, negated or not, except `is.null` and `isdistinct` (Realtime protocol, section filters).
    """
    if condition.operator == "is":
        return _is(condition.values[0], value) is not condition.negated
    if value is None:
        return condition.operator == "isdistinct" and not condition.negated
    if condition.operator in EQUALITIES and comparable.exact:
        return _equality(condition, value) is not condition.negated
    if condition.operator in _ORDERINGS and comparable.integer and _INTEGER(condition.values[0]):
        return _ORDERINGS[condition.operator](int(value), int(condition.values[0])) is not condition.negated
    return None


def _equality(condition: Condition, value: str) -> bool:
    found = value in condition.values
    return found if condition.operator in ("eq", "in") else not found


def _is(wanted: str, value: str | None) -> bool:
    if wanted in ("null", "unknown"):
        return value is None
    return value == wanted[0]  # the output function of boolean gives t and f


def _parse_part(segment: str, form: re.Pattern[str], depth: int, *, negated: bool) -> Condition | Group:
    """A part of a filter as it stands at this depth; negated where what it stands in is."""
    group = _GROUP.fullmatch(segment.strip())
    if group is None or bool(group[3]) is not (depth == 0):
        condition = _parse_condition(segment, form)
        return replace(condition, negated=condition.negated is not negated)
    if depth == MAX_DEPTH:
        raise InvalidFilter(f"groups in a filter are nested too deep. Maximum {MAX_DEPTH}")
    negated = negated is not bool(group[1])
    parts = tuple(_parse_part(part, _MEMBER, depth + 1, negated=negated) for part in _segments(group[4]))
    return Group("or" if (group[2] == "or") is not negated else "and", parts)


def _parse_condition(segment: str, form: re.Pattern[str]) -> Condition:
    if not segment.strip():
        raise InvalidFilter("filter must not contain empty segments (check for extra commas)")
    match = form.fullmatch(segment.strip())
    if match is None or match[3] not in OPERATORS:
        raise InvalidFilter(f"Error parsing `filter` params: {segment.strip()!r}")
    column, negated, operator, raw = match[1].strip(), bool(match[2]), match[3], match[4]
    column = _unquote(column) if form is _MEMBER else column
    if "\x00" in segment:
        raise InvalidFilter("filter must not contain NUL characters")
    if operator == "in":
        return Condition(column, operator, _parse_list(raw), negated)
    if operator == "is":
        return Condition(column, operator, (_parse_is(raw),), negated)
    value = _unquote(raw)
    if operator in ("match", "imatch") and (found := objection(value)):
        raise InvalidFilter(f"the pattern of a {operator} filter {found}", hint="Use a simpler pattern, or filter in the client.")
    return Condition(column, operator, (value,), negated)


def _parse_list(raw: str) -> tuple[str, ...]:
    if not (raw.startswith("(") and raw.endswith(")")):
        raise InvalidFilter("`in` filter value must be wrapped by parentheses")
    values = tuple(_unquote(part.strip()) for part in _segments(raw[1:-1]))
    if len(values) > MAX_IN_VALUES:
        raise InvalidFilter(f"too many values for `in` filter. Maximum {MAX_IN_VALUES}")
    return values


def _parse_is(raw: str) -> str:
    wanted = raw.strip().lower()
    if wanted not in ("null", "true", "false", "unknown"):
        raise InvalidFilter(f"`is` filter value must be null, true, false or unknown, got {raw!r}")
    return wanted


def _unquote(raw: str) -> str:
    """A quoted value without its quotes; an unterminated quote is an ordinary character."""
    if len(raw) < 2 or not (raw.startswith('"') and raw.endswith('"')):
        return raw
    return re.sub(r"\\(.)", r"\1", raw[1:-1], flags=re.DOTALL)


def _segments(text: str) -> Iterator[str]:
    """The parts between commas that stand neither in quotes nor in parentheses."""
    start = depth = position = 0
    quoted = False
    while position < len(text):
        character = text[position]
        if quoted and character == "\\":
            position += 1
        elif character == '"' and (quoted or _closes(text, position)):
            quoted = not quoted
        elif not quoted:
            depth += (character == "(") - (character == ")" and depth > 0)
            if character == "," and depth == 0:
                yield text[start:position]
                start = position + 1
        position += 1
    yield text[start:]


def _closes(text: str, opening: int) -> bool:
    """Whether a quote that opens here is closed again later; otherwise it is literal."""
    position = opening + 1
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == '"':
            return True
        position += 1
    return False
