"""Writes down, as a script for psql, how to see for oneself what a trace says."""

from collections.abc import Mapping, Sequence

from realtime_inspector.model import Identity
from realtime_inspector.postgres.evaluator import path_of
from realtime_inspector.postgres.sql import quote_identifier, quote_literal, quote_table
from realtime_inspector.visibility.facts import Shape
from realtime_inspector.visibility.trace import PolicyTrace


def reproduction(
    identity: Identity,
    shape: Shape,
    search_path: str,
    key: Mapping[str, str | None],
    policies: Sequence[PolicyTrace],
    literal: str,
) -> str:
    """Becomes the identity, selects the row by its key, and asks each policy about it; changes nothing."""
    table, alias = quote_table(shape.schema, shape.name), quote_identifier(shape.name)
    lines = [
        "begin isolation level repeatable read read only;",
        f"set local search_path = {path_of(search_path)};",
        f"set local role {quote_identifier(identity.role)};",
        f"select pg_catalog.set_config('request.jwt.claims', {quote_literal(identity.claims)}, true);",
    ]
    if key:
        lines.append(f"select * from {table} where {' and '.join(_equal(shape, name, value) for name, value in key.items())};")
    asked = [trace for trace in policies if trace.applicable and trace.tree is not None]
    for trace in asked if literal else ():
        named = quote_identifier(_short(trace.policy.name))
        row = f"pg_catalog.unnest(array[{quote_literal(literal)}::{table}]) as {alias}"
        lines.append(f"select ({trace.expression}) as {named} from {row};")
    return "\n".join([*lines, "rollback;", ""])


def _equal(shape: Shape, name: str, value: str | None) -> str:
    column = shape.column(name)
    if value is None or column is None:
        return f"{quote_identifier(name)} is null"
    return f"{quote_identifier(name)} = {quote_literal(value)}::{column.type_sql}"


def _short(name: str) -> str:
    """Postgres cuts names at 63 bytes, with a notice."""
    return name.encode()[:63].decode("utf-8", "ignore")
