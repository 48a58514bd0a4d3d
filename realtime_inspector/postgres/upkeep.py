"""Keeps the partitions of realtime.messages: those of the days to come are made, old ones are dropped."""

import asyncio
from typing import Final

import structlog

from realtime_inspector.errors import RealtimeError
from realtime_inspector.postgres.connect import Pool
from realtime_inspector.postgres.failures import told

EVERY_SECONDS: Final = 3_600.0
AGAIN_SECONDS: Final = 60.0
_log = structlog.get_logger(__name__)


async def keep_partitions(pool: Pool, hours: int) -> None:
    """Goes on for ever. `hours`: so long messages are kept."""
    while True:
        try:
            await look(pool, hours)
            await asyncio.sleep(EVERY_SECONDS)
        except RealtimeError as error:
            _log.warning("partitions_not_kept", reason=error.text, remedy=error.remedy, cause=str(error.__cause__ or ""))
            await asyncio.sleep(AGAIN_SECONDS)


async def look(pool: Pool, hours: int) -> tuple[int, int]:
    """How many partitions were made and dropped. Raises DatabaseUnavailable."""
    with told():
        row = await pool.fetchrow("select made, dropped from realtime_inspector.keep_partitions($1)", hours)
    assert row is not None
    if row["made"] or row["dropped"]:
        _log.info("partitions_kept", made=row["made"], dropped=row["dropped"])
    return row["made"], row["dropped"]
