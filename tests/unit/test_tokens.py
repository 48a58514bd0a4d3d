"""Which tokens count: a table of what people send, each refused with its own error, and the few that are accepted."""

import base64
import hmac
import json
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import get_default_algorithms

from realtime_inspector.errors import (
    InvalidInput,
    KeyUnknown,
    RoleNotAllowed,
    TokenClaimsInvalid,
    TokenError,
    TokenExpired,
    TokenMalformed,
    TokenMissing,
    TokenSignatureInvalid,
)
from realtime_inspector.identity.keys import from_jwks, from_secret
from realtime_inspector.identity.tokens import LONGEST_TOKEN, Rules, canonical, completed, required, sign, verify

NOW = 1_800_000_000.0
SECRET = "a secret of 32 bytes, or of more"
OTHER = "another secret that has 32 bytes"
RULES = Rules(frozenset({"anon", "authenticated", "service_role"}), "inspector_admin")
CLAIMS: dict[str, Any] = {"role": "authenticated", "exp": NOW + 60, "sub": "alice", "aud": "authenticated"}


@cache
def private(name: str) -> Any:
    return {
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "ed448": ed448.Ed448PrivateKey.generate,
        "stranger": lambda: rsa.generate_private_key(65537, 2048),
    }[name]()


ALGORITHM = {"rsa": "RS256", "p256": "ES256", "p384": "ES384", "p521": "ES512", "ed25519": "EdDSA", "ed448": "EdDSA"}


def jwk(name: str, **more: Any) -> dict[str, Any]:
    public = get_default_algorithms()[ALGORITHM.get(name, "RS256")].to_jwk(private(name).public_key(), as_dict=True)
    return {**public, "kid": name, **more}


def oct_jwk(secret: str, **more: Any) -> dict[str, Any]:
    return {"kty": "oct", "k": b64(secret.encode()), **more}


@cache
def ring() -> Any:
    keys = [jwk(name) for name in ALGORITHM] + [oct_jwk(OTHER, kid="shared")]
    return from_secret(SECRET) | from_jwks(json.dumps({"keys": keys}))


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw(header: bytes, payload: bytes, secret: str = SECRET, digest: str = "sha256") -> str:
    message = f"{b64(header)}.{b64(payload)}"
    return f"{message}.{b64(hmac.digest(secret.encode(), message.encode(), digest))}"


def token(
    claims: dict[str, Any] | None = None, /, *, without: str = "", header: dict[str, Any] | None = None, **changed: Any
) -> str:
    """A genuine HS256 token but for what is changed; NaN and Infinity are written as Python writes them."""
    payload = {name: value for name, value in {**CLAIMS, **(claims or {}), **changed}.items() if name != without}
    return raw(json.dumps({"alg": "HS256", "typ": "JWT", **(header or {})}).encode(), json.dumps(payload).encode())


def payload(text: str) -> str:
    return raw(b'{"alg":"HS256"}', text.encode())


def signed(key: str, algorithm: str, **header: Any) -> str:
    return jwt.encode(CLAIMS, private(key), algorithm, headers={"kid": key, **header})


def forged_with_public_key() -> str:
    """The classic confusion: the public RSA key, known to all, used as an HMAC secret."""
    pem = private("rsa").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return raw(b'{"alg":"HS256","kid":"rsa"}', json.dumps(CLAIMS).encode(), pem)


def respelled(text: str) -> str:
    """The last letter of 32 bytes in base64 has two bits to spare; a lenient reader ignores them."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet[alphabet.index(text[-1]) ^ 1]
    assert base64.urlsafe_b64decode(text.split(".")[2] + "=") == base64.urlsafe_b64decode(text.split(".")[2][:-1] + last + "=")
    return text[:-1] + last


def test_a_token_becomes_an_identity_with_canonical_claims() -> None:
    verified = verify(token(), ring(), RULES, NOW)
    assert verified.identity.role == "authenticated"
    assert verified.identity.claims == '{"aud":"authenticated","exp":1800000060.0,"role":"authenticated","sub":"alice"}'
    assert (verified.expires_at, verified.session_id, verified.actor) == (NOW + 60, None, None)
    assert verified.claims == CLAIMS


def test_equal_claims_in_another_order_are_the_same_identity() -> None:
    ordered = payload('{"role":"anon","exp":1800000060,"app":{"a":1,"b":2}}')
    reordered = payload('{"app": {"b":2, "a":1}, "exp":1800000060, "role":"anon"}')
    assert verify(ordered, ring(), RULES, NOW).identity == verify(reordered, ring(), RULES, NOW).identity


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(token(), id="HS256"),
        pytest.param(raw(b'{"alg":"HS384"}', json.dumps(CLAIMS).encode(), digest="sha384"), id="HS384"),
        pytest.param(raw(b'{"alg":"HS512"}', json.dumps(CLAIMS).encode(), digest="sha512"), id="HS512"),
        pytest.param(signed("rsa", "RS256"), id="RS256"),
        pytest.param(signed("rsa", "RS384"), id="RS384"),
        pytest.param(signed("rsa", "RS512"), id="RS512"),
        pytest.param(signed("p256", "ES256"), id="ES256"),
        pytest.param(signed("p384", "ES384"), id="ES384"),
        pytest.param(signed("p521", "ES512"), id="ES512"),
        pytest.param(signed("ed25519", "EdDSA"), id="Ed25519"),
        pytest.param(signed("ed448", "EdDSA"), id="Ed448"),
        pytest.param(raw(b'{"alg":"HS256","kid":"shared"}', json.dumps(CLAIMS).encode(), OTHER), id="oct key by its kid"),
        pytest.param(token(header={"kid": "unheard of"}), id="unknown kid, the secret's signature"),
        pytest.param(token(header={"kid": "../../../dev/null"}), id="kid is no path"),
        pytest.param(token(header={"jku": "https://evil.example/keys"}), id="jku is not followed"),
        pytest.param(token(exp=int(NOW) + 1), id="one second left"),
        pytest.param(token(exp=NOW + 0.5), id="half a second left"),
        pytest.param(token(iat=NOW + 3600), id="issued by a clock ahead"),
        pytest.param(token(nbf=NOW + 20), id="valid since a moment, by a clock ahead"),
        pytest.param(token(without="sub"), id="no sub"),
        pytest.param(token(sub=None), id="null sub"),
        pytest.param(token(aud=["a", "b"]), id="any audience where none is configured"),
        pytest.param(token(role="inspector_admin"), id="the admin role"),
        pytest.param(f" {token()}\n", id="whitespace around"),
        pytest.param(token().replace(".", "%2E"), id="percent-encoded"),
        pytest.param(token()[:40] + "\r\n\t " + token()[40:], id="broken over lines"),
    ],
)
def test_accepted(text: str) -> None:
    assert verify(text, ring(), RULES, NOW).expires_at > NOW


REFUSED = [
    # not a token
    pytest.param("", TokenMissing, id="empty"),
    pytest.param(" \n", TokenMissing, id="blank"),
    pytest.param("a", TokenMalformed, id="a letter"),
    pytest.param("..", TokenMalformed, id="dots"),
    pytest.param("a.b", TokenMalformed, id="two parts"),
    pytest.param(token() + ".x.y", TokenMalformed, id="five parts, as encrypted ones have"),
    pytest.param("Bearer " + token(), TokenMalformed, id="with its scheme"),
    pytest.param(token() + "=", TokenMalformed, id="padded"),
    pytest.param(token() + "ü", TokenMalformed, id="outside the alphabet"),
    pytest.param("é" * 50, TokenMalformed, id="not ascii"),
    pytest.param("%00%ff.%00.%00", TokenMalformed, id="encoded bytes"),
    pytest.param(token(pad="x" * LONGEST_TOKEN), TokenMalformed, id="too long"),
    pytest.param(respelled(token()), TokenMalformed, id="the same bytes in a second spelling"),
    # header
    pytest.param(raw(b"[]", json.dumps(CLAIMS).encode()), TokenMalformed, id="header is a list"),
    pytest.param(raw(b"{", json.dumps(CLAIMS).encode()), TokenMalformed, id="header is half"),
    pytest.param(raw(b"\xff\xfe{\x00}\x00", json.dumps(CLAIMS).encode()), TokenMalformed, id="header in UTF-16"),
    pytest.param(raw(b"{}", json.dumps(CLAIMS).encode()), TokenMalformed, id="no alg"),
    pytest.param(raw(b"[" * 5000, b"{}"), TokenMalformed, id="header nested without end"),
    pytest.param(raw(b'{"alg":"none","alg":"HS256"}', json.dumps(CLAIMS).encode()), TokenMalformed, id="alg twice"),
    pytest.param(token(header={"alg": None}), TokenMalformed, id="alg null"),
    pytest.param(token(header={"alg": ["HS256"]}), TokenMalformed, id="alg a list"),
    pytest.param(token(header={"kid": 7}), TokenMalformed, id="kid a number"),
    pytest.param(token(header={"crit": ["exp"]}), TokenMalformed, id="crit"),
    pytest.param(token(header={"crit": []}), TokenMalformed, id="crit empty"),
    pytest.param(token(header={"b64": False}), TokenMalformed, id="b64"),
    # algorithm and key
    pytest.param(token(header={"alg": "none"}), TokenSignatureInvalid, id="none"),
    pytest.param(token(header={"alg": "None"}), TokenSignatureInvalid, id="None"),
    pytest.param(token(header={"alg": "NONE"}), TokenSignatureInvalid, id="NONE"),
    pytest.param(token(header={"alg": "none"}).rpartition(".")[0] + ".", TokenMalformed, id="unsigned"),
    pytest.param(token(header={"alg": "HS1"}), TokenSignatureInvalid, id="unknown algorithm"),
    pytest.param(token(header={"alg": "hs256"}), TokenSignatureInvalid, id="algorithm in small letters"),
    pytest.param(token(header={"alg": "PS256"}), TokenSignatureInvalid, id="algorithm that is not offered"),
    pytest.param(token(header={"alg": "HS384"}), TokenSignatureInvalid, id="another hash than signed"),
    pytest.param(token(header={"alg": "RS256"}), KeyUnknown, id="RS256 without kid"),
    pytest.param(token(header={"kid": "shared"}), TokenSignatureInvalid, id="a known kid has no fallback"),
    pytest.param(raw(b'{"alg":"HS256"}', json.dumps(CLAIMS).encode(), OTHER), KeyUnknown, id="another secret"),
    pytest.param(raw(b'{"alg":"HS256"}', json.dumps(CLAIMS).encode(), ""), KeyUnknown, id="empty secret"),
    pytest.param(forged_with_public_key(), KeyUnknown, id="public key as secret"),
    pytest.param(signed("stranger", "RS256", kid="rsa"), TokenSignatureInvalid, id="a stranger's key under a known kid"),
    pytest.param(signed("stranger", "RS256"), KeyUnknown, id="a stranger's key"),
    pytest.param(signed("stranger", "RS256", jwk=jwk("stranger")), KeyUnknown, id="brings its own key"),
    pytest.param(signed("rsa", "PS256"), TokenSignatureInvalid, id="PS256 with a key for RS256"),
    pytest.param(signed("p256", "ES256", kid="p384"), KeyUnknown, id="another curve's kid"),
    pytest.param(signed("ed25519", "EdDSA", kid="ed448"), TokenSignatureInvalid, id="Ed25519 for an Ed448 key"),
    # claims
    pytest.param(payload("[]"), TokenMalformed, id="claims are a list"),
    pytest.param(payload('"x"'), TokenMalformed, id="claims are a string"),
    pytest.param(payload("{"), TokenMalformed, id="claims are half"),
    pytest.param(raw(b'{"alg":"HS256"}', b'{"role":"anon","exp":9e9,"x":"\xff"}'), TokenMalformed, id="claims not UTF-8"),
    pytest.param(payload('{"role":"anon","role":"service_role","exp":9e9}'), TokenMalformed, id="role twice"),
    pytest.param(payload('{"role":"anon","exp":9e9,"a":{"b":1,"b":2}}'), TokenMalformed, id="a nested key twice"),
    pytest.param(payload('{"role":"anon","exp":9e9,"a":' + "[" * 3000 + "]" * 3000 + "}"), TokenError, id="nested without end"),
    pytest.param(payload('{"role":"anon","exp":9e9,"a":' + "[" * 300 + "]" * 300 + "}"), TokenClaimsInvalid, id="nested deep"),
    pytest.param(token(deep="\ud800"), TokenClaimsInvalid, id="half a surrogate pair"),
    pytest.param(token(big=2**64), TokenClaimsInvalid, id="an integer over 64 bits"),
    pytest.param(token(x=float("nan")), TokenMalformed, id="NaN in a claim"),
    pytest.param(payload('{"role":"anon","exp":9e9,"x":1e999}'), TokenMalformed, id="a number beyond floats"),
    pytest.param(token(without="exp"), TokenClaimsInvalid, id="no exp"),
    pytest.param(token(exp=None), TokenClaimsInvalid, id="exp null"),
    pytest.param(token(exp=str(NOW + 60)), TokenClaimsInvalid, id="exp a string"),
    pytest.param(token(exp=True), TokenClaimsInvalid, id="exp true"),
    pytest.param(token(exp=[NOW + 60]), TokenClaimsInvalid, id="exp a list"),
    pytest.param(token(exp=float("inf")), TokenMalformed, id="exp Infinity"),
    pytest.param(token(exp=float("nan")), TokenMalformed, id="exp NaN"),
    pytest.param(token(exp=10**400), TokenClaimsInvalid, id="exp beyond floats"),
    pytest.param(token(exp=2**60), TokenClaimsInvalid, id="exp beyond dates"),
    pytest.param(token(exp=-1), TokenClaimsInvalid, id="exp negative"),
    pytest.param(token(exp=NOW), TokenExpired, id="expired this moment"),
    pytest.param(token(exp=0), TokenExpired, id="expired in 1970"),
    pytest.param(token(without="role"), TokenClaimsInvalid, id="no role"),
    pytest.param(token(role=None), TokenClaimsInvalid, id="role null"),
    pytest.param(token(role=""), TokenClaimsInvalid, id="role empty"),
    pytest.param(token(role=1), TokenClaimsInvalid, id="role a number"),
    pytest.param(token(role=["anon"]), TokenClaimsInvalid, id="role a list"),
    pytest.param(token(role="postgres"), RoleNotAllowed, id="role not allowed"),
    pytest.param(token(role="none"), RoleNotAllowed, id="role none"),
    pytest.param(token(role="Anon"), RoleNotAllowed, id="role in other letters"),
    pytest.param(token(role="anon "), RoleNotAllowed, id="role with a blank"),
    pytest.param(token(role="anon\x00"), RoleNotAllowed, id="role with NUL"),
    pytest.param(token(iat="yesterday"), TokenClaimsInvalid, id="iat a string"),
    pytest.param(token(iat=None), TokenClaimsInvalid, id="iat null"),
    pytest.param(token(nbf=NOW + 3600), TokenClaimsInvalid, id="not valid yet"),
    pytest.param(token(nbf="now"), TokenClaimsInvalid, id="nbf a string"),
    pytest.param(token(sub=7), TokenClaimsInvalid, id="sub a number"),
    pytest.param(token(realtime_inspector="x"), TokenClaimsInvalid, id="our claim a string"),
    pytest.param(token(realtime_inspector={"session_id": "s"}), TokenClaimsInvalid, id="our claim without actor"),
    pytest.param(token(realtime_inspector={"session_id": "", "actor": "a"}), TokenClaimsInvalid, id="our claim with empty id"),
]


@pytest.mark.parametrize(("text", "error"), REFUSED)
def test_refused(text: str, error: type[TokenError]) -> None:
    with pytest.raises(error) as caught:
        verify(text, ring(), RULES, NOW)
    assert caught.value.status in {401, 403}


def test_says_what_clients_expect_to_read() -> None:
    assert reason(token(exp=NOW - 7)) == "InvalidJWTToken: Token has expired 7 seconds ago"
    assert reason(token(without="role")) == "InvalidJWTToken: Fields `role` and `exp` are required in JWT"
    assert reason(token(exp="soon")) == "InvalidJWTToken: Token expiration time is invalid"
    assert reason("nonsense") == "MalformedJWT: The token provided is not a valid JWT"
    assert reason(token(header={"alg": "HS384"})) == "JwtSignatureError: Failed to validate JWT signature"
    assert reason(raw(b'{"alg":"HS256"}', b"{}", OTHER)) == "JwtSignatureError: Failed to validate JWT signature"


def reason(text: str) -> str:
    with pytest.raises(TokenError) as caught:
        verify(text, ring(), RULES, NOW)
    return caught.value.problem.reason


@pytest.mark.parametrize(
    ("audience", "accepted"),
    [("api", True), (["web", "api"], True), ("web", False), ([], False), (None, False), ({"api": 1}, False)],
)
def test_a_configured_audience_must_be_named(audience: object, accepted: bool) -> None:
    rules = Rules(RULES.allowed_roles, RULES.admin_role, audience="api")
    assert passes(token(aud=audience), rules) is accepted


@pytest.mark.parametrize(
    ("claims", "accepted"),
    [
        ({"tenant": "acme", "app": {"plan": "pro", "seats": 5, "paid": True}}, True),
        ({"tenant": "acme.evil", "app": {"plan": "pro", "seats": 5, "paid": True}}, False),
        ({"tenant": ["acme"], "app": {"plan": "pro", "seats": 5, "paid": True}}, False),
        ({"tenant": "acme", "app": {"plan": "pro", "seats": "5", "paid": True}}, True),
        ({"tenant": "acme", "app": {"plan": "pro", "seats": 50, "paid": True}}, False),
        ({"tenant": "acme", "app": {"plan": "pro", "seats": 5, "paid": 1}}, False),
        ({"tenant": "acme", "app": {"plan": None, "seats": 5, "paid": True}}, False),
        ({"tenant": "acme", "app": "pro"}, False),
        ({"tenant": "acme"}, False),
        ({}, False),
    ],
)
def test_configured_claims_must_have_their_values(claims: dict[str, object], accepted: bool) -> None:
    required = {"tenant": "acme", "app.plan": "pro", "app.seats": "5", "app.paid": "true"}
    rules = Rules(RULES.allowed_roles, RULES.admin_role, claims=required)
    assert passes(token(claims), rules) is accepted


@pytest.mark.parametrize("entry", ["", "tenant", "=acme", "app.=x", ".=x"])
def test_an_entry_that_names_no_claim_is_refused(entry: str) -> None:
    with pytest.raises(InvalidInput):
        required(entry)


def test_claims_are_completed_without_changing_what_they_say() -> None:
    wanted = dict(map(required, ["tenant=acme", "app.plan=pro", "app.a.b = 1=2"]))
    whole = completed({"sub": "x", "app": {"plan": "free"}}, wanted)
    assert whole == {"sub": "x", "app": {"plan": "free", "a": {"b": "1=2"}}, "tenant": "acme"}
    assert completed({"app": "text"}, wanted)["app"] == "text"
    rules = Rules(RULES.allowed_roles, RULES.admin_role, claims=wanted)
    assert not passes(token(whole), rules)
    assert passes(token(completed({}, wanted)), rules)


@pytest.mark.parametrize(("issuer", "accepted"), [("us", True), ("us.evil.example", False), (["us"], False), (None, False)])
def test_a_configured_issuer_must_be_the_whole_one(issuer: object, accepted: bool) -> None:
    assert passes(token(iss=issuer), Rules(RULES.allowed_roles, RULES.admin_role, issuer="us")) is accepted


def passes(text: str, rules: Rules) -> bool:
    try:
        verify(text, ring(), rules, NOW)
    except TokenClaimsInvalid:
        return False
    return True


def test_an_impersonation_names_its_session_and_its_actor() -> None:
    verified = verify(token(realtime_inspector={"session_id": "s1", "actor": "ann"}), ring(), RULES, NOW)
    assert (verified.session_id, verified.actor) == ("s1", "ann")


def test_the_sessions_of_other_issuers_are_not_impersonations() -> None:
    assert verify(token(session_id="s1", act={"sub": "ann"}), ring(), RULES, NOW).session_id is None


def test_what_is_signed_is_verified() -> None:
    claims = {"role": "anon", "exp": int(NOW) + 9, "name": "Zoë", "n": [1, 2.5, None, {"b": 1, "a": 2}]}
    verified = verify(sign(claims, SECRET), ring(), RULES, NOW)
    assert verified.claims == claims
    assert verified.identity.claims == canonical(claims).decode()


@pytest.mark.parametrize("roles", [{"none"}, {"NONE"}, {"public"}, {""}, {"a\x00b"}, {"inspector_admin"}])
def test_rules_refuse_roles_that_mean_something_else(roles: set[str]) -> None:
    with pytest.raises(InvalidInput):
        Rules(frozenset(roles), "inspector_admin")


def test_rules_refuse_an_admin_role_that_is_none() -> None:
    with pytest.raises(InvalidInput):
        Rules(frozenset({"anon"}), "none")


@pytest.mark.parametrize(
    "secret",
    ["", "short", "x" * 31, private("rsa").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()],
    ids=["empty", "short", "31 bytes", "public key"],
)
def test_weak_secrets_are_refused(secret: str) -> None:
    with pytest.raises(InvalidInput):
        from_secret(secret)


def test_a_secret_is_measured_in_bytes() -> None:
    assert from_secret("é" * 16)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="half"),
        pytest.param("[]", id="a list"),
        pytest.param("{}", id="no keys"),
        pytest.param('{"keys": {}}', id="keys are an object"),
        pytest.param('{"keys": ["x"]}', id="a key is a string"),
        pytest.param("[" * 5000, id="nested without end"),
        pytest.param(json.dumps({"keys": [oct_jwk("short", kid="a")]}), id="short secret"),
        pytest.param(json.dumps({"keys": [{"kty": "oct", "kid": "a"}]}), id="secret missing"),
        pytest.param(json.dumps({"keys": [{"kty": "oct", "k": 7}]}), id="secret a number"),
        pytest.param(json.dumps({"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}), id="short RSA"),
        pytest.param(json.dumps({"keys": [{"kty": "RSA", "n": "!", "e": None}]}), id="RSA of garbage"),
        pytest.param(json.dumps({"keys": [jwk("p256") | {"x": "AA"}]}), id="point of another size"),
        pytest.param(json.dumps({"keys": [jwk("p256") | {"x": jwk("p256")["y"]}]}), id="point off the curve"),
        pytest.param(json.dumps({"keys": [jwk("ed25519", kid=7)]}), id="kid a number"),
        pytest.param(json.dumps({"keys": [jwk("ed25519"), jwk("ed448", kid="ed25519")]}), id="two keys of one name"),
    ],
)
def test_weak_and_malformed_key_sets_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        from_jwks(text)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(jwk("p256", use="enc"), id="for encryption"),
        pytest.param(jwk("p256", key_ops=["sign"]), id="for signing only"),
        pytest.param(jwk("p256", alg="ES384"), id="for an algorithm of another curve"),
        pytest.param({"kty": "EC", "crv": "secp256k1", "x": "", "y": ""}, id="another curve"),
        pytest.param({"kty": "AKP", "alg": "ML-DSA-44"}, id="a kind of the future"),
        pytest.param({}, id="nothing"),
    ],
)
def test_keys_of_another_purpose_are_passed_over(other: dict[str, Any]) -> None:
    assert from_jwks(json.dumps({"keys": [other]})) == {}


def test_a_key_is_bound_to_its_own_algorithm() -> None:
    assert {name for _, name in from_jwks(json.dumps({"keys": [jwk("rsa", alg="RS512")]}))} == {"RS512"}


def test_private_parts_of_a_key_are_left_out() -> None:
    whole = get_default_algorithms()["ES256"].to_jwk(private("p256"), as_dict=True)
    assert "d" in whole
    [key] = from_jwks(json.dumps({"keys": [whole]})).values()
    assert isinstance(key.material, ec.EllipticCurvePublicKey)


def test_a_key_without_kid_serves_tokens_without_kid() -> None:
    lone = from_jwks(json.dumps({"keys": [{name: value for name, value in jwk("ed25519").items() if name != "kid"}]}))
    assert verify(jwt.encode(CLAIMS, private("ed25519"), "EdDSA"), lone, RULES, NOW)
    with pytest.raises(KeyUnknown):
        verify(signed("ed25519", "EdDSA"), lone, RULES, NOW)


def test_keys_do_not_show_in_texts() -> None:
    assert SECRET not in repr(from_secret(SECRET))
