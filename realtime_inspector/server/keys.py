"""Verifies tokens with the configured keys and those of a JWKS URL, and refuses those of what was ended or revoked."""

import asyncio
import hashlib
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

import httpx
import structlog

from realtime_inspector.errors import (
    InvalidInput,
    KeysUnavailable,
    KeyUnknown,
    RealtimeError,
    RoleNotAllowed,
    TokenClaimsInvalid,
    TokenExpired,
)
from realtime_inspector.identity.keys import Ring, from_jwks, from_secret
from realtime_inspector.identity.passwords import parse
from realtime_inspector.identity.tokens import Rules, canonical, required, verify
from realtime_inspector.model import Identity, Token
from realtime_inspector.settings import Settings

COOLDOWN: Final = 30.0
"""Seconds between two fetches, so that strangers who invent kids cause no more than that."""
REFRESH_AFTER: Final = 300.0
"""Seconds after which the keys are fetched again in the background, so that a withdrawn key stops counting."""
FETCH_WITHIN: Final = 5.0
LARGEST_SET: Final = 262_144
OPAQUE: Final = "sb_"
SHORTEST_OPAQUE: Final = 20
"""Characters: such a key is a password."""
REMEMBERED: Final = 10_000
"""Verified tokens kept by hash: one client joins many channels with the same token."""

Recorded = Callable[[str, str | None, str], Awaitable[bool]]
"""Session, actor and role to whether such a session was started and may run."""
_log = structlog.get_logger(__name__)


class Keys:
    """The TokenVerifier of the service. Raises InvalidInput when built without a key, with a weak one or with an unsafe URL."""

    def __init__(self, settings: Settings) -> None:
        claims = dict(map(required, settings.jwt_claims))
        self.rules = Rules(
            frozenset(settings.allowed_roles), settings.admin_role, settings.jwt_audience, settings.jwt_issuer, claims
        )
        self._configured: Ring = {
            **(from_secret(settings.jwt_secret) if settings.jwt_secret else {}),
            **(from_jwks(settings.jwks) if settings.jwks else {}),
        }
        self._url = _safe(settings.jwks_url)
        if not self._configured and not self._url:
            raise InvalidInput("There is no key to verify tokens", hint="Set RTI_JWT_SECRET, RTI_JWKS or RTI_JWKS_URL.")
        self._opaque = dict(_opaque(entry, self.rules) for entry in settings.api_keys)
        self._ring = self._configured
        self._fetched = False
        self._tried_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None
        self._verified: OrderedDict[bytes, Token] = OrderedDict()
        self._revoked: dict[str, float] = {}
        self._ended_logins: dict[str, float] = {}
        self._revoked_admins: frozenset[str] = frozenset()
        self.admins = parse(settings.admins)
        """Who may sign in with a password."""
        self.recorded: Recorded | None = None
        """Where there is a trail: whether it holds a running session. No other impersonation counts."""
        self._known_sessions: OrderedDict[str, tuple[str | None, str]] = OrderedDict()
        self.knows_revoked = True
        """Whether what was ended and revoked is known; until then no impersonation counts, and no admin."""

    async def verify(self, token: str, now: float) -> Token:
        """A token that may join channels. Raises a TokenError; the admin role opens no channel."""
        verified = await self.authenticate(token, now)
        if verified.identity.role == self.rules.admin_role:
            raise RoleNotAllowed("An admin token opens no channel", hint="Impersonate somebody and use the token you get.")
        return verified

    async def authenticate(self, token: str, now: float) -> Token:
        """Any genuine token that has not expired and was not revoked, the admin's included. Raises a TokenError."""
        if self._url and now - self._tried_at > REFRESH_AFTER:
            self._refresh(now)
        name = _hashed(token)
        if name in self._opaque:
            return self._opaque[name]
        verified = self._verified.get(name)
        if verified is None or verified.expires_at <= now:
            verified = await self._verify(token, now)
        self._remember(name, verified)
        if verified.session_id is not None or verified.identity.role == self.rules.admin_role:
            self._check_standing(verified)
        if verified.session_id is not None and self.recorded is not None:
            await self._check_recorded(verified, verified.session_id, self.recorded)
        return verified

    def revoke(self, session_id: str, expires_at: float) -> None:
        """From now on no token of this impersonation counts. `expires_at` (seconds since 1970): when they end by themselves."""
        self._revoked = _unexpired(self._revoked) | {session_id: expires_at}

    def end_login(self, login: str, expires_at: float) -> None:
        """From now on no token of this sign-in counts."""
        self._ended_logins = _unexpired(self._ended_logins) | {login: expires_at}

    def take_endings(self, sessions: Mapping[str, float], logins: Mapping[str, float], admins: frozenset[str]) -> None:
        """What the trail says has ended; what is known already stays ended, but for admins who were reinstated."""
        self._revoked = _unexpired(self._revoked) | dict(sessions)
        self._ended_logins = _unexpired(self._ended_logins) | dict(logins)
        self._revoked_admins = admins
        self.knows_revoked = True

    async def _check_recorded(self, token: Token, session: str, recorded: "Recorded") -> None:
        """A token may be signed with a right key and yet name a session that was never started. Raises a TokenError."""
        told = (token.actor, token.identity.role)
        if token.identity.role == self.rules.admin_role:
            raise TokenClaimsInvalid("There is no such impersonation", hint="Nobody is given the admin role.")
        if self._known_sessions.get(session) == told:
            return
        try:
            known = await recorded(session, *told)
        except RealtimeError as error:
            raise KeysUnavailable("The trail of impersonations cannot be read", hint="Try again in a moment.") from error
        if not known:
            raise TokenClaimsInvalid("There is no such impersonation", hint="Start one; its token cannot be made elsewhere.")
        self._known_sessions[session] = told
        if len(self._known_sessions) > REMEMBERED:
            self._known_sessions.popitem(last=False)

    def _check_standing(self, token: Token) -> None:
        """Whether what the token comes from still counts. Raises a TokenError."""
        impersonates = token.session_id is not None
        if not self.knows_revoked:
            raise KeysUnavailable("It is not known what was ended or revoked", hint="Try again in a moment.")
        if impersonates and token.session_id in self._revoked:
            raise TokenExpired("The impersonation has ended", hint="Start a new one.")
        person = (token.person or "").lower()
        if person in self._revoked_admins:
            raise RoleNotAllowed("This admin was revoked", hint="Another admin can reinstate them.")
        if token.login is None:
            return
        secret = self.admins.get(person)
        if token.login in self._ended_logins or secret is None or not token.login.startswith(f"{secret.fingerprint}."):
            raise TokenExpired("The admin's sign-in has ended", hint="Sign in again.")

    async def close(self) -> None:
        """Ends a fetch that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def _remember(self, name: bytes, token: Token) -> None:
        self._verified[name] = token
        self._verified.move_to_end(name)
        if len(self._verified) > REMEMBERED:
            self._verified.popitem(last=False)

    async def _verify(self, token: str, now: float) -> Token:
        try:
            return verify(token, self._ring, self.rules, now)
        except KeyUnknown:
            if not self._url:
                raise
        if fetching := self._refresh(now):
            await asyncio.shield(fetching)  # a caller that goes away takes nothing from the others
        try:
            return verify(token, self._ring, self.rules, now)
        except KeyUnknown as error:
            raise error if self._fetched else KeysUnavailable() from error

    def _refresh(self, now: float) -> asyncio.Task[None] | None:
        """The fetch that is under way, or a new one unless the last began a moment ago."""
        if self._fetching is None or self._fetching.done():
            if abs(now - self._tried_at) < COOLDOWN:
                return None
            self._tried_at = now
            self._fetching = asyncio.create_task(self._load())
        return self._fetching

    async def _load(self) -> None:
        """Takes over the set that the URL answers; on any failure the last good set stays."""
        try:
            ring = {**from_jwks(await self._fetch()), **self._configured}
        except (httpx.HTTPError, httpx.InvalidURL, InvalidInput, OSError) as error:
            _log.warning("jwks_not_fetched", error=type(error).__name__, detail=str(error), kept=len(self._ring))
            return
        self._fetched = True
        if ring != self._ring:
            self._ring = ring
            self._verified.clear()  # a key may have been withdrawn

    async def _fetch(self) -> bytes:
        """The body of the set, at most LARGEST_SET bytes. Redirects are errors: the URL is pinned by the settings."""
        assert self._url is not None
        headers = {"accept": "application/json", "accept-encoding": "identity"}  # what cannot be unpacked is no bomb
        proxied = self._url.startswith("https:")
        async with (
            asyncio.timeout(FETCH_WITHIN),
            httpx.AsyncClient(timeout=FETCH_WITHIN, trust_env=proxied) as client,
            client.stream("GET", self._url, headers=headers) as response,
        ):
            response.raise_for_status()
            body = bytearray()
            async for part in response.aiter_raw():
                body += part
                if len(body) > LARGEST_SET:
                    raise InvalidInput(f"The JWK set is larger than {LARGEST_SET} bytes")
        return bytes(body)


def _unexpired(ended: Mapping[str, float]) -> dict[str, float]:
    now = time.time()
    return {name: until for name, until in ended.items() if until > now}


def _hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def _opaque(entry: str, rules: Rules) -> tuple[bytes, Token]:
    """`KEY=ROLE`: an API key that is no JWT, as gateways of Supabase translate them; it never expires."""
    key, _, role = (part.strip() for part in entry.partition("="))
    if not key.startswith(OPAQUE) or len(key) < SHORTEST_OPAQUE or role not in rules.allowed_roles:
        hint = f"Write KEY=ROLE with a key that begins with {OPAQUE} and a role of RTI_ALLOWED_ROLES, separated by commas."
        raise InvalidInput(f"RTI_API_KEYS has an entry that cannot be used, for the role {role!r}", hint=hint)
    claims: dict[str, object] = {"role": role}
    return _hashed(key), Token(Identity(role, canonical(claims).decode()), math.inf, claims)


def _safe(url: str) -> str | None:
    """The URL if what it answers can be trusted: over TLS, or from this machine."""
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return url
    if parts.scheme == "http" and _is_loopback(parts.hostname or ""):
        return url
    raise InvalidInput("RTI_JWKS_URL must use https", hint="Plain http is accepted for 127.0.0.1, ::1 and localhost only.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
