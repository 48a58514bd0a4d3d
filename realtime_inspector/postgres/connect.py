"""How this service opens its asyncpg connections: named, pinned to one text form of values, with a deadline."""

from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool

FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""All that asyncpg raises when a question fails; InternalClientError where a connection was cut in the middle of an answer."""
CONNECT_SECONDS = 5
"""So long a connection may take to be made: one that was begun on a silent network says nothing when that is back either."""
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


async def connect(url: str, *, purpose: str, statement_timeout_ms: int) -> Connection:
    """A connection for reading whose application_name tells its purpose."""
    settings = {
        **PINNED,
        "application_name": f"realtime_inspector {purpose}",
        "statement_timeout": str(statement_timeout_ms),
        "default_transaction_read_only": "on",
    }
    command_timeout = statement_timeout_ms / 1000 + 1.0  # a network that is gone says nothing
    return await asyncpg.connect(url, server_settings=settings, timeout=CONNECT_SECONDS, command_timeout=command_timeout)


async def open_pool(url: str, *, purpose: str, statement_timeout_ms: int, connections: int) -> Pool:
    """A pool that connects at its first use, so that it can be made while the database is away."""
    settings = {
        **PINNED,
        "application_name": f"realtime_inspector {purpose}",
        "statement_timeout": str(statement_timeout_ms),
    }
    return await asyncpg.create_pool(url, server_settings=settings, timeout=CONNECT_SECONDS, min_size=0, max_size=connections)
