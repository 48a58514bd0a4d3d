"""Describes the published tables for the page that offers them."""

import orjson

from realtime_inspector.model import PublishedTable
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.connect import Pool
from realtime_inspector.postgres.failures import told


async def published_tables(pool: Pool, publication: str) -> list[PublishedTable]:
    """{schema, name, rls, replica_identity: default|nothing|full|index, columns: [{name, type, key}]}, by name.

    `key`: part of the primary key. Raises DatabaseUnavailable.
    """
    with told():
        records = await pool.fetch(sql.load("published_tables"), publication)
    return [
        PublishedTable(
            schema=record["schema"],
            name=record["name"],
            rls=record["rls"],
            replica_identity=record["replica_identity"],
            columns=orjson.loads(record["columns"]),
        )
        for record in records
    ]
