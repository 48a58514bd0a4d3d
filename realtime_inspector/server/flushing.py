"""Writes down now and then what was counted."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

LAST_SECONDS: Final = 1.0
"""How long the last flush may take when the service stops."""


async def flush_every(seconds: float, flush: Callable[[], Awaitable[None]]) -> None:
    """For ever, and once more when it is cancelled."""
    try:
        while True:
            await asyncio.sleep(seconds)
            await flush()
    finally:
        async with asyncio.timeout(LAST_SECONDS):
            await flush()
