"""What the change engine has to look up about relations, types and policies, and the comparisons that only Postgres can make.

One connection of the evaluator login: everything here is readable by everybody, and nothing reads a table's rows.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import asyncpg

from realtime_inspector.errors import DatabaseUnavailable
from realtime_inspector.model import Relation, ReplicaIdentity
from realtime_inspector.postgres import matcher, sql
from realtime_inspector.postgres.connect import FAULTS, Connection, connect
from realtime_inspector.postgres.rights import ACCESS
from realtime_inspector.postgres.shapes import read_shapes
from realtime_inspector.replication.values import TypeCatalog, build_catalog
from realtime_inspector.visibility.explanation import Publishing
from realtime_inspector.visibility.facts import ColumnFacts, Shape
from realtime_inspector.visibility.filters import Condition

MOST_SHAPES = 10_000
"""Relations as the stream described them of which the shape is kept; every DDL makes another one."""
RENAMED = 0
"""Stands for the type of a column whose name may be another column's since: no column has it."""


@dataclass(frozen=True, slots=True)
class Root:
    """What a relation's changes count as. `order`: the places of its columns in the rows as they come; None: as they stand."""

    relation: Relation
    order: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class OldRowPolicies:
    """The SELECT policies of one role as one expression over a tuple; None when they cannot be asked about an old row.

    `timeless`: what they say of the row now is what they said while it was stored.
    """

    expression: str | None
    refusal: str = ""
    timeless: bool = False


class Catalog:
    """Shapes and types are kept until the stream says that a relation changed; policies are read every time."""

    def __init__(self, url: str, *, statement_timeout_ms: int) -> None:
        self._url = url
        self._timeout = statement_timeout_ms
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._shapes: dict[int, tuple[Relation, Shape | None]] = {}  # by id(relation), which the relation here keeps from reuse
        self._roots: dict[int, tuple[Relation | None, Root]] = {}
        self._equal: dict[Relation, Relation] = {}
        self.types: TypeCatalog = build_catalog(())
        self.moved: dict[int, int] = {}
        """Composite types that had other fields before, and the LSN up to which the log may have values of that form."""
        self._types_hold = True

    async def close(self) -> None:
        """Ends the connection; the next question makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    def forget(self) -> None:
        """Drops what is remembered, because something moved without the stream having said so yet."""
        self._shapes.clear()
        self._equal.clear()
        self._types_hold = False
        self._roots = {oid: (None, root) for oid, (_, root) in self._roots.items()}

    async def roots(self, relations: Sequence[Relation]) -> list[Root]:
        """The relation itself or, for a partition, its root table.

        Partitions share one object, unless they differ in what they log. A partition that was dropped since keeps its root.
        """
        known = {id(r): found[1] for r in relations if (found := self._roots.get(r.oid)) is not None and found[0] is r}
        missing = [relation for relation in relations if id(relation) not in known]
        if missing:
            async with self._asking() as connection:
                rows = await connection.fetch(sql.load("roots"), list({relation.oid for relation in missing}))
            by_oid = {row["oid"]: row for row in rows}
        for relation in missing:  # a batch may have several descriptions of one relation, the newest last
            _, former = self._roots.get(relation.oid, (None, Root(relation)))
            row = by_oid.get(relation.oid)
            root = _root(relation, row) if row is not None else _former(relation, former.relation)
            if root.relation is not relation:
                root = replace(root, relation=self._equal.setdefault(root.relation, root.relation))
            known[id(relation)] = root
            self._roots[relation.oid] = relation, root
        return [known[id(relation)] for relation in relations]

    async def shapes(self, relations: Sequence[Relation]) -> list[Shape | None]:
        """The shape of each relation as it is now; None for one that does not exist any more."""
        missing = [relation for relation in relations if id(relation) not in self._shapes]
        if missing:
            if len(self._shapes) > MOST_SHAPES:
                self.forget()
            async with self._asking() as connection:
                found = await read_shapes(connection, {relation.oid for relation in missing})
                known = all(self.types.knows(c.type_oid) for shape in found.values() for c in shape.columns)
                if not known or not self._types_hold:
                    await self._read_types(connection)
            self._shapes.update({id(relation): (relation, found.get(relation.oid)) for relation in missing})
        return [self._shapes[id(relation)][1] for relation in relations]

    async def named(self, schema: str, name: str, publication: str) -> tuple[int, Publishing] | None:
        """The oid of the table that is called so, and what of it is published; None if there is none."""
        async with self._asking() as connection:
            row = await connection.fetchrow(sql.load("named_table"), schema, name, publication)
        if row is None:
            return None
        return row["oid"], Publishing(row["published"], frozenset(row["operations"]), row["row_filter"] or "")

    async def types_hold(self, oids: Iterable[int]) -> bool:
        """Whether composite types within these still have the fields that `types` knows."""
        composites = self.types.composites(oids)
        if not composites:
            return True
        async with self._asking() as connection:
            return bool(await connection.fetchval(sql.load("unmoved_types"), list(composites), list(composites.values())))

    async def _read_types(self, connection: Connection) -> None:
        types = build_catalog([tuple(row) for row in await connection.fetch(sql.load("types"))])
        moved = types.moved(self.types)
        if moved:
            lsn = await connection.fetchval("select (pg_current_wal_insert_lsn() - '0/0')::int8")
            self.moved.update(dict.fromkeys(moved, lsn))
        self.types, self._types_hold = types, True

    async def old_row_policies(self, shape: Shape, roles: Iterable[str]) -> dict[str, OldRowPolicies]:
        """For each role, its policies as an expression over an old row of the relation."""
        async with self._asking() as connection:
            rows = await connection.fetch(sql.load("policies"), shape.oid, list(roles))
        by_role: dict[str, list[asyncpg.Record]] = {role: [] for role in roles}
        for row in rows:
            by_role[row["role"]].append(row)
        return {role: _combine(policies) for role, policies in by_role.items()}

    async def versions(self, relations: Iterable[int], roles: Iterable[str]) -> dict[tuple[int, str], str]:
        """See Access.version: as it is now, by relation and role."""
        async with self._asking() as connection:
            rows = await connection.fetch(ACCESS, [str(oid) for oid in relations], list(roles))
        return {(row["oid"], row["role"]): row["version"] or "" for row in rows}

    async def satisfied(
        self, questions: Iterable[tuple[ColumnFacts, Condition]], values: Sequence[str], *, until: float
    ) -> dict[Condition, frozenset[str] | None]:
        """See matcher.satisfied."""
        async with self._asking() as connection:
            return await matcher.satisfied(connection, questions, values, until=until)

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[Connection]:
        async with self._turn:
            try:
                yield await self._connected()
            except FAULTS as error:
                await self.close()
                raise DatabaseUnavailable(f"the catalogue cannot be read: {error}") from error
            except asyncio.CancelledError:
                await self.close()
                raise

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._url, purpose="catalog", statement_timeout_ms=self._timeout)
        return self._connection


def _root(relation: Relation, row: asyncpg.Record) -> Root:
    """The relation under the name of its root, with no more of its old rows' columns marked than the log surely has."""
    whole = relation.replica_identity is ReplicaIdentity.FULL
    keyed = set(row["key"]) <= {column.name for column in relation.columns if column.is_key}
    if relation.oid == row["root"]:
        if row["full"] if whole else row["keyed"]:
            return Root(relation)
        whole, keyed = False, row["keyed"]
    columns = relation.columns
    if not whole:
        columns = tuple(replace(column, is_key=keyed and column.name in row["key"]) for column in columns)
    places = {name: place for place, name in enumerate(row["order"])}
    own = iter(row["own"])
    if not all(f"{column.name} {column.type_oid}" in own for column in columns):
        columns = tuple(replace(column, type_oid=RENAMED) for column in columns)
    order = tuple(sorted(range(len(columns)), key=lambda place: places.get(columns[place].name, place)))
    return Root(
        Relation(
            oid=row["root"],
            schema=row["schema"],
            name=row["name"],
            replica_identity=ReplicaIdentity.FULL if whole else ReplicaIdentity.DEFAULT,
            columns=tuple(columns[place] for place in order),
        ),
        order if order != tuple(range(len(columns))) else None,
    )


def _former(relation: Relation, root: Relation) -> Root:
    """A relation that was dropped since: of what it was a partition, its changes still are."""
    if relation.oid == root.oid:
        return Root(relation)
    columns = tuple(replace(column, type_oid=RENAMED) for column in relation.columns)
    return Root(replace(relation, oid=root.oid, schema=root.schema, name=root.name, columns=columns))


def _combine(policies: Sequence[asyncpg.Record]) -> OldRowPolicies:
    """All restrictive and one permissive must hold; NULL counts as false; no permissive policy means no row."""
    if not all(policy["repeatable"] for policy in policies):
        return OldRowPolicies(None, "a policy uses a volatile function or reads its own table, which the old row has left")
    permissive = [f"coalesce(({p['expression']}), false)" for p in policies if p["permissive"]]
    restrictive = [f"coalesce(({p['expression']}), false)" for p in policies if not p["permissive"]]
    one = f"({' or '.join(permissive)})" if permissive else "false"
    return OldRowPolicies(" and ".join([*restrictive, one]), timeless=all(policy["timeless"] for policy in policies))
