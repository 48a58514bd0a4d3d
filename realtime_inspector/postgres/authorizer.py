"""Answers a join that asks for changes: which bindings are accepted, and in one readable sentence why the others are not."""

import asyncio
from collections.abc import Sequence

import asyncpg

from realtime_inspector.errors import DatabaseUnavailable, TableNotServed
from realtime_inspector.model import BEFORE, Binding, Identity, Position, Problem
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.announced import REMEDY, read_silence
from realtime_inspector.postgres.connect import FAULTS, Connection, connect
from realtime_inspector.postgres.matcher import satisfied
from realtime_inspector.postgres.shapes import read_shapes
from realtime_inspector.postgres.waiting import Waiting
from realtime_inspector.visibility.facts import ColumnFacts, Shape
from realtime_inspector.visibility.filters import TEXT_OPERATORS, Condition, InvalidFilter, parse_filter
from realtime_inspector.visibility.subscription import Authorized, Subscription

PG_TEXT_CATEGORY = "S"
Tables = dict[tuple[str, str], tuple[Shape, frozenset[str]]]
"""What one join has learnt of tables, by schema and name: bindings often name the same one."""

_Key = tuple[str, tuple[Binding, ...]]


class Refused(InvalidFilter):
    """The binding cannot be served"""


class Authorizer:
    """One connection of the evaluator login: it can read the catalogue and cast texts, and nothing else.

    `announced`: a table is served only when triggers announce its changes.
    """

    def __init__(self, url: str, *, publication: str, statement_timeout_ms: int, announced: bool = False) -> None:
        self._url = url
        self._publication = publication
        self._announced = announced
        self._timeout = statement_timeout_ms
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._waiting: Waiting[_Key, Authorized] = Waiting()

    async def close(self) -> None:
        """Ends the connection."""
        self.ask_anew()

    def ask_anew(self) -> None:
        """Gives up the connection, and what is being asked; the next question makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def authorize(self, identity: Identity, bindings: Sequence[Binding]) -> Authorized:
        """Checks each binding for this identity. Raises DatabaseUnavailable when the database cannot be asked.

        The answer depends on the role alone. All who wait for the same one are given it together, so that a herd that comes back
        costs a few questions.
        """
        key = identity.role, tuple(bindings)
        return await self._waiting.answer(key, lambda: self._ask(key, identity, bindings))

    async def _ask(self, key: _Key, identity: Identity, bindings: Sequence[Binding]) -> Authorized:
        async with self._turn:
            self._waiting.begin(key)
            try:
                return await self._authorize(identity, bindings)
            except FAULTS as error:
                await self.close()
                raise DatabaseUnavailable() from error
            except asyncio.CancelledError:
                await self.close()
                raise

    async def _authorize(self, identity: Identity, bindings: Sequence[Binding]) -> Authorized:
        connection = await self._connected()
        now = await connection.fetchval("select (pg_current_wal_insert_lsn() - '0/0')::int8")
        accepted: list[Subscription] = []
        problems: list[Problem] = []
        tables: Tables = {}
        for binding in bindings:
            try:
                accepted.append(await self._check(connection, identity, binding, tables))
            except (InvalidFilter, TableNotServed) as error:
                problems.append(error.problem)
        notices = tuple(_unreadable(identity.role, name, *tables[name]) for name in tables if not _reads(*tables[name]))
        return Authorized(tuple(accepted), tuple(problems), Position(now, BEFORE), notices=notices)

    async def _check(self, connection: Connection, identity: Identity, binding: Binding, tables: Tables) -> Subscription:
        wanted = parse_filter(binding.filter)
        conditions = wanted.conditions
        if "\x00" in binding.schema + binding.table:
            raise _not_served(binding)
        if "*" in (binding.schema, binding.table):
            return _check_wildcard(binding, conditions)
        name = (binding.schema, binding.table)
        if name not in tables:
            tables[name] = await self._table(connection, identity, binding)
        shape, readable = tables[name]
        hidden = [column for column in binding.select or () if column not in readable]
        if hidden:
            hint = f"Grant SELECT on the column to {identity.role}, or leave it out."
            raise Refused(f"invalid column for select {hidden[0]}", hint=hint)
        checked = [await _check_condition(connection, shape, condition, readable) for condition in conditions]
        columns = [column for condition in checked if (column := shape.column(condition.column)) is not None]
        exact = frozenset((column.name, column.type_oid) for column in columns if column.comparable.exact)
        rule = None if wanted.parts == conditions else wanted.replaced(iter(checked))
        return Subscription(binding, tuple(checked), exact, rule)

    async def _table(self, connection: Connection, identity: Identity, binding: Binding) -> tuple[Shape, frozenset[str]]:
        """The table as it is, and the columns that the role may read."""
        row = await connection.fetchrow(sql.load("published"), binding.schema, binding.table, identity.role, self._publication)
        if row is None or not (row["published"] or row["readable"]):
            raise _not_served(binding)
        if not row["role_exists"]:
            raise Refused(f'role "{identity.role}" does not exist', hint="Create the role, or sign tokens with an existing one.")
        shape = (await read_shapes(connection, [row["oid"]])).get(row["oid"])
        if shape is not None and shape.refusal:
            hint = "See docs/policies.md for what can be served."
            raise TableNotServed(f"{binding.schema}.{binding.table}: {shape.refusal}", hint=hint)
        if shape is None or not row["published"]:
            raise _not_served(binding)
        if self._announced and (await read_silence(connection, self._publication, shape.oid)).tables:
            raise TableNotServed(f"{binding.schema}.{binding.table}: no trigger announces its changes", hint=REMEDY)
        return shape, await _readable(connection, identity.role, shape)

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._url, purpose="authorizer", statement_timeout_ms=self._timeout)
        return self._connection


def _reads(shape: Shape, readable: frozenset[str]) -> bool:
    """Whether changes of the table can reach this role at all."""
    return bool(readable) and readable.issuperset(shape.key)


def _unreadable(role: str, name: tuple[str, str], shape: Shape, readable: frozenset[str]) -> Problem:
    table = ".".join(name)
    missing = ", ".join(column for column in shape.key if column not in readable)
    text = f"role {role} may not read {missing or 'any column'} of {table}, so it receives no change of it"
    return Problem("NoPrivilege", text, f"Grant it: grant select on {table} to {role};")


def _check_wildcard(binding: Binding, conditions: Sequence[Condition]) -> Subscription:
    if binding.select:
        raise Refused(
            "Column selection is not supported for wildcard subscriptions. Provide an explicit schema and table name.",
            hint="Name schema and table.",
        )
    if conditions:
        raise Refused("Filters are not supported for wildcard subscriptions.", hint="Name schema and table.")
    return Subscription(binding)


def _not_served(binding: Binding) -> TableNotServed:
    filters = f"[{binding.filter}]" if binding.filter else "[]"
    select = "nil" if binding.select is None else str(list(binding.select))
    return TableNotServed(
        "Unable to subscribe to changes with given parameters. "
        "Please check Realtime is enabled for the given connect parameters: "
        f"[event: {binding.event}, schema: {binding.schema}, table: {binding.table}, filters: {filters}, select: {select}]"
    )


async def _readable(connection: Connection, role: str, shape: Shape) -> frozenset[str]:
    rows = await connection.fetch(
        "select a.attname::text as name from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid "
        "where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped and has_schema_privilege($2, c.relnamespace, 'USAGE') "
        "and has_column_privilege($2, a.attrelid, a.attnum, 'SELECT')",
        shape.oid,
        role,
    )
    return frozenset(row["name"] for row in rows)


async def _check_condition(connection: Connection, shape: Shape, condition: Condition, readable: frozenset[str]) -> Condition:
    """The condition with canonical values. A column that the role may not read is as good as none: a filter is no oracle."""
    column = shape.column(condition.column)
    if column is None or condition.column not in readable:
        raise Refused(f"invalid column for filter {condition.column}")
    if condition.operator == "is":
        return _check_is(condition, column)
    if condition.operator in TEXT_OPERATORS:
        return await _check_text(connection, condition, column)
    try:
        values = await _canonical(connection, column, condition.values)
    except asyncpg.DataError as error:
        raise Refused(str(error)) from error
    canonical = Condition(condition.column, condition.operator, tuple(values), condition.negated)
    if (await satisfied(connection, [(column, canonical)], values))[canonical] is None:
        raise Refused(f"values of type {column.type_sql} cannot be compared by {condition.operator}")
    return canonical


async def _canonical(connection: Connection, column: ColumnFacts, values: Sequence[str]) -> list[str]:
    """The values as the type's output function writes them, so that equal values of exact types have equal texts."""
    given = "unnest($1::text[]) with ordinality as given (value, place)"
    query = f"select format('%s', value::{column.type_sql}) from {given} order by place"
    return [str(text) for (text,) in await connection.fetch(query, values)]


def _check_is(condition: Condition, column: ColumnFacts) -> Condition:
    if condition.values[0] != "null" and column.type_sql != "boolean":
        raise Refused(f"is {condition.values[0]} filter requires a boolean column, got {column.type_sql}")
    return condition


async def _check_text(connection: Connection, condition: Condition, column: ColumnFacts) -> Condition:
    if column.category != PG_TEXT_CATEGORY:
        raise Refused(f"operator {condition.operator} requires a text-compatible column type, got {column.type_sql}")
    if condition.operator in ("match", "imatch"):
        try:
            await connection.fetchval("select '' operator(pg_catalog.~) $1::text", condition.values[0])
        except asyncpg.PostgresError as error:
            raise Refused(f"invalid regular expression for {condition.operator} filter: {error}") from error
    return condition
