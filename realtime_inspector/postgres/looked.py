"""Whom a running impersonation shows, and the note that an admin looked at something."""

from collections.abc import Mapping

import orjson
import structlog

from realtime_inspector.errors import NotFound
from realtime_inspector.identity.tokens import canonical
from realtime_inspector.model import Identity
from realtime_inspector.postgres.audit import Pool
from realtime_inspector.postgres.failures import told

_log = structlog.get_logger(__name__)


class Looked:
    """Reads sessions with the reader's login."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def record(
        self,
        action: str,
        admin_user_id: str | None,
        detail: Mapping[str, object],
        *,
        session_id: str | None = None,
        ip_address: str | None = None,
        user_agent: str | None = None,
    ) -> int:
        """Writes the look down in the log."""
        _log.info(
            "looked", action=action, admin=admin_user_id, session=session_id, detail=detail, ip=ip_address, agent=user_agent
        )
        return 0

    async def identity(self, admin_user_id: str, session_id: str) -> Identity:
        """As whom a running session of this admin looks. Raises NotFound for any other session."""
        with told():
            record = await self._pool.fetchrow(
                "select target_role, claims::text as claims from realtime_inspector.impersonation_sessions "
                "where id::text = $1 and admin_user_id = $2 and ended_at is null and expires_at > clock_timestamp()",
                *(session_id, admin_user_id),
            )
        if record is None:
            raise NotFound("No such running impersonation of yours", hint="Start one and name its id as session_id.")
        return Identity(record["target_role"], canonical(orjson.loads(record["claims"])).decode())
