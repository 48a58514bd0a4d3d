"""A client of the Realtime protocol (2.0.0): joins one channel, yields what arrives there, and comes back when it is cut off."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from realtime_inspector.errors import Forbidden, InvalidInput, MalformedFrame
from realtime_inspector.protocol.codec import parse_text
from realtime_inspector.protocol.serializer import Serializer

DELAYS: Final = (1.0, 2.0, 5.0, 10.0)
"""Seconds before each new attempt; the last one stays. A random share is added, so that clients do not come back in step."""
HEARTBEAT: Final = 25.0
RENEW: Final = 10
"""Heartbeats after which a new token is sent: `mint` must give tokens that outlive them by far."""
JOIN_TIMEOUT: Final = 15.0
LARGEST: Final = 16 << 20
JOIN_REF: Final = "1"
USER_BROADCAST: Final = 4
JSON: Final = 1


@dataclass(frozen=True, slots=True)
class Channel:
    """What to join: `url` of the service (http, https, ws or wss), topic with its prefix, the join's config."""

    url: str
    topic: str
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Joined:
    """The channel is joined; what happens from now on arrives."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection was lost, or could not be made; the next attempt comes after `delay` seconds."""

    reason: str
    delay: float


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message of the channel. `event` as on the wire: postgres_changes, broadcast, presence_state, presence_diff, system."""

    event: str
    payload: dict[str, Any]


class _Cut(Exception):
    """The server ended the connection or the channel, or would not open it."""


async def follow(channel: Channel, mint: Callable[[], str]) -> AsyncGenerator[Joined | Lost | Arrival, None]:
    """Joins and yields without end; once joined, every trouble passes.

    Raises Forbidden when the service refuses our token, or the first join; InvalidInput when the address is none.
    """
    attempt, welcome = 0, False
    while True:
        try:
            async with _connected(channel, mint()) as socket:
                if (refusal := await _join(socket, channel, mint())) is not None:
                    if not welcome:
                        raise refusal
                    raise _Cut(refusal.text)
                attempt, welcome = 0, True
                yield Joined()
                async for arrival in _arrivals(socket, channel, mint):
                    yield arrival
        except InvalidURI as error:
            raise InvalidInput(f"{channel.url} is not the address of a service", hint="Write it as http://host:port.") from error
        except InvalidStatus as error:
            if error.response.status_code in {400, 401, 403, 404}:
                raise _turned_away(error) from error
            reason = f"the service answered {error.response.status_code}"
        except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed, _Cut) as error:
            reason = str(error) or type(error).__name__
        delay = DELAYS[min(attempt, len(DELAYS) - 1)] * random.uniform(1.0, 1.25)
        attempt += 1
        yield Lost(reason, delay)
        await asyncio.sleep(delay)


@asynccontextmanager
async def _connected(channel: Channel, token: str) -> AsyncIterator[ClientConnection]:
    headers = {"x-api-key": token}  # not in the address, which may be logged on the way
    async with connect(socket_address(channel.url), additional_headers=headers, max_size=LARGEST, close_timeout=1) as socket:
        yield socket


def socket_address(url: str) -> str:
    """Where the WebSocket of the service at `url` is: http://host:port, or ws://host/realtime/v1 as official clients are told."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    path = parts.path.rstrip("/") or "/socket"
    return parts._replace(
        scheme=scheme, path=f"{path.removesuffix('/websocket')}/websocket", query="vsn=2.0.0", fragment=""
    ).geturl()


def _turned_away(error: InvalidStatus) -> Forbidden:
    try:
        reason = orjson.loads(error.response.body or b"")["error"]
    except (ValueError, LookupError, TypeError):
        reason = f"HTTP status {error.response.status_code}"
    return Forbidden(f"The service refused: {reason}", hint="Is this its address, and the key the one that it was started with?")


async def _join(socket: ClientConnection, channel: Channel, token: str) -> Forbidden | None:
    """Joins, or says why not."""
    payload = {"config": channel.config, "access_token": token}
    await _send(socket, JOIN_REF, JOIN_REF, channel.topic, "phx_join", payload)
    async with asyncio.timeout(JOIN_TIMEOUT):
        async for frame in socket:
            arrived = arrival(frame)
            if arrived is not None and arrived.event == "phx_reply":
                return _refusal(arrived.payload)
    raise _Cut("the service closed the connection")


def _refusal(reply: dict[str, Any]) -> Forbidden | None:
    if reply.get("status") == "ok":
        return None
    match reply.get("response"):
        case {"reason": str(reason), **more}:
            return Forbidden(
                f"The service refused to join: {reason}", hint=str(more.get("hint") or "Correct channel, table or --as.")
            )
        case response:
            return Forbidden(f"The service refused to join: {response}", hint="Look in the log of the service.")


async def _arrivals(socket: ClientConnection, channel: Channel, mint: Callable[[], str]) -> AsyncIterator[Arrival]:
    beating = asyncio.create_task(_beat(socket, channel, mint))
    try:
        async for frame in socket:
            arrived = arrival(frame)
            if arrived is None or arrived.event == "phx_reply":
                continue
            if arrived.event in {"phx_close", "phx_error"}:
                raise _Cut("the service ended the channel")
            yield arrived
        raise _Cut("the service closed the connection")
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError, ConnectionClosed):
            await beating


async def _beat(socket: ClientConnection, channel: Channel, mint: Callable[[], str]) -> None:
    number = 0
    while True:
        await asyncio.sleep(HEARTBEAT)
        number += 1
        await _send(socket, None, f"h{number}", "phoenix", "heartbeat", {})
        if number % RENEW == 0:
            await _send(socket, JOIN_REF, f"t{number}", channel.topic, "access_token", {"access_token": mint()})


async def _send(
    socket: ClientConnection, join_ref: str | None, ref: str, topic: str, event: str, payload: dict[str, Any]
) -> None:
    await socket.send(orjson.dumps([join_ref, ref, topic, event, payload]).decode())


def arrival(frame: str | bytes) -> Arrival | None:
    """What a frame says; None for one that says nothing that we know."""
    try:
        if isinstance(frame, bytes):
            return _user_broadcast(frame)
        message = parse_text(Serializer.V2, frame)
    except (MalformedFrame, ValueError, IndexError):
        return None
    return Arrival(message.event, message.payload) if isinstance(message.payload, dict) else None


def _user_broadcast(frame: bytes) -> Arrival | None:
    """Kind 4: sizes of topic, event and metadata, whether the payload is JSON, and then these four."""
    kind, topic_size, event_size, meta_size, encoding = frame[:5]
    if kind != USER_BROADCAST:
        return None
    event_at = 5 + topic_size
    payload_at = event_at + event_size + meta_size
    event, payload = frame[event_at : event_at + event_size].decode(), frame[payload_at:]
    content = orjson.loads(payload) if encoding == JSON else {"bytes": payload.hex()}
    return Arrival("broadcast", {"type": "broadcast", "event": event, "payload": content})
