"""The privileged reader: the changed rows as they stand in one snapshot, which the evaluator then shares.

This login bypasses row-level security, so it must never run code of the application: it selects whole rows by key, by
built-in operators, with an empty search_path, in a read-only transaction. It speaks through libpq because that gives the
text of the types' output functions, byte for byte what the replication stream gives.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
from psycopg import AsyncConnection

from realtime_inspector.errors import DatabaseUnavailable
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.connect import PINNED
from realtime_inspector.postgres.sql import quote_identifier
from realtime_inspector.visibility.facts import Access, Shape

VISIBLE_WITHIN = 5.0
"""Seconds after which a commit that still is not visible counts as a fault (a synchronous standby may hold it back)."""


class RelationMoved(Exception):
    """A table is not as its shape says any more: dropped, renamed, or of other columns than a prepared statement expects."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Rows to fetch of one relation: each key has one text per column of `shape.key`."""

    shape: Shape
    keys: Sequence[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class FetchedRow:
    """A row as it stands: where it is stored, and the text of each column of the result (None for NULL)."""

    ctid: tuple[int, int]
    values: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class FetchedRelation:
    """The result for one Wanted. `columns`: (name, type oid) as they are now; `rows`: index of the key -> row, if it exists."""

    columns: tuple[tuple[str, int], ...]
    rows: dict[int, FetchedRow]


NOTHING = FetchedRelation((), {})


@dataclass(frozen=True, slots=True)
class View:
    """One snapshot: its exported id, who may read what in it (by relation oid, then role), and one result per Wanted."""

    snapshot: str
    access: dict[int, dict[str, Access]]
    relations: list[FetchedRelation]


class SnapshotReader:
    """One connection that opens one snapshot at a time."""

    def __init__(self, url: str, statement_timeout_ms: int) -> None:
        self._url = url
        self._timeout = statement_timeout_ms
        self._connection: AsyncConnection[tuple[object, ...]] | None = None

    async def close(self) -> None:
        """Ends the connection; the next `open` makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    @asynccontextmanager
    async def open(self, xids: Sequence[int], wanted: Sequence[Wanted], roles: Sequence[str]) -> AsyncIterator[View]:
        """A snapshot in which every transaction of `xids` is visible; it can be imported until the block ends.

        Raises DatabaseUnavailable when the connection fails (a new one is made by the next call), RelationMoved when the
        shapes have to be read again.
        """
        try:
            view = await self._open(xids, wanted, roles)
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.FeatureNotSupported) as error:
            await self.close()
            raise RelationMoved(str(error)) from error
        except (psycopg.Error, OSError) as error:
            await self.close()
            raise DatabaseUnavailable(f"the reader failed: {error}") from error
        try:
            yield view
        finally:
            await self._end()

    async def _open(self, xids: Sequence[int], wanted: Sequence[Wanted], roles: Sequence[str]) -> View:
        connection = await self._connected()
        deadline = asyncio.get_running_loop().time() + VISIBLE_WITHIN
        while True:
            view = await self._read(connection, xids, wanted, roles)
            if view is not None:
                return view
            await connection.execute("rollback")
            if asyncio.get_running_loop().time() > deadline:
                raise DatabaseUnavailable("a commit that was streamed did not become visible; is a synchronous standby missing?")
            await asyncio.sleep(0.001)

    async def _read(
        self,
        connection: AsyncConnection[tuple[object, ...]],
        xids: Sequence[int],
        wanted: Sequence[Wanted],
        roles: Sequence[str],
    ) -> View | None:
        """One round trip: everything is sent before the first answer is awaited. None while a commit is not yet visible."""
        async with connection.pipeline():
            await connection.execute("begin isolation level repeatable read read only")
            exported = await connection.execute("select pg_export_snapshot(), pg_current_snapshot()::text")
            access = await connection.execute(sql.load("access"), ([w.shape.oid for w in wanted], list(roles)))
            fetched = [await connection.execute(*_select(w)) if w.keys else None for w in wanted]
        snapshot, visible = await exported.fetchone() or ("", "")
        if not all(sees(str(visible), xid) for xid in xids):
            return None
        return View(
            snapshot=str(snapshot),
            access=_access(await access.fetchall()),
            relations=[NOTHING if cursor is None else _fetched(cursor) for cursor in fetched],
        )

    async def _connected(self) -> AsyncConnection[tuple[object, ...]]:
        if self._connection is None or self._connection.closed:
            self._connection = await AsyncConnection.connect(
                self._url,
                autocommit=True,
                application_name="realtime_inspector reader",
                client_encoding="UTF8",
                options=_options({**PINNED, "statement_timeout": str(self._timeout), "default_transaction_read_only": "on"}),
            )
            self._connection.prepare_threshold = 1
        return self._connection

    async def _end(self) -> None:
        if self._connection is None:
            return
        try:
            await self._connection.execute("rollback")
        except (psycopg.Error, OSError):
            await self.close()


def sees(snapshot: str, xid: int) -> bool:
    """Whether pg_current_snapshot()'s text 'xmin:xmax:running,…' (64-bit ids) includes a committed 32-bit xid's work."""
    xmin, xmax, running = snapshot.split(":")
    behind = (int(xmax) - xid) & 0xFFFFFFFF
    if behind == 0 or behind >= 1 << 31:  # not begun when the snapshot was taken: ids are compared modulo 2**32
        return False
    full = int(xmax) - behind
    return full < int(xmin) or str(full) not in running.split(",")


def _options(settings: dict[str, str]) -> str:
    return " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in settings.items())


def _select(wanted: Wanted) -> tuple[bytes, list[list[str]]]:
    """Finds rows by key. The key's texts travel as text[]; an index is used because this login bypasses the policies."""
    shape = wanted.shape
    types = [column.type_sql for name in shape.key if (column := shape.column(name)) is not None]
    arrays = ", ".join(f"%s::text[]::{_verbatim(type_sql)}[]" for type_sql in types)
    names = ", ".join(f"k{place}" for place in range(len(shape.key)))
    join = " and ".join(f"t.{_verbatim(quote_identifier(name))} = k.k{place}" for place, name in enumerate(shape.key))
    table = _verbatim(f"{quote_identifier(shape.schema)}.{quote_identifier(shape.name)}")
    text = f"select k.place, t.ctid, t.* from unnest({arrays}) with ordinality as k ({names}, place) join {table} as t on {join}"
    return text.encode(), [list(column) for column in zip(*wanted.keys, strict=True)]


def _verbatim(text: str) -> str:
    """Text in which psycopg must not look for placeholders."""
    return text.replace("%", "%%")


def _fetched(cursor: psycopg.AsyncCursor[tuple[object, ...]]) -> FetchedRelation:
    result = cursor.pgresult
    assert result is not None
    columns = range(2, result.nfields)
    rows = {}
    for row in range(result.ntuples):
        place, ctid = result.get_value(row, 0), result.get_value(row, 1)
        assert place is not None
        assert ctid is not None
        rows[int(place) - 1] = FetchedRow(_ctid(ctid), tuple(_text(result.get_value(row, column)) for column in columns))
    return FetchedRelation(tuple((_text(result.fname(column)) or "", result.ftype(column)) for column in columns), rows)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")


def _ctid(text: bytes) -> tuple[int, int]:
    block, offset = text[1:-1].split(b",")
    return int(block), int(offset)


def _access(rows: Sequence[tuple[object, ...]]) -> dict[int, dict[str, Access]]:
    found: dict[int, dict[str, Access]] = {}
    for oid, role, bypasses, checked, whole, columns, reads_claims in rows:
        assert isinstance(oid, int)
        assert isinstance(role, str)
        readable = None if whole else frozenset(columns) if isinstance(columns, list) else frozenset()
        found.setdefault(oid, {})[role] = Access(bool(bypasses), bool(checked), readable, bool(reads_claims))
    return found
