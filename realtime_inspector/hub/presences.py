"""Who is present in which forum, and who is told of it."""

import secrets
from collections import defaultdict

import orjson

from realtime_inspector.hub.sockets import Members, Socket
from realtime_inspector.model import Forum
from realtime_inspector.presence.state import Diff, PresenceState, encode_diff, encode_state
from realtime_inspector.protocol import frames
from realtime_inspector.server.outbox import Outbox


class Presences:
    """The presence of all forums; a socket that was sent a forum's state is told the differences from then on."""

    def __init__(self, outbox: Outbox) -> None:
        self._watchers = Members(outbox)
        self._present: defaultdict[Forum, PresenceState] = defaultdict(PresenceState)

    def track(self, forum: Forum, key: str, socket: Socket, payload: bytes) -> None:
        """Sets the socket's entry."""
        self._tell(forum, self._present[forum].track(key, socket, payload, secrets.token_urlsafe(12)))

    def untrack(self, forum: Forum, socket: Socket) -> None:
        """Removes the socket's entry, if it has one."""
        present = self._present.get(forum)
        if present is not None:
            self._tell(forum, present.untrack(socket))
            if not present:
                del self._present[forum]

    def send_state(self, forum: Forum, socket: Socket) -> None:
        """Sends all entries; differences follow."""
        present = self._present.get(forum)
        state = orjson.Fragment(encode_state(present.state()) if present else b"{}")
        socket.link.send(frames.push(socket.serializer, forum.topic, "presence_state", state))
        self._watchers.add(forum, socket)

    def part(self, forum: Forum, socket: Socket) -> None:
        """The socket is gone from the forum."""
        self._watchers.discard(forum, socket)
        self.untrack(forum, socket)

    def _tell(self, forum: Forum, diff: Diff | None) -> None:
        if diff is not None:
            self._watchers.send(forum, frames.fan_out(forum.topic, "presence_diff", orjson.Fragment(encode_diff(diff))))
