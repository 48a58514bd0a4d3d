"""uvicorn's WebSocket protocol with a Connection in its scope: the application writes ready frames past ASGI."""

import asyncio
from functools import partial
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from realtime_inspector.channel.limits import Bucket
from realtime_inspector.server.connection import Connection, Wire

EXTENSION = "realtime_inspector.connection"
"""Where an application finds the Connection among its ASGI scope's extensions."""
FRAGMENTS = 1_024
"""A message in more pieces is refused: fragments of zero bytes would otherwise pile up without end."""
CONTROLS = 1_000
CONTROLS_PER_SECOND = 20
"""So many pings and pongs may come at once and then per second; honest clients send one in some seconds."""
READ = 8_192
"""Bytes that are read of one socket before the others get their turn: asyncio takes 256 KiB, which are 40,000 tiny frames."""
_UNREADABLE = (
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 76\r\n\r\n"
    b'{"error":"The handshake cannot be read: is the token or a header too long?"}'
)


def protocol_class(wire: Wire) -> type[asyncio.Protocol]:
    """What `uvicorn.Config(ws=...)` takes: uvicorn only calls it."""
    return cast(type[asyncio.Protocol], partial(WebSocketProtocol, wire=wire))


class _Protocol(ServerProtocol):
    """A close frame may come between the fragments of a message (RFC 6455 5.4 and 5.5); websockets takes that for an error."""

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Handshake and parsing are uvicorn's (its class is internal: the version is pinned, tests/wire holds the contract).

    Once accepted, messages go to the Connection instead of the ASGI queue, and only the Connection writes.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        wire: Wire,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = _Protocol(max_size=config.ws_max_size, logger=self.logger)
        self._wire = wire
        self._connection: Connection | None = None
        self._controls: Bucket | None = None
        self._detached = self._failed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if hasattr(transport, "max_size"):  # asyncio's own transports; uvloop reads little anyway
            transport.max_size = READ

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            self._connection = Connection(self.transport, self._wire, self)
            cast(dict[str, object], self.scope["extensions"])[EXTENSION] = self._connection

    async def run_asgi(self) -> None:
        """As uvicorn's, but when the Connection was detached the socket outlives the application's call.

        So nothing of the call has to stay in memory: neither its frames, nor the request.
        """
        try:
            await self.app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except Exception:
            self.logger.exception("websocket_application_failed")
            self.send_500_response()
        if not self._detached:
            self.transport.close()

    def detach(self) -> None:
        """The application may return while the socket lives on."""
        self._detached = True
        self.stop_keepalive()
        del self.scope, self.request, self.response, self.queue, self.writable

    def connection_lost(self, exc: Exception | None) -> None:
        if self._detached:
            self.connections.discard(self)
        else:
            super().connection_lost(exc)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.lost()
        # What refers to itself would wait for the garbage collector, thousands at a time. The parser is a method of its object.
        del self.conn.parser

    def pause_writing(self) -> None:
        if not self._detached:
            super().pause_writing()
        if self._connection is not None:
            self._connection.blocked()

    def resume_writing(self) -> None:
        if not self._detached:
            super().resume_writing()
        if self._connection is not None:
            self._connection.unblocked()

    def shutdown(self) -> None:
        """uvicorn stops."""
        if self._connection is not None and self.handshake_complete:
            self._connection.shutdown()
        else:
            super().shutdown()

    def data_received(self, data: bytes) -> None:
        if self._failed:
            return
        if self._connection is not None:
            self._connection.heard()
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            # What h11 took for a request, websockets does not, and uvicorn would leave it at that for ever.
            self._failed = True
            self.transport.write(_UNREADABLE)
            self.transport.close()

    def send_receive_event_to_app(self) -> None:
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self._connection is None:
            return
        if self.curr_msg_data_type == "bytes":
            self._connection.feed(bytes(data))
            return
        try:
            text = str(data, "utf-8")
        except UnicodeDecodeError:
            self._fail(1007, "text is not valid UTF-8")
        else:
            self._connection.feed(text)

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= FRAGMENTS:
            self._fail(1008, "a message in too many fragments")
        else:
            super().handle_cont(event)

    def handle_pong(self, event: Frame) -> None:  # noqa: ARG002 - uvicorn's signature; the Connection pings, and asks nothing
        self._count_control()

    def handle_ping(self) -> None:
        self._count_control()
        pong = b"".join(self.conn.data_to_send())
        if self._connection is not None:
            self._connection.control(pong)

    def _count_control(self) -> None:
        if self._controls is None:
            self._controls = Bucket(CONTROLS_PER_SECOND, CONTROLS)
        if not self._controls.take(self.loop.time()):
            self._fail(1008, "too many control frames")

    def handle_close(self, event: Frame) -> None:  # noqa: ARG002 - uvicorn's signature
        if self._failed:  # another frame of the same piece: our half is closed already
            return
        self._end()
        self.transport.close()

    def handle_parser_exception(self) -> None:
        # Closing with unread input makes the kernel send a reset, which may overtake the close frame that says why.
        # So only our half is closed, and what still comes in is ignored until the peer hangs up or the sweep ends it.
        self._failed = True
        self._end()
        if self._connection is not None and self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _end(self) -> None:
        self.close_sent = True
        last = b"".join(self.conn.data_to_send())
        if self._connection is not None:
            self._connection.end(last)

    def _fail(self, code: int, reason: str) -> None:
        if not self._failed:
            self.conn.fail(code, reason)
            self.handle_parser_exception()

    def close_frame(self, code: int, reason: str) -> bytes:
        """The frame that closes; empty when one was sent already."""
        if self.close_sent or self.transport.is_closing():
            return b""
        self.close_sent = True
        try:
            self.conn.send_close(code, reason)
        except InvalidState:  # the peer's own close was parsed in this very tick
            return b""
        return b"".join(self.conn.data_to_send())
