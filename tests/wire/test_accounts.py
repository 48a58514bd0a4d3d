"""Admins sign in with a password, sign out and lose every right; their tokens and impersonations go with that."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import orjson
import pytest

from realtime_inspector.errors import DatabaseUnavailable, RealtimeError, RoleNotAllowed, TokenClaimsInvalid, TokenExpired
from realtime_inspector.hub import endings
from realtime_inspector.hub.endings import Watch
from realtime_inspector.identity.passwords import entry
from realtime_inspector.identity.tokens import NAMESPACE
from realtime_inspector.postgres.audit import Audit, Endings
from realtime_inspector.server.accounts import PER_PERSON
from realtime_inspector.server.keys import Keys
from tests.wire.test_admin_api import ANON, ME, SETTINGS, START, Service, pool, refused, token

__all__ = ["pool"]
LOGIN, LOGOUT, REFRESH = "/api/v1/admin/login", "/api/v1/admin/logout", "/api/v1/admin/refresh"
REVOKE, REINSTATE = "/api/v1/admin/revoke", "/api/v1/admin/reinstate"
PASSWORD = "correct horse battery"
ADMINS = (entry("Ann@Example.com", PASSWORD, b"a" * 16), entry("bea@example.com", PASSWORD[::-1], b"b" * 16))
WITH_ADMINS = msgspec.structs.replace(SETTINGS, admins=ADMINS)


@pytest.fixture
async def service(pool: Any) -> AsyncIterator[Service]:
    made = Service(pool, WITH_ADMINS)
    async with made.client:
        yield made


async def attempt(service: Service, email: str, password: str) -> Any:
    """As a page would: without a bearer that means anything."""
    return await service.ask("POST", LOGIN, {"email": email, "password": password}, bearer="the anon key")


async def sign_in(service: Service, email: str = "ann@example.com", password: str = PASSWORD) -> str:
    answer = await attempt(service, email, password)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def actions(service: Service) -> list[tuple[str, str | None]]:
    return [(entry["action"], entry["admin_user_id"]) for entry in await service.log()]


async def test_an_admin_signs_in(service: Service) -> None:
    answer = await attempt(service, " ANN@example.com ", PASSWORD)
    body = answer.json()
    assert body.keys() == {"user", "access_token", "refresh_token", "expires_in"}
    assert body["user"] == {"id": "ann@example.com", "email": "ann@example.com", "role": "inspector_admin"}
    assert (body["refresh_token"], body["expires_in"]) == ("", SETTINGS.admin_seconds)
    assert (await service.ask("GET", ME, bearer=body["access_token"])).json() == {"user": body["user"]}
    started = await service.start(bearer=body["access_token"])
    assert started["session"]["admin_user_id"] == "ann@example.com"
    assert await actions(service) == [("login", "ann@example.com"), ("started", "ann@example.com")]
    [login, _] = await service.log()
    assert PASSWORD not in str(login)
    assert body["access_token"] not in str(login)


async def test_who_does_not_know_the_password_stays_out(service: Service) -> None:
    for email, password in (
        ("ann@example.com", "wrong"),
        ("ann@example.com", PASSWORD + " "),
        ("ann@example.com", ""),
        ("ann@example.com", PASSWORD[::-1]),
        ("nobody@example.com", PASSWORD),
        ("", ""),
        ("\x00", "\ud800"),
        ("ann@example.com' or '1'='1", "x" * 60_000),
    ):
        content = orjson.dumps({"email": email, "password": "?"}).replace(b'"?"', _json(password))
        answer = await service.ask("POST", LOGIN, content=content)
        if answer.status_code != 400:  # what is no Unicode is no JSON
            assert refused(answer, 401, "INVALID_CREDENTIALS") == "E-mail or password is wrong"
            assert answer.headers["www-authenticate"] == "Bearer"
    assert {action for action, _ in await actions(service)} == {"login_failed"}


def _json(text: str) -> bytes:
    try:
        return orjson.dumps(text)
    except orjson.JSONEncodeError:
        return b'"\\ud800"'


async def test_without_the_trail_nobody_signs_in(service: Service, pool: Any) -> None:
    await pool.close()
    answer = await attempt(service, "ann@example.com", PASSWORD)
    assert refused(answer, 503, "UnableToConnectToProject")
    assert "access_token" not in answer.text


async def test_too_many_attempts_are_refused_and_written_down_once(service: Service) -> None:
    for _ in range(PER_PERSON):
        assert refused(await attempt(service, "ann@example.com", "wrong"), 401, "INVALID_CREDENTIALS")
    for _ in range(3):
        assert refused(await attempt(service, "ann@example.com", PASSWORD), 429, "TOO_MANY_REQUESTS")
    assert await sign_in(service, "bea@example.com", PASSWORD[::-1])
    assert [action for action, _ in await actions(service)] == ["login_failed"] * PER_PERSON + ["login_blocked", "login"]


async def test_right_passwords_are_not_counted(service: Service) -> None:
    for _ in range(PER_PERSON + 1):
        assert await sign_in(service)


async def test_a_sign_in_is_not_renewed(service: Service) -> None:
    answer = await service.ask("POST", REFRESH, {"refresh_token": ""})
    assert refused(answer, 401, "InvalidJWTToken") == "A sign-in cannot be renewed"


async def test_signing_out_ends_the_token_and_what_was_started_with_it(service: Service) -> None:
    mine, other = await sign_in(service), await sign_in(service)
    started = await service.start(bearer=mine)
    answer = (await service.ask("POST", LOGOUT, {}, bearer=mine)).json()
    assert answer == {"success": True, "ended": [started["session"]["id"]], "token_ended": True}
    assert service.closed == [started["session"]["id"]]
    for bearer in (mine, started["access_token"]):
        assert refused(await service.ask("GET", ME, bearer=bearer), 401, "InvalidJWTToken")
    assert (await service.ask("GET", ME, bearer=other)).status_code == 200


async def test_a_token_that_was_made_elsewhere_outlives_signing_out(service: Service) -> None:
    answer = (await service.ask("POST", LOGOUT, {})).json()
    assert answer == {"success": True, "ended": [], "token_ended": False}
    assert (await service.ask("GET", ME)).status_code == 200


async def test_other_processes_learn_of_every_ending(service: Service, pool: Any) -> None:
    """A second process with the same settings, which did none of it."""
    elsewhere, closed = Keys(WITH_ADMINS), list[str]()
    watch = Watch(Audit(pool), elsewhere)
    watch._close_session = closed.append
    mine, bea = await sign_in(service), await sign_in(service, "bea@example.com", PASSWORD[::-1])
    stopped, logged_out = await service.start(bearer=bea), await service.start(bearer=mine)
    await watch.look()
    for living in (mine, bea, stopped["access_token"], logged_out["access_token"]):
        assert await elsewhere.authenticate(living, time.time())
    await service.ask("DELETE", START, bearer=bea)
    await service.ask("POST", LOGOUT, {}, bearer=mine)
    await watch.look()
    for dead in (mine, stopped["access_token"], logged_out["access_token"]):
        with pytest.raises(TokenExpired):
            await elsewhere.authenticate(dead, time.time())
    assert await elsewhere.authenticate(bea, time.time())
    assert set(closed) == {stopped["session"]["id"], logged_out["session"]["id"]}


@pytest.mark.parametrize("fault", [DatabaseUnavailable(), RuntimeError("planted")], ids=["database", "ours"])
async def test_who_cannot_learn_what_has_ended_trusts_no_admin(
    service: Service, pool: Any, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    async def fail(_: Audit) -> Endings:
        raise fault

    monkeypatch.setattr(endings, "BLIND_SECONDS", 0.0)
    monkeypatch.setattr(endings, "PAUSE", 0.01)
    elsewhere, mine = Keys(WITH_ADMINS), await sign_in(service)
    watching = asyncio.create_task(Watch(Audit(pool), elsewhere).run(lambda _: None))
    try:
        async with asyncio.timeout(20):
            for knows in (True, False, True):
                with monkeypatch.context() as planted:
                    if not knows:
                        planted.setattr(Audit, "endings", fail)
                    while elsewhere.knows_revoked is not knows:  # noqa: ASYNC110 - nobody tells
                        await asyncio.sleep(0.01)
                    if knows:
                        assert await elsewhere.authenticate(mine, time.time())
                    else:
                        with pytest.raises(RealtimeError):
                            await elsewhere.authenticate(mine, time.time())
    finally:
        watching.cancel()


async def test_a_revoked_admin_has_no_right_left(service: Service, pool: Any) -> None:
    elsewhere = Keys(WITH_ADMINS)
    watch = Watch(Audit(pool), elsewhere)
    mine = await sign_in(service)
    minted = token(sub="Ann@Example.com")  # by whoever has the key
    started = [await service.start(bearer=mine), await service.start(ANON, {"reason": "ticket 42"}, bearer=minted)]
    answer = await service.ask(
        "POST", REVOKE, {"admin_user_id": " ANN@example.com", "reason": "left the company"}, bearer=token()
    )
    assert answer.json()["success"] is True
    assert set(answer.json()["ended"]) == {each["session"]["id"] for each in started}
    await watch.look()
    for keys in (service.keys, elsewhere):
        for bearer in (mine, minted):
            with pytest.raises(RoleNotAllowed, match="revoked"):
                await keys.authenticate(bearer, time.time())
        for each in started:
            with pytest.raises(TokenExpired):
                await keys.verify(each["access_token"], time.time())
    assert refused(await attempt(service, "ann@example.com", PASSWORD), 403, "Unauthorized") == "This admin was revoked"
    assert refused(await service.ask("POST", START, {"reason": "ticket 42"}, bearer=mine), 403, "Unauthorized")
    again = await service.ask("POST", REINSTATE, {"admin_user_id": "ann@example.com", "reason": "came back"})
    assert again.status_code == 200
    assert await sign_in(service)
    assert (await service.ask("GET", ME, bearer=started[0]["access_token"])).status_code == 401
    assert [action for action, _ in await actions(service)] == [
        *("login", "started", "started", "admin_revoked", "revoked", "revoked", "admin_reinstated", "login", "refused", "refused")
    ]


async def test_nobody_revokes_themselves_or_without_a_reason(service: Service) -> None:
    for body, code in (
        ({"admin_user_id": "ANN", "reason": "by mistake"}, "INVALID_INPUT"),
        ({"admin_user_id": " ", "reason": "ticket 42"}, "INVALID_INPUT"),
        ({"admin_user_id": "bea", "reason": " "}, "MISSING_REQUIRED_FIELD"),
        ({"admin_user_id": "bea"}, "MISSING_REQUIRED_FIELD"),
    ):
        assert refused(await service.ask("POST", REVOKE, body), 400, code)
    assert (await service.ask("GET", ME)).status_code == 200


@pytest.mark.parametrize("admins", [ADMINS[1:], (entry("ann@example.com", "another password", b"c" * 16),), ()])
async def test_who_is_taken_out_of_the_settings_has_no_right_left(service: Service, pool: Any, admins: tuple[str, ...]) -> None:
    """The sign-in, and what was started with it, also after the restart that a new setting needs."""
    mine = await sign_in(service)
    started = await service.start(bearer=mine)
    restarted = Keys(msgspec.structs.replace(WITH_ADMINS, admins=admins))
    for bearer in (mine, started["access_token"]):
        assert await service.keys.authenticate(bearer, time.time())
        with pytest.raises(TokenExpired, match="sign-in has ended"):
            await restarted.authenticate(bearer, time.time())


async def test_a_session_cannot_be_forged(service: Service) -> None:
    """With the right key, and without a record, or with the record of another one."""
    started = await service.start()
    session, claims = started["session"]["id"], {"role": "authenticated", "sub": "mallory"}
    for role, issued in (
        ("authenticated", {"session_id": "00000000-0000-4000-8000-000000000000", "actor": "ann"}),
        ("authenticated", {"session_id": "no uuid", "actor": "ann"}),
        ("authenticated", {"session_id": session, "actor": "bea"}),
        ("service_role", {"session_id": session, "actor": "ann"}),
    ):
        forged = token(**{**claims, "role": role, NAMESPACE: issued})
        with pytest.raises(TokenClaimsInvalid, match="no such impersonation"):
            await service.keys.verify(forged, time.time())
        assert refused(await service.ask("GET", ME, bearer=forged), 401, "InvalidJWTToken")
    assert await service.keys.verify(started["access_token"], time.time())


async def test_a_sign_in_cannot_be_forged(service: Service) -> None:
    """Whoever has the key can make any token; whoever has not cannot turn one into a sign-in."""
    mine = await sign_in(service)
    claims = (await service.keys.authenticate(mine, time.time())).claims
    login = claims[NAMESPACE]["login"]  # type: ignore[index]
    for bearer in (
        token(sub="bea@example.com", **{NAMESPACE: {"login": login}}),
        token(sub="mallory", **{NAMESPACE: {"login": login}}),
        token(sub="ann@example.com", **{NAMESPACE: {"login": "x." + login}}),
        token(sub="ann@example.com", **{NAMESPACE: {"login": ""}}),
        token(sub="ann@example.com", **{NAMESPACE: {"login": login, "session_id": "x"}}),
    ):
        assert refused(await service.ask("GET", ME, bearer=bearer), 401, "InvalidJWTToken")
