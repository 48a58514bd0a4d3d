"""Whatever is sent as a token, the answer is a Token or a TokenError; and nothing but the key's owner can make one."""

import base64
import contextlib
import hmac
import json
import math

from hypothesis import given
from hypothesis import strategies as st

from realtime_inspector.errors import InvalidInput, TokenError
from realtime_inspector.identity.keys import from_jwks, from_secret
from realtime_inspector.identity.tokens import Rules, canonical, sign, verify

NOW = 1_800_000_000.0
SECRET = "a secret of 32 bytes, or of more"
OTHER = "another secret that has 32 bytes"
RING = from_secret(SECRET) | from_jwks(
    json.dumps({"keys": [{"kty": "oct", "kid": "k", "k": base64.urlsafe_b64encode(OTHER.encode()).decode()}]})
)
RULES = Rules(frozenset({"anon", "authenticated"}), "inspector_admin")

texts = st.text(max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)
names = st.sampled_from(["role", "exp", "iat", "nbf", "aud", "iss", "sub", "realtime_inspector", "session_id"]) | texts
likely = st.sampled_from(["anon", "inspector_admin", NOW + 60, int(NOW) + 60, {"session_id": "s", "actor": "a"}]) | values
headers = st.dictionaries(
    st.sampled_from(["alg", "kid", "crit", "b64", "typ"]) | texts, st.sampled_from(["HS256", "k", "none"]) | values
)
storable = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(header: bytes, payload: bytes, secret: str) -> str:
    message = f"{segment(header)}.{segment(payload)}"
    return f"{message}.{segment(hmac.digest(secret.encode(), message.encode(), 'sha256'))}"


@given(st.text() | st.text(alphabet="abcAB01-_.%=\n ", max_size=200))
def test_any_text_is_refused_as_a_token(text: str) -> None:
    with contextlib.suppress(TokenError):
        verify(text, RING, RULES, NOW)
        raise AssertionError("accepted")


@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=60))
def test_any_bytes_in_the_right_shape_are_refused(header: bytes, payload: bytes, signature: bytes) -> None:
    with contextlib.suppress(TokenError):
        verify(f"{segment(header)}.{segment(payload)}.{segment(signature)}", RING, RULES, NOW)
        raise AssertionError("accepted")


@given(headers, st.dictionaries(names, likely))
def test_a_signed_token_is_accepted_with_an_allowed_role_and_time_left_or_refused(
    header: dict[str, object], claims: dict[str, object]
) -> None:
    text = compact(json.dumps({"alg": "HS256", **header}).encode(), json.dumps(claims).encode(), SECRET)
    with contextlib.suppress(TokenError):
        token = verify(text, RING, RULES, NOW)
        assert token.identity.role in {"anon", "authenticated", "inspector_admin"}
        assert NOW < token.expires_at < math.inf
        assert token.claims["role"] == token.identity.role
        assert json.loads(token.identity.claims).keys() == claims.keys()


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_a_signed_token_of_any_bytes_never_does_worse_than_a_refusal(header: bytes, payload: bytes) -> None:
    for text in (compact(header, payload, SECRET), compact(b'{"alg":"HS256"}', payload, SECRET)):
        with contextlib.suppress(TokenError):
            verify(text, RING, RULES, NOW)


@given(st.dictionaries(texts, storable), st.data())
def test_a_changed_token_is_refused(claims: dict[str, object], data: st.DataObject) -> None:
    genuine = sign(
        {**claims, "role": "anon", "exp": int(NOW) + 60, "iat": 0, "nbf": 0, "sub": "a", "realtime_inspector": None}, SECRET
    )
    assert verify(genuine, RING, RULES, NOW)
    place = data.draw(st.integers(0, len(genuine) - 1))
    letter = data.draw(st.sampled_from("ABCxyz019-_.").filter(lambda letter: letter != genuine[place]))
    with contextlib.suppress(TokenError):
        verify(genuine[:place] + letter + genuine[place + 1 :], RING, RULES, NOW)
        raise AssertionError("accepted")


@given(st.dictionaries(texts, storable))
def test_canonical_claims_say_the_same_in_any_order(claims: dict[str, object]) -> None:
    text = canonical(claims)
    assert canonical(dict(reversed(claims.items()))) == text
    assert json.loads(text) == claims


members = st.sampled_from(["kty", "crv", "kid", "alg", "use", "key_ops", "k", "n", "e", "x", "y"])
parts = st.sampled_from(["oct", "RSA", "EC", "OKP", "P-256", "Ed25519", "HS256", "sig", "AQAB", "A" * 43]) | values


@given(values | st.dictionaries(members, parts))
def test_any_json_as_a_key_set_gives_keys_or_a_readable_error(value: object) -> None:
    for text in (json.dumps(value), json.dumps({"keys": value}), json.dumps({"keys": [value]})):
        with contextlib.suppress(InvalidInput):
            assert isinstance(from_jwks(text), dict)
