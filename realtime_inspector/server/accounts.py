"""Signs admins in and out: a password against a short-lived token, written down before the token exists."""

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NoReturn

import msgspec
from starlette.routing import Route

from realtime_inspector.errors import InvalidInput, SetupError, SignInFailed, TokenExpired, TooManyAttempts
from realtime_inspector.identity.impersonation import require_admin, require_reason
from realtime_inspector.identity.passwords import LONGEST, NOBODY, Secret, find
from realtime_inspector.identity.tokens import NAMESPACE, completed, sign
from realtime_inspector.server.answers import Reinstated, Revoked, SignedIn, SignedOut
from realtime_inspector.server.attempts import Attempts
from realtime_inspector.server.deps import Dependencies, end_sessions
from realtime_inspector.server.rest import Call, route, takes

PER_PERSON: Final = 5
"""Attempts a minute for one e-mail from one address."""
PER_ADDRESS: Final = 20
PER_EMAIL: Final = 30
"""From everywhere; more than PER_PERSON, so that a stranger cannot lock an admin out from one address."""
ALTOGETHER: Final = 120
AT_A_TIME: Final = 2
"""Passwords that are checked at the same time: each takes 32 MiB and a core."""


class _Login(msgspec.Struct, forbid_unknown_fields=True):
    email: str
    password: str


class _Refresh(msgspec.Struct):
    refresh_token: str = ""


class _Nothing(msgspec.Struct):
    pass


class _Admin(msgspec.Struct, forbid_unknown_fields=True):
    admin_user_id: str
    reason: str = ""


def routes(deps: Dependencies) -> list[Route]:
    """Signing in and out, and taking the right to it away."""
    accounts = _Accounts(deps)
    anybody = replace(deps.door, authenticate=None)
    return [
        route("/api/v1/admin/login", anybody, POST=accounts.login),
        route("/api/v1/admin/refresh", anybody, POST=accounts.refresh),
        route("/api/v1/admin/logout", deps.door, POST=accounts.logout),
        route("/api/v1/admin/revoke", deps.door, POST=accounts.revoke),
        route("/api/v1/admin/reinstate", deps.door, POST=accounts.reinstate),
    ]


class _Accounts:
    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps
        self._rules = deps.keys.rules
        self._attempts = Attempts()
        self._checking = asyncio.Semaphore(AT_A_TIME)

    @takes(_Login)
    async def login(self, call: Call) -> SignedIn:
        """POST /admin/login: for those whom RTI_ADMINS names."""
        given = await call.body(_Login)
        admin, secret = find(self._deps.keys.admins, given.email[:LONGEST])
        names = {
            f"{admin} from {call.ip_address}": PER_PERSON,
            f"email {admin}": PER_EMAIL,
            f"address {call.ip_address}": PER_ADDRESS,
            "all": ALTOGETHER,
        }
        if not self._attempts.admit(*names.items()):
            await self._tell_blocked(call, admin)
            raise TooManyAttempts
        if not await self._is_right(given.password, secret) or secret is None:
            await self._record(call, "login_failed", admin if secret else None, {"email": admin})
            raise SignInFailed
        self._attempts.forgive(*names)
        return await self._let_in(call, admin, secret)

    @takes(_Refresh)
    async def refresh(self, call: Call) -> NoReturn:
        """POST /admin/refresh: a sign-in is not renewed without the password, so there is no refresh token to send."""
        await call.body(_Refresh)
        raise TokenExpired("A sign-in cannot be renewed", hint="Sign in again.")

    @takes(_Nothing)
    async def logout(self, call: Call) -> SignedOut:
        """POST /admin/logout: ends the caller's impersonations and the sign-in that the token comes from, if there is one."""
        admin = require_admin(call.token, self._rules)
        await call.body(_Nothing)
        token = call.token
        detail = {"login": token.login, "expires_at": token.expires_at} if token.login else {}
        await self._record(call, "logout", admin, detail)
        ended = await self._deps.audit.end(admin, None, "stopped", **call.origin)
        end_sessions(self._deps, ended)
        if token.login:
            self._deps.keys.end_login(token.login, token.expires_at)
        return {"success": True, "ended": [session.id for session in ended], "token_ended": token.login is not None}

    @takes(_Admin)
    async def revoke(self, call: Call) -> Revoked:
        """POST /admin/revoke: nothing of this admin's counts any more, whoever signed the token."""
        by, wanted = require_admin(call.token, self._rules), await call.body(_Admin)
        admin, reason = _whom(wanted), require_reason(wanted.reason)
        if admin == by.lower():
            raise InvalidInput("Nobody revokes themselves", hint="Sign out instead.")
        ended = await self._deps.audit.revoke_admin(admin, by, reason, **call.origin)
        end_sessions(self._deps, ended)
        await self._deps.refresh_endings()
        return {"success": True, "admin_user_id": admin, "ended": [session.id for session in ended]}

    @takes(_Admin)
    async def reinstate(self, call: Call) -> Reinstated:
        """POST /admin/reinstate: takes a revocation back; what it ended stays ended."""
        by, wanted = require_admin(call.token, self._rules), await call.body(_Admin)
        admin, reason = _whom(wanted), require_reason(wanted.reason)
        await self._record(call, "admin_reinstated", by, {"admin": admin, "reason": reason})
        await self._deps.refresh_endings()
        return {"success": True, "admin_user_id": admin}

    async def _is_right(self, password: str, secret: Secret | None) -> bool:
        """Takes as long whether there is such an admin or not."""
        if len(password) > LONGEST:
            return False
        async with self._checking:
            return await asyncio.to_thread((secret or NOBODY).matches, password)

    async def _let_in(self, call: Call, admin: str, secret: Secret) -> SignedIn:
        settings = self._deps.settings
        if not settings.jwt_secret:
            raise SetupError("Signing in needs a secret to sign tokens", hint="Set RTI_JWT_SECRET.")
        now = int(time.time())
        login, expires_at = f"{secret.fingerprint}.{secrets.token_hex(8)}", now + settings.admin_seconds
        claims: dict[str, object] = {"role": self._rules.admin_role, "sub": admin, "email": admin, "iat": now, "exp": expires_at}
        claims |= {"iss": self._rules.issuer or NAMESPACE, NAMESPACE: {"login": login}}
        claims |= {"aud": self._rules.audience} if self._rules.audience else {}
        access_token = sign(completed(claims, self._rules.claims), settings.jwt_secret)
        await self._deps.keys.authenticate(access_token, now)  # who was revoked does not get in
        await self._record(call, "login", admin, {"login": login, "expires_at": expires_at})
        return {
            "user": {"id": admin, "email": admin, "role": self._rules.admin_role},
            "access_token": access_token,
            "refresh_token": "",
            "expires_in": settings.admin_seconds,
        }

    async def _tell_blocked(self, call: Call, admin: str) -> None:
        """Once a minute: the trail is kept for ever."""
        if self._attempts.admit((f"blocked {admin} from {call.ip_address}", 1), ("blocked", PER_EMAIL)):
            await self._record(call, "login_blocked", None, {"email": admin})

    async def _record(self, call: Call, action: str, admin: str | None, detail: Mapping[str, object]) -> None:
        await self._deps.audit.record(action, admin, detail, **call.origin)


def _whom(wanted: _Admin) -> str:
    admin = wanted.admin_user_id.strip().lower()
    if not admin:
        raise InvalidInput("admin_user_id is empty", hint="The id is what stands as admin_user_id in the trail.")
    return admin
