"""What a client sees when it asks for too much: the documented sentence, a code, a hint, and no silence."""

import asyncio
import contextlib
from typing import Any

import httpx
import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from realtime_inspector.identity.tokens import NAMESPACE
from tests.wire.service import VERSIONS, Service, client, counted, figure, serving, token

ROOM = "realtime:room"
HELLO = {"type": "broadcast", "event": "hello", "payload": {}}


async def refused(service: Service, **more: Any) -> tuple[int, dict[str, str], str | None]:
    """Status, body and Retry-After of a handshake that fails."""
    with pytest.raises(InvalidStatus) as caught:
        async with connect(service.address(), proxy=None, **more):
            pass
    response = caught.value.response
    return response.status_code, orjson.loads(response.body or b""), response.headers.get("retry-after")


async def test_one_connection_too_many_is_refused_and_an_admin_still_gets_in() -> None:
    async with serving(connections=2) as service, client(service) as first:
        async with client(service):
            status, body, after = await refused(service)
            assert (status, body["error"], body["code"]) == (429, "Too many connected users", "ConnectionRateLimitReached")
            assert "RTI_CONNECTIONS" in body["hint"]
            assert after
            borrowed = token(**{NAMESPACE: {"session_id": "s1", "actor": "ann"}})
            async with client(service, key=borrowed) as impersonated:
                await impersonated.alive()
        await counted(service, "sockets", 1)
        async with client(service) as again:
            await again.alive()
        await first.alive()


async def test_one_address_has_its_own_measure() -> None:
    async with serving(connections_per_address=1) as service, client(service):
        status, body, _ = await refused(service)
        assert (status, body["code"]) == (429, "ConnectionRateLimitReached")
        assert "RTI_CONNECTIONS_PER_ADDRESS" in body["hint"]


async def test_a_handshake_that_is_broken_off_takes_no_place() -> None:
    async with serving(connections=1) as service:
        for _ in range(5):
            with contextlib.suppress(Exception):
                async with client(service) as member:
                    member.connection.transport.abort()
            await counted(service, "sockets", 0)
        async with client(service) as member:
            await member.alive()


@pytest.mark.parametrize("vsn", VERSIONS)
async def test_joins_beyond_the_rate_are_refused_at_once_and_the_socket_lives_on(vsn: str) -> None:
    async with serving(joins_per_second=1, channels_per_socket=100) as service, client(service, vsn) as member:
        for number in range(60):
            await member.join(f"realtime:{number}")
        await member.send("realtime:more", "phx_join", {"config": {}})
        answer = (await member.event())[1]
        assert answer["status"] == "error"
        response = answer["response"]
        assert response["reason"] == "ClientJoinRateLimitReached: Too many joins per second"
        assert (response["code"], bool(response["hint"])) == ("ClientJoinRateLimitReached", True)
        await member.alive()
        assert (await refused(service))[:2][0] == 429


async def test_one_socket_cannot_use_up_the_joins_of_all() -> None:
    async with serving(joins_per_second=20) as service, client(service) as loud, client(service) as calm:
        for _ in range(120):
            await loud.join()
        await loud.send(ROOM, "phx_join", {"config": {}})
        assert (await loud.event())[1]["response"]["code"] == "ClientJoinRateLimitReached"
        await calm.join()


@pytest.mark.parametrize("vsn", VERSIONS)
async def test_who_sends_too_much_is_told_and_loses_the_channel_and_nobody_else_does(vsn: str) -> None:
    async with serving(messages_per_second=1) as service, client(service, vsn) as loud, client(service, vsn) as calm:
        join = await loud.join()
        await loud.join("realtime:other")
        await calm.join()
        for _ in range(61):
            await loud.send(ROOM, "broadcast", HELLO)
        event, told = await loud.event()
        assert (event, told["status"], told["message"]) == ("system", "error", "Too many messages per second")
        assert (told["code"], bool(told["hint"])) == ("MessagePerSecondRateLimitReached", True)
        _, ref, topic, event, _ = await loud.next()
        assert (topic, event, ref) == (ROOM, "phx_close", join)
        await loud.alive()
        for _ in range(60):
            assert (await calm.event())[1] == HELLO
        await calm.send(ROOM, "broadcast", HELLO)
        await calm.alive()


async def test_presence_is_called_five_times_in_half_a_minute() -> None:
    async with serving() as service, client(service) as member:
        await member.join()
        for number in range(5):
            ref = await member.send(ROOM, "presence", {"event": "track", "payload": {"n": number}})
            while (await member.next())[1] != ref:
                pass
        await member.send(ROOM, "presence", {"event": "untrack"})
        told = {}
        while told.get("status") != "error":
            event, told = await member.event()
        assert (event, told["message"]) == ("system", "Client presence rate limit exceeded")
        assert (told["code"], bool(told["hint"])) == ("ClientPresenceRateLimitReached", True)


async def test_what_all_presence_together_exceeds_costs_nobody_a_channel() -> None:
    async with serving(presence_per_second=1, presence_calls=100) as service, client(service) as member:
        await member.join()
        for _ in range(60):
            ref = await member.send(ROOM, "presence", {"event": "untrack"})
            assert (await member.next())[1] == ref
        await member.send(ROOM, "presence", {"event": "untrack"})
        answer = (await member.event())[1]
        assert answer["response"]["reason"] == "PresenceRateLimitReached: Too many presence messages per second"
        await member.send(ROOM, "broadcast", HELLO)
        await member.alive()


async def test_broadcasts_over_http_have_a_measure_for_each_caller() -> None:
    message = {"topic": "room", "event": "hello", "payload": {}}
    async with serving(messages_per_second=1) as service, httpx.AsyncClient(base_url=service.url, trust_env=False) as http:
        ann, bob = ({"authorization": f"Bearer {token(sub=name)}"} for name in ("ann", "bob"))
        answer = await http.post("/api/broadcast", json={"messages": [message] * 59}, headers=ann)
        assert answer.status_code == 202
        assert answer.headers["x-rate-limit"] == "1"
        assert answer.headers["x-rate-limit-remaining"] == "1"
        assert 0.9 <= float(answer.headers["x-rate-rolling"]) <= 1.0
        batch = await http.post("/api/broadcast", json={"messages": [message] * 50}, headers=ann)
        assert (batch.status_code, batch.json()["message"]) == (429, "You have exceeded your rate limit")
        assert (batch.json()["code"], bool(batch.json()["hint"])) == ("MessagePerSecondRateLimitReached", True)
        assert (await http.post("/api/broadcast/room/events/e", json={}, headers=bob)).status_code == 202
        assert "x-rate-limit" not in (await http.post("/api/broadcast", json={})).headers


# Who may connect from a page.


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 101),
        ("https://app.example", 101),
        ("SELF", 101),
        ("https://app.example.evil.example", 403),
        ("https://APP.example:443", 403),
        ("http://app.example", 403),
        ("null", 403),
        ("http://[", 403),
        ("", 403),
    ],
)
async def test_only_listed_origins_connect_once_there_is_a_list(origin: str | None, status: int) -> None:
    async with serving(socket_origins=("https://app.example",)) as service:
        named = service.url if origin == "SELF" else origin
        headers = {} if named is None else {"Origin": named}
        if status == 101:
            async with connect(service.address(), additional_headers=headers, proxy=None):
                return
        answered, body, _ = await refused(service, additional_headers=headers)
        assert (answered, body["code"]) == (403, "ACCESS_DENIED")
        assert "RTI_SOCKET_ORIGINS" in body["hint"]
        assert await figure(service, "sockets") == 0


# Requests that do not come.


async def test_halves_of_requests_make_room_for_whole_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that wait longest go first; a client that comes through is not affected."""
    monkeypatch.setattr("realtime_inspector.server.serving.PATIENCE_SECONDS", 0.0)
    async with serving(handshakes_per_address=3) as service:
        host, port = service.url.removeprefix("http://").split(":")
        opened = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
        for _, writer in opened:
            writer.write(b"GET /socket/websocket HTTP/1.1\r\nHost: x\r\n")
            await writer.drain()
        async with client(service) as member:
            await member.alive()
            async with asyncio.timeout(5):
                assert await opened[0][0].read() == b""
            await member.alive()
        for _, writer in opened:
            writer.close()
