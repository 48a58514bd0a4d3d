"""Asks Postgres whether values satisfy filter conditions, where texts alone cannot tell (numeric, like, regular expressions…).

Values travel, not rows: nothing is read from any table, so this runs as the bare evaluator login.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

import asyncpg

from realtime_inspector.postgres.connect import Connection
from realtime_inspector.visibility.facts import ColumnFacts
from realtime_inspector.visibility.filters import TEXT_OPERATORS, Condition

SQL_OPERATORS = {
    "eq": "=",
    "neq": "<>",
    "lt": "<",
    "lte": "<=",
    "gt": ">",
    "gte": ">=",
    "in": "=",
    "isdistinct": "<>",
    "like": "~~",
    "ilike": "~~*",
    "match": "~",
    "imatch": "~*",
}
"""By their names in pg_catalog, so that an operator of the application is never called."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One operator between texts of one column's type."""

    column: ColumnFacts
    operator: str

    def pairs(self) -> str:
        """The query for the pairs of a value ($1) and a filter's text ($2) between which it holds.

        Patterns are taken one after the other, because Postgres compiles each of them anew when others came in between.
        """
        if self.operator in TEXT_OPERATORS:
            matching = f"select x from unnest($1::text[]) as l (x) where {self.sql()} offset 0"
            return f"select x, y from unnest($2::text[]) as r (y) cross join lateral ({matching}) as matching"
        return f"select x, y from unnest($1::text[]) as l (x) cross join unnest($2::text[]) as r (y) where {self.sql()}"

    def sql(self) -> str:
        """A boolean expression over x and y, the value's and the filter's text."""
        type_sql = "text" if self.operator in TEXT_OPERATORS else self.column.type_sql
        collation = f" collate {self.column.collation}" if self.column.collation else ""
        return f"x::{type_sql}{collation} operator(pg_catalog.{SQL_OPERATORS[self.operator]}) y::{type_sql}"


async def satisfied(
    connection: Connection, questions: Iterable[tuple[ColumnFacts, Condition]], values: Sequence[str], *, until: float = inf
) -> dict[Condition, frozenset[str] | None]:
    """For conditions on one column: which of the values satisfy each, negation included; None when it could not be decided.

    `values` are distinct texts, none of them NULL. Conditions with the same operator share one statement. `until`: the time of
    the loop after which nothing more is asked.
    """
    grouped: dict[Comparison, list[Condition]] = {}
    for column, condition in questions:
        grouped.setdefault(Comparison(column, condition.operator), []).append(condition)
    found: dict[Condition, frozenset[str] | None] = {}
    for comparison, conditions in grouped.items():
        found.update(await _satisfied(connection, comparison, conditions, values, until))
    return found


async def _satisfied(
    connection: Connection, comparison: Comparison, conditions: Sequence[Condition], values: Sequence[str], until: float
) -> dict[Condition, frozenset[str] | None]:
    """Where one of them fails, or all of them take too long, they are asked in halves."""
    if asyncio.get_running_loop().time() > until:
        return dict.fromkeys(conditions)
    try:
        answers = await _compare(connection, comparison, conditions, values)
    except asyncpg.PostgresError:
        if len(conditions) == 1:
            return {conditions[0]: None}
        middle = len(conditions) // 2
        halves = [
            await _satisfied(connection, comparison, half, values, until) for half in (conditions[:middle], conditions[middle:])
        ]
        return halves[0] | halves[1]
    everything = frozenset(values)
    return {c: everything - answers[c] if c.negated else answers[c] for c in conditions}


async def _compare(
    connection: Connection, comparison: Comparison, conditions: Sequence[Condition], values: Sequence[str]
) -> dict[Condition, frozenset[str]]:
    wanted = sorted({value for condition in conditions for value in condition.values})
    pairs: dict[str, set[str]] = {}
    for x, y in await connection.fetch(comparison.pairs(), values, wanted):
        pairs.setdefault(y, set()).add(x)
    return {c: frozenset().union(*(pairs.get(value, set()) for value in c.values)) for c in conditions}
