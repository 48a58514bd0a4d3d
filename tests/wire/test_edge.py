"""Strangers with raw sockets: floods, tricks with headers and paths, names that Postgres cannot hold, and lines in the log."""

import asyncio
import contextlib
import json
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from tests.wire.service import V1, VERSIONS, Service, client, masked, serving, token

ROOM = "realtime:room"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"


async def answer(service: Service, request: bytes) -> bytes:
    """What a connection is answered with until it ends, or until the headers are there."""
    parts = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(request)
        async with asyncio.timeout(15):
            return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as ended:
        return ended.partial
    finally:
        await parted(writer)


async def parted(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


# Frames.


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (masked(b"are you there", 9) * 5_000, 1008),
        (masked(b"", 10) * 5_000, 1008),
        (b"\x81\xff" + (1 << 62).to_bytes(8, "big") + bytes(4), 1009),
        (b"\x81\xff" + ((1 << 64) - 1).to_bytes(8, "big") + bytes(4), 1009),
        (b"\x82\xfe" + (126).to_bytes(2, "big") + bytes(4) + b"\xc1" * 126 + b"\xd2\x80" + bytes(4), 1002),
        (masked(b"x" * 200_000, fin=False) + masked(b"x" * 200_000, 0), 1009),
        (masked(b"a", fin=False) + masked(b"b"), 1002),
        (masked(b"\xe2\x82", fin=False) + masked(b"\xac", 0, fin=False) + masked(b"\xff", 0), 1007),
        (masked(b"begun", fin=False) + masked((1000).to_bytes(2, "big"), 8) + masked(b"more", 0), 1000),
        (masked(b"\x03", 8), 1002),
        (masked((999).to_bytes(2, "big"), 8), 1002),
        (masked((1000).to_bytes(2, "big") + b"\xff", 8), 1007),
    ],
    ids=[
        *("pings", "pongs", "2^62", "2^64-1", "reserved bit", "pieces too large", "no continuation", "cut characters"),
        *("close between fragments", "half a close code", "reserved close code", "close reason"),
    ],
)
async def test_what_no_client_would_send_closes_its_socket_alone(frames: bytes, code: int) -> None:
    async with serving() as service, client(service) as hostile, client(service) as other:
        hostile.connection.transport.write(frames)
        assert (await hostile.closed())[0] == code
        await other.alive()


@pytest.mark.parametrize("broken", [masked(b"\xff\xfe"), masked(b"", 9) * 5_000, b"\xc1\x80" + bytes(4)])
async def test_what_follows_in_the_same_piece_causes_no_fault(broken: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    async with serving() as service, client(service) as hostile:
        hostile.connection.transport.write(broken + masked(b"\x03\xe8", 8) + masked(b"[]") + masked(b"", 9))
        assert (await hostile.closed())[0] in (1000, 1002, 1007, 1008)
    assert "Traceback" not in capfd.readouterr().err


async def test_a_few_pings_and_pongs_are_welcome() -> None:
    async with serving() as service, client(service) as member:
        member.connection.transport.write((masked(b"a", 9) + masked(b"b", 10)) * 400)
        await member.alive()


async def test_a_flood_of_one_turn_is_read_in_small_pieces() -> None:
    """Or else parsing it would hold everybody up: a full kernel buffer is tens of thousands of frames."""
    async with serving() as service, client(service) as hostile, client(service) as other:
        hostile.connection.transport.write(masked(b"") * 100_000)
        for _ in range(20):
            await other.alive()
        assert hostile.connection.close_code is None


# Handshakes.


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/socket/websocket", UPGRADE.replace("13", "8"), 400),
        ("/socket/websocket", UPGRADE.replace(KEY, "short"), 400),
        ("/socket/websocket", UPGRADE + f"Sec-WebSocket-Key: {KEY}\r\n", 400),
        ("/socket/websocket", UPGRADE.replace("Connection: Upgrade\r\n", ""), 404),
        ("/socket/websocket", UPGRADE + "X: a\x00b\r\n", 400),
        ("/socket/websocket", UPGRADE + " folded: line\r\n", 400),
        ("/socket/websocket", UPGRADE + "No colon here\r\n", 400),
        ("/socket/websocket", UPGRADE + "X: " + "y" * 70_000 + "\r\n", 400),
        ("/socket/websocket", UPGRADE + "X: y\r\n" * 20_000, 400),
        ("/socket/websocket", UPGRADE + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        ("/socket/websocket", UPGRADE + "Content-Length: -5\r\n", 400),
        ("/socket/websocket", UPGRADE + "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=\x7f\r\n", 400),
        ("/socket/websocket", UPGRADE + "Sec-WebSocket-Protocol: phoenix, base64url.bearer.phx.AAAA\r\n", 101),
        ("/socket/../socket/websocket", UPGRADE, 403),
        ("//socket/websocket", UPGRADE, 403),
        ("/socket//websocket", UPGRADE, 403),
        ("/socket/websocket/", UPGRADE, 403),
        ("/socket/websocket%00", UPGRADE, 403),
        ("/%73ocket/websocket", UPGRADE, 101),
        ("/socket/%ff%fe", UPGRADE, 403),
        ("/socket/web%0d%0aX-Evil:%20yes", UPGRADE, 403),
        ("http://evil.example/socket/websocket", UPGRADE, 403),
        ("/socket/websocket\xff", UPGRADE, 400),
        ("*", UPGRADE, 403),
    ],
)
async def test_tricks_with_headers_and_paths_get_a_plain_answer(
    path: str, headers: str, status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    async with serving() as service, client(service) as other:
        request = f"GET {path}?vsn=2.0.0&apikey={token()} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n".encode("latin-1")
        answered = await answer(service, request)
        assert answered.split(b" ")[1] == str(status).encode(), answered
        assert b"X-Evil" not in answered
        assert b" 500 " not in answered
        await other.alive()
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "query",
    [
        "vsn=2.0.0&vsn=1.0.0",
        "vsn=2.0.0%00",
        "apikey=%00",
        "apikey=%ff%fe&vsn=2.0.0",
        "apikey=%ed%a0%80",
        "&&&=&=&" * 100,
        "apikey=" + "a" * 9_000,
        "apikey[]=a&vsn[]=b",
    ],
)
async def test_queries_of_any_kind_are_refused_in_the_same_form(query: str, capfd: pytest.CaptureFixture[str]) -> None:
    async with serving() as service:
        request = f"GET /socket/websocket?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n{UPGRADE}\r\n".encode()
        assert (await answer(service, request)).split(b" ")[1] in (b"400", b"401", b"403")
    assert "Traceback" not in capfd.readouterr().err


# Texts.


@pytest.mark.parametrize("vsn", VERSIONS)
@pytest.mark.parametrize(
    ("topic", "config"),
    [
        ("realtime:a\0b", {}),
        ("realtime:\ud7ff\uffff\U0010ffff", {}),
        (ROOM, {"presence": {"key": "a\0b"}}),
        (ROOM, {"presence": {"key": "\u202e"}, "broadcast": {"self": "\0"}}),
        (ROOM, {"postgres_changes": [{"schema": "a\0", "table": "t"}]}),
        (ROOM, {"postgres_changes": [{"table": "t", "filter": "a=eq.\0"}]}),
        (ROOM, {"postgres_changes": [{"table": "t", "select": ["\0"]}]}),
        (ROOM, {"postgres_changes": {"0": {}}}),
        (ROOM, {"postgres_changes": [[[[[]]]]]}),
        (ROOM, {"resume": "\0" * 1_000}),
        (ROOM, json.loads('{"a":' * 100 + "1" + "}" * 100)),
    ],
)
async def test_texts_that_postgres_cannot_hold_are_answered(
    vsn: str, topic: str, config: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    async with serving() as service, client(service, vsn) as member:
        for payload in ({"config": config}, {"config": config, "access_token": "\0"}):
            ref = await member.send(topic, "phx_join", payload)
            while (answered := await member.next())[1] != ref:
                pass
            assert answered[4]["status"] in ("ok", "error")
        await member.send(topic, "broadcast", {"event": "\0", "payload": {"a": "\0"}})
        ref = await member.send("phoenix", "heartbeat", {})
        while (await member.next())[1] != ref:
            pass
    assert "Traceback" not in capfd.readouterr().err


async def test_of_keys_that_stand_twice_the_last_one_counts_everywhere() -> None:
    async with serving() as service, client(service, V1) as member:
        frame = (
            '{"topic":"realtime:first","topic":"realtime:second","event":"phx_leave","event":"phx_join","ref":"1","ref":"2",'
            '"payload":{"config":{"broadcast":{"self":false,"self":true},"presence":{"enabled":false}}}}'
        )
        await member.connection.send(frame)
        _, ref, topic, _, payload = await member.next()
        assert (ref, topic, payload["status"]) == ("2", "realtime:second", "ok")
        await member.send("realtime:second", "broadcast", {"event": "mine", "payload": {}})
        assert (await member.event())[0] == "broadcast"


# The log.


async def test_strangers_cannot_fill_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    async with serving(log_level="info") as service:
        request = f"GET /socket/websocket?apikey=x HTTP/1.1\r\nHost: 127.0.0.1\r\n{UPGRADE}\r\n".encode()
        for _ in range(300):
            assert b" 401 " in await answer(service, request)
        async with httpx.AsyncClient(base_url=service.url, trust_env=False) as http:
            for _ in range(900):
                await http.get("/" + "a" * 5_000)
    lines = [line for line in capfd.readouterr().err.splitlines() if '"logger":"realtime_inspector' in line]
    events = [orjson.loads(line)["event"] for line in lines]
    assert 0 < events.count("socket_refused") <= 60
    assert 0 < events.count("request") <= 600
    assert max(map(len, lines)) < 2_000
