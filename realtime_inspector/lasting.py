"""Keeps alive what goes on as long as the service: a fault of ours is logged, and costs no more than a moment."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

AGAIN_SECONDS: Final = 1.0
_log = structlog.get_logger(__name__)

Work = Callable[[], Awaitable[None]]
"""Begins what goes on for ever, anew each time."""


async def lasting(name: str, work: Work) -> None:
    """Goes on until it is cancelled, or the work has nothing more to do. `name`: what the log calls it.

    Nobody waits for such work, so nobody would notice if it ended.
    """
    while True:
        try:
            return await work()
        except Exception:
            _log.exception("task_failed", error_id=secrets.token_hex(4), task=name)
            await asyncio.sleep(AGAIN_SECONDS)
