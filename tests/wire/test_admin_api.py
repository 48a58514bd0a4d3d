"""The admin interface over HTTP with a real trail in Postgres and real tokens: every route, and everything people may not do."""

import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import msgspec
import orjson
import pytest
from starlette.applications import Starlette

from realtime_inspector import __version__
from realtime_inspector.errors import TokenExpired
from realtime_inspector.hub.endings import Watch
from realtime_inspector.identity.tokens import sign
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.audit import Audit
from realtime_inspector.postgres.console import Console
from realtime_inspector.postgres.published import published_tables
from realtime_inspector.postgres.trail import Trail
from realtime_inspector.postgres.users import Users
from realtime_inspector.server.admin import routes
from realtime_inspector.server.deps import Dependencies
from realtime_inspector.server.keys import Keys
from realtime_inspector.server.refusals import KINDS, Refusals
from realtime_inspector.server.rest import LARGEST_BODY, Door
from realtime_inspector.settings import Settings
from tests.wire.contract import assert_described

SECRET = "a secret of 32 bytes, or of more"
ALICE, CAROL = "11111111-1111-4111-8111-111111111111", "33333333-3333-4333-8333-333333333333"
NIL = "00000000-0000-0000-0000-000000000000"
SETTINGS = Settings(
    jwt_secret=SECRET,
    allowed_origins=("https://app.example",),
    allowed_roles=("anon", "authenticated", "service_role", "reporter"),
)
START, ANON, SERVICE = "/api/v1/auth/impersonate", "/api/v1/auth/impersonate/anon", "/api/v1/auth/impersonate/service"
SESSIONS, USERS = "/api/v1/auth/impersonate/sessions", "/api/v1/admin/users"
ME, CONFIG = "/api/v1/admin/me", "/api/v1/inspector/config"
EVERY = [("GET", START), ("POST", START), ("DELETE", START), ("POST", ANON), ("POST", SERVICE)] + [
    ("GET", path) for path in (SESSIONS, USERS, ME, CONFIG)
]
EVERY += [("GET", f"/api/v1/{path}") for path in ("audit", "audit/export", "audit/verify", "connections")]
EVERY += [("POST", "/api/v1/sql"), ("GET", "/api/v1/tables/public/tweets/rows")]
EVERY += [("POST", f"/api/v1/admin/{act}") for act in ("logout", "revoke", "reinstate")] + [("DELETE", "/api/v1/connections/x-1")]
WISH = {"target_user_id": ALICE, "reason": "ticket 42"}
SAMPLE = f"""
create schema auth;
create table auth.users (id uuid primary key, email text, raw_app_meta_data jsonb);
insert into auth.users values
  ('{ALICE}', 'alice@example.com', '{{"role": "editor"}}'),
  ('22222222-2222-4222-8222-222222222222', 'bob@example.com', null),
  ('{CAROL}', 'carol@example.com', '{{"role": "inspector_admin"}}');
create table public.tweets (id bigint primary key, content text);
alter table public.tweets enable row level security;
create publication supabase_realtime for table public.tweets;
do $$ begin create role test_admin_reader login password 'secret'; exception when duplicate_object then null; end $$;
grant usage on schema realtime_inspector, auth to test_admin_reader;
grant select on all tables in schema realtime_inspector, auth to test_admin_reader;
grant execute on all functions in schema realtime_inspector to test_admin_reader;
"""


def token(role: str = "inspector_admin", sub: str | None = "ann", seconds: float = 600, **claims: Any) -> str:
    return sign({"role": role, "sub": sub, "exp": time.time() + seconds, **claims}, SECRET)


class Service:
    """The routes as an application would mount them, reached as an admin unless a test says otherwise."""

    def __init__(self, pool: Any, settings: Settings = SETTINGS) -> None:
        self.closed: list[str] = []
        self.connections: list[dict[str, object]] = []
        self.disconnected: list[str] = []
        self.keys = Keys(settings)
        self.keys.recorded = Audit(pool).recorded
        self.pool = pool
        self.refusals = Refusals(Audit(pool).record)
        deps = Dependencies(
            settings=settings,
            keys=self.keys,
            door=Door(self.keys.authenticate, settings.allowed_origins, self.refusals.note),
            audit=Audit(pool),
            users=Users(pool, settings.users_query),
            tables=lambda: published_tables(pool, settings.publication),
            close_session=self.closed.append,
            trail=Trail(pool),
            console=Console(settings.evaluator_url, statement_timeout_ms=2_000, search_path="public"),
            connections=lambda: self.connections,
            disconnect=self.disconnect,
            refresh_endings=Watch(Audit(pool), self.keys).look,
        )
        transport = httpx.ASGITransport(Starlette(routes=routes(deps)), client=("10.1.2.3", 999))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://service", headers={"user-agent": "a browser"})

    def disconnect(self, name: str) -> bool:
        self.disconnected.append(name)
        return True

    async def ask(self, method: str, path: str, json: Any = None, *, bearer: str | None = None, **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {bearer or token()}", "content-type": "application/json", **more.pop("headers", {})}
        content = None if json is None else orjson.dumps(json)
        answer = await self.client.request(method, path, headers=headers, **{"content": content, **more})
        assert answer.headers["cache-control"] == "no-store"
        assert "set-cookie" not in answer.headers
        if method not in ("HEAD", "OPTIONS"):
            assert_described(answer)
        return answer

    async def start(self, path: str = START, json: Any = None, **more: Any) -> Any:
        answer = await self.ask("POST", path, WISH if json is None else json, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def log(self) -> list[Any]:
        await self.refusals.flush()
        return list(await self.pool.fetch("select * from realtime_inspector.audit_log order by id"))


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Any]:
    admin = await asyncpg.connect(database)
    await admin.execute(sql.load("schema") + SAMPLE)
    await admin.close()
    parts = urlsplit(database)
    reader = parts._replace(netloc=f"test_admin_reader:secret@{parts.hostname}:{parts.port}").geturl()
    async with asyncpg.create_pool(reader, min_size=1, max_size=2, server_settings={"search_path": ""}) as made:
        yield made


@pytest.fixture
async def service(pool: Any) -> AsyncIterator[Service]:
    made = Service(pool)
    async with made.client:
        yield made


def refused(answer: httpx.Response, status: int, code: str) -> str:
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), answer.text
    assert body.keys() == {"error", "code", "hint", "docs"}
    return str(body["error"])


async def test_a_user_is_impersonated(service: Service) -> None:
    answer = await service.start()
    session = answer["session"]
    assert session | {"id": "", "started_at": "", "expires_at": ""} == {
        "id": "",
        "admin_user_id": "ann",
        "target_user_id": ALICE,
        "impersonation_type": "user",
        "target_role": "authenticated",
        "reason": "ticket 42",
        "started_at": "",
        "expires_at": "",
        "ended_at": None,
        "end_reason": None,
        "is_active": True,
        "ip_address": "10.1.2.3",
        "user_agent": "a browser",
        "delivered": 0,
        "denied": 0,
        "queries": 0,
        "traces": 0,
    }
    assert uuid.UUID(session["id"])
    assert answer["target_user"] == {"id": ALICE, "email": "alice@example.com", "role": "authenticated"}
    assert answer["refresh_token"] == ""
    assert 590 <= answer["expires_in"] <= 600  # the admin's token ends before 15 minutes are over
    verified = await service.keys.verify(answer["access_token"], time.time())
    assert (verified.session_id, verified.actor, verified.identity.role) == (session["id"], "ann", "authenticated")
    assert answer["identity"] == {"role": "authenticated", "claims": verified.claims}
    assert verified.claims["app_metadata"] == {"role": "editor"}
    assert [(entry["action"], str(entry["session_id"])) for entry in await service.log()] == [("started", session["id"])]


@pytest.mark.parametrize(
    ("path", "kind", "role"), [(ANON, "anon", "anon"), (SERVICE, "service", "service_role")], ids=["anon", "service"]
)
async def test_anon_and_service_are_impersonated(service: Service, path: str, kind: str, role: str) -> None:
    answer = await service.start(path, {"reason": "ticket 42"})
    assert (answer["session"]["impersonation_type"], answer["session"]["target_user_id"]) == (kind, None)
    assert answer["target_user"] == {"id": NIL, "email": "", "role": role}
    assert answer["identity"]["role"] == role
    assert "sub" not in answer["identity"]["claims"]


async def test_any_allowed_role_is_impersonated_with_free_claims(service: Service) -> None:
    wish = {"role": "reporter", "claims": {"sub": "r7", "org": {"id": 3}}, "reason": "ticket 42", "expires_in": 60}
    answer = await service.start(json=wish)
    assert (answer["session"]["impersonation_type"], answer["session"]["target_user_id"]) == ("custom", "r7")
    assert answer["identity"]["claims"]["org"] == {"id": 3}
    assert 58 <= answer["expires_in"] <= 60


async def test_a_user_is_impersonated_in_another_role(service: Service) -> None:
    answer = await service.start(json={**WISH, "role": "reporter", "claims": {"aal": "aal2"}})
    assert (answer["session"]["target_role"], answer["identity"]["claims"]["aal"]) == ("reporter", "aal2")


async def test_it_lasts_no_longer_than_the_settings_allow(service: Service) -> None:
    answer = await service.start(json={**WISH, "expires_in": 10**6}, bearer=token(seconds=10**6))
    assert 898 <= answer["expires_in"] <= 900


async def test_a_new_start_ends_the_old_and_closes_its_sockets(service: Service) -> None:
    first, second = await service.start(), await service.start(ANON, {"reason": "ticket 43"})
    assert service.closed == [first["session"]["id"]]
    with pytest.raises(TokenExpired):
        await service.keys.verify(first["access_token"], time.time())
    assert await service.keys.verify(second["access_token"], time.time())


async def test_concurrent_starts_are_for_comparing(service: Service) -> None:
    first = await service.start()
    second = await service.start(ANON, {"reason": "ticket 42", "concurrent": True})
    third = await service.start(json={"role": "reporter", "reason": "ticket 42", "concurrent": True})
    for answer in (first, second, third):
        assert await service.keys.verify(answer["access_token"], time.time())
    assert service.closed == []
    last = await service.start()
    assert sorted(service.closed) == sorted(answer["session"]["id"] for answer in (first, second, third))
    assert await service.keys.verify(last["access_token"], time.time())


async def test_stop_ends_token_sockets_and_session(service: Service) -> None:
    started = await service.start()
    answer = await service.ask("DELETE", START)
    assert answer.status_code == 200
    assert answer.json() == {"success": True, "message": "Impersonation session ended", "ended": [started["session"]["id"]]}
    assert service.closed == [started["session"]["id"]]
    with pytest.raises(TokenExpired):
        await service.keys.verify(started["access_token"], time.time())
    assert refused(await service.ask("GET", ME, bearer=started["access_token"]), 401, "InvalidJWTToken")
    assert refused(await service.ask("DELETE", START), 404, "NOT_FOUND") == "No active impersonation session found"
    [session] = (await service.ask("GET", SESSIONS)).json()["sessions"]
    assert (session["is_active"], session["end_reason"]) == (False, "stopped")
    assert session["ended_at"] is not None


async def test_one_of_several_is_stopped(service: Service) -> None:
    first, second = await service.start(), await service.start(ANON, {"reason": "ticket 42", "concurrent": True})
    path = f"{START}?session_id={first['session']['id']}"
    assert (await service.ask("DELETE", path)).json()["ended"] == [first["session"]["id"]]
    assert await service.keys.verify(second["access_token"], time.time())
    assert refused(await service.ask("DELETE", path), 404, "NOT_FOUND")
    for wrong in ("", "x", "%00"):
        assert refused(await service.ask("DELETE", f"{START}?session_id={wrong}"), 400, "INVALID_INPUT")
    assert await service.keys.verify(second["access_token"], time.time())


async def test_the_sessions_of_two_admins_do_not_cross(service: Service) -> None:
    started = await service.start()
    bea = token(sub="bea")
    assert refused(await service.ask("DELETE", START, bearer=bea), 404, "NOT_FOUND")
    assert refused(await service.ask("DELETE", f"{START}?session_id={started['session']['id']}", bearer=bea), 404, "NOT_FOUND")
    assert (await service.ask("GET", START, bearer=bea)).json() == {"session": None, "target_user": None}
    await service.start(ANON, {"reason": "ticket 43"}, bearer=bea)
    assert await service.keys.verify(started["access_token"], time.time())
    assert (await service.ask("GET", SESSIONS, bearer=bea)).json()["total"] == 2


async def test_current_is_the_newest_that_runs(service: Service) -> None:
    assert (await service.ask("GET", START)).json() == {"session": None, "target_user": None}
    session = (await service.start())["session"]
    current = (await service.ask("GET", START)).json()
    assert current["session"] == session
    assert current | session == current
    assert current["target_user"] == {"id": ALICE, "email": "alice@example.com", "role": "authenticated"}
    await service.start(ANON, {"reason": "ticket 42"})
    assert (await service.ask("GET", START)).json()["target_user"] == {"id": NIL, "email": "", "role": "anon"}


async def test_sessions_are_listed_with_filters(service: Service) -> None:
    await service.start()
    await service.start(ANON, {"reason": "ticket 43"})
    await service.start(SERVICE, {"reason": "ticket 44"}, bearer=token(sub="bea"))

    async def reasons(query: str) -> list[str]:
        return [session["reason"] for session in (await service.ask("GET", f"{SESSIONS}?{query}")).json()["sessions"]]

    assert await reasons("") == ["ticket 44", "ticket 43", "ticket 42"]
    assert await reasons("admin_user_id=bea") == ["ticket 44"]
    assert await reasons(f"target_user_id={ALICE}") == ["ticket 42"]
    assert await reasons("impersonation_type=anon") == ["ticket 43"]
    assert await reasons("is_active=true") == ["ticket 44", "ticket 43"]
    assert await reasons("is_active=false") == ["ticket 42"]
    assert await reasons("limit=1&offset=1") == ["ticket 43"]
    page = (await service.ask("GET", f"{SESSIONS}?limit=0&offset=0")).json()
    assert page == {"sessions": [], "total": 3, "limit": 0, "offset": 0}
    assert (await service.ask("GET", f"{SESSIONS}?limit=99999")).json()["limit"] == 200
    for wrong in ("limit=-1", "limit=x", "offset=1e3", f"limit={'9' * 30}", "is_active=maybe", "admin_user_id=%00"):
        assert refused(await service.ask("GET", f"{SESSIONS}?{wrong}"), 400, "INVALID_INPUT")


async def test_an_expired_session_is_shown_as_expired(service: Service) -> None:
    await service.start(json={**WISH, "expires_in": 1})
    await service.pool.execute("select pg_sleep(1.1)")
    [session] = (await service.ask("GET", SESSIONS)).json()["sessions"]
    assert (session["is_active"], session["end_reason"], session["ended_at"]) == (False, "expired", session["expires_at"])
    assert (await service.ask("GET", START)).json()["session"] is None


async def test_users_are_found(service: Service) -> None:
    answer = (await service.ask("GET", f"{USERS}?search=ali")).json()
    alice = {"id": ALICE, "email": "alice@example.com", "role": "authenticated", "app_metadata": {"role": "editor"}}
    assert answer == {"users": [alice], "total": 1}
    assert (await service.ask("GET", f"{USERS}?limit=1")).json()["total"] == 3
    others = (await service.ask("GET", f"{USERS}?exclude_admins=true", bearer=token(sub=ALICE))).json()
    assert [user["email"] for user in others["users"]] == ["bob@example.com"]
    assert len((await service.ask("GET", f"{USERS}?exclude_admins=false")).json()["users"]) == 3
    assert refused(await service.ask("GET", f"{USERS}?search=%00"), 400, "INVALID_INPUT")


async def test_without_a_table_of_users_there_is_a_note(pool: Any) -> None:
    service = Service(pool, msgspec.structs.replace(SETTINGS, users_query="select id, email, meta from public.people"))
    async with service.client:
        answer = await service.ask("GET", USERS)
        assert answer.status_code == 200
        assert (answer.json()["users"], answer.json()["total"]) == ([], 0)
        assert "RTI_USERS_QUERY" in answer.json()["note"]
        assert refused(await service.ask("POST", START, WISH), 404, "NOT_FOUND") == "User not found"
        assert await service.start(json={"role": "reporter", "reason": "ticket 42"})


async def test_me_and_config_say_who_and_what(service: Service) -> None:
    me = (await service.ask("GET", ME, bearer=token(email="ann@example.com"))).json()
    assert me == {"user": {"id": "ann", "email": "ann@example.com", "role": "inspector_admin"}}
    answer = await service.ask("GET", CONFIG)
    assert answer.json() == {
        "version": __version__,
        "admin": {"id": "ann"},
        "allowed_roles": ["anon", "authenticated", "service_role", "reporter"],
        "privileged_roles": ["service_role"],
        "impersonation_seconds": 900,
        "publication": "supabase_realtime",
        "tables": [
            {
                "schema": "public",
                "name": "tweets",
                "rls": True,
                "replica_identity": "default",
                "columns": [{"name": "id", "type": "bigint", "key": True}, {"name": "content", "type": "text", "key": False}],
            }
        ],
    }
    assert SECRET not in answer.text


@pytest.mark.parametrize(("method", "path"), EVERY)
async def test_every_route_wants_an_admin(service: Service, method: str, path: str) -> None:
    for header in ("", "Bearer", "Bearer ", "Basic YTpi", token()):
        answer = await service.ask(method, path, WISH, headers={"authorization": header})
        assert refused(answer, 401, "MISSING_AUTHENTICATION") == "Missing authentication"
        assert answer.headers["www-authenticate"] == "Bearer"
    for bearer, status, code in (
        ("nonsense", 401, "MalformedJWT"),
        (token(seconds=-5), 401, "InvalidJWTToken"),
        (sign({"role": "inspector_admin", "sub": "ann", "exp": time.time() + 60}, "x" * 32), 401, "JwtSignatureError"),
        (token("postgres"), 403, "Unauthorized"),
        (token("anon", None), 403, "ACCESS_DENIED"),
        (token("authenticated", ALICE, app_metadata={"role": "inspector_admin"}), 403, "ACCESS_DENIED"),
        (token("service_role"), 403, "ACCESS_DENIED"),
        (token(sub=None), 403, "ACCESS_DENIED"),
    ):
        assert refused(await service.ask(method, path, WISH, bearer=bearer), status, code)
    assert (await service.ask("GET", SESSIONS)).json()["total"] == 0


async def test_the_token_may_come_from_nowhere_else(service: Service) -> None:
    url = f"{ME}?apikey={token()}&token={token()}"
    answer = await service.client.get(
        url, headers={"apikey": token(), "cookie": f"token={token()}; Authorization=Bearer {token()}"}
    )
    assert answer.status_code == 401


async def test_an_impersonation_is_no_admin(service: Service) -> None:
    for started in (await service.start(), await service.start(SERVICE, {"reason": "ticket 42", "concurrent": True})):
        for method, path in EVERY:
            answer = await service.ask(method, path, WISH, bearer=started["access_token"])
            assert refused(answer, 403, "ACCESS_DENIED") == "An impersonation cannot impersonate again"
    assert service.closed == []
    assert (await service.ask("GET", SESSIONS)).json()["total"] == 2


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "error"),
    [
        (START, {"target_user_id": ALICE}, 400, "MISSING_REQUIRED_FIELD", "Reason is required"),
        (START, {"target_user_id": ALICE, "reason": "  "}, 400, "MISSING_REQUIRED_FIELD", "Reason is required"),
        (ANON, {}, 400, "MISSING_REQUIRED_FIELD", "Reason is required"),
        (SERVICE, {"reason": "why"}, 400, "MISSING_REQUIRED_FIELD", "The reason needs at least 5 characters"),
        (ANON, {"reason": "x" * 501}, 400, "INVALID_INPUT", "The reason is limited to 500 printable characters"),
        (START, {"reason": "ticket 42"}, 400, "INVALID_INPUT", "Neither target_user_id nor role is given"),
        (START, {**WISH, "target_user_id": CAROL}, 400, "INVALID_INPUT", "Cannot impersonate yourself"),
        (
            START,
            {"role": "anon", "claims": {"sub": CAROL}, "reason": "ticket 42"},
            400,
            "INVALID_INPUT",
            "Cannot impersonate yourself",
        ),
        (START, {**WISH, "target_user_id": "nobody"}, 404, "NOT_FOUND", "User not found"),
        (START, {**WISH, "target_user_id": "a\x00"}, 400, "INVALID_INPUT", "A value cannot be used with the database"),
        (START, {"role": "postgres", "reason": "ticket 42"}, 403, "Unauthorized", "The role 'postgres' may not be used here"),
        (START, {"role": "none", "reason": "ticket 42"}, 403, "Unauthorized", "The role 'none' may not be used here"),
        (START, {**WISH, "role": "pg_monitor"}, 403, "Unauthorized", "The role 'pg_monitor' may not be used here"),
        (START, {"role": "inspector_admin", "reason": "ticket 42"}, 403, "ACCESS_DENIED", "Nobody can be given the admin role"),
        (START, {**WISH, "claims": {"role": "service_role"}}, 400, "INVALID_INPUT", "The claim 'role' is set by the service"),
        (START, {**WISH, "claims": {"exp": 9e9}}, 400, "INVALID_INPUT", "The claim 'exp' is set by the service"),
        (START, {**WISH, "claims": {"sub": "bob"}}, 400, "INVALID_INPUT", "The claim 'sub' is set by the service"),
        (START, {**WISH, "claims": {"act": {}}}, 400, "INVALID_INPUT", "The claim 'act' is set by the service"),
        (START, {**WISH, "expires_in": 0}, 400, "INVALID_INPUT", "expires_in must be at least 1 second"),
    ],
)
async def test_what_is_not_allowed_is_refused_and_recorded(
    service: Service, path: str, body: Any, status: int, code: str, error: str
) -> None:
    answer = await service.ask("POST", path, body, bearer=token(sub=CAROL))
    assert refused(answer, status, code) == error
    [entry] = await service.log()
    detail = orjson.loads(entry["detail"])
    assert (entry["action"], entry["admin_user_id"], entry["ip_address"]) == ("refused", CAROL, "10.1.2.3")
    assert (detail["code"], detail["error"], detail["as_role"]) == (code, error, "inspector_admin")
    assert (await service.ask("GET", SESSIONS)).json()["total"] == 0


BAD_BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"reason"',
    b'{"reason": 5}',
    b'{"reason": "ticket 42", "role": "anon", "expires_in": "60"}',
    b'{"reason": "ticket 42", "role": "anon", "expires_in": 1.5}',
    b'{"reason": "ticket 42", "role": "anon", "claims": []}',
    b'{"reason": "ticket 42", "role": "anon", "concurrent": "yes"}',
    b'{"reason": "ticket 42", "role": "anon", "rolle": "x"}',
    b'{"reason": "ticket \xff42", "role": "anon"}',
    b'{"reason": "ticket 42", "role": "anon", "claims": {"a": "\\u0000"}}',
    b'{"reason": "ticket 42", "role": "anon", "claims": {"a": "\\ud800"}}',
    b'{"reason": "ticket 42", "role": "anon", "claims": {"a": 1' + b"0" * 400 + b"}}",
    b'{"reason": "ticket 42", "role": "anon", "claims": ' + b'{"a":' * 3000 + b"1" + b"}" * 3001,
]


async def test_bad_bodies_are_refused(service: Service) -> None:
    for content in BAD_BODIES:
        assert refused(await service.ask("POST", START, content=content), 400, "INVALID_INPUT")
    assert (await service.ask("GET", SESSIONS)).json()["total"] == 0


async def test_anon_takes_neither_role_nor_claims(service: Service) -> None:
    for more in ({"role": "service_role"}, {"claims": {}}, {"target_user_id": ALICE}):
        assert refused(await service.ask("POST", ANON, {"reason": "ticket 42", **more}), 400, "INVALID_INPUT")


async def test_large_bodies_are_refused(service: Service) -> None:
    assert refused(await service.ask("POST", START, content=b" " * (LARGEST_BODY + 1)), 413, "PayloadTooLarge")
    assert (await service.ask("POST", START, content=orjson.dumps(WISH) + b" " * (LARGEST_BODY - 200))).status_code == 200
    sent = 0

    async def receive() -> dict[str, Any]:
        nonlocal sent
        sent += 1
        return {"type": "http.request", "body": b" " * 1000, "more_body": True}

    answers: list[Any] = []

    async def send(message: Any) -> None:
        answers.append(message)

    headers = [(b"authorization", f"Bearer {token()}".encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": START, "headers": headers, "query_string": b"", "root_path": ""}
    await service.client._transport.app(scope, receive, send)
    assert answers[0]["status"] == 413
    assert sent == LARGEST_BODY // 1000 + 1


async def test_what_a_form_of_a_foreign_page_can_send_changes_nothing(service: Service) -> None:
    for method, path in [call for call in EVERY if call[0] != "GET"]:
        for kind in ("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            answer = await service.ask(method, path, WISH, headers={"content-type": kind})
            assert refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")
    assert await service.log() == []


async def test_json_may_name_its_charset(service: Service) -> None:
    assert await service.start(headers={"content-type": "Application/JSON; charset=utf-8"})


async def test_only_known_origins_share(service: Service) -> None:
    for method, path in EVERY:
        for asked in (method, "OPTIONS"):
            known = await service.ask(asked, path, WISH, headers={"origin": "https://app.example"})
            assert known.headers["access-control-allow-origin"] == "https://app.example"
            assert method in known.headers["access-control-allow-methods"]
            assert "access-control-allow-credentials" not in known.headers
            for origin in ("https://evil.example", "https://app.example.evil.example", "null", "http://app.example", ""):
                foreign = await service.ask(asked, path, {}, headers={"origin": origin})
                assert not [name for name in foreign.headers if name.startswith("access-control")]
    preflight = await service.client.options(START, headers={"origin": "https://app.example"})
    assert (preflight.status_code, preflight.content) == (204, b"")


async def test_other_methods_are_not_allowed(service: Service) -> None:
    for method, path in (
        ("PUT", START),
        ("PATCH", START),
        ("GET", ANON),
        ("POST", SESSIONS),
        ("DELETE", USERS),
        ("POST", CONFIG),
    ):
        headers = {"authorization": f"Bearer {token()}", "content-type": "application/json"}
        assert (await service.client.request(method, path, headers=headers)).status_code == 405
    assert (await service.ask("HEAD", ME)).status_code == 200


def details(entries: list[Any]) -> list[Any]:
    return [orjson.loads(entry["detail"]) for entry in entries]


async def test_refused_tokens_are_counted_in_the_trail(service: Service) -> None:
    forged = sign({"role": "inspector_admin", "sub": "ann", "exp": time.time() + 60}, "x" * 32)
    ended = (await service.start())["access_token"]
    await service.ask("DELETE", START)
    for bearer in (forged, forged, forged, token(seconds=-5), token(seconds=-90), ended, token("postgres"), "nonsense"):
        await service.ask("POST", START, WISH, bearer=bearer)
    await service.ask("GET", ME, headers={"authorization": ""})
    await service.ask("GET", SESSIONS, bearer=token("anon", "mallory"))
    entries = [entry for entry in await service.log() if entry["action"] == "refused"]
    found = [(entry["admin_user_id"], told["code"], told["times"]) for entry, told in zip(entries, details(entries), strict=True)]
    assert found == [
        (None, "JwtSignatureError", 3),
        (None, "InvalidJWTToken", 3),
        (None, "Unauthorized", 1),
        (None, "MalformedJWT", 1),
        ("mallory", "ACCESS_DENIED", 1),
    ]
    assert {(entry["ip_address"], entry["user_agent"]) for entry in entries} == {("10.1.2.3", "a browser")}
    last = details(entries)[-1]
    assert (last["method"], last["path"], last["as_role"]) == ("GET", SESSIONS, "anon")
    assert forged not in str(entries)
    assert (await Trail(service.pool).verify()).flaw is None


async def test_a_flood_of_tokens_does_not_fill_the_trail(service: Service) -> None:
    for number in range(KINDS + 5):
        answer = await service.ask("POST", SERVICE, {"reason": "let me in"}, bearer=token("anon", f"mallory {number}"))
        assert refused(answer, 403, "ACCESS_DENIED")
        await service.ask("POST", SERVICE, bearer="forged")
    entries = await service.log()
    names = {entry["admin_user_id"]: told["times"] for entry, told in zip(entries, details(entries), strict=True)}
    assert names == {**{f"mallory {number}": 1 for number in range(KINDS)}, None: KINDS + 5} | {None: 5}
    assert len(entries) == KINDS + 2
    assert await service.log() == entries


async def test_what_cannot_be_written_down_is_counted_on(service: Service, database: str) -> None:
    admin = await asyncpg.connect(database)
    for change, found in (
        ("revoke execute on all functions in schema realtime_inspector from test_admin_reader", []),
        ("grant execute on all functions in schema realtime_inspector to test_admin_reader", [2]),
    ):
        await admin.execute(change)
        await service.ask("GET", ME, bearer="forged")
        assert [told["times"] for told in details(await service.log())] == found
    await admin.close()


async def test_an_attempt_to_nest_is_recorded_under_the_actor(service: Service) -> None:
    started = await service.start()
    await service.ask("POST", SERVICE, {"reason": "ticket 42"}, bearer=started["access_token"])
    entry = (await service.log())[-1]
    assert (entry["action"], entry["admin_user_id"]) == ("refused", "ann")
    assert orjson.loads(entry["detail"])["as_session"] == started["session"]["id"]


@pytest.mark.parametrize(
    "break_it",
    [
        lambda admin: admin.execute("revoke execute on all functions in schema realtime_inspector from test_admin_reader"),
        lambda admin: admin.execute("drop schema realtime_inspector cascade"),
        lambda admin: admin.execute("alter table realtime_inspector.audit_log add constraint full_disk check (false) not valid"),
    ],
    ids=["revoked", "dropped", "failing"],
)
async def test_without_the_trail_there_is_no_token(service: Service, database: str, break_it: Callable[[Any], Any]) -> None:
    admin = await asyncpg.connect(database)
    await break_it(admin)
    answer = await service.ask("POST", START, WISH)
    assert refused(answer, 503, "UnableToConnectToProject")
    assert "access_token" not in answer.text
    assert refused(await service.ask("POST", START, {"reason": ""}), 400, "MISSING_REQUIRED_FIELD")
    await admin.close()


async def test_without_the_database_everything_is_unavailable(service: Service) -> None:
    await service.pool.close()
    for method, path in (
        ("POST", START),
        ("POST", ANON),
        ("DELETE", START),
        ("GET", START),
        ("GET", SESSIONS),
        ("GET", USERS),
        ("GET", CONFIG),
    ):
        answer = await service.ask(method, path, WISH if path == START else {"reason": "ticket 42"})
        assert refused(answer, 503, "UnableToConnectToProject")
    assert (await service.ask("GET", ME)).status_code == 200


async def test_without_a_secret_nothing_can_be_signed(pool: Any) -> None:
    key = urlsafe_b64encode(SECRET.encode()).decode().rstrip("=")
    jwks = orjson.dumps({"keys": [{"kty": "oct", "k": key}]}).decode()
    service = Service(pool, msgspec.structs.replace(SETTINGS, jwt_secret="", jwks=jwks))
    async with service.client:
        answer = await service.ask("POST", START, WISH)
        assert refused(answer, 500, "SetupError") == "Impersonation needs a secret to sign tokens"
        assert (await service.ask("GET", SESSIONS)).json()["total"] == 0
