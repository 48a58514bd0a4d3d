"""The reference: what one writes with Starlette and uvicorn alone, with their defaults."""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

members: set[WebSocket] = set()


async def endpoint(websocket: WebSocket) -> None:
    """Everybody gets what anybody sends."""
    await websocket.accept()
    members.add(websocket)
    try:
        while True:
            text = await websocket.receive_text()
            for member in list(members):
                await member.send_text(text)
    except WebSocketDisconnect:
        pass
    finally:
        members.discard(websocket)


if __name__ == "__main__":
    app = Starlette(routes=[WebSocketRoute("/", endpoint)])
    uvicorn.run(app, port=int(sys.argv[1]), loop=sys.argv[2], log_level="warning")
