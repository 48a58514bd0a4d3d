"""The REST interface for admins: impersonate with a reason, look at who did, find users, and what the page needs to start.

Every route wants an admin token as bearer; there are no cookies, so no foreign page can borrow one. An impersonation is
written down before its token exists: when the trail cannot be written, there is no token.
"""

import time
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
import structlog
from starlette.routing import Route

from realtime_inspector import __version__
from realtime_inspector.errors import NotFound, RealtimeError, SetupError
from realtime_inspector.identity.impersonation import (
    USER_ROLE,
    Grant,
    Impersonation,
    Kind,
    Selection,
    Wish,
    grant,
    require_admin,
)
from realtime_inspector.identity.tokens import sign
from realtime_inspector.server import accounts, connections, console, looking
from realtime_inspector.server.answers import (
    Config,
    CurrentSession,
    FoundUser,
    Me,
    NoSession,
    Session,
    SessionsPage,
    Started,
    Stopped,
    TargetUser,
    UsersPage,
)
from realtime_inspector.server.deps import Dependencies, end_sessions
from realtime_inspector.server.rest import Act, Call, route, takes

LARGEST_PAGE: Final = 200

_NOBODY: Final = "00000000-0000-0000-0000-000000000000"
_log = structlog.get_logger(__name__)


class _Start(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request to impersonate; all but the reason may be left out."""

    reason: str = ""
    target_user_id: str | None = None
    role: str | None = None
    claims: dict[str, Any] | None = None
    expires_in: int | None = None
    concurrent: bool = False


class _StartFixed(msgspec.Struct, forbid_unknown_fields=True):
    """The same for anon and service, whose role and claims are given."""

    reason: str = ""
    expires_in: int | None = None
    concurrent: bool = False


def routes(deps: Dependencies) -> list[Route]:
    """The routes below /api/v1 that admins use."""
    api = _Api(deps)

    def at(path: str, **acts: Act) -> Route:
        return route(path, deps.door, **acts)

    return [
        at("/api/v1/auth/impersonate", GET=api.current, POST=api.start_chosen, DELETE=api.stop),
        at("/api/v1/auth/impersonate/anon", POST=api.start_anon),
        at("/api/v1/auth/impersonate/service", POST=api.start_service),
        at("/api/v1/auth/impersonate/sessions", GET=api.sessions),
        at("/api/v1/admin/users", GET=api.users),
        at("/api/v1/admin/me", GET=api.me),
        at("/api/v1/inspector/config", GET=api.config),
        *accounts.routes(deps),
        *looking.routes(deps),
        *connections.routes(deps),
        *console.routes(deps),
    ]


class _Api:
    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps
        self._rules = deps.keys.rules

    @takes(_Start)
    async def start_chosen(self, call: Call) -> Started:
        """POST …/impersonate: a user, a user in another role, or a role with claims."""
        return await self._start(call, None)

    @takes(_StartFixed)
    async def start_anon(self, call: Call) -> Started:
        """POST …/impersonate/anon."""
        return await self._start(call, "anon")

    @takes(_StartFixed)
    async def start_service(self, call: Call) -> Started:
        """POST …/impersonate/service."""
        return await self._start(call, "service")

    async def stop(self, call: Call) -> Stopped:
        """DELETE …/impersonate: one running session of the caller's, or all of them."""
        admin = require_admin(call.token, self._rules)
        ended = await self._deps.audit.end(
            *(admin, call.request.query_params.get("session_id"), "stopped"),
            **call.origin,
        )
        end_sessions(self._deps, ended)
        if not ended:
            raise NotFound("No active impersonation session found")
        return {"success": True, "message": "Impersonation session ended", "ended": [session.id for session in ended]}

    async def current(self, call: Call) -> CurrentSession | NoSession:
        """GET …/impersonate: the caller's newest running session, its fields also at the top."""
        admin = require_admin(call.token, self._rules)
        found, _ = await self._deps.audit.list(Selection(admin_user_id=admin, is_active=True, limit=1))
        if not found:
            return {"session": None, "target_user": None}
        session = found[0]
        user = await self._deps.users.find(session.target_user_id) if session.target_user_id else None
        fields = _session(session, time.time())
        return {**fields, "session": fields, "target_user": _target(session, user.email if user else "")}

    async def sessions(self, call: Call) -> SessionsPage:
        """GET …/impersonate/sessions: everybody's, newest first."""
        require_admin(call.token, self._rules)
        selection = Selection(
            admin_user_id=call.text("admin_user_id"),
            target_user_id=call.text("target_user_id"),
            kind=call.text("impersonation_type"),
            is_active=call.flag("is_active"),
            limit=min(call.number("limit", 50), LARGEST_PAGE),
            offset=call.number("offset", 0),
        )
        found, total = await self._deps.audit.list(selection)
        now = time.time()
        page = [_session(session, now) for session in found]
        return {"sessions": page, "total": total, "limit": selection.limit, "offset": selection.offset}

    async def users(self, call: Call) -> UsersPage:
        """GET /admin/users: whom one can impersonate; `exclude_admins` leaves out the caller and users with the admin role."""
        admin = require_admin(call.token, self._rules)
        excluded = {"except_id": admin, "except_role": self._rules.admin_role} if call.flag("exclude_admins") else {}
        limit = min(call.number("limit", 20), LARGEST_PAGE)
        found, total, note = await self._deps.users.search(call.text("search") or "", limit, **excluded)
        page = [FoundUser(id=user.id, email=user.email, role=USER_ROLE, app_metadata=dict(user.app_metadata)) for user in found]
        return UsersPage(users=page, total=total, note=note) if note else UsersPage(users=page, total=total)

    async def me(self, call: Call) -> Me:
        """GET /admin/me: whose token this is."""
        admin = require_admin(call.token, self._rules)
        return {"user": {"id": admin, "email": str(call.token.claims.get("email", "")), "role": call.token.identity.role}}

    async def config(self, call: Call) -> Config:
        """GET /inspector/config: what the page offers. No secret and no URL of a database is in it."""
        admin, settings = require_admin(call.token, self._rules), self._deps.settings
        return {
            "version": __version__,
            "admin": {"id": admin},
            "allowed_roles": list(settings.allowed_roles),
            "privileged_roles": list(settings.privileged_roles),
            "impersonation_seconds": settings.impersonation_seconds,
            "publication": settings.publication,
            "tables": await self._deps.tables(),
        }

    async def _start(self, call: Call, kind: Kind | None) -> Started:
        asked: dict[str, object] = {"type": kind or "user"}
        admin = require_admin(call.token, self._rules)
        try:
            wish, concurrent = await self._wish(call, kind, asked)
            longest = self._deps.settings.impersonation_seconds
            granted = grant(wish, call.token, str(uuid.uuid4()), self._rules, longest, time.time())
        except RealtimeError as error:
            await self._record_refusal(call, admin, error, asked)
            raise
        return await self._hand_out(call, granted, concurrent)

    async def _wish(self, call: Call, kind: Kind | None, asked: dict[str, object]) -> tuple[Wish, bool]:
        if kind is not None:
            fixed = await call.body(_StartFixed)
            return Wish(kind, fixed.reason, seconds=fixed.expires_in), fixed.concurrent
        start = await call.body(_Start)
        target = start.target_user_id
        asked |= {"type": "user" if target else "custom", "target": target, "role": start.role}
        user = await self._deps.users.find(target) if target else None
        if target and user is None:
            raise NotFound("User not found", hint="RTI_USERS_QUERY gives nobody with this id; use a role with claims instead.")
        wish = Wish("user" if user else "custom", start.reason, user, start.role, start.claims or {}, start.expires_in)
        return wish, start.concurrent

    async def _hand_out(self, call: Call, granted: Grant, concurrent: bool) -> Started:
        secret = self._deps.settings.jwt_secret
        if not secret:
            raise SetupError("Impersonation needs a secret to sign tokens", hint="Set RTI_JWT_SECRET.")
        session, replaced = await self._deps.audit.start(granted, **call.origin, concurrent=concurrent)
        end_sessions(self._deps, replaced)
        access_token = sign(granted.claims, secret)
        now = time.time()
        resolved = await self._deps.keys.verify(access_token, now)
        _log.info("impersonation_started", session=session.id, admin=session.admin_user_id, type=session.kind, role=session.role)
        return {
            "session": _session(session, now),
            "target_user": _target(session, granted.claims.get("email", "")),
            "access_token": access_token,
            "refresh_token": "",  # an impersonation ends; whoever needs more time says why again
            "expires_in": max(granted.expires_at - int(now), 0),
            "identity": {"role": resolved.identity.role, "claims": resolved.claims},
        }

    async def _record_refusal(self, call: Call, admin: str, error: RealtimeError, asked: Mapping[str, object]) -> None:
        """As well as it goes: the request is refused in any case."""
        if error.status >= 500:
            return
        try:
            await self._deps.audit.refuse(admin, error.problem, {**asked, "as_role": call.token.identity.role}, **call.origin)
        except RealtimeError as failure:
            _log.warning("refusal_not_recorded", refused=error.code, error=failure.text)


def _session(session: Impersonation, now: float) -> Session:
    expired = session.ended_at is None and session.expires_at.timestamp() <= now
    ended_at = session.expires_at if expired else session.ended_at
    return {
        "id": session.id,
        "admin_user_id": session.admin_user_id,
        "target_user_id": session.target_user_id,
        "impersonation_type": session.kind,
        "target_role": session.role,
        "reason": session.reason,
        "started_at": _text(session.started_at),
        "expires_at": _text(session.expires_at),
        "ended_at": _text(ended_at),
        "end_reason": "expired" if expired else session.end_reason,
        "is_active": ended_at is None,
        "ip_address": session.ip_address,
        "user_agent": session.user_agent,
        "delivered": session.delivered,
        "denied": session.denied,
        "queries": session.queries,
        "traces": session.traces,
    }


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _target(session: Impersonation, email: object) -> TargetUser:
    """Whom the session shows, in the form clients expect: an id and an e-mail even where there is nobody."""
    return {"id": session.target_user_id or _NOBODY, "email": email if isinstance(email, str) else "", "role": session.role}
