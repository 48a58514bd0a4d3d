"""A socket without a client: frames as they are, in either serializer."""

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from websockets.sync.client import ClientConnection, connect

PATIENCE = 60.0
VERSIONS = ("1.0.0", "2.0.0")


@dataclass(frozen=True)
class Message:
    """`text`: the frame itself."""

    ref: str | None
    topic: str
    event: str
    payload: dict[str, Any]
    text: str


class Socket:
    """One WebSocket that speaks a serializer, 1.0.0 or 2.0.0."""

    def __init__(self, connection: ClientConnection, vsn: str) -> None:
        self._connection = connection
        self._first = vsn == "1.0.0"
        self._refs = itertools.count(1)

    def send(self, topic: str, event: str, payload: object, join_ref: str | None = None) -> str:
        """Sends a message and returns its ref."""
        ref = str(next(self._refs))
        own = ref if event == "phx_join" else join_ref
        named = {"topic": topic, "event": event, "payload": payload, "ref": ref, "join_ref": own}
        self._connection.send(json.dumps(named if self._first else [own, ref, topic, event, payload]))
        return ref

    def next(self) -> Message:
        """The next message."""
        text = str(self._connection.recv(PATIENCE))
        frame = json.loads(text)
        if self._first:
            return Message(frame["ref"], frame["topic"], frame["event"], frame["payload"], text)
        return Message(*frame[1:], text)

    def until(self, last: Callable[[Message], bool]) -> list[Message]:
        """The messages up to the one that is the last, which stands at the end."""
        messages = [self.next()]
        while not last(messages[-1]):
            messages.append(self.next())
        return messages

    def reply(self, ref: str) -> dict[str, Any]:
        """What is answered to a message; what comes before is dropped."""
        return self.until(lambda message: message.event == "phx_reply" and message.ref == ref)[-1].payload

    def join(self, topic: str, *changes: Mapping[str, object], **config: object) -> str:
        """Joins with success; returns the join's ref."""
        ref = self.send(topic, "phx_join", {"config": {"postgres_changes": list(changes), **config}})
        assert self.reply(ref)["status"] == "ok"
        return ref


@contextmanager
def opened(url: str, key: str, vsn: str) -> Iterator[Socket]:
    """A socket of whom the key belongs to."""
    address = f"{url.replace('http', 'ws', 1)}/socket/websocket?apikey={key}&vsn={vsn}"
    # With a bounded queue a socket that has not read everything would not read the other side's goodbye either.
    with connect(address, max_size=None, max_queue=None) as connection:
        yield Socket(connection, vsn)
