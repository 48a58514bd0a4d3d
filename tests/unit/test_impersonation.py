"""Who may look through whose eyes: the rules one by one, and the token that an allowed wish becomes."""

from dataclasses import replace
from typing import Any

import pytest

from realtime_inspector.errors import Forbidden, InvalidInput, RealtimeError, ReasonRequired, RoleNotAllowed
from realtime_inspector.identity.impersonation import LARGEST_CLAIMS, Grant, User, Wish, grant, require_admin
from realtime_inspector.identity.keys import from_secret
from realtime_inspector.identity.tokens import LONGEST_TOKEN, Rules, canonical, sign, verify
from realtime_inspector.model import Identity, Token

NOW = 1_800_000_000.5
SECRET = "a secret of 32 bytes, or of more"
RULES = Rules(frozenset({"anon", "authenticated", "service_role", "reporter"}), "inspector_admin")
LONGEST = 900
ALICE = User("11111111-aaaa-4aaa-8aaa-111111111111", "alice@example.com", {"role": "editor"}, {"name": "Alice"})
WISH = Wish("user", "ticket 42", ALICE)


def token(role: str = "inspector_admin", **claims: Any) -> Token:
    expires_at = claims.pop("exp", NOW + 3600)
    session_id = claims.pop("session", None)
    return Token(Identity(role, "{}"), expires_at, {"sub": "ann", **claims}, session_id, "ann" if session_id else None)


ADMIN = token()


def granted(wish: Wish = WISH, admin: Token = ADMIN, rules: Rules = RULES) -> Grant:
    return grant(wish, admin, "s1", rules, LONGEST, NOW)


def test_a_user_is_seen_with_the_claims_of_their_own_token() -> None:
    allowed = granted()
    assert allowed == Grant("s1", "ann", ALICE.id, "user", "authenticated", "ticket 42", 1_800_000_900, allowed.claims)
    assert allowed.claims == {
        "role": "authenticated",
        "sub": ALICE.id,
        "email": "alice@example.com",
        "phone": "",
        "aud": "authenticated",
        "iss": "realtime_inspector",
        "iat": 1_800_000_000,
        "exp": 1_800_000_900,
        "app_metadata": {"role": "editor"},
        "user_metadata": {"name": "Alice"},
        "is_anonymous": False,
        "aal": "aal1",
        "amr": [{"method": "password", "timestamp": 1_800_000_000}],
        "session_id": "s1",
        "act": {"sub": "ann"},
        "realtime_inspector": {"session_id": "s1", "actor": "ann"},
    }


@pytest.mark.parametrize(("kind", "role"), [("anon", "anon"), ("service", "service_role")])
def test_anon_and_service_have_no_subject(kind: Any, role: str) -> None:
    allowed = granted(Wish(kind, "ticket 42"))
    assert (allowed.role, allowed.target_user_id) == (role, None)
    assert allowed.claims["role"] == role
    assert allowed.claims.keys().isdisjoint({"sub", "email", "aud", "app_metadata"})


def test_a_custom_identity_has_its_role_and_its_claims() -> None:
    allowed = granted(Wish("custom", "ticket 42", role="reporter", claims={"sub": "r7", "org": {"id": 3}}))
    assert (allowed.kind, allowed.role, allowed.target_user_id) == ("custom", "reporter", "r7")
    assert (allowed.claims["sub"], allowed.claims["org"], allowed.claims["role"]) == ("r7", {"id": 3}, "reporter")


def test_a_user_can_be_seen_in_another_role_and_with_other_claims() -> None:
    allowed = granted(replace(WISH, role="reporter", claims={"aal": "aal2", "app_metadata": {"role": "admin"}}))
    assert allowed.role == "reporter"
    assert (allowed.claims["aal"], allowed.claims["app_metadata"]) == ("aal2", {"role": "admin"})
    assert allowed.claims["user_metadata"] == {"name": "Alice"}


def test_the_verifier_accepts_what_was_granted() -> None:
    rules = replace(RULES, audience="app", issuer="https://issuer.example")
    for wish in (WISH, Wish("anon", "ticket 42"), Wish("custom", "ticket 42", role="reporter")):
        allowed = granted(wish, rules=rules)
        verified = verify(sign(allowed.claims, SECRET), from_secret(SECRET), rules, NOW)
        assert (verified.session_id, verified.actor, verified.expires_at) == ("s1", "ann", 1_800_000_900)
        assert verified.identity.claims == canonical(allowed.claims).decode()


@pytest.mark.parametrize(
    ("seconds", "left", "given"),
    [(None, 3600, 900), (60, 3600, 60), (1, 3600, 1), (900, 3600, 900), (10**9, 3600, 900), (None, 120, 120), (300, 120, 120)],
)
def test_it_lasts_no_longer_than_asked_allowed_or_the_admin_themself(seconds: int | None, left: int, given: int) -> None:
    allowed = granted(replace(WISH, seconds=seconds), token(exp=NOW + left))
    assert allowed.expires_at == allowed.claims["exp"] == int(NOW + given)


@pytest.mark.parametrize("seconds", [0, -1])
def test_it_lasts_at_least_a_second(seconds: int) -> None:
    with pytest.raises(InvalidInput):
        granted(replace(WISH, seconds=seconds))


@pytest.mark.parametrize(
    ("admin", "message"),
    [
        pytest.param(token("anon"), "Insufficient permissions", id="anon"),
        pytest.param(token("service_role"), "Insufficient permissions", id="service"),
        pytest.param(token("Inspector_Admin"), "Insufficient permissions", id="other letters"),
        pytest.param(token("authenticated", app_metadata={"role": "inspector_admin"}), "Insufficient permissions", id="metadata"),
        pytest.param(token("authenticated", session="s0"), "An impersonation cannot impersonate again", id="nested"),
        pytest.param(token(session="s0"), "An impersonation cannot impersonate again", id="nested, as admin"),
        pytest.param(token(sub=None), "The admin token does not say whose it is", id="nobody"),
        pytest.param(token(sub=" "), "The admin token does not say whose it is", id="blank"),
    ],
)
def test_only_an_admin_who_is_somebody_may(admin: Token, message: str) -> None:
    with pytest.raises(Forbidden, match=message):
        granted(admin=admin)
    with pytest.raises(Forbidden, match=message):
        require_admin(admin, RULES)


def test_an_admin_is_named() -> None:
    assert require_admin(ADMIN, RULES) == "ann"


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("", ReasonRequired),
        (" \n\t ", ReasonRequired),
        ("abcd", ReasonRequired),
        ("  a  b  ", ReasonRequired),
        ("x" * 501, InvalidInput),
        ("\u200b" * 5, InvalidInput),
        ("ticket\x00 42", InvalidInput),
        ("ticket \x1b[2J 42", InvalidInput),
    ],
)
def test_a_reason_must_say_something(reason: str, error: type[RealtimeError]) -> None:
    with pytest.raises(error):
        granted(replace(WISH, reason=reason))


@pytest.mark.parametrize(("reason", "kept"), [("abcde", "abcde"), (" two \n words ", "two words"), ("x" * 500, "x" * 500)])
def test_a_reason_is_trimmed(reason: str, kept: str) -> None:
    assert granted(replace(WISH, reason=reason)).reason == kept


@pytest.mark.parametrize(
    "wish",
    [
        replace(WISH, user=replace(ALICE, id="ann")),
        replace(WISH, user=replace(ALICE, id="ANN")),
        Wish("custom", "ticket 42", role="reporter", claims={"sub": "ann"}),
    ],
    ids=["user", "user in capitals", "custom"],
)
def test_nobody_impersonates_themself(wish: Wish) -> None:
    with pytest.raises(InvalidInput, match="Cannot impersonate yourself"):
        granted(wish)


@pytest.mark.parametrize("role", ["postgres", "none", "Authenticated", "authenticated ", "anon;"])
@pytest.mark.parametrize("wish", [WISH, Wish("custom", "ticket 42")], ids=["user", "custom"])
def test_the_role_must_be_allowed(wish: Wish, role: str) -> None:
    with pytest.raises(RoleNotAllowed):
        granted(replace(wish, role=role))


@pytest.mark.parametrize("kind", ["user", "anon", "service"])
def test_the_usual_roles_must_be_allowed_too(kind: Any) -> None:
    rules = Rules(frozenset({"reporter"}), "inspector_admin")
    with pytest.raises(RoleNotAllowed):
        granted(Wish(kind, "ticket 42", ALICE if kind == "user" else None), rules=rules)


def test_the_admin_role_is_given_to_nobody() -> None:
    with pytest.raises(Forbidden):
        granted(Wish("custom", "ticket 42", role="inspector_admin"))


@pytest.mark.parametrize("wish", [Wish("custom", "ticket 42"), Wish("user", "ticket 42"), Wish("anon", "ticket 42", ALICE)])
def test_a_wish_must_name_whom(wish: Wish) -> None:
    with pytest.raises(InvalidInput):
        granted(wish)


@pytest.mark.parametrize("name", ["role", "exp", "iat", "nbf", "jti", "session_id", "act", "realtime_inspector"])
@pytest.mark.parametrize("kind", ["user", "custom"])
def test_claims_that_are_recorded_or_checked_cannot_be_written_by_hand(kind: Any, name: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        granted(Wish(kind, "ticket 42", ALICE if kind == "user" else None, "reporter", {name: "x"}))


@pytest.mark.parametrize("name", ["sub", "email", "phone"])
def test_a_named_user_stays_that_user(name: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        granted(replace(WISH, claims={name: "bob"}))


def test_a_configured_audience_and_issuer_stay() -> None:
    for rules in (replace(RULES, audience="app"), replace(RULES, issuer="us")):
        with pytest.raises(InvalidInput):
            granted(replace(WISH, claims={"aud": "x", "iss": "x"}), rules=rules)
    assert granted(replace(WISH, claims={"aud": "x", "iss": "y"})).claims["aud"] == "x"


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": 7},
        {"x": "\x00"},
        {"x": {"y\x00": 1}},
        {"x": "\ud800"},
        {"x": 2**64},
        {"x": "x" * LARGEST_CLAIMS},
    ],
    ids=["sub a number", "NUL", "NUL in a name", "half a surrogate pair", "over 64 bits", "too large"],
)
def test_claims_that_postgres_or_the_verifier_would_refuse_are_refused_now(claims: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        granted(Wish("custom", "ticket 42", role="reporter", claims=claims))


def test_the_largest_claims_fit_into_a_token() -> None:
    room = LARGEST_CLAIMS - len(canonical(granted(Wish("custom", "ticket 42", role="reporter", claims={"x": ""})).claims))
    allowed = granted(Wish("custom", "ticket 42", role="reporter", claims={"x": "x" * room}))
    text = sign(allowed.claims, SECRET)
    assert len(text) <= LONGEST_TOKEN
    assert verify(text, from_secret(SECRET), RULES, NOW)


def test_a_backslash_before_zeros_is_no_nul() -> None:
    assert granted(Wish("custom", "ticket 42", role="reporter", claims={"x": "\\u0000"}))
