"""Random sends among channels whose names look alike, public and private: each reaches its own members and nobody else."""

import argparse
import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
import psycopg
from websockets.asyncio.client import ClientConnection, connect

from bench.database import sample_database, service
from bench.report import Figure
from realtime_inspector.identity.tokens import sign

NAMES = (
    *("room", "room ", " room", "Room", "room:1", "room/1", "room%3A1", "rooms", "roo", "private:room", "realtime:room"),
    *("r\u00f6om", "ro\u0308om", "r\u043eom", "room\u200b", "public|room", "room,room", '"room"'),
)
"""Differing in case, blanks, separators, escapes, normal forms, scripts, and in what could be taken for a mark of privacy."""
VERSIONS = ("1.0.0", "2.0.0")
ROUND = 200
"""Sends between two looks whether everybody has everything."""
PATIENCE = 60.0
OPEN = """
drop policy if exists bench_receive on realtime.messages; drop policy if exists bench_send on realtime.messages;
create policy bench_receive on realtime.messages for select to authenticated using (true);
create policy bench_send on realtime.messages for insert to authenticated with check (true);
"""
Place = tuple[str, bool]
"""A name, and whether the channel is private."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sends", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)


def measure(options: argparse.Namespace) -> list[Figure]:
    return asyncio.run(_measure(options))


async def _measure(options: argparse.Namespace) -> list[Figure]:
    async with sample_database() as database:
        with service(database) as process:
            url, secret = f"http://127.0.0.1:{process.port}", database.settings.jwt_secret
            began = time.monotonic()
            found = await mingle(url, secret, database.url, options.sends, options.seed)
            seconds = time.monotonic() - began
    name = f"seed {options.seed}, {options.sends:,} sends, {found.received:,} deliveries, {seconds:.0f} s"
    return [
        Figure("cross-deliveries", "messages", found.crossed, 1, name, goal=0, exact=True),
        Figure("missing or twice", "messages", found.wrong, 1, name, goal=0, exact=True),
    ]


@dataclass(slots=True)
class Found:
    """What listeners received: altogether, of another channel, and how many not exactly once."""

    received: int = 0
    crossed: int = 0
    wrong: int = 0


@dataclass(slots=True)
class Listener:
    """A socket in every channel of one kind, and what it was sent."""

    connection: ClientConnection
    vsn: str
    private: bool
    found: Found
    seen: Counter[int] = field(default_factory=Counter)
    joined: int = 0

    async def listen(self) -> None:
        """Until it is cancelled."""
        async for frame in self.connection:
            topic, event, payload = self._read(frame)
            if event == "phx_reply":
                assert payload["status"] == "ok", payload
                self.joined += 1
            elif event == "broadcast":
                self.found.received += 1
                sent = payload["payload"]
                self.found.crossed += (f"realtime:{sent['name']}", sent["private"]) != (topic, self.private)
                self.seen[sent["number"]] += 1

    def _read(self, frame: str | bytes) -> tuple[str, str, Any]:
        if isinstance(frame, bytes):  # kind 4: sizes of topic, event and metadata, then these
            _, topic, event, meta, _ = frame[:5]
            content = orjson.loads(frame[5 + topic + event + meta :])
            return frame[5 : 5 + topic].decode(), "broadcast", {"payload": content}
        message = orjson.loads(frame)
        if self.vsn == VERSIONS[0]:
            return message["topic"], message["event"], message["payload"]
        return message[2], message[3], message[4]


async def mingle(url: str, secret: str, database: str, sends: int, seed: int) -> Found:
    """Sends from sockets of both kinds, over HTTP and from the database."""
    with psycopg.connect(database, autocommit=True) as sql:
        sql.execute(OPEN)
    key = sign({"role": "authenticated", "sub": "00000000-0000-4000-8000-000000000001", "exp": time.time() + 86_400}, secret)
    found, dice = Found(), random.Random(seed)
    async with contextlib.AsyncExitStack() as stack:
        listeners = [
            await stack.enter_async_context(_listening(url, key, vsn, private, found))
            for vsn in VERSIONS
            for private in (True, False)
        ]
        senders = {private: await stack.enter_async_context(_joined(url, key, private)) for private in (True, False)}
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=url, headers={"apikey": key}, trust_env=False))
        number, expected = 0, {listener.private: set[int]() for listener in listeners}
        while number < sends:
            for _ in range(min(ROUND, sends - number)):
                place = dice.choice(NAMES), dice.random() < 0.5
                expected[place[1]].add(number)
                await _send(place, number, dice.random(), senders[place[1]], http, database)
                number += 1
            await _settle(listeners, expected)
        for listener in listeners:
            own = expected[listener.private]
            found.wrong += sum(listener.seen[each] != 1 for each in own) + len(listener.seen.keys() - own)
    return found


async def _settle(listeners: list[Listener], expected: dict[bool, set[int]]) -> None:
    """Waits until nobody misses anything, or for long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while any(len(listener.seen) < len(expected[listener.private]) for listener in listeners):  # noqa: ASYNC110
                await asyncio.sleep(0.005)


async def _send(place: Place, number: int, way: float, sender: ClientConnection, http: httpx.AsyncClient, database: str) -> None:
    name, private = place
    content = {"name": name, "private": private, "number": number}
    if way < 0.01:
        item = {"topic": name, "event": "e", "payload": content, "private": private}
        answer = await http.post("/api/broadcast", json={"messages": [item]})
        assert answer.status_code == 202, answer.text
    elif way < 0.02:
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as sql:
            await sql.execute("select realtime.send(%s::jsonb, 'e', %s, %s)", [orjson.dumps(content).decode(), name, private])
    else:
        payload = {"type": "broadcast", "event": "e", "payload": content}
        await sender.send(orjson.dumps([None, str(number), f"realtime:{name}", "broadcast", payload]).decode())


@contextlib.asynccontextmanager
async def _joined(url: str, key: str, private: bool) -> AsyncIterator[ClientConnection]:
    """A socket of 2.0.0 that is in every channel of one kind, and drops what it is told."""
    address = f"{url.replace('http', 'ws', 1)}/socket/websocket?apikey={key}&vsn=2.0.0"
    async with connect(address, max_size=None, max_queue=None, proxy=None) as connection:
        await _join(connection, VERSIONS[1], private)
        for _ in NAMES:
            assert orjson.loads(await connection.recv())[4]["status"] == "ok"
        dropping = asyncio.create_task(_drop(connection))
        yield connection
        dropping.cancel()


async def _drop(connection: ClientConnection) -> None:
    async for _ in connection:
        pass


@contextlib.asynccontextmanager
async def _listening(url: str, key: str, vsn: str, private: bool, found: Found) -> AsyncIterator[Listener]:
    address = f"{url.replace('http', 'ws', 1)}/socket/websocket?apikey={key}&vsn={vsn}"
    async with connect(address, max_size=None, max_queue=None, proxy=None) as connection:
        listener = Listener(connection, vsn, private, found)
        listening = asyncio.create_task(listener.listen())
        await _join(connection, vsn, private)
        async with asyncio.timeout(PATIENCE):
            while listener.joined < len(NAMES) and not listening.done():  # noqa: ASYNC110 - another task counts
                await asyncio.sleep(0.005)
        yield listener
        listening.cancel()


async def _join(connection: ClientConnection, vsn: str, private: bool) -> None:
    for number, name in enumerate(NAMES):
        config = {"private": private, "presence": {"enabled": False}, "broadcast": {"self": False}}
        topic, ref, payload = f"realtime:{name}", str(number), {"config": config}
        named = {"topic": topic, "event": "phx_join", "payload": payload, "ref": ref}
        await connection.send(orjson.dumps(named if vsn == VERSIONS[0] else [ref, ref, topic, "phx_join", payload]).decode())
