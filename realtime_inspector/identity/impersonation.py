"""Decides who may look through whose eyes, for how long and why, and what the token for it says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from realtime_inspector.errors import Forbidden, InvalidInput, NotAdmin, ReasonRequired, RoleNotAllowed
from realtime_inspector.identity.tokens import NAMESPACE, Rules, canonical, completed
from realtime_inspector.model import Token

SHORTEST_REASON: Final = 5
LONGEST_REASON: Final = 500
LARGEST_CLAIMS: Final = 12_000
"""Bytes of JSON: the finished token must stay below LONGEST_TOKEN."""

Kind = Literal["user", "anon", "service", "custom"]
Ending = Literal["stopped", "replaced", "revoked"]

USER_ROLE: Final = "authenticated"
"""The role of a signed-in user's token, as PostgREST and Supabase have it."""

_ROLES: Final = {"user": USER_ROLE, "anon": "anon", "service": "service_role"}
_RESERVED: Final = frozenset({"role", "exp", "iat", "nbf", "jti", "session_id", "act", NAMESPACE})


@dataclass(frozen=True, slots=True)
class User:
    """A user of the application as its users table describes it; `email` is empty when there is none."""

    id: str
    email: str = ""
    app_metadata: dict[str, object] = field(default_factory=dict)
    user_metadata: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wish:
    """What an admin asks for. `seconds`: how long, at most; None for as long as is allowed."""

    kind: Kind
    reason: str
    user: User | None = None
    role: str | None = None
    claims: Mapping[str, object] = field(default_factory=dict)
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """What was allowed, ready to be recorded and then signed. `expires_at`: seconds since 1970."""

    session_id: str
    admin_user_id: str
    target_user_id: str | None
    kind: Kind
    role: str
    reason: str
    expires_at: int
    claims: dict[str, object]


@dataclass(frozen=True, slots=True)
class Impersonation:
    """One recorded session. It ends by itself at `expires_at`; that is written down a moment later.

    `delivered`, `denied`: rows, as far as they were written down; `queries`, `traces`: how many were run and looked at.
    """

    id: str
    admin_user_id: str
    target_user_id: str | None
    kind: str
    role: str
    reason: str
    started_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    ip_address: str | None
    user_agent: str | None
    delivered: int = 0
    denied: int = 0
    queries: int = 0
    traces: int = 0


@dataclass(frozen=True, slots=True)
class Selection:
    """Which recorded sessions to list, newest first; None does not restrict."""

    admin_user_id: str | None = None
    target_user_id: str | None = None
    kind: str | None = None
    is_active: bool | None = None
    limit: int = 50
    offset: int = 0


def require_admin(token: Token, rules: Rules) -> str:
    """The admin's id. Raises NotAdmin for every other token, also for one that an admin got by impersonating."""
    if token.session_id is not None:
        raise NotAdmin("An impersonation cannot impersonate again", hint="Use your own admin token.")
    if token.identity.role != rules.admin_role:
        raise NotAdmin(hint=f"This needs a token with the role {rules.admin_role!r}.")
    subject = token.claims.get("sub")
    if not isinstance(subject, str) or not subject.strip():
        raise NotAdmin("The admin token does not say whose it is", hint="Make it with `--sub YOUR_ID`: the audit trail names it.")
    return subject


def grant(wish: Wish, admin: Token, session_id: str, rules: Rules, longest: int, now: float) -> Grant:
    """Applies every rule and returns the claims to sign. `longest`: seconds. Raises Forbidden, InvalidInput or RoleNotAllowed.

    The result never outlives the admin's own token.
    """
    actor = require_admin(admin, rules)
    reason = require_reason(wish.reason)
    role = _role(wish, rules)
    free = _free_claims(wish, rules)
    target = wish.user.id if wish.user else _subject(free)
    if target is not None and target.casefold() == actor.casefold():
        raise InvalidInput("Cannot impersonate yourself")
    expires_at = _expiry(wish.seconds, longest, admin.expires_at, now)
    claims = _claims(wish, rules, int(now)) | free | {"role": role, "iat": int(now), "exp": expires_at}
    issued = {"session_id": session_id, "actor": actor} | ({"login": admin.login} if admin.login else {})
    claims |= {"session_id": session_id, "act": {"sub": actor}, NAMESPACE: issued}
    claims = completed(claims, rules.claims)
    _check_size(claims)
    return Grant(session_id, actor, target, wish.kind, role, reason, expires_at, claims)


def require_reason(text: str) -> str:
    """The reason as it is recorded. Raises ReasonRequired or InvalidInput."""
    reason = " ".join(text.split())
    if not reason:
        raise ReasonRequired
    if len(reason) < SHORTEST_REASON:
        raise ReasonRequired(f"The reason needs at least {SHORTEST_REASON} characters")
    if len(reason) > LONGEST_REASON or not reason.isprintable():
        raise InvalidInput(f"The reason is limited to {LONGEST_REASON} printable characters")
    return reason


def _role(wish: Wish, rules: Rules) -> str:
    role = wish.role if wish.kind == "custom" else _ROLES[wish.kind]
    if wish.kind == "user":
        role = wish.role or role
    if role is None or (wish.kind == "user") != (wish.user is not None):
        raise InvalidInput("Neither target_user_id nor role is given", hint="Name a user, a role, or both.")
    if role == rules.admin_role:
        raise Forbidden("Nobody can be given the admin role", hint="Choose one of the allowed roles.")
    if role not in rules.allowed_roles:
        raise RoleNotAllowed(f"The role {role!r} may not be used here")
    return role


def _free_claims(wish: Wish, rules: Rules) -> dict[str, object]:
    """The claims that the admin wrote by hand, without any that would contradict what is recorded or checked."""
    fixed = _RESERVED | ({"sub", "email", "phone"} if wish.user else set())
    fixed |= {name for name, configured in (("aud", rules.audience), ("iss", rules.issuer)) if configured}
    if refused := sorted(fixed & wish.claims.keys()):
        raise InvalidInput(f"The claim {refused[0]!r} is set by the service", hint=f"Leave out {', '.join(refused)}.")
    if not isinstance(wish.claims.get("sub"), str | None):
        raise InvalidInput("The claim 'sub' is not a string")
    return dict(wish.claims)


def _subject(claims: Mapping[str, object]) -> str | None:
    return str(claims["sub"]) if claims.get("sub") else None


def _expiry(seconds: int | None, longest: int, admin_expires_at: float, now: float) -> int:
    if seconds is not None and seconds < 1:
        raise InvalidInput("expires_in must be at least 1 second")
    return int(min(now + min(seconds or longest, longest), admin_expires_at))


def _claims(wish: Wish, rules: Rules, now: int) -> dict[str, object]:
    """What the token of such a caller says when nobody impersonates, so that policies read the same."""
    issued: dict[str, object] = {"iss": rules.issuer or NAMESPACE}
    if rules.audience:
        issued["aud"] = rules.audience
    if wish.user is None:
        return issued
    return {
        "aud": "authenticated",
        "sub": wish.user.id,
        "email": wish.user.email,
        "phone": "",
        "app_metadata": wish.user.app_metadata,
        "user_metadata": wish.user.user_metadata,
        "is_anonymous": False,
        "aal": "aal1",
        "amr": [{"method": "password", "timestamp": now}],
    } | issued


def _check_size(claims: Mapping[str, object]) -> None:
    try:
        text = canonical(claims)
    except ValueError as error:
        raise InvalidInput(f"The claims cannot be written as JSON: {error}") from error
    if b"\\u0000" in text.replace(b"\\\\", b""):
        raise InvalidInput("The claims hold the character NUL, which Postgres cannot store")
    if len(text) > LARGEST_CLAIMS:
        raise InvalidInput(f"The claims have {len(text)} bytes as JSON; {LARGEST_CLAIMS} are allowed")
