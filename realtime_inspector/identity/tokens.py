"""Reads a JWT: from its text to a Token with an Identity, or to the one TokenError that says what is wrong with it.

Rules: RFC 8725. The header is written by whoever sends the token, so it only picks an entry of the key ring; `exp` and `role`
are required and checked by type; whatever two readers could understand differently (double keys, padding, NaN) is refused.
"""

import base64
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn
from urllib.parse import unquote

import orjson
from jwt import PyJWS

from realtime_inspector.errors import (
    InvalidInput,
    KeyUnknown,
    RoleNotAllowed,
    TokenClaimsInvalid,
    TokenExpired,
    TokenMalformed,
    TokenMissing,
    TokenSignatureInvalid,
)
from realtime_inspector.identity.keys import ALGORITHMS, Ring
from realtime_inspector.model import Identity, Token

LONGEST_TOKEN: Final = 16_384
"""Characters; the usual limit of HTTP servers for all headers together."""
CLOCK_SKEW: Final = 30
"""Seconds that an issuer's clock may be ahead of ours (RFC 7519 section 4.1.5: "some small leeway")."""
NAMESPACE: Final = "realtime_inspector"
"""The claim in which tokens of this service carry the session and the actor of an impersonation, and an admin's sign-in."""

_COMPACT: Final = re.compile(r"([\w-]+)\.([\w-]+)\.([\w-]+)", re.ASCII)
_LATEST: Final = 2**53


@dataclass(frozen=True, slots=True)
class Rules:
    """Which tokens count. An empty audience or issuer is not checked; the admin role opens the admin API only.

    `claims`: what else must stand in a token: by the path of a claim, keys after dots, its value, or the JSON text of it.

    Raises InvalidInput for role names that Postgres or this program would take for something else.
    """

    allowed_roles: frozenset[str]
    admin_role: str
    audience: str = ""
    issuer: str = ""
    claims: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for role in (*self.allowed_roles, self.admin_role):
            # SET ROLE none means the login itself; public is everybody.
            if not role or "\x00" in role or role.lower() in {"none", "public"}:
                raise InvalidInput(f"{role!r} cannot be a role of a token", hint="Correct RTI_ALLOWED_ROLES and RTI_ADMIN_ROLE.")
        if self.admin_role in self.allowed_roles:
            raise InvalidInput(
                f"The admin role {self.admin_role!r} must not be one of the allowed roles",
                hint="Otherwise every such user could impersonate others. Name a role of its own in RTI_ADMIN_ROLE.",
            )


def verify(token: str, ring: Ring, rules: Rules, now: float) -> Token:
    """The Token that this text stands for at `now` (seconds since 1970); raises a TokenError and nothing else.

    Percent-encoding and whitespace are tolerated, as they come from URLs and copied lines. Raises KeyUnknown when the key may
    be missing from the ring, so that a caller can look for newer keys.
    """
    return _token(_signed_claims(token, ring), rules, now)


def sign(claims: Mapping[str, object], secret: str) -> str:
    """A token with these claims, signed with the shared secret (HS256)."""
    return PyJWS().encode(canonical(claims), secret, "HS256")


def required(entry: str) -> tuple[str, str]:
    """A setting's entry, `claim=value` or `claim.key=value`, for `Rules.claims`. Raises InvalidInput."""
    path, given, value = entry.partition("=")
    if not given or not all(path.strip().split(".")):
        raise InvalidInput(
            f"RTI_JWT_CLAIMS has an entry that cannot be used: {entry!r}", hint="Write CLAIM=VALUE, separated by commas."
        )
    return path.strip(), value.strip()


def completed(claims: Mapping[str, object], required: Mapping[str, str]) -> dict[str, object]:
    """The claims with those that must be there; what they say already stays."""
    whole = dict(claims)
    for path, value in required.items():
        first, _, rest = path.partition(".")
        held = whole.get(first)
        if not rest:
            whole.setdefault(first, value)
        elif held is None or isinstance(held, dict):
            whole[first] = completed(held or {}, {rest: value})
    return whole


def canonical(claims: Mapping[str, object]) -> bytes:
    """The JSON text of claims with sorted keys: equal claims have equal texts. Raises ValueError when they have none."""
    try:
        return orjson.dumps(claims, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:  # an integer over 64 bits, a lone surrogate, nesting without end
        raise ValueError(str(error)) from error


def _signed_claims(token: str, ring: Ring) -> dict[str, object]:
    text = "".join(unquote(token).split()) if len(token) <= LONGEST_TOKEN else ""
    if not token.strip():
        raise TokenMissing
    parts = _COMPACT.fullmatch(text)
    if parts is None:
        raise TokenMalformed
    header = _object(_bytes(parts[1]))
    payload, signature = _bytes(parts[2]), _bytes(parts[3])
    _check_signature(header, text[: parts.end(2)].encode(), signature, ring)
    return _object(payload)


def _check_signature(header: dict[str, object], message: bytes, signature: bytes, ring: Ring) -> None:
    algorithm, kid = header.get("alg"), header.get("kid", "")
    # Extensions that must be understood (RFC 7515 section 4.1.11) are not; b64 would change what is signed (RFC 7797).
    if not isinstance(algorithm, str) or not isinstance(kid, str) or "crit" in header or "b64" in header:
        raise TokenMalformed
    if algorithm not in ALGORITHMS:
        raise TokenSignatureInvalid(hint=f"Use one of {', '.join(sorted(ALGORITHMS))}.")
    known = ring.get((kid, algorithm))
    key = known or ring.get((None, algorithm))
    if key is None or not key.signed(message, signature):
        raise KeyUnknown if known is None else TokenSignatureInvalid


def _bytes(segment: str) -> bytes:
    padded = segment + "=" * (-len(segment) % 4)
    try:
        data = base64.urlsafe_b64decode(padded)
    except ValueError as error:
        raise TokenMalformed from error
    if base64.urlsafe_b64encode(data) != padded.encode():  # left-over bits: the same token in a second spelling
        raise TokenMalformed
    return data


def _object(data: bytes) -> dict[str, object]:
    try:
        value = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise TokenMalformed from error
    if not isinstance(value, dict):
        raise TokenMalformed
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice")  # readers disagree on which one counts (RFC 8259 section 4)
    return made


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def _token(claims: dict[str, object], rules: Rules, now: float) -> Token:
    expires_at = _expiry(claims, now)
    role = claims.get("role")
    if not isinstance(role, str) or not role:
        raise TokenClaimsInvalid
    _check_dates(claims, now)
    _check_parties(claims, rules)
    session_id, actor, login = _issued(claims)
    if role not in rules.allowed_roles and role != rules.admin_role:
        raise RoleNotAllowed
    try:
        identity = Identity(role, canonical(claims).decode())
    except ValueError as error:
        raise TokenClaimsInvalid("The claims cannot be passed to Postgres as JSON") from error
    return Token(identity, expires_at, claims, session_id, actor, login)


def _expiry(claims: dict[str, object], now: float) -> float:
    exp = claims.get("exp")
    if exp is None or claims.get("role") is None:
        raise TokenClaimsInvalid
    seconds = _seconds(exp)
    if seconds is None:
        raise TokenClaimsInvalid("Token expiration time is invalid", hint="`exp` is a number: seconds since 1970.")
    if seconds <= now:
        raise TokenExpired(f"Token has expired {int(now - seconds)} seconds ago")
    return seconds


def _check_dates(claims: dict[str, object], now: float) -> None:
    if "iat" in claims and _seconds(claims["iat"]) is None:
        raise TokenClaimsInvalid("Token issue time is invalid", hint="`iat` is a number: seconds since 1970.")
    not_before = _seconds(claims.get("nbf", 0))
    if not_before is None or not_before > now + CLOCK_SKEW:
        raise TokenClaimsInvalid("Token is not valid yet", hint="`nbf` is a number: seconds since 1970, not in the future.")


def _seconds(value: object) -> float | None:
    """A NumericDate of RFC 7519; True is an int in Python, and integers can be too large for a float."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        return None
    return float(value)


def _check_parties(claims: dict[str, object], rules: Rules) -> None:
    audience = claims.get("aud")
    if rules.audience and rules.audience not in (audience if isinstance(audience, list) else [audience]):
        raise TokenClaimsInvalid("Token is meant for another audience", hint=f"`aud` must be or contain {rules.audience!r}.")
    if rules.issuer and claims.get("iss") != rules.issuer:
        raise TokenClaimsInvalid("Token comes from another issuer", hint=f"`iss` must be {rules.issuer!r}.")
    for path, value in rules.claims.items():
        if not _has(claims, path, value):
            raise TokenClaimsInvalid("Token lacks a claim that is required here", hint="See RTI_JWT_CLAIMS of the service.")
    if not isinstance(claims.get("sub"), str | None):
        raise TokenClaimsInvalid("Token subject is invalid", hint="`sub` is a string.")


def _has(claims: object, path: str, value: str) -> bool:
    for key in path.split("."):
        claims = claims.get(key) if isinstance(claims, dict) else None
    return claims == value or (isinstance(claims, bool | int | float) and json.dumps(claims) == value)


def _issued(claims: dict[str, object]) -> tuple[str | None, str | None, str | None]:
    """What a token of this service says of itself: session and actor of an impersonation, and the sign-in it comes from."""
    match claims.get(NAMESPACE):
        case None:
            return None, None, None
        case {"session_id": str(session_id), "actor": str(actor), **more} if session_id and actor:
            login = more.get("login")
            return session_id, actor, login if isinstance(login, str) else None
        case {"login": str(login), **more} if login and not more:
            return None, None, login
        case _:
            raise TokenClaimsInvalid(f"The claim `{NAMESPACE}` is reserved for tokens of impersonations")
