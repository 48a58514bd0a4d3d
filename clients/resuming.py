"""Lets the Python client of Supabase Realtime come back after a lost connection and receive the changes that it missed.

    client = ResumingClient(url, key)        # instead of realtime.AsyncRealtimeClient; everything else stays the same

It stands between the client and its sockets: it notes in what is received how far each channel is, and says so in the joins that
are sent after a reconnect. See "Coming back" in docs/protocol.md. A gap, or that all was made up for, comes to the callback of
`on_system` with extension "resume". Written for realtime 2.34, of which it uses `_on_connect` and `_ws_connection`.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

from realtime import AsyncRealtimeClient


class ResumingClient(AsyncRealtimeClient):
    """An AsyncRealtimeClient whose channels go on where they were."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._past: dict[str, dict[str, Any]] = {}

    async def _on_connect(self) -> None:
        self._ws_connection = _Tapped(self._ws_connection, self._past)
        await super()._on_connect()


class _Tapped:
    """A connection that is listened to. `past`: topic -> the resume token of its last join, and what was received since."""

    def __init__(self, connection: Any, past: dict[str, dict[str, Any]]) -> None:
        self._connection = connection
        self._past = past
        self._joined: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def send(self, text: str) -> None:
        message = json.loads(text)
        topic, event = message["topic"], message["event"]
        if event == "phx_leave":
            self._past.pop(topic, None)
        if event == "phx_join" and topic in self._past:
            known = self._past[topic]
            message["payload"]["config"]["resume"] = ".".join(filter(None, (known["token"], known.get("reached"))))
            text = json.dumps(message)
        await self._connection.send(text)

    async def __aiter__(self) -> AsyncIterator[str]:
        async for text in self._connection:
            if not self._note(json.loads(text)):
                yield text

    def _note(self, message: dict[str, Any]) -> bool:
        """Notes how far a channel is; whether the message was received before."""
        topic, event, payload = message["topic"], message["event"], message["payload"]
        told = payload["response"] if event == "phx_reply" and payload["status"] == "ok" else {}
        if "resume" in told:
            self._past[topic] = {"token": told["resume"], "parts": self._past.get(topic, {}).get("parts")}
            self._joined.add(topic)
        elif event == "postgres_changes" and topic in self._past:
            return _reach(self._past[topic], payload)
        elif "moment" in told and topic == "phoenix":
            for name in self._joined & self._past.keys():
                self._past[name]["reached"] = told["moment"]
        return False


def _reach(channel: dict[str, Any], payload: dict[str, Any]) -> bool:
    """Only the last frame of an event is a place to come back to; after a cut in between the others come again."""
    event, part = payload["event_id"], tuple(payload["ids"])
    if channel.get("parts") is None or channel["parts"][0] != event:
        channel["parts"] = (event, set())
    seen: set[tuple[int, ...]] = channel["parts"][1]
    again = part in seen
    seen.add(part)
    if not payload.get("more"):
        channel["reached"] = event
    return again
