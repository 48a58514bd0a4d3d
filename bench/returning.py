"""A client that comes back after whatever happened to it, and keeps which rows it was told of, in order."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

TOPIC = "realtime:faults"
BEAT_SECONDS, SILENCE_SECONDS = 0.5, 3.0
"""Between heartbeats, and until a client that hears nothing takes its socket for dead: a tenth of what clients use."""
RETRY_SECONDS = 0.1


class Returning:
    """One channel. `past`: what it comes back with, from its token, and the event or moment that it received last."""

    def __init__(self, owner: str, address: str, table: str, past: Callable[[str, str], str | None]) -> None:
        self.owner = owner
        self._address = address
        self._table = table
        self._past = past
        self._resume = self._reached = ""
        self._refs = itertools.count(1)
        self._heard = 0.0
        self.received: list[int] = []
        """The ids of the rows."""
        self.arrivals: list[float] = []
        """When each of them came."""
        self.notices: list[str] = []
        self.refusals: list[str] = []
        self.joins = 0

    @property
    def gaps(self) -> list[str]:
        """What it was told of losses."""
        return [notice for notice in self.notices if notice != "resumed"]

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            with contextlib.suppress(OSError, WebSocketException, TimeoutError):
                await self._live()
            await asyncio.sleep(RETRY_SECONDS)

    async def _live(self) -> None:
        """One socket."""
        options: dict[str, Any] = {"compression": None, "max_size": None, "ping_interval": None, "proxy": None}
        async with asyncio.timeout(SILENCE_SECONDS):
            connection = await connect(self._address, open_timeout=None, close_timeout=0.1, **options)
        beating = asyncio.create_task(self._beat(connection))
        try:
            await self._join(connection)
            async for text in connection:
                self._heard = time.monotonic()
                *_, topic, event, payload = orjson.loads(text)
                self._take(topic, event, payload)
        finally:
            beating.cancel()
            connection.transport.abort()

    async def _join(self, connection: ClientConnection) -> None:
        config: dict[str, Any] = {
            "presence": {"enabled": False},
            "postgres_changes": [{"event": "*", "schema": "public", "table": self._table}],
        }
        past = self._past(self._resume, self._reached) if self._resume else None
        if past is not None:
            config["resume"] = past
        await self._send(connection, TOPIC, "phx_join", {"config": config})

    async def _beat(self, connection: ClientConnection) -> None:
        self._heard = time.monotonic()
        with contextlib.suppress(WebSocketException):
            while time.monotonic() - self._heard < SILENCE_SECONDS:
                await self._send(connection, "phoenix", "heartbeat", {})
                await asyncio.sleep(BEAT_SECONDS)
        connection.transport.abort()

    async def _send(self, connection: ClientConnection, topic: str, event: str, payload: object) -> None:
        ref = str(next(self._refs))
        await connection.send(orjson.dumps([ref if event == "phx_join" else None, ref, topic, event, payload]).decode())

    def _take(self, topic: str, event: str, payload: dict[str, Any]) -> None:
        if event == "postgres_changes":
            self._reached = payload["event_id"]
            self.received.append(payload["data"]["record"]["id"])
            self.arrivals.append(time.monotonic())
        elif event == "system" and payload["extension"] == "resume":
            self.notices.append(payload["message"])
        elif event == "phx_reply" and payload["status"] == "ok":
            self._told(topic, payload["response"])
        elif event in ("phx_reply", "phx_close", "phx_error"):
            self.refusals.append(str(payload))
            raise ConnectionError(event)

    def _told(self, topic: str, response: dict[str, str]) -> None:
        if topic == TOPIC:
            self._resume, self._reached = response["resume"], ""
            self.joins += 1
        elif self._resume and self.joins and "moment" in response:
            self._reached = response["moment"]
