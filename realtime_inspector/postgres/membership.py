"""Reads which tables a publication serves at this moment."""

from realtime_inspector.postgres import sql
from realtime_inspector.postgres.connect import Connection
from realtime_inspector.replication.membership import Member, Picture

SCHEMAS_SINCE = 15


async def read_membership(connection: Connection, publication: str) -> Picture | None:
    """The publication with its tables; None when there is none of that name."""
    rows = await connection.fetch(sql.load("membership"), publication)
    if not rows:
        return None
    schemas = {}
    if connection.get_server_version().major >= SCHEMAS_SINCE:
        schemas = {row["schema"]: row["mark"] for row in await connection.fetch(sql.load("membership_schemas"), publication)}
    members = [
        Member(row["oid"], row["schema"], row["name"], f"{row['by_table']}/{schemas.get(row['own_schema'], '')}")
        for row in rows
        if row["oid"] is not None
    ]
    return Picture(rows[0]["publication"], rows[0]["mark"], tuple(members))
