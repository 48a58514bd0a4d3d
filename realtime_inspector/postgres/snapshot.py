"""The privileged reader: the changed rows as they stand in one snapshot, which the evaluator then shares.

This login bypasses row-level security, so it must never run code of the application: it selects whole rows by key, by
built-in operators, with an empty search_path, in a read-only transaction. It speaks through libpq because that gives the
text of the types' output functions, byte for byte what the replication stream gives.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
from psycopg.pq.abc import PGresult

from realtime_inspector.errors import DatabaseUnavailable
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.circumstances import circumstances_of, facts_of
from realtime_inspector.postgres.connect import PINNED
from realtime_inspector.postgres.rights import ACCESS, Rights
from realtime_inspector.postgres.roundtrip import RoundTrips, Statement, text_array
from realtime_inspector.postgres.sql import quote_identifier, quote_table
from realtime_inspector.visibility.facts import Access, Shape
from realtime_inspector.visibility.reads import Path
from realtime_inspector.visibility.trace import Circumstances

VISIBLE_WITHIN = 5.0
"""Seconds after which a commit that still is not visible counts as a fault (a synchronous standby may hold it back)."""
PLANNER = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
}
"""Planning would take longer than the statements themselves; the one plan must then also do for a table that grows."""
BEGIN = Statement("begin isolation level repeatable read read only")
EXPORT = Statement("select pg_export_snapshot(), pg_current_snapshot()")
OBSERVE = Statement("select null, pg_current_snapshot()")
ROLLBACK = Statement("rollback")
LOOKUP_MS = 500
"""So long the rows of a table without a key may be looked for, which reads the whole table."""
LOOKUP = Statement(f"set local statement_timeout = {LOOKUP_MS}")
MOVED = (psycopg.ProgrammingError, psycopg.DataError, psycopg.NotSupportedError)
"""What Postgres says when a name, a type or a column is not there any more, or a key's text is none of its type."""


class RelationMoved(Exception):
    """A table is not as its shape says any more: dropped, renamed, or of other columns or types."""


class TookTooLong(Exception):
    """The rows of a table without a key could not be found in time."""

    def __init__(self, oid: int) -> None:
        super().__init__(oid)
        self.oid = oid


@dataclass(frozen=True, slots=True)
class Wanted:
    """Rows to fetch of one relation: each key has one text per column of `shape.key`.

    Without a key: per column of `content`, which are all that the log has, None for NULL.
    """

    shape: Shape
    keys: Sequence[tuple[str | None, ...]]
    content: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FetchedRow:
    """A row as it stands: where it is stored, and the text of each column of the result (None for NULL).

    `ctid`: in a partitioned table with the oid of the partition and a blank in front, because each has its own.
    """

    ctid: str
    values: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class FetchedRelation:
    """The result for one Wanted. `columns`: (name, type oid) as they are now; `rows`: index of the key -> row, if it exists."""

    columns: tuple[tuple[str, int], ...]
    rows: dict[int, FetchedRow]


NOTHING = FetchedRelation((), {})


@dataclass(frozen=True, slots=True)
class View:
    """One snapshot: its id if it is exported, who may read what in it (by relation oid, then role), one result per Wanted."""

    snapshot: str
    access: dict[int, dict[str, Access]]
    relations: list[FetchedRelation]


class SnapshotReader:
    """One connection that opens one snapshot at a time."""

    def __init__(self, url: str, statement_timeout_ms: int, declared: Mapping[str, frozenset[Path]] | None = None) -> None:
        self._url = url
        self._timeout = statement_timeout_ms
        self._deadline = statement_timeout_ms / 1000 + 1.0  # a network that is gone says nothing
        self._rights = Rights(declared or {})
        self._trips: RoundTrips | None = None

    async def close(self) -> None:
        """Ends the connection; the next `open` makes a new one."""
        trips, self._trips = self._trips, None
        if trips is not None:
            trips.close()

    @asynccontextmanager
    async def open(
        self, xids: Sequence[int], wanted: Sequence[Wanted], roles: Sequence[str], *, shared: bool = True
    ) -> AsyncIterator[View]:
        """A snapshot in which every transaction of `xids` is visible, for as long as the block lasts.

        `shared`: it is exported at once; otherwise `share` can still do so, at the price of a round trip. Raises
        DatabaseUnavailable when the connection fails (a new one is made by the next call), RelationMoved when the shapes have to
        be read again, TookTooLong for a table without a key that is too large.
        """
        within = VISIBLE_WITHIN + self._deadline * (1 + len(wanted))
        async with self._failing(), asyncio.timeout(within):
            view = await self._open(xids, wanted, roles, EXPORT if shared else OBSERVE)
        try:
            yield view
        finally:
            async with self._failing():
                if self._trips is not None:
                    self._trips.tell(ROLLBACK)

    async def share(self) -> str:
        """Exports the open snapshot and returns its id. Raises DatabaseUnavailable."""
        async with self._failing(), asyncio.timeout(self._deadline):
            (exported,) = await (await self._connected()).ask(EXPORT)
        return _text(exported.get_value(0, 0)) or ""

    async def sample(self, shape: Shape, limit: int) -> FetchedRelation:
        """Some rows of a relation in the open snapshot, as they happen to be stored. Raises DatabaseUnavailable."""
        text = f"select row_number() over (), {_stored(shape)}, t.* from {_source(shape)} as t limit {limit:d}"
        async with self._failing(), asyncio.timeout(self._deadline):
            (result,) = await (await self._connected()).ask(Statement(text))
        return _fetched(result)

    async def circumstances(self, oid: int, roles: Sequence[str]) -> dict[str, Circumstances]:
        """What decides about a relation, by role, in the open snapshot; see Tracing.circumstances. Raises DatabaseUnavailable."""
        async with self._failing(), asyncio.timeout(self._deadline):
            results = await (await self._connected()).ask(*(facts_of(oid, role) for role in roles))
        return circumstances_of(roles, results)

    @asynccontextmanager
    async def _failing(self) -> AsyncIterator[None]:
        """Whatever fails, or is cancelled half-way, costs the connection."""
        try:
            yield
        except BaseException as error:
            await self.close()
            if isinstance(error, MOVED) and not isinstance(error, psycopg.errors.InsufficientPrivilege):
                raise RelationMoved(str(error)) from error
            if isinstance(error, (psycopg.Error, OSError)):
                raise DatabaseUnavailable(f"the reader failed: {error}") from error
            raise

    async def _open(self, xids: Sequence[int], wanted: Sequence[Wanted], roles: Sequence[str], export: Statement) -> View:
        trips = await self._connected()
        deadline = asyncio.get_running_loop().time() + VISIBLE_WITHIN
        oids = [str(each.shape.oid) for each in wanted]
        access = Statement(ACCESS, (text_array(oids), text_array(roles)))
        served = [each.shape for each in wanted if each.shape.refusal is None]
        names = [quote_table(shape.schema, shape.name) for shape in served]
        # Held before the snapshot is taken: what rows, rights, columns and tables are called then stays so until the end.
        holds = [Statement(f"lock table {_source(shape)} in access share mode") for shape in served]
        unmoved = Statement(sql.load("unmoved"), (text_array(names), text_array([shape.signature for shape in served])))
        rows = [_select(each) for each in wanted if each.keys and each.shape.key]
        while True:
            answers = await trips.ask(BEGIN, *holds, export, access, unmoved, *rows)
            exported, readable, found, *fetched = answers[1 + len(holds) :]
            snapshot, visible = (_text(exported.get_value(0, column)) or "" for column in (0, 1))
            if all(sees(visible, xid) for xid in xids):
                _check(served, found)
                results = iter(fetched)
                rights = await self._rights.read(readable, trips)
                relations = [
                    NOTHING if not each.keys else _fetched(next(results) if each.shape.key else await _search(trips, each))
                    for each in wanted
                ]
                return View(snapshot, rights, relations)
            trips.tell(ROLLBACK)
            if asyncio.get_running_loop().time() > deadline:
                raise DatabaseUnavailable("a commit that was streamed did not become visible; is a synchronous standby missing?")
            await asyncio.sleep(0.001)

    async def _connected(self) -> RoundTrips:
        if self._trips is None:
            settings = {**PINNED, **PLANNER, "statement_timeout": str(self._timeout), "default_transaction_read_only": "on"}
            self._trips = await RoundTrips.open(self._url, "reader", settings, prepares=True)
        return self._trips


def sees(snapshot: str, xid: int) -> bool:
    """Whether pg_current_snapshot()'s text 'xmin:xmax:running,…' (64-bit ids) includes a committed 32-bit xid's work."""
    xmin, xmax, running = snapshot.split(":")
    behind = (int(xmax) - xid) & 0xFFFFFFFF
    if behind == 0 or behind >= 1 << 31:  # not begun when the snapshot was taken: ids are compared modulo 2**32
        return False
    full = int(xmax) - behind
    return full < int(xmin) or str(full) not in running.split(",")


def _check(shapes: Sequence[Shape], unmoved: PGresult) -> None:
    """Another table may have been given the name since, or a column that of another one: they have other rights."""
    for number, shape in enumerate(shapes):
        if unmoved.get_value(number, 0) != b"t":
            raise psycopg.errors.UndefinedTable(f"{shape.schema}.{shape.name} is another table now")


def _source(shape: Shape) -> str:
    """The rows of this table: with its partitions, but without tables that inherit from it, which have policies of their own."""
    table = quote_table(shape.schema, shape.name)
    return table if shape.partitioned else f"only {table}"


def _select(wanted: Wanted) -> Statement:
    """Finds rows by key. The key's texts travel as text[]; an index is used because this login bypasses the policies."""
    shape = wanted.shape
    types = [column.type_sql for name in shape.key if (column := shape.column(name)) is not None]
    arrays = ", ".join(f"${place}::text[]::{type_sql}[]" for place, type_sql in enumerate(types, 1))
    names = ", ".join(f"k{place}" for place in range(len(shape.key)))
    equal = zip(shape.key, shape.key_operators, strict=True)
    join = " and ".join(f"t.{quote_identifier(name)} {operator} k.k{place}" for place, (name, operator) in enumerate(equal))
    source = f"unnest({arrays}) with ordinality as k ({names}, place) join {_source(shape)} as t on {join}"
    text = f"select k.place, {_stored(shape)}, t.* from {source}"
    return Statement(text, [text_array(column) for column in zip(*wanted.keys, strict=True)])


async def _search(trips: RoundTrips, wanted: Wanted) -> PGresult:
    """Finds rows by their whole content; of equal ones any, because nothing tells them apart.

    Contents are compared as the texts of the output functions, which format uses; a cast to text might be the application's.
    """
    names = [f"k{place}" for place in range(len(wanted.content))]
    arrays = ", ".join(f"${place}::text[]" for place in range(1, len(names) + 1))
    columns = ", ".join(f"t.{quote_identifier(name)}" for name in wanted.content)
    given, stored = f"row({', '.join(f'k.{name}' for name in names)})", f"row({columns})"
    join = f"format('%s', {stored}) collate \"C\" = format('%s', {given}) collate \"C\""
    source = f"unnest({arrays}) with ordinality as k ({', '.join(names)}, place) join {_source(wanted.shape)} as t on {join}"
    text = f"select distinct on (k.place) k.place, {_stored(wanted.shape)}, t.* from {source}"
    try:
        _, result = await trips.ask(LOOKUP, Statement(text, [text_array(column) for column in zip(*wanted.keys, strict=True)]))
    except psycopg.errors.QueryCanceled as error:
        raise TookTooLong(wanted.shape.oid) from error
    return result


def _stored(shape: Shape) -> str:
    return "format('%s %s', t.tableoid::oid, t.ctid)" if shape.partitioned else "t.ctid"


def _fetched(result: PGresult) -> FetchedRelation:
    columns = range(2, result.nfields)
    rows = {}
    for row in range(result.ntuples):
        place, ctid = result.get_value(row, 0), result.get_value(row, 1)
        assert place is not None
        assert ctid is not None
        rows[int(place) - 1] = FetchedRow(ctid.decode(), tuple(_text(result.get_value(row, column)) for column in columns))
    return FetchedRelation(tuple((_text(result.fname(column)) or "", result.ftype(column)) for column in columns), rows)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")
