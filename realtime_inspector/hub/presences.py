"""Who is present on which topic, and who is told of it."""

import secrets
from collections import defaultdict

import orjson

from realtime_inspector.hub.sockets import Members, Socket
from realtime_inspector.presence.state import Diff, PresenceState, encode_diff, encode_state
from realtime_inspector.protocol import frames
from realtime_inspector.server.outbox import Outbox


class Presences:
    """The presence of all topics; a socket that was sent a topic's state is told the differences from then on."""

    def __init__(self, outbox: Outbox) -> None:
        self._watchers = Members(outbox)
        self._present: defaultdict[str, PresenceState] = defaultdict(PresenceState)

    def track(self, topic: str, key: str, socket: Socket, payload: bytes) -> None:
        """Sets the socket's entry."""
        self._tell(topic, self._present[topic].track(key, socket, payload, secrets.token_urlsafe(12)))

    def untrack(self, topic: str, socket: Socket) -> None:
        """Removes the socket's entry, if it has one."""
        present = self._present.get(topic)
        if present is not None:
            self._tell(topic, present.untrack(socket))
            if not present:
                del self._present[topic]

    def send_state(self, topic: str, socket: Socket) -> None:
        """Sends all entries; differences follow."""
        present = self._present.get(topic)
        state = orjson.Fragment(encode_state(present.state()) if present else b"{}")
        socket.link.send(frames.push(socket.serializer, topic, "presence_state", state))
        self._watchers.add(topic, socket)

    def part(self, topic: str, socket: Socket) -> None:
        """The socket is gone from the topic."""
        self._watchers.discard(topic, socket)
        self.untrack(topic, socket)

    def _tell(self, topic: str, diff: Diff | None) -> None:
        if diff is not None:
            self._watchers.send(topic, frames.fan_out(topic, "presence_diff", orjson.Fragment(encode_diff(diff))))
