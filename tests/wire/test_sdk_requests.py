"""Fluxbase's SDK as it was recorded: every request it sends about admins and impersonation, and what it reads of the answers.

The SDK sends content type and key with every request, a body with none but POST, returns JSON as it is, and throws `error` of the
body for every status that is not 2xx.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from realtime_inspector.identity.passwords import entry
from tests.wire.test_admin_api import ALICE, NIL, SETTINGS, Service, pool

__all__ = ["pool"]
KEY = "the anon key of the application"
PASSWORD = "correct horse battery"
SESSION_FIELDS = {
    *("id", "admin_user_id", "target_user_id", "impersonation_type", "target_role", "reason", "started_at", "ended_at"),
    *("is_active", "ip_address", "user_agent"),
}


class Sdk:
    """Sends what the SDK sends and reads what it reads."""

    def __init__(self, service: Service) -> None:
        self.http = service.client
        self.token = KEY

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        headers = {"content-type": "application/json", "apikey": KEY, "authorization": f"Bearer {self.token}"}
        content = msgspec.json.encode(body) if body is not None else None
        answer = await self.http.request(method, path, headers=headers, content=content)
        assert "application/json" in answer.headers["content-type"]
        if answer.status_code // 100 != 2:
            raise httpx.HTTPStatusError(answer.json()["error"], request=answer.request, response=answer)
        return answer.json()

    async def login(self, email: str, password: str) -> Any:
        answer = await self.ask("POST", "/api/v1/admin/login", {"email": email, "password": password})
        self.token = answer["access_token"]
        return answer


@pytest.fixture
async def service(pool: Any) -> AsyncIterator[Service]:
    made = Service(pool, msgspec.structs.replace(SETTINGS, admins=(entry("ann@example.com", PASSWORD, b"a" * 16),)))
    async with made.client:
        yield made


@pytest.fixture
async def sdk(service: Service) -> Sdk:
    made = Sdk(service)
    await made.login("ann@example.com", PASSWORD)
    return made


async def test_sign_in_me_refresh_and_sign_out(service: Service) -> None:
    sdk = Sdk(service)
    answer = await sdk.login("ann@example.com", PASSWORD)
    assert answer.keys() == {"user", "access_token", "refresh_token", "expires_in"}
    assert (await sdk.ask("GET", "/api/v1/admin/me"))["user"].keys() == {"id", "email", "role"}
    with pytest.raises(httpx.HTTPStatusError, match="cannot be renewed"):
        await sdk.ask("POST", "/api/v1/admin/refresh", {"refresh_token": answer["refresh_token"]})
    assert (await sdk.ask("POST", "/api/v1/admin/logout", {}))["success"] is True
    with pytest.raises(httpx.HTTPStatusError, match="sign-in has ended"):
        await sdk.ask("GET", "/api/v1/admin/me")


async def test_users_are_picked(sdk: Sdk) -> None:
    answer = await sdk.ask("GET", "/api/v1/admin/users?exclude_admins=true&search=alice&limit=20")
    assert (answer["total"], [user["id"] for user in answer["users"]]) == (1, [ALICE])


@pytest.mark.parametrize(
    ("path", "body", "kind", "target", "role"),
    [
        ("/api/v1/auth/impersonate", {"target_user_id": ALICE, "reason": "ticket 42"}, "user", ALICE, "authenticated"),
        ("/api/v1/auth/impersonate/anon", {"reason": "ticket 42"}, "anon", None, "anon"),
        ("/api/v1/auth/impersonate/service", {"reason": "ticket 42"}, "service", None, "service_role"),
    ],
)
async def test_an_impersonation_from_start_to_stop(sdk: Sdk, path: str, body: Any, kind: str, target: Any, role: str) -> None:
    started = await sdk.ask("POST", path, body)
    assert started.keys() >= {"session", "target_user", "access_token", "refresh_token", "expires_in"}
    session = started["session"]
    assert session.keys() >= SESSION_FIELDS
    assert (session["impersonation_type"], session["target_user_id"], session["target_role"]) == (kind, target, role)
    assert started["target_user"].keys() >= {"id", "email", "role"}
    assert started["target_user"]["id"] == target or started["target_user"]["id"] == NIL
    current = await sdk.ask("GET", "/api/v1/auth/impersonate")
    assert (current["session"]["id"], current["id"], current["target_user"]["role"]) == (session["id"], session["id"], role)
    stopped = await sdk.ask("DELETE", "/api/v1/auth/impersonate")  # with content type, without a body
    assert stopped["success"] is True
    assert isinstance(stopped["message"], str)
    assert await sdk.ask("GET", "/api/v1/auth/impersonate") == {"session": None, "target_user": None}
    with pytest.raises(httpx.HTTPStatusError, match="No active impersonation session found") as caught:
        await sdk.ask("DELETE", "/api/v1/auth/impersonate")
    assert caught.value.response.status_code == 404


async def test_sessions_are_listed_with_every_filter(sdk: Sdk) -> None:
    await sdk.ask("POST", "/api/v1/auth/impersonate", {"target_user_id": ALICE, "reason": "the first of them"})
    await sdk.ask("POST", "/api/v1/auth/impersonate/anon", {"reason": "the second of them"})
    for query, total in (
        ("", 2),
        ("?limit=0&offset=0", 2),
        ("?limit=1&offset=1", 2),
        ("?admin_user_id=ann@example.com", 2),
        ("?admin_user_id=nobody", 0),
        (f"?target_user_id={ALICE}", 1),
        ("?impersonation_type=anon", 1),
        ("?impersonation_type=service", 0),
        ("?is_active=true", 1),
        ("?is_active=false", 1),
        (f"?limit=10&offset=0&admin_user_id=ann@example.com&target_user_id={ALICE}&impersonation_type=user&is_active=false", 1),
    ):
        answer = await sdk.ask("GET", f"/api/v1/auth/impersonate/sessions{query}")
        assert answer["total"] == total, query
        assert all(session.keys() >= SESSION_FIELDS for session in answer["sessions"])


async def test_what_is_refused_is_thrown_with_a_sentence(sdk: Sdk) -> None:
    for method, path, body, status, sentence in (
        ("POST", "/api/v1/auth/impersonate", {"target_user_id": ALICE, "reason": "  "}, 400, "Reason is required"),
        ("POST", "/api/v1/auth/impersonate/anon", {"reason": ""}, 400, "Reason is required"),
        ("POST", "/api/v1/auth/impersonate", {"target_user_id": NIL, "reason": "ticket 42"}, 404, "User not found"),
        ("POST", "/api/v1/admin/login", {"email": "ann@example.com", "password": "wrong"}, 401, "E-mail or password is wrong"),
    ):
        with pytest.raises(httpx.HTTPStatusError, match=sentence) as caught:
            await sdk.ask(method, path, body)
        assert caught.value.response.status_code == status


async def test_with_the_applications_key_alone_nothing_is_allowed(service: Service) -> None:
    sdk = Sdk(service)
    with pytest.raises(httpx.HTTPStatusError) as caught:
        await sdk.ask("POST", "/api/v1/auth/impersonate/anon", {"reason": "ticket 42"})
    assert caught.value.response.status_code == 401
