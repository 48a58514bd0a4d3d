"""The verifier with keys of a URL: one fetch for many, last good set kept, nothing trusted that should not be."""

import asyncio
import contextlib
import gzip
import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from jwt.algorithms import OKPAlgorithm

from realtime_inspector.errors import (
    InvalidInput,
    KeysUnavailable,
    KeyUnknown,
    RoleNotAllowed,
    TokenExpired,
    TokenMalformed,
    TokenSignatureInvalid,
)
from realtime_inspector.identity.tokens import sign
from realtime_inspector.server.keys import COOLDOWN, LARGEST_SET, REFRESH_AFTER, Keys
from realtime_inspector.settings import Settings
from tests.wire.service import client, serving

NOW = 1_800_000_000.0
SECRET = "a secret of 32 bytes, or of more"
OLD, NEW = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()


def key_set(**keys: ed25519.Ed25519PrivateKey) -> bytes:
    members = [{**OKPAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid} for kid, key in keys.items()]
    return json.dumps({"keys": members}).encode()


def token(kid: str, key: ed25519.Ed25519PrivateKey, **claims: Any) -> str:
    return jwt.encode({"role": "anon", "exp": NOW + 86_400, **claims}, key, "EdDSA", headers={"kid": kid})


class Issuer:
    """A server of key sets: answers `body` with `status`, once `gate` is open, and counts the requests."""

    def __init__(self) -> None:
        self.body = key_set(old=OLD)
        self.status = "200 OK"
        self.headers = ""
        self.requests: list[bytes] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError):  # who asked may be gone
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            self.asked.set()
            await self.gate.wait()
            head = f"HTTP/1.1 {self.status}\r\nContent-Length: {len(self.body)}\r\nConnection: close\r\n{self.headers}\r\n"
            writer.write(head.encode() + self.body)


@pytest.fixture
async def issuer() -> AsyncIterator[Any]:
    made = Issuer()
    async with await asyncio.start_server(made.answer, "127.0.0.1", 0) as server:
        made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"  # type: ignore[attr-defined]
        yield made
        made.gate.set()


@pytest.fixture
async def keys(issuer: Any) -> AsyncIterator[Keys]:
    made = Keys(Settings(jwks_url=issuer.url, jwt_secret=SECRET))
    yield made
    await made.close()


async def test_keys_are_fetched_when_they_are_needed(keys: Keys, issuer: Any) -> None:
    assert (await keys.verify(token("old", OLD), NOW)).identity.role == "anon"
    assert len(issuer.requests) == 1
    assert issuer.requests[0].startswith(b"GET /keys HTTP/1.1\r\n")


async def test_many_at_once_cause_one_fetch(keys: Keys, issuer: Any) -> None:
    await asyncio.gather(*(keys.verify(token("old", OLD, n=n), NOW) for n in range(50)))
    assert len(issuer.requests) == 1


async def test_one_that_goes_away_does_not_stop_the_fetch_for_the_others(keys: Keys, issuer: Any) -> None:
    issuer.gate.clear()
    leaving = asyncio.create_task(keys.verify(token("old", OLD), NOW))
    await issuer.asked.wait()
    staying = asyncio.create_task(keys.verify(token("old", OLD, n=2), NOW))
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    issuer.gate.set()
    assert await staying
    assert len(issuer.requests) == 1


async def test_strangers_with_invented_kids_cause_one_fetch_a_while(keys: Keys, issuer: Any) -> None:
    for n in range(20):
        with pytest.raises(KeyUnknown):
            await keys.verify(token(f"invented {n}", NEW), NOW + n)
    assert len(issuer.requests) == 1
    with pytest.raises(KeyUnknown):
        await keys.verify(token("invented", NEW), NOW + COOLDOWN)
    assert len(issuer.requests) == 2


async def test_a_new_key_is_found(keys: Keys, issuer: Any) -> None:
    await keys.verify(token("old", OLD), NOW)
    issuer.body = key_set(old=OLD, new=NEW)
    assert await keys.verify(token("new", NEW), NOW + COOLDOWN)
    assert len(issuer.requests) == 2


async def test_a_withdrawn_key_stops_counting(keys: Keys, issuer: Any) -> None:
    text = token("old", OLD)
    await keys.verify(text, NOW)
    issuer.body = key_set(new=NEW)
    assert await keys.verify(token("new", NEW), NOW + COOLDOWN)
    with pytest.raises(KeyUnknown):
        await keys.verify(text, NOW + COOLDOWN)


async def test_keys_are_looked_at_again_in_the_background(keys: Keys, issuer: Any) -> None:
    await keys.verify(token("old", OLD), NOW)
    issuer.asked.clear()
    issuer.gate.clear()
    assert await keys.verify(token("old", OLD), NOW + REFRESH_AFTER + 1)
    await issuer.asked.wait()
    assert len(issuer.requests) == 2


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        ("500 Internal Server Error", key_set(new=NEW), ""),
        ("200 OK", b"<html>", ""),
        ("200 OK", b'{"keys": [{"kty": "oct", "k": "short"}]}', ""),
        ("200 OK", key_set(new=NEW) + b" " * LARGEST_SET, ""),
        ("302 Found", key_set(new=NEW), "Location: http://127.0.0.1:1/\r\n"),
        ("200 OK", gzip.compress(key_set(new=NEW)), "Content-Encoding: gzip\r\n"),
    ],
    ids=["error", "page", "weak", "large", "redirect", "packed"],
)
async def test_the_last_good_set_is_kept(keys: Keys, issuer: Any, status: str, body: bytes, headers: str) -> None:
    await keys.verify(token("old", OLD), NOW)
    issuer.status, issuer.body, issuer.headers = status, body, headers
    with pytest.raises(KeyUnknown):
        await keys.verify(token("new", NEW), NOW + COOLDOWN)
    assert len(issuer.requests) == 2
    assert await keys.verify(token("old", OLD, n=2), NOW + COOLDOWN)


async def test_an_issuer_that_does_not_answer_costs_nobody_but_who_asks_for_an_unknown_key(
    keys: Keys, issuer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime_inspector.server.keys.FETCH_WITHIN", 0.5)
    await keys.verify(token("old", OLD), NOW)
    issuer.gate.clear()
    issuer.asked.clear()
    waiting = asyncio.create_task(keys.verify(token("new", NEW), NOW + COOLDOWN))
    await issuer.asked.wait()
    assert await keys.verify(token("old", OLD, n=2), NOW + COOLDOWN)
    assert not waiting.done()
    with pytest.raises(KeyUnknown):
        await waiting
    assert await keys.verify(token("old", OLD, n=3), NOW + COOLDOWN)
    assert len(issuer.requests) == 2


async def test_before_the_first_set_the_keys_are_unavailable(keys: Keys, issuer: Any) -> None:
    issuer.status = "503 Service Unavailable"
    with pytest.raises(KeysUnavailable):
        await keys.verify(token("old", OLD), NOW)
    issuer.status = "200 OK"
    assert await keys.verify(token("old", OLD), NOW + COOLDOWN)


async def test_nothing_listens_there() -> None:
    keys = Keys(Settings(jwks_url="http://127.0.0.1:1/keys"))
    with pytest.raises(KeysUnavailable):
        await keys.verify(token("old", OLD), NOW)
    await keys.close()


async def test_what_the_header_says_about_keys_is_not_followed(keys: Keys, issuer: Any) -> None:
    claims = {"role": "anon", "exp": NOW + 60}
    for header in ({"jku": issuer.url}, {"jwk": {"kty": "oct", "k": "AAAA"}}, {"x5u": issuer.url}):
        with pytest.raises(KeyUnknown):
            await keys.verify(jwt.encode(claims, NEW, "EdDSA", headers=header), NOW)
    assert len(issuer.requests) <= 1


async def test_malformed_and_forged_tokens_cause_no_fetch_of_their_own(keys: Keys, issuer: Any) -> None:
    await keys.verify(token("old", OLD), NOW)
    with pytest.raises(TokenMalformed):
        await keys.verify("x.y", NOW + COOLDOWN)
    with pytest.raises(TokenSignatureInvalid):
        await keys.verify(token("old", NEW), NOW + COOLDOWN)
    assert len(issuer.requests) == 1


async def test_fetched_keys_do_not_replace_configured_ones(issuer: Any) -> None:
    issuer.body = key_set(mine=NEW)
    keys = Keys(Settings(jwks_url=issuer.url, jwks=key_set(mine=OLD).decode()))
    with pytest.raises(KeyUnknown):
        await keys.verify(token("other", OLD), NOW)  # fetches
    assert await keys.verify(token("mine", OLD), NOW)
    with pytest.raises(TokenSignatureInvalid):
        await keys.verify(token("mine", NEW), NOW)
    await keys.close()


async def test_a_remembered_token_still_expires() -> None:
    keys = Keys(Settings(jwt_secret=SECRET))
    text = sign({"role": "anon", "exp": NOW + 10}, SECRET)
    assert await keys.verify(text, NOW) is await keys.verify(text, NOW + 9)
    with pytest.raises(TokenExpired, match="2 seconds ago"):
        await keys.verify(text, NOW + 12)


async def test_a_revoked_impersonation_is_refused_at_once() -> None:
    keys = Keys(Settings(jwt_secret=SECRET))
    until = time.time() + 60
    first, second = (
        sign({"role": "anon", "exp": until, "realtime_inspector": {"session_id": name, "actor": "ann"}}, SECRET) for name in "ab"
    )
    assert await keys.verify(first, time.time())
    keys.revoke("a", until)
    keys.revoke("c", time.time() - 1)
    keys.revoke("d", until)
    with pytest.raises(TokenExpired, match="ended"):
        await keys.verify(first, time.time())
    assert (await keys.verify(second, time.time())).session_id == "b"


async def test_the_admin_role_opens_no_channel() -> None:
    keys = Keys(Settings(jwt_secret=SECRET))
    text = sign({"role": "inspector_admin", "exp": NOW + 10, "sub": "ann"}, SECRET)
    assert (await keys.authenticate(text, NOW)).identity.role == "inspector_admin"
    with pytest.raises(RoleNotAllowed):
        await keys.verify(text, NOW)


async def test_any_text_may_be_asked_about() -> None:
    keys = Keys(Settings(jwt_secret=SECRET))
    for text in ("\ud800", "\x00", "x" * 1_000_000):
        with pytest.raises(TokenMalformed):
            await keys.verify(text, NOW)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(jwt_secret="short"),
        Settings(jwks='{"keys": []}'),
        Settings(jwks="{"),
        Settings(jwks_url="http://issuer.example/keys"),
        Settings(jwks_url="http://127.0.0.1.evil.example/keys"),
        Settings(jwks_url="http://localhost@evil.example/keys"),
        Settings(jwks_url="https:///keys"),
        Settings(jwks_url="file:///etc/keys"),
        Settings(jwt_secret=SECRET, allowed_roles=("none",)),
        Settings(jwt_secret=SECRET, allowed_roles=("anon", "boss"), admin_role="boss"),
    ],
    ids=lambda settings: settings.jwks_url or settings.jwks or ",".join(settings.allowed_roles),
)
def test_it_does_not_start_without_a_key_or_with_a_doubtful_one(settings: Settings) -> None:
    with pytest.raises(InvalidInput) as caught:
        Keys(settings)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "url", ["https://issuer.example/keys", "http://127.0.0.1/keys", "http://[::1]:9/keys", "http://localhost/keys"]
)
def test_it_starts_with_a_url_that_cannot_be_overheard(url: str) -> None:
    assert Keys(Settings(jwks_url=url))


async def test_a_token_by_the_secret_needs_no_fetch_to_succeed(keys: Keys, issuer: Any) -> None:
    issuer.gate.clear()
    header = urlsafe_b64encode(b'{"alg":"HS256","kid":"unheard of"}').rstrip(b"=")
    claims = urlsafe_b64encode(json.dumps({"role": "anon", "exp": NOW + 9}).encode()).rstrip(b"=")
    signature = urlsafe_b64encode(hmac.digest(SECRET.encode(), header + b"." + claims, "sha256")).rstrip(b"=")
    assert await keys.verify(b".".join((header, claims, signature)).decode(), NOW)


PUBLISHABLE, SECRET_KEY = "sb_publishable_0123456789", "sb_secret_0123456789abcdef"


async def test_keys_that_are_no_tokens_stand_for_a_role() -> None:
    keys = Keys(Settings(jwt_secret=SECRET, api_keys=(f"{PUBLISHABLE}=anon", f"{SECRET_KEY} = service_role")))
    found = [await keys.verify(key, NOW) for key in (PUBLISHABLE, SECRET_KEY)]
    assert [(token.identity.role, token.claims) for token in found] == [
        ("anon", {"role": "anon"}),
        ("service_role", {"role": "service_role"}),
    ]
    assert all(token.expires_at > NOW + 1e12 for token in found)
    for other in (PUBLISHABLE[:-1], PUBLISHABLE + "0", "sb_", "anon", f"{PUBLISHABLE}=anon"):
        with pytest.raises(TokenMalformed):
            await keys.verify(other, NOW)


@pytest.mark.parametrize(
    "entry", ["", PUBLISHABLE, f"{PUBLISHABLE}=", f"{PUBLISHABLE}=admin", "sb_short=anon", "0123456789" * 3 + "=anon"]
)
def test_an_entry_that_cannot_be_meant_is_refused_without_telling_it(entry: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        Keys(Settings(jwt_secret=SECRET, api_keys=(entry,)))
    assert "RTI_API_KEYS" in refusal.value.text
    assert "0123456789" not in refusal.value.text + refusal.value.remedy


async def test_a_socket_opens_with_a_publishable_key_and_lives_under_it() -> None:
    async with serving(api_keys=(f"{PUBLISHABLE}=anon",)) as service, client(service, key=PUBLISHABLE) as member:
        await member.join()
        await member.alive()
