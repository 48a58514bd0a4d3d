"""Sends back every message through the service's own protocol class, connection and outbox: the Autobahn suite talks to it."""

import asyncio
import signal
import sys
from typing import cast

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from realtime_inspector.protocol.frames import binary_frame, text_frame
from realtime_inspector.server.connection import Wire
from realtime_inspector.server.outbox import Link, Outbox
from realtime_inspector.server.serving import Server
from realtime_inspector.server.websocket import EXTENSION
from realtime_inspector.settings import Settings

LARGEST = 20 << 20


async def main(port: int) -> None:
    """Until SIGTERM."""
    wire = Wire(Outbox(asyncio.get_running_loop()), 4 * LARGEST, 60.0, lambda: None)

    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        link = cast(Link, websocket.scope["extensions"][EXTENSION])

        def back(data: str | bytes) -> None:
            link.send(text_frame(data.encode()) if isinstance(data, str) else binary_frame(data))

        await link.run(back, lambda: None)

    settings = Settings(port=port, frame_bytes=LARGEST, handshakes_per_address=10_000)
    server = Server(Starlette(routes=[WebSocketRoute("/", echo)]), settings, wire)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    await server.serve()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
