"""Writes down who looks through whose eyes, through functions that can add and never change, and reads it back."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import asyncpg
import orjson

from realtime_inspector.errors import NotFound
from realtime_inspector.identity.impersonation import Ending, Grant, Impersonation, Selection
from realtime_inspector.identity.tokens import canonical
from realtime_inspector.model import Identity, Problem
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.connect import Pool
from realtime_inspector.postgres.failures import told

LONGEST_DETAIL: Final = 20_000
"""Characters of a text in an entry."""


@dataclass(frozen=True, slots=True)
class Endings:
    """Impersonations and sign-ins that were ended, until when their tokens live, and the admins who were revoked."""

    sessions: Mapping[str, float]
    logins: Mapping[str, float]
    admins: frozenset[str]


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

    async def end(
        self,
        admin_user_id: str,
        session_id: str | None,
        ending: Ending,
        *,
        ip_address: str | None = None,
        user_agent: str | None = None,
    ) -> tuple[Impersonation, ...]:
        """Ends one of this admin's running sessions, or all of them; returns those that it ended."""
        with told():
            records = await self._pool.fetch(
                "select * from realtime_inspector.end_impersonation($1, $2, $3, $4, $5)",
                *(admin_user_id, session_id, ending, ip_address, user_agent),
            )
        return tuple(_impersonation(record) for record in records)

    async def expire(self) -> None:
        """Writes down the end of sessions whose time is over."""
        with told():
            await self._pool.execute("select realtime_inspector.expire_impersonations()")

    async def revoke_admin(
        self, admin_user_id: str, by: str, reason: str, *, ip_address: str | None = None, user_agent: str | None = None
    ) -> tuple[Impersonation, ...]:
        """From now on no token of this admin's counts; returns the sessions that ended with that."""
        with told():
            records = await self._pool.fetch(
                "select * from realtime_inspector.revoke_admin($1, $2, $3, $4, $5)",
                *(admin_user_id, by, reason, ip_address, user_agent),
            )
        return tuple(_impersonation(record) for record in records)

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
        """Adds an entry and returns its number; of each text in `detail` the first LONGEST_DETAIL characters.

        `action`: a word that docs/impersonation.md lists, and none that belongs to a session's life.
        """
        bounded = {name: _bounded(value) for name, value in detail.items()}
        with told():
            number = await self._pool.fetchval(
                "select realtime_inspector.record_audit($1, $2, $3, $4, $5, $6)",
                *(action, _bounded(admin_user_id), session_id, canonical(bounded).decode(), ip_address, user_agent),
            )
        return int(number)

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
        detail = {name: _bounded(value, 200) for name, value in {**asked, "code": problem.code, "error": problem.text}.items()}
        await self.record("refused", admin_user_id, detail, ip_address=ip_address, user_agent=user_agent)

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

    async def recorded(self, session_id: str, actor: str | None, role: str) -> bool:
        """Whether this admin started such a session, in this role; it may have ended."""
        with told():
            return bool(
                await self._pool.fetchval(
                    "select exists (select from realtime_inspector.impersonation_sessions "
                    "where id::text = $1 and admin_user_id = $2 and target_role = $3)",
                    *(session_id, actor, role),
                )
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

    async def endings(self) -> Endings:
        """All that has ended while tokens of it may live."""
        with told():
            records = await self._pool.fetch(sql.load("endings"))
        found: dict[str, dict[str, float]] = {"session": {}, "login": {}, "admin": {}}
        for record in records:
            found[record["kind"]][record["name"]] = record["until"] or 0.0
        return Endings(found["session"], found["login"], frozenset(found["admin"]))


def _bounded(value: object, longest: int = LONGEST_DETAIL) -> object:
    """The trail is kept for ever, and Postgres stores no NUL."""
    match value:
        case str():
            return value[:longest].replace("\x00", "\ufffd")
        case Mapping():
            return {str(_bounded(name)): _bounded(each) for name, each in value.items()}
        case list() | tuple():
            return [_bounded(each) for each in value]
        case _:
            return value


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
        **{name: record[name] for name in ("delivered", "denied", "queries", "traces") if name in record},
    )
