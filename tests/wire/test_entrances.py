"""Every route for admins: closed to foreign pages, to foreign host names, and to every token that is no admin's.

The routes are those that the running service describes, so that a new one is covered as soon as it is there.
"""

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from realtime_inspector.identity.tokens import sign
from realtime_inspector.server.broadcasts import PATHS as BROADCASTS
from tests.wire.demo import Demo

OPEN = {("get", path) for path in ("/healthz", "/readyz", "/metrics", "/api/openapi.json")}
WITHOUT_TOKEN = {("post", "/api/v1/admin/login"), ("post", "/api/v1/admin/refresh")}
FORMS = ("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x")
"""What a form of a foreign page can send without asking first (Fetch, CORS-safelisted request-header)."""
ENTRIES = "select count(*) from realtime_inspector.audit_log where action not in ('refused', 'seen', 'expired')"
"""Others come now and then by themselves."""


@pytest.fixture
def http(demo: Demo) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=demo.url, trust_env=False, timeout=60.0) as client:
        yield client


@pytest.fixture
def guarded(http: httpx.Client) -> list[tuple[str, str]]:
    """Method and path of each, with something in place of every parameter."""
    paths = http.get("/api/openapi.json").json()["paths"]
    every = {(method, path) for path, operations in paths.items() for method in operations} - OPEN
    found = [(method, path) for method, path in sorted(every) if not path.startswith(BROADCASTS)]
    assert len(found) > 25
    return [(method, path.replace("{", "").replace("}", "")) for method, path in found]


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}", "content-type": "application/json"}


def test_names_that_somebody_else_pointed_here_open_nothing(demo: Demo, http: httpx.Client, guarded: Any) -> None:
    right = bearer(str(demo.told["admin_token"]))
    for method, path in guarded:
        for host in ("evil.example", f"localhost.evil.example:{urlsplit(demo.url).port}", "127.0.0.1.evil.example", ""):
            answer = http.request(method, path, content="{}", headers={**right, "host": host})
            assert (answer.status_code, answer.json()["code"]) == (403, "ACCESS_DENIED"), (method, path, host)
            assert "host name" in answer.json()["error"]


def test_pages_from_elsewhere_may_neither_ask_nor_read(demo: Demo, http: httpx.Client, guarded: Any) -> None:
    right = bearer(str(demo.told["admin_token"]))
    for method, path in guarded:
        for asked in (method, "options"):
            for origin in ("https://evil.example", "null", demo.url.replace("http:", "https:") + ".evil.example"):
                answer = http.request(asked, path, headers={**right, "origin": origin})
                assert (answer.status_code, answer.json()["error"]) == (403, "This origin is not allowed"), (method, path)
                assert not [name for name in answer.headers if name.startswith("access-control")]


def test_what_a_form_can_send_changes_nothing(
    demo: Demo, http: httpx.Client, guarded: Any, admin: psycopg.Connection[Any]
) -> None:
    before = admin.execute(ENTRIES).fetchone()
    for method, path in guarded:
        for kind in FORMS if method != "get" else ():
            headers = {**bearer(str(demo.told["admin_token"])), "content-type": kind}
            answer = http.request(method, path, content="{}", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE"), (method, path, kind)
    assert admin.execute(ENTRIES).fetchone() == before


def test_a_right_that_a_browser_sends_by_itself_is_none(demo: Demo, http: httpx.Client, guarded: Any) -> None:
    token = str(demo.told["admin_token"])
    carried = {"cookie": f"token={token}; Authorization=Bearer {token}", "apikey": token, "content-type": "application/json"}
    for method, path in guarded:
        if (method, path) in WITHOUT_TOKEN:
            continue
        for headers in (carried, {**carried, "authorization": "Basic YTpi"}):
            answer = http.request(method, path, params={"apikey": token, "token": token}, content="{}", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "MISSING_AUTHENTICATION"), (method, path)
            assert "set-cookie" not in answer.headers


def test_no_token_but_an_admins_opens_them(demo: Demo, http: httpx.Client, guarded: Any) -> None:
    alice, forged = demo.person("alice"), {"role": "inspector_admin", "sub": "ann", "exp": time.time() + 60}
    refused = [(sign(forged, "x" * 32), 401), (demo.token(alice, -5, role="inspector_admin"), 401), ("nonsense", 401)]
    refused += [(demo.anon_key, 403), (demo.token(alice, 60), 403), (demo.token(alice, 60, role="postgres"), 403)]
    for method, path in guarded:
        if (method, path) in WITHOUT_TOKEN:
            continue
        for token, status in refused:
            answer = http.request(method, path, content="{}", headers=bearer(token))
            assert answer.status_code == status, (method, path, answer.text)
