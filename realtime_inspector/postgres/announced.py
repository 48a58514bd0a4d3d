"""What the catalogue says of tables that announce their changes, asked for every group of notifications."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from realtime_inspector.model import Column, Relation, ReplicaIdentity
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.connect import Connection
from realtime_inspector.postgres.line import Line
from realtime_inspector.postgres.listener import CHANNEL
from realtime_inspector.postgres.sql import quote_identifier, quote_literal

# Triggers fire in the order of their names (https://www.postgresql.org/docs/current/trigger-definition.html): these before
# RI_ConstraintTrigger_…, so that a row is announced before the rows that its foreign keys cascade to.
REMEDY: Final = "Run `realtime-inspector init --source notify` again: it gives published tables with a key their triggers."
ROW_TRIGGER: Final = "00_realtime_inspector_row"
TABLE_TRIGGER: Final = "00_realtime_inspector_table"


def key_expression(names: Iterable[str]) -> str:
    """What a row's trigger is given: the key of the row $1, each value as its type's output function writes it."""
    columns = (f"{quote_literal(name)}, concat(($1).{quote_identifier(name)})" for name in names)
    return f"json_build_object({', '.join(columns)})"


@dataclass(frozen=True, slots=True)
class Announcement:
    """The triggers of a table. `key`: what its row's trigger is given; `complete`: both are there and fire always."""

    oid: int
    sql: str
    key: str
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Silence:
    """`tables`: published ones without our triggers; `queue_usage`: how full Postgres' queue of notifications is, from 0 to 1."""

    tables: frozenset[int]
    queue_usage: float


class Announced:
    """Asks beside the listening session, which must never be in a transaction. Methods raise DatabaseUnavailable."""

    def __init__(self, line: Line, publication: str) -> None:
        self._line = line
        self._publication = publication
        self._known: dict[int, tuple[tuple[Any, ...], Relation]] = {}

    async def published(self) -> bool:
        """Whether the publication exists."""
        query = "select exists (select from pg_catalog.pg_publication where pubname = $1)"
        async with self._line.asking() as connection:
            return bool(await connection.fetchval(query, self._publication))

    async def notify(self, payload: str) -> None:
        """Tells everybody who listens."""
        async with self._line.asking() as connection:
            await connection.execute("select pg_catalog.pg_notify($1, $2)", CHANNEL, payload)

    async def silence(self) -> Silence:
        """What no notification tells."""
        async with self._line.asking() as connection:
            return await read_silence(connection, self._publication)

    async def relations(self, oids: Iterable[int]) -> dict[int, Relation]:
        """The served relations by the oid that a trigger named; the same object as long as nothing about it changes."""
        wanted = [oid for oid in oids if 0 < oid < 1 << 32]
        async with self._line.asking() as connection:
            rows = await connection.fetch(sql.load("announced"), wanted, self._publication)
        return {row["told"]: self._relation(*row.values()) for row in rows}

    def _relation(self, _told: int, mark: str, *facts: Any) -> Relation:
        known = self._known.get(facts[0])
        if known is None or known[0] != (mark, *facts):
            known = self._known[facts[0]] = (mark, *facts), _relation(*facts)
        return known[1]


async def read_silence(connection: Connection, publication: str, table: int | None = None) -> Silence:
    """What no notification tells, of any table or of this one."""
    row = await connection.fetchrow(sql.load("unannounced"), publication, ROW_TRIGGER, TABLE_TRIGGER, table)
    assert row is not None
    return Silence(frozenset(row["silent"]), row["queue_usage"])


def _relation(oid: int, schema: str, name: str, by_index: bool, columns: str) -> Relation:
    """Of an old row only the key is told, as with the default replica identity."""
    identity = ReplicaIdentity.INDEX if by_index else ReplicaIdentity.DEFAULT
    return Relation(oid, schema, name, identity, tuple(Column(*column) for column in orjson.loads(columns)))
