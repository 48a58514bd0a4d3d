"""A service without a database inside the test's own event loop, and a client of it that sees every frame."""

import asyncio
import contextlib
import itertools
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect

from realtime_inspector.app import run
from realtime_inspector.identity.tokens import sign
from realtime_inspector.settings import Settings

SECRET = "a secret of 32 bytes, or of more"
PATIENCE = 20.0
V1, V2 = "1.0.0", "2.0.0"
VERSIONS = (V1, V2)


def token(seconds: float = 600, **claims: Any) -> str:
    """A token that this service takes."""
    return sign({"role": "anon", "exp": time.time() + seconds, **claims}, SECRET)


def masked(payload: bytes, opcode: int = 1, *, fin: bool = True) -> bytes:
    """A client's frame, for what a client library would not send; an all-zero mask leaves the payload as it is."""
    size = len(payload)
    first = (0x80 if fin else 0) | opcode
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 65_536:
        head = bytes((first, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 0xFF)) + size.to_bytes(8, "big")
    return head + bytes(4) + payload


@dataclass(frozen=True, slots=True)
class Service:
    """A running service. `stop` ends it; `ended` is the task that ends with it."""

    url: str
    stop: asyncio.Event
    ended: asyncio.Task[None]

    def address(self, vsn: str = V2, key: str | None = None, path: str = "/socket/websocket") -> str:
        """Where a client connects."""
        return f"{self.url.replace('http', 'ws', 1)}{path}?vsn={vsn}&apikey={key or token()}"


@contextlib.asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[Service]:
    """Runs the whole service on a free port until the block ends."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    given = {"port": 0, "jwt_secret": SECRET, "log_level": "warning", **settings}
    ended = asyncio.create_task(run(Settings(**given), on_ready=lambda url, _port: ready.set_result(url), stop=stop))
    await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
    if ended.done():
        ended.result()
    try:
        yield Service(ready.result(), stop, ended)
    finally:
        stop.set()
        await ended


@dataclass(slots=True)
class Client:
    """One socket. Messages are (join_ref, ref, topic, event, payload) in both serializers."""

    connection: ClientConnection
    vsn: str
    refs: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def send(self, topic: str, event: str, payload: object, join_ref: str | None = None) -> str:
        """Sends a message and returns its ref."""
        ref = str(next(self.refs))
        own = ref if event == "phx_join" else join_ref
        named = {"topic": topic, "event": event, "payload": payload, "ref": ref, "join_ref": own}
        await self.connection.send(orjson.dumps(named if self.vsn == V1 else [own, ref, topic, event, payload]).decode())
        return ref

    def burst(self, topic: str, event: str, payloads: Iterable[object]) -> None:
        """Sends many messages in one write, so that the service gets them in as few turns of its loop as possible."""
        assert self.vsn == V2
        messages = (orjson.dumps([None, str(next(self.refs)), topic, event, payload]) for payload in payloads)
        self.connection.transport.write(b"".join(map(masked, messages)))

    async def frame(self) -> str | bytes:
        """The next frame as it is."""
        async with asyncio.timeout(PATIENCE):
            return await self.connection.recv()

    async def next(self) -> tuple[str | None, str | None, str, str, Any]:
        """The next message; a binary one has its bytes as payload and no names."""
        frame = await self.frame()
        if isinstance(frame, bytes):
            return None, None, "", "", frame
        message = orjson.loads(frame)
        if self.vsn == V1:
            assert message.keys() == {"topic", "event", "payload", "ref"}
            return None, message["ref"], message["topic"], message["event"], message["payload"]
        join_ref, ref, topic, event, payload = message
        return join_ref, ref, topic, event, payload

    async def event(self) -> tuple[str, Any]:
        """Name and payload of the next message."""
        return (await self.next())[3:]

    async def join(self, topic: str = "realtime:room", **config: Any) -> str:
        """Joins with success, without presence unless it is asked for; returns the join's ref."""
        ref = await self.send(topic, "phx_join", {"config": {"presence": {"enabled": False}, **config}})
        _, answered, _, event, payload = await self.next()
        assert (answered, event, payload) == (ref, "phx_reply", {"status": "ok", "response": {"postgres_changes": []}})
        return ref

    async def alive(self) -> None:
        """Answers a heartbeat, and nothing else is waiting before it."""
        ref = await self.send("phoenix", "heartbeat", {})
        reply = await self.next()
        reply[4]["response"].pop("time", None)
        assert reply == (None, ref, "phoenix", "phx_reply", {"status": "ok", "response": {}})

    async def closed(self) -> tuple[int | None, str | None]:
        """Reads to the end; the close code and reason."""
        async with asyncio.timeout(PATIENCE):
            await self.connection.wait_closed()
        return self.connection.close_code, self.connection.close_reason


@contextlib.asynccontextmanager
async def client(service: Service, vsn: str = V2, **address: Any) -> AsyncIterator[Client]:
    """A connected client that has joined nothing."""
    url = service.address(vsn, **address)
    async with connect(url, compression=None, max_size=None, max_queue=None, ping_interval=None, proxy=None) as connection:
        yield Client(connection, vsn)


async def until(condition: Callable[[], object]) -> None:
    """Lets the loop turn until the condition holds; fails when it does not for too long."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0)


async def figures(service: Service) -> dict[str, float]:
    """All metrics, by name and labels."""
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"{service.url}/metrics")).text
    lines = [line.removeprefix("realtime_inspector_").split() for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


async def figure(service: Service, name: str) -> float:
    """A metric's value."""
    return (await figures(service))[name]


async def counted(service: Service, name: str, value: float) -> None:
    """Waits until a metric has the value; one with labels is there as soon as something was counted."""
    async with asyncio.timeout(PATIENCE):
        while (await figures(service)).get(name, 0.0) != value:  # noqa: ASYNC110 - it is asked over HTTP
            await asyncio.sleep(0.05)


def handshake(service: Service, more: str = "") -> bytes:
    """What a client writes first, for tests that speak WebSocket by hand. `more`: further header lines."""
    parts = urlsplit(service.address())
    return (
        f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    ).encode()


@contextlib.asynccontextmanager
async def stalled(service: Service, topic: str = "realtime:room") -> AsyncIterator[socket.socket]:
    """A member of the topic who never reads, with as little room in the kernel as there can be."""
    loop, parts = asyncio.get_running_loop(), urlsplit(service.url)
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        raw.setblocking(False)
        await loop.sock_connect(raw, (parts.hostname, parts.port))
        join = orjson.dumps(["1", "1", topic, "phx_join", {"config": {"presence": {"enabled": False}}}])
        for sent, expected in ((handshake(service), b"\r\n\r\n"), (masked(join), b"phx_reply")):
            await loop.sock_sendall(raw, sent)
            answer = b""
            async with asyncio.timeout(PATIENCE):
                while expected not in answer:
                    answer += await loop.sock_recv(raw, 4_096)
        yield raw


async def read_to_end(raw: socket.socket) -> bytes:
    """Everything until the connection ends, in whatever way."""
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE):
            while data := await asyncio.get_running_loop().sock_recv(raw, 1 << 20):
                received += data
    return bytes(received)
