"""Reads the lasting facts of relations: columns, types, key, kind."""

from collections.abc import Iterable

import asyncpg
import orjson

from realtime_inspector.model import ReplicaIdentity
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.connect import Connection
from realtime_inspector.visibility.facts import ColumnFacts, Kind, Shape
from realtime_inspector.visibility.filters import Comparable


async def read_shapes(connection: Connection, oids: Iterable[int]) -> dict[int, Shape]:
    """The shapes of the relations that exist, by oid. The connection's search_path must be empty."""
    return {row["oid"]: _shape(row) for row in await connection.fetch(sql.load("shapes"), list(oids))}


def _shape(row: asyncpg.Record) -> Shape:
    return Shape(
        oid=row["oid"],
        schema=row["schema"],
        name=row["name"],
        kind=Kind(row["kind"]),
        is_partition=row["is_partition"],
        replica_identity=ReplicaIdentity(row["replica_identity"]),
        columns=tuple(
            ColumnFacts(
                name=column["name"],
                type_oid=column["type_oid"],
                type_name=column["type_name"],
                type_sql=column["type_sql"],
                category=column["category"],
                comparable=Comparable(exact=column["exact"], integer=column["integer"]),
                collation=column["collation"],
                generated=column["generated"],
            )
            for column in orjson.loads(row["columns"])
        ),
        key=tuple(row["key"]),
        key_operators=tuple(row["key_operators"]),
        layout=tuple(row["layout"]),
        key_leakproof=row["key_leakproof"],
        storage=row["storage"],
    )
