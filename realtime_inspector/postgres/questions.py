"""The ways to ask which rows an identity may see, each as the text of a function in the evaluator's temporary schema."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from realtime_inspector.model import Identity
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.sql import quote_identifier, quote_table
from realtime_inspector.visibility.facts import Shape

HURRY_MS = 200
"""So long everybody waits for the policies of those whose answer they have not waited for before."""
SLOW_MS = HURRY_MS // 2
"""Who takes longer than that is asked where others need not wait."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function that must exist on the connection before the question is asked; its name follows from its text.

    `table`: what it is about, for the log.
    """

    name: str
    definition: str
    argument: str
    table: str


@dataclass(frozen=True, slots=True)
class Question:
    """Which of these rows may these identities see? `wanted`: one element per row, distinct, in the function's form.

    Stored rows are named by ctid, which is exact only in the snapshot in which it was read; rows by key as a JSON array
    of the key columns; old rows as the literal of the whole row. `plain`: see Dependence; then
    many identities are asked in one subtransaction.
    """

    function: Function
    wanted: Sequence[str]
    identities: Sequence[Identity]
    plain: bool = False


def by_ctid(shape: Shape, *, folds: bool = False) -> Function:
    """For roles that may read the whole table: a Tid Scan, whatever the key's type is (tid equality is leakproof).

    `folds`, here and below: see Access; each identity then gets a plan of its own, which costs several times as much.
    """
    return _function(
        shape,
        "tid",
        "tid",
        folds,
        f"select pg_catalog.array_agg(t.ctid) into _rti_seen from only {_table(shape)} as t where t.ctid = any (_rti_some);",
        f"perform from only {_table(shape)} as t where t.ctid = $1[1]; if found then _rti_seen := $1; end if;",
    )


def by_place(shape: Shape, *, folds: bool = False) -> Function:
    """For partitioned tables and roles that may read the whole of them: a Tid Scan of the one partition that the key is in.

    Each wanted element is a JSON array of the key columns' texts and, last, the row's FetchedRow.ctid. The partition's oid tells
    rows of equal ctids apart; it is compared as a column of the inner query, so cheaply that it comes before the policies.
    """
    stored = f"(u.key::json ->> {len(shape.key)})"
    leaf, ctid = (f"pg_catalog.split_part({stored}, ' ', {part})" for part in (1, 2))
    columns = f"{leaf}::pg_catalog.oid as _rti_leaf, {ctid}::pg_catalog.tid as _rti_ctid"
    return _each(shape, folds, columns, ["t.ctid = w._rti_ctid", "t.tableoid = w._rti_leaf", *_equalities(shape)])


def by_key(shape: Shape, *, folds: bool = False) -> Function:
    """For roles with column grants, which may not read ctid: finds the row by its key, which they must be able to read.

    Each wanted element is a JSON array of the key columns' texts. A comparison that is leakproof and whose other side is a column
    by then comes before the policies, so that they are asked about this row only; joined, they would be asked about all.
    """
    if shape.partitioned or shape.key_leakproof:
        names = [f"_rti_key_{place}" for place in range(len(shape.key))]
        columns = ", ".join(f"{text} as {name}" for text, name in zip(_key_texts(shape, "u.key::json"), names, strict=True))
        return _each(shape, folds, columns, _equal(shape, [f"w.{name}" for name in names]))
    return _function(
        shape,
        "text",
        "int",
        folds,
        "select pg_catalog.array_agg(w.place::int - 1 + _rti_first) into _rti_seen "
        "from (select u.key::json as key, u.place from pg_catalog.unnest(_rti_some) with ordinality as u (key, place)) as w "
        f"join only {_table(shape)} as t on {' and '.join(_equalities(shape))};",
    )


def by_tuple(shape: Shape, expression: str, *, folds: bool = False) -> Function:
    """For rows that are no longer stored: the policies' expression, asked about a literal of the row's type.

    The alias is the table's bare name, because sub-selects in the expression refer to its columns by it.
    """
    alias = quote_identifier(shape.name)
    return _function(
        shape,
        "text",
        "int",
        folds,
        "select pg_catalog.array_agg(_rti_row._rti_place::int - 1 + _rti_first) into _rti_seen "
        "from pg_catalog.unnest(_rti_some) with ordinality as _rti_row (_rti_literal, _rti_place), "
        f"lateral pg_catalog.unnest(array[_rti_row._rti_literal::{_table(shape)}]) as {alias} where {expression};",
    )


def row_literal(values: Sequence[str | None]) -> str:
    """A composite literal: fields quoted, quotes and backslashes doubled, NULL empty."""
    fields = ("" if v is None else '"' + v.replace("\\", "\\\\").replace('"', '""') + '"' for v in values)
    return "(" + ",".join(fields) + ")"


def _equalities(shape: Shape) -> list[str]:
    """That a row `t` has the key in `w.key`."""
    return _equal(shape, _key_texts(shape, "w.key"))


def _equal(shape: Shape, others: Sequence[str]) -> list[str]:
    compared = zip(shape.key, shape.key_operators, others, strict=True)
    return [f"t.{quote_identifier(name)} {operator} {other}" for name, operator, other in compared]


def _key_texts(shape: Shape, key: str) -> list[str]:
    """The values in a JSON array of their texts."""
    columns = [column for name in shape.key if (column := shape.column(name)) is not None]
    return [f"({key} ->> {place})::{column.type_sql}" for place, column in enumerate(columns)]


def _each(shape: Shape, folds: bool, columns: str, conditions: Sequence[str]) -> Function:
    """Asks for one row after the other, so that each time only the partition is opened that the key belongs to."""
    given = "pg_catalog.unnest(_rti_some) with ordinality as u (key, place)"
    source = _table(shape) if shape.partitioned else f"only {_table(shape)}"
    return _function(
        shape,
        "text",
        "int",
        folds,
        "select pg_catalog.array_agg(w.place::int - 1 + _rti_first) into _rti_seen "
        f"from (select u.key::json as key, u.place, {columns} from {given} offset 0) as w cross join lateral "
        f"(select from {source} as t where {' and '.join(conditions)} offset 0) as seen;",
    )


def _table(shape: Shape) -> str:
    return quote_table(shape.schema, shape.name)


def _function(shape: Shape, argument: str, result: str, folds: bool, query: str, lone: str = "") -> Function:
    """`lone`: the query for a row that is the only one, where there is a cheaper one."""
    planning = "force_custom_plan" if folds else "force_generic_plan"
    name = "visible_" + blake2b(f"{planning} {query}".encode(), digest_size=12).hexdigest()
    definition = sql.load("visible").format(
        name=name, type=argument, result=result, planning=planning, query=query, lone=lone or query, slow=SLOW_MS
    )
    return Function(name, definition, argument, f"{shape.schema}.{shape.name}")
