"""The routes that answer why somebody sees something, and who does: for admins, and written down before the answer goes out."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol

import msgspec
from starlette.routing import Route

from realtime_inspector.doctor.lints import Found
from realtime_inspector.errors import InvalidInput, RealtimeError, RoleNotAllowed
from realtime_inspector.identity.impersonation import require_admin
from realtime_inspector.identity.tokens import canonical
from realtime_inspector.model import Identity, Operation
from realtime_inspector.server.answers import Lints, WhoAnswer, WhyAnswer
from realtime_inspector.server.explaining import explained, received
from realtime_inspector.server.keys import Keys
from realtime_inspector.server.rest import Act, Call, Door, route, takes
from realtime_inspector.settings import Settings
from realtime_inspector.visibility.asking import Candidate, Question, Receiver
from realtime_inspector.visibility.explanation import Explanation

LARGEST_CLAIMS: Final = 16_000


class Inquiries(Protocol):
    """Who finds out. Raises NotFound, InvalidInput and DatabaseUnavailable."""

    async def why(self, question: Question) -> Explanation: ...

    async def who(self, event_id: str) -> list[Receiver]: ...


class Trail(Protocol):
    """Where it is recorded what admins look at. `identity`: whom a running session of this admin shows, or NotFound."""

    async def record(
        self,
        action: str,
        admin_user_id: str | None,
        detail: Mapping[str, object],
        *,
        session_id: str | None = None,
        ip_address: str | None = None,
        user_agent: str | None = None,
    ) -> int: ...

    async def identity(self, admin_user_id: str, session_id: str) -> Identity: ...


@dataclass(frozen=True, slots=True)
class Inspecting:
    """What these routes ask of the world."""

    settings: Settings
    keys: Keys
    door: Door
    trail: Trail
    inquiries: Inquiries
    lint: Callable[[], Awaitable[Sequence[Found]]]


class Whom(msgspec.Struct, forbid_unknown_fields=True):
    """An identity: a running impersonation of the caller's, or a role with claims."""

    session_id: str | None = None
    role: str | None = None
    claims: dict[str, Any] | None = None


class Draft(msgspec.Struct, forbid_unknown_fields=True):
    """A candidate policy as it is written in a body."""

    name: str = "candidate"
    command: Literal["ALL", "SELECT", "INSERT", "UPDATE", "DELETE"] = "ALL"
    roles: tuple[str, ...] = ("public",)
    kind: Literal["permissive", "restrictive"] = "permissive"
    using: str | None = None
    check: str | None = None
    replaces: str | None = None

    def candidate(self) -> Candidate:
        """Raises InvalidInput."""
        permissive = self.kind == "permissive"
        return Candidate(self.name, self.using, self.check, self.command, self.roles, permissive, self.replaces)


class _WhatIf(msgspec.Struct, forbid_unknown_fields=True):
    role: str | None = None
    claims: dict[str, Any] | None = None
    policy: Draft | None = None


class _Why(msgspec.Struct, forbid_unknown_fields=True):
    event_id: str | None = None
    schema: str = ""
    table: str = ""
    key: dict[str, str] = {}
    operation: Operation | None = None
    old: dict[str, str | None] | None = None
    session_id: str | None = None
    role: str | None = None
    claims: dict[str, Any] | None = None
    what_if: _WhatIf | None = None


class _Who(msgspec.Struct, forbid_unknown_fields=True):
    event_id: str


def routes(deps: Inspecting) -> list[Route]:
    """Why, who, and lints."""
    api = _Api(deps)

    def at(path: str, **acts: Act) -> Route:
        return route(path, deps.door, **acts)

    return [at("/api/v1/why", POST=api.why), at("/api/v1/who", POST=api.who), at("/api/v1/lints", GET=api.lints)]


async def resolved(deps: Inspecting, admin: str, whom: Whom) -> Identity:
    """The identity. A role has to be one that tokens may name. Raises NotFound, InvalidInput or RoleNotAllowed."""
    if whom.session_id is not None:
        if whom.role is not None or whom.claims is not None:
            raise InvalidInput("A session has a role and claims already", hint="Leave them out, or put them into what_if.")
        identity = await deps.trail.identity(admin, whom.session_id)
        if identity.role not in deps.settings.allowed_roles:
            raise RoleNotAllowed(f"The role {identity.role!r} may not be used here")
        return identity
    if not whom.role:
        raise InvalidInput("Nobody is named", hint="Give session_id, or role with claims.")
    return identity_of(whom.role, whom.claims or {}, deps.settings)


def identity_of(role: str, claims: Mapping[str, object], settings: Settings) -> Identity:
    """The identity that a token with this role and these claims would be."""
    if role not in settings.allowed_roles:
        raise RoleNotAllowed(f"The role {role!r} may not be used here")
    try:
        text = canonical({**claims, "role": role}).decode()
    except ValueError as error:
        raise InvalidInput(f"The claims cannot be written as JSON: {error}") from error
    if len(text) > LARGEST_CLAIMS or "\\u0000" in text.replace("\\\\", ""):
        raise InvalidInput(f"The claims are larger than {LARGEST_CLAIMS} bytes, or hold the character NUL")
    return Identity(role, text)


def label(identity: Identity) -> str:
    """Whom an identity is, in a word or two."""
    subject = msgspec.json.decode(identity.claims).get("sub")
    return f"{identity.role} {subject}" if subject else identity.role


def attempted(candidate: Candidate, about: Mapping[str, str], identities: Sequence[Identity]) -> dict[str, object]:
    """What the trail keeps of a candidate before it is tried: its whole text, for it may read what its identity may."""
    policy = {"policy": candidate.name, "using": candidate.using, "check": candidate.check}
    return {**about, **policy, "as": [label(each) for each in identities]}


class _Api:
    def __init__(self, deps: Inspecting) -> None:
        self._deps = deps

    @takes(_Why)
    async def why(self, call: Call) -> WhyAnswer:
        """POST /why: one row or event, one identity."""
        admin = require_admin(call.token, self._deps.keys.rules)
        asked = await call.body(_Why)
        async with self._noted(call, "trace", admin, _attempted(asked)):
            explanation = await self._explanation(call, admin, asked)
        await self._record(call, "trace", admin, asked.session_id, _told(asked, explanation))
        return explained(explanation)

    async def _explanation(self, call: Call, admin: str, asked: _Why) -> Explanation:
        identity = await resolved(self._deps, admin, Whom(asked.session_id, asked.role, asked.claims))
        wanted = asked.what_if or _WhatIf()
        if wanted.role is not None or wanted.claims is not None:
            claims = msgspec.json.decode(identity.claims) if wanted.claims is None else wanted.claims
            identity = identity_of(wanted.role or identity.role, claims, self._deps.settings)
        candidate = wanted.policy.candidate() if wanted.policy else None
        if candidate is not None:
            about = {"event_id": asked.event_id} if asked.event_id else {"table": f"{asked.schema}.{asked.table}"}
            await self._record(call, "policy_tried", admin, asked.session_id, attempted(candidate, about, [identity]))
        question = Question(
            identity=identity,
            event_id=asked.event_id,
            schema=asked.schema,
            table=asked.table,
            key=asked.key,
            operation=asked.operation,
            old=asked.old,
            candidate=candidate,
        )
        return await self._deps.inquiries.why(question)

    @takes(_Who)
    async def who(self, call: Call) -> WhoAnswer:
        """POST /who: which live channels an event was for."""
        admin = require_admin(call.token, self._deps.keys.rules)
        asked = await call.body(_Who)
        async with self._noted(call, "who", admin, {"event_id": asked.event_id}):
            receivers = await self._deps.inquiries.who(asked.event_id)
        await self._record(call, "who", admin, None, {"event_id": asked.event_id, "shown": len(receivers)})
        return received(receivers)

    async def lints(self, call: Call) -> Lints:
        """GET /lints: what is wrong with tables and policies; no row is read for it."""
        require_admin(call.token, self._deps.keys.rules)
        found = await self._deps.lint()
        return {"findings": [each.told() for each in found], "checked_at": datetime.now(UTC).isoformat()}

    @asynccontextmanager
    async def _noted(self, call: Call, action: str, admin: str, about: Mapping[str, object]) -> AsyncIterator[None]:
        """A look that is refused or fails stands in the trail as well: with its code, for the sentence may tell of a row."""
        try:
            yield
        except RealtimeError as error:
            await self._record(call, action, admin, None, {**about, "error": error.code})
            raise

    async def _record(self, call: Call, action: str, admin: str, session_id: str | None, detail: Mapping[str, object]) -> None:
        who = {"ip_address": call.ip_address, "user_agent": call.user_agent}
        await self._deps.trail.record(action, admin, detail, session_id=session_id, **who)


def _attempted(asked: _Why) -> dict[str, object]:
    """The same of a question without an answer."""
    row = {"event_id": asked.event_id} if asked.event_id else {"table": f"{asked.schema}.{asked.table}", "key": asked.key}
    whom = {"of_session": asked.session_id} if asked.session_id else {"role": asked.role}
    return {**row, **whom, "what_if": asked.what_if is not None}


def _told(asked: _Why, explanation: Explanation) -> dict[str, object]:
    """What the trail keeps: whose eyes and which row, no values of it but its key, and no claims."""
    return {
        "event_id": asked.event_id,
        "table": f"{explanation.schema}.{explanation.table}",
        "key": dict(explanation.key),
        "role": explanation.identity.role,
        "claims_digest": explanation.claims_digest,
        "what_if": asked.what_if is not None,
        "verdict": explanation.told,
    }
