"""Broadcasts over HTTP reach the members of a topic in both versions; what is wrong is said with upstream's statuses."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.wire.contract import assert_described
from tests.wire.service import V1, V2, Client, Service, client, serving, token
from tests.wire.test_broadcast import opened

PREFIXES = ("/api/broadcast", "/realtime/v1/api/broadcast")
HELLO = {"topic": "room", "event": "hello", "payload": {"text": "grüß dich"}}


@contextlib.asynccontextmanager
async def asking(service: Service, key: str | None = None, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {token() if key is None else key}".strip(), **headers}
    given = {name: value for name, value in headers.items() if value}
    async with httpx.AsyncClient(base_url=service.url, headers=given, trust_env=False) as http:

        async def compare(answer: httpx.Response) -> None:
            await answer.aread()
            if answer.request.method == "POST":
                assert_described(answer)

        http.event_hooks = {"response": [compare]}
        yield http


@contextlib.asynccontextmanager
async def room(**settings: Any) -> AsyncIterator[tuple[Service, Client, Client]]:
    async with serving(**settings) as service, client(service, V1) as first, client(service, V2) as second:
        for member in (first, second):
            await member.join()
        yield service, first, second


@pytest.mark.parametrize("path", PREFIXES)
async def test_a_batch_reaches_members_of_both_versions_as_text(path: str) -> None:
    async with room() as (service, first, second), asking(service) as http:
        answer = await http.post(path, json={"messages": [HELLO, {**HELLO, "event": "bye", "id": "7"}]})
        assert (answer.status_code, answer.content) == (202, b"")
        for member in (first, second):
            assert (await member.event())[1] == {"type": "broadcast", "event": "hello", "payload": HELLO["payload"]}
            assert (await member.event())[1] == {
                "type": "broadcast",
                "event": "bye",
                "payload": HELLO["payload"],
                "meta": {"id": "7"},
            }


@pytest.mark.parametrize("path", PREFIXES)
async def test_a_single_message_reaches_them_each_in_its_form(path: str) -> None:
    async with room() as (service, first, second), asking(service) as http:
        answer = await http.post(f"{path}/room/events/hello", json={"a": 1})
        assert (answer.status_code, answer.content) == (202, b"")
        assert (await first.event())[1] == {"type": "broadcast", "event": "hello", "payload": {"a": 1}}
        assert opened(await second.connection.recv()) == ("realtime:room", "hello", 1, b'{"a":1}')


async def test_bytes_reach_those_who_can_take_them() -> None:
    async with room() as (service, first, second), asking(service, **{"content-type": "application/octet-stream"}) as http:
        answer = await http.post("/api/broadcast/room/events/raw", content=b"\x00\xff")
        assert answer.status_code == 202
        assert opened(await second.connection.recv()) == ("realtime:room", "raw", 0, b"\x00\xff")
        await first.alive()


@pytest.mark.parametrize("name", ["a:b", "a/b", "Zimmer für zwei 👩‍👧", "%2F", "a b?c#d", "two\nlines"])
async def test_topics_and_events_are_percent_encoded(name: str) -> None:
    encoded = "".join(f"%{byte:02X}" for byte in name.encode())
    async with serving() as service, client(service) as member, asking(service) as http:
        await member.join(f"realtime:{name}")
        answer = await http.post(f"/api/broadcast/{encoded}/events/{encoded}?apikey=x&vsn=2.0.0", content=b"{}")
        assert answer.status_code == 202
        assert opened(await member.connection.recv()) == (f"realtime:{name}", name, 1, b"{}")


async def test_the_apikey_header_will_do() -> None:
    async with serving() as service, asking(service, "", authorization="", apikey=token()) as http:
        assert (await http.post("/api/broadcast", json={"messages": [HELLO]})).status_code == 202


@pytest.mark.parametrize("key", ["", "nonsense", token(86_400) + "x"])
async def test_who_is_nobody_may_not(key: str) -> None:
    async with room() as (service, first, _), asking(service, key) as http:
        for path in ("/api/broadcast", "/api/broadcast/room/events/hello"):
            answer = await http.post(path, json={"messages": [HELLO]})
            assert (answer.status_code, answer.json()["message"]) == (401, "Unauthorized")
            assert answer.json().keys() == {"message", "error", "code", "hint", "docs"}
        await first.alive()


@pytest.mark.parametrize(
    ("messages", "errors"),
    [
        (None, {"messages": ["is invalid"]}),
        ("room", {"messages": ["is invalid"]}),
        ([1], {"messages": ["is invalid"]}),
        ([], {"messages": ["can't be blank"]}),
        ([HELLO, {}], {"messages": [{}, {name: ["can't be blank"] for name in ("topic", "event", "payload")}]}),
        ([{**HELLO, "payload": None}], {"messages": [{"payload": ["can't be blank"]}]}),
        ([{**HELLO, "payload": "text"}], {"messages": [{"payload": ["is invalid"]}]}),
        ([{**HELLO, "payload": {"x": "x" * 300}}], {"messages": [{"payload": ["is too large"]}]}),
        ([{**HELLO, "topic": 7, "event": ""}], {"messages": [{"topic": ["is invalid"], "event": ["can't be blank"]}]}),
        ([{**HELLO, "topic": "x" * 247, "event": "a\0"}], {"messages": [{"topic": ["is invalid"], "event": ["is invalid"]}]}),
    ],
)
async def test_a_batch_that_is_wrong_anywhere_is_refused_as_a_whole(messages: Any, errors: Any) -> None:
    async with room(frame_bytes=256) as (service, first, _), asking(service) as http:
        answer = await http.post("/api/broadcast", json={"messages": messages})
        assert (answer.status_code, answer.json()["errors"]) == (422, errors)
        await first.alive()


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"messages":[{"topic":"\xff"}]}', b"[" * 100_000, b'{"messages":[{"payload":{"a":NaN}}]}']
)
async def test_what_is_no_json_is_refused(body: bytes) -> None:
    async with serving() as service, asking(service) as http:
        assert (await http.post("/api/broadcast", content=body)).status_code == 422
        assert (await http.post("/api/broadcast/room/events/hello", content=body)).status_code == 422


async def test_what_is_too_much_is_refused() -> None:
    async with serving(frame_bytes=1000) as service, asking(service) as http:
        large = await http.post("/api/broadcast", content=b" " * 10_001)
        assert (large.status_code, large.json()["code"]) == (413, "PayloadTooLarge")
        assert (await http.post("/api/broadcast/room/events/x", content=orjson.dumps("x" * 1000))).status_code == 413
    async with serving() as service, asking(service) as http:
        many = await http.post("/api/broadcast", json={"messages": [HELLO] * 101})
        assert (many.status_code, many.json()["message"][:17]) == (429, "Too many messages")


async def test_another_media_type_is_refused() -> None:
    async with serving() as service, asking(service, **{"content-type": "text/plain"}) as http:
        answer = await http.post("/api/broadcast/room/events/hello", content=b"hi")
        assert answer.status_code == 415
        assert answer.json() == {
            "error": "Unsupported Media Type. Use application/json or application/octet-stream",
            "docs": "protocol.md#over-http",
        }


@pytest.mark.parametrize(
    ("path", "kind", "body", "status"),
    [
        ("", "application/json", b"{", 422),
        ("", "application/json", b'{"messages":[]}', 422),
        ("", "application/json", orjson.dumps({"messages": [{}]}), 422),
        ("", "application/json", orjson.dumps({"messages": [HELLO] * 101}), 429),
        ("", "application/json", b" " * 10_001, 413),
        ("/room", "application/json", b"{}", 404),
        ("/room/events/hello", "text/plain", b"hi", 415),
        ("/room/events/hello", "application/json", b"{", 422),
        ("/room/events/hello?persist=true", "application/json", b"{}", 422),
        ("/room/events/hello?persist[ttl]=x", "application/json", b"{}", 422),
    ],
)
async def test_every_refusal_says_where_the_documentation_speaks_of_it(path: str, kind: str, body: bytes, status: int) -> None:
    async with serving(frame_bytes=1000) as service, asking(service, **{"content-type": kind}) as http:
        answer = await http.post(f"/api/broadcast{path}", content=body)
        assert answer.status_code == status
        page, _, place = answer.json()["docs"].partition("#")
        text = (Path(__file__).parents[2] / "docs" / page).read_text()
        assert "### Over HTTP" in text if place == "over-http" else place.removeprefix(":~:text=") in text


async def test_without_a_database_private_messages_are_refused_and_reach_no_public_channel() -> None:
    async with room() as (service, first, _), asking(service) as http:
        refused = await http.post("/api/broadcast", json={"messages": [{**HELLO, "private": True}]})
        assert (refused.status_code, refused.json()["code"]) == (503, "PrivateChannelsUnsupported")
        refused = await http.post("/api/broadcast/room/events/hello?private=true", json={})
        assert (refused.status_code, refused.json()["code"]) == (503, "PrivateChannelsUnsupported")
        await first.alive()


@pytest.mark.parametrize("path", ["/api/broadcast", "/realtime/v1/api/broadcast/room/events/hello"])
async def test_pages_of_any_origin_and_host_may(path: str) -> None:
    async with serving() as service, asking(service, origin="https://elsewhere.example", host="any.example") as http:
        asked = await http.options(path)
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (204, "*")
        answer = await http.post(path, json={"messages": [HELLO]})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (202, "*")


async def test_other_paths_and_methods_are_no_broadcasts() -> None:
    async with serving() as service, asking(service) as http:
        assert (await http.post("/api/broadcast/room", json={})).status_code == 404
        assert (await http.get("/api/broadcast")).status_code == 405
        assert (await http.post("/api/broadcasts", json={})).status_code == 404
