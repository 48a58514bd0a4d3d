"""Looks into the trail for what has ended, so that an ending by any process takes tokens and sockets of all with it.

A short poll and not LISTEN: anybody may notify, a lost notification would be an open door, and poolers deliver none. While the
trail cannot be read nobody knows what has ended, so after a while no impersonation counts, and no admin.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from realtime_inspector.errors import RealtimeError
from realtime_inspector.postgres.audit import Audit
from realtime_inspector.server.keys import Keys

PAUSE: Final = 0.4
"""Seconds between two looks: an ending is known everywhere within a second."""
BLIND_SECONDS: Final = 5.0
_log = structlog.get_logger(__name__)


class Watch:
    """Tells keys and sockets of this process what has ended."""

    def __init__(self, audit: Audit, keys: Keys) -> None:
        self._audit = audit
        self._keys = keys
        self._close_session: Callable[[str], None] = lambda _: None
        self._seen_at = float("-inf")
        self._told = False
        self.known = asyncio.Event()
        """Set once it was read what had ended before."""

    async def run(self, close_session: Callable[[str], None]) -> None:
        """Looks now and then, for ever. `close_session`: closes the sockets of an impersonation."""
        self._close_session = close_session
        while True:
            try:
                await self.look()
                self._told = False
            except Exception as error:  # also a fault of ours: whoever does not know what has ended must not go on as before
                self._miss(error)
            await asyncio.sleep(PAUSE)

    async def look(self) -> None:
        """Raises DatabaseUnavailable. A socket that was let in while its session ended is closed by the next look."""
        await self._audit.expire()
        endings = await self._audit.endings()
        self._keys.take_endings(endings.sessions, endings.logins, endings.admins)
        for session_id in endings.sessions:
            self._close_session(session_id)
        self._seen_at = asyncio.get_running_loop().time()
        self.known.set()

    def _miss(self, error: Exception) -> None:
        if asyncio.get_running_loop().time() - self._seen_at > BLIND_SECONDS:
            self._keys.knows_revoked = False
        if not self._told:
            self._told = True
            fault = None if isinstance(error, RealtimeError) else error
            _log.warning("endings_not_read", reason=str(error), exc_info=fault)
