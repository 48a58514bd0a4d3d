"""Runs uvicorn: bound before it starts, deaf to signals, patient with nobody."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, cast

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from realtime_inspector.errors import SetupError
from realtime_inspector.server.connection import Wire
from realtime_inspector.server.entrance import Entrance
from realtime_inspector.server.websocket import protocol_class
from realtime_inspector.settings import Settings

REQUEST_SECONDS: Final = 8.0
"""How long a request may take to arrive whole: whoever sends half of one is gone within ten, also on a busy machine."""
PATIENCE_SECONDS: Final = 2.0
"""How long a request may take at least, however many of its address are not there yet."""
STOP_SECONDS: Final = 1
"""How long sockets and requests may take to end when the service stops."""
BACKLOG: Final = 4_096
UNSENT_BYTES: Final = 131_072
"""So much the kernel keeps of what a peer does not take; without a bound these are megabytes, and nobody knows that it stalls."""


class Server:
    """One listening service. Raises SetupError when it cannot have its address."""

    def __init__(self, app: ASGIApp, settings: Settings, wire: Wire) -> None:
        self._socket = _bind(settings.host, settings.port)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://{_reachable(settings.host)}:{self.port}"
        self._uvicorn = _Uvicorn(
            uvicorn.Config(
                app,
                http=cast(type[asyncio.Protocol], partial(_Deadline, lobby=Lobby(settings.handshakes_per_address))),
                ws=protocol_class(wire),
                ws_max_size=settings.frame_bytes,
                ws_per_message_deflate=False,  # a bomb of 15 kB inflates to 15 MB, and an idle compressor costs 40 kB
                ws_ping_interval=None,  # the outbox pings
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )

    async def serve(self) -> None:
        """Accepts connections until `stop` was called and everybody is gone, or had to go."""
        self._uvicorn.listening = self._socket
        await self._uvicorn.serve(sockets=[])

    def stop(self) -> None:
        """Tells sockets that the service restarts (1012), and ends `serve` soon."""
        self._uvicorn.should_exit = True


class _Uvicorn(uvicorn.Server):
    listening: socket.socket

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """With an entrance of our own."""
        await super().startup(sockets)

        def connection() -> asyncio.Protocol:
            make = cast(Any, self.config.http_protocol_class)
            return cast(asyncio.Protocol, make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state))

        self.servers.append(cast(Any, Entrance(self.listening, connection)))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the command line's matter."""
        yield


class Lobby:
    """Connections of which no whole request has come yet, by address: the oldest makes room when there are too many.

    Honest ones are through within a moment, also when thousands come at once; only who keeps the others waiting stays here.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[str, dict[_Deadline, float]] = {}

    def enter(self, waiting: "_Deadline", address: str, now: float) -> None:
        """`now`: the loop's time."""
        here = self._waiting.setdefault(address, {})
        if len(here) >= self._most:
            oldest, since = next(iter(here.items()))
            if now - since >= PATIENCE_SECONDS:
                oldest.expire()
        here[waiting] = now

    def leave(self, waiting: "_Deadline", address: str) -> None:
        """Its request is there, or it is gone."""
        here = self._waiting.get(address, {})
        here.pop(waiting, None)
        if not here:
            self._waiting.pop(address, None)


class _Deadline(H11Protocol):
    """A request that is not there in time is not waited for: uvicorn itself would, for ever."""

    def __init__(self, *uvicorns: Any, lobby: Lobby, **more: Any) -> None:
        super().__init__(*uvicorns, **more)
        self._lobby = lobby
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._relax()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deadline is None:  # the next request on the same connection
            self._wait()
        super().data_received(data)
        if self.transport.get_protocol() is not self or self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._relax()

    def expire(self) -> None:
        """It took too long, or keeps others waiting."""
        self._relax()
        self.transport.close()

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self.expire)
        self._lobby.enter(self, self._address, self.loop.time())

    def _relax(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
            self._lobby.leave(self, self._address)

    @property
    def _address(self) -> str:
        return self.client[0] if self.client else ""


def _bind(host: str, port: int) -> socket.socket:
    bound = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if (unsent := getattr(socket, "TCP_NOTSENT_LOWAT", None)) is not None:  # accepted sockets have it from this one
            bound.setsockopt(socket.IPPROTO_TCP, unsent, UNSENT_BYTES)
        bound.bind(address)
        bound.listen(BACKLOG)  # who comes before uvicorn accepts has to wait, but is not refused
    except OSError as error:
        if bound is not None:
            bound.close()
        hint = "Choose another RTI_PORT or RTI_HOST; port 0 is any free one."
        raise SetupError(f"Cannot listen on {host} port {port}: {error.strerror}", hint=hint) from error
    bound.setblocking(False)
    return bound


def _reachable(host: str) -> str:
    """The host as a URL on this machine has it: what binds every address is reached by the loopback."""
    name = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{name}]" if ":" in name else name
