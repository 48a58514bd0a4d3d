"""How this service opens its asyncpg connections: named, pinned to one text form of values, with a deadline."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool

PINNED = {
    "search_path": "",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "row_security": "on",
}
"""Settings on which the text of values depends, equal in the stream, the reader and the evaluator."""

NOTHING: Mapping[str, str] = MappingProxyType({})


async def connect(
    url: str,
    *,
    purpose: str,
    statement_timeout_ms: int,
    read_only: bool = True,
    prepared: bool = True,
    more: Mapping[str, str] = NOTHING,
) -> Connection:
    """A connection whose application_name tells its purpose. `read_only`: every transaction is, unless it says otherwise.

    `prepared`: statements are kept under a name in the session. `more`: further settings of the session.
    """
    settings = {
        **PINNED,
        **more,
        "application_name": f"realtime_inspector {purpose}",
        "statement_timeout": str(statement_timeout_ms),
        "default_transaction_read_only": "on" if read_only else "off",
    }
    return await asyncpg.connect(
        url,
        server_settings=settings,
        timeout=10,
        command_timeout=statement_timeout_ms / 1000 + 1.0,  # a network that is gone says nothing
        statement_cache_size=100 if prepared else 0,
    )


async def open_pool(url: str, *, purpose: str, statement_timeout_ms: int, connections: int) -> Pool:
    """A pool that connects at its first use, so that it can be made while the database is away."""
    settings = {
        **PINNED,
        "application_name": f"realtime_inspector {purpose}",
        "statement_timeout": str(statement_timeout_ms),
    }
    return await asyncpg.create_pool(url, server_settings=settings, timeout=10, min_size=0, max_size=connections)
