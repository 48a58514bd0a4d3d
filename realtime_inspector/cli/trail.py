"""What the commands about the audit trail share: the reader's connections to the database that holds it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from realtime_inspector.errors import SetupError
from realtime_inspector.postgres.connect import Pool, open_pool
from realtime_inspector.settings import Settings

T = TypeVar("T")


def with_pool(settings: Settings, work: Callable[[Pool], Awaitable[T]]) -> T:
    """Does the work with a connection of the reader's. Raises SetupError when the settings name none."""
    if not settings.reader_url:
        raise SetupError(
            "The settings name no database", hint="Set RTI_READER_URL, or name the env file of init with --env-file."
        )

    async def run() -> T:
        async with _pool(settings) as pool:
            return await work(pool)

    return asyncio.run(run())


@asynccontextmanager
async def _pool(settings: Settings) -> AsyncIterator[Pool]:
    pool = await open_pool(settings.reader_url, purpose="audit", statement_timeout_ms=60_000, connections=1)
    try:
        yield pool
    finally:
        await pool.close()
