"""Writes down who looks through whose eyes, through functions that can add and never change, and reads it back."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import asyncpg

from realtime_inspector.identity.impersonation import Ending, Grant, Impersonation, Selection
from realtime_inspector.identity.tokens import canonical
from realtime_inspector.model import Problem
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.failures import told

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Pool = asyncpg.Pool


class Audit:
    """The trail in the schema realtime_inspector, reached with the reader's login.

    Every method raises DatabaseUnavailable when the trail cannot be reached; then nothing may be handed out.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def start(
        self, granted: Grant, *, ip_address: str | None, user_agent: str | None, concurrent: bool
    ) -> tuple[Impersonation, tuple[Impersonation, ...]]:
        """Records a session and, unless `concurrent`, ends the admin's others in the same transaction; returns it and those."""
        with told():
            records = await self._pool.fetch(
                "select * from realtime_inspector.start_impersonation($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                granted.session_id,
                granted.admin_user_id,
                granted.target_user_id,
                granted.kind,
                granted.role,
                canonical(granted.claims).decode(),
                granted.reason,
                datetime.fromtimestamp(granted.expires_at, UTC),
                ip_address,
                user_agent,
                concurrent,
            )
        *ended, started = (_impersonation(record) for record in records)
        return started, tuple(ended)

    async def end(self, admin_user_id: str, session_id: str | None, ending: Ending) -> tuple[Impersonation, ...]:
        """Ends one of this admin's running sessions, or all of them; returns those that it ended."""
        with told():
            records = await self._pool.fetch(
                "select * from realtime_inspector.end_impersonation($1, $2, $3)", admin_user_id, session_id, ending
            )
        return tuple(_impersonation(record) for record in records)

    async def refuse(
        self,
        admin_user_id: str | None,
        problem: Problem,
        asked: Mapping[str, object],
        *,
        ip_address: str | None,
        user_agent: str | None,
    ) -> None:
        """Records that somebody asked to impersonate and why it was refused; of each value the first 200 characters."""
        detail = {name: _bounded(value) for name, value in {**asked, "code": problem.code, "error": problem.text}.items()}
        with told():
            await self._pool.execute(
                "select realtime_inspector.record_refusal($1, $2, $3, $4)",
                admin_user_id,
                canonical(detail).decode(),
                ip_address,
                user_agent,
            )

    async def list(self, selection: Selection) -> tuple[tuple[Impersonation, ...], int]:
        """One page of recorded sessions, newest first, and how many there are in all."""
        with told():
            records = await self._pool.fetch(
                sql.load("sessions"),
                selection.admin_user_id,
                selection.target_user_id,
                selection.kind,
                selection.is_active,
                selection.limit,
                selection.offset,
            )
        # Past the last page, one record holds the total alone.
        found = tuple(_impersonation(record) for record in records if record["id"] is not None)
        return found, records[0]["total"]

    async def revoked(self) -> tuple[tuple[str, float], ...]:
        """Sessions that were ended while their tokens are not yet expired, with the tokens' expiry (seconds since 1970)."""
        with told():
            records = await self._pool.fetch(
                "select id, expires_at from realtime_inspector.impersonation_sessions "
                "where ended_at is not null and expires_at > now()"
            )
        return tuple((str(record["id"]), record["expires_at"].timestamp()) for record in records)


def _bounded(value: object) -> object:
    """The trail is kept for ever, and jsonb stores no NUL."""
    return value[:200].replace("\x00", "\ufffd") if isinstance(value, str) else value


def _impersonation(record: asyncpg.Record) -> Impersonation:
    return Impersonation(
        id=str(record["id"]),
        admin_user_id=record["admin_user_id"],
        target_user_id=record["target_user_id"],
        kind=record["impersonation_type"],
        role=record["target_role"],
        reason=record["reason"],
        started_at=record["started_at"],
        expires_at=record["expires_at"],
        ended_at=record["ended_at"],
        end_reason=record["end_reason"],
        ip_address=record["ip_address"],
        user_agent=record["user_agent"],
    )
