"""The official clients, each in a process of its own that is told what to do and tells what it hears.

A driver (tests/clients/driver.mjs, driver.py) takes one command a line on standard input: `id`, `command` and the words of one of
the methods below; it answers `{"id", "value"}` or `{"id", "error"}`. Whatever a channel's callbacks hear comes as
`{"channel", "kind", "heard"}`, where kind is status, change, broadcast, presence or system; `{"complaint"}` is a frame that the
client threw away. Bytes travel as `{"$bytes": hex}`, numbers that are not finite as `{"$number": text}`.
"""

import itertools
import json
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.provision import CLIENTS, javascript_clients, node, python_client

PATIENCE = 60.0
"""Seconds after which something that should come is missing."""

Kind = Literal["js-2.109.0", "js-2.119.0", "js-2.15.5", "supabase-js", "python-2.34.1"]
KINDS: tuple[Kind, ...] = ("js-2.109.0", "js-2.119.0", "js-2.15.5", "supabase-js", "python-2.34.1")
FIRST_SERIALIZER: tuple[Kind, ...] = ("js-2.15.5", "python-2.34.1")
"""The clients that speak 1.0.0 and cannot carry bytes; the others speak 2.0.0."""
PACKAGES = {
    "js-2.109.0": "realtime-js-2.109.0",
    "js-2.119.0": "realtime-js-2.119.0",
    "js-2.15.5": "realtime-js-2.15.5",
    "supabase-js": "@supabase/supabase-js",
}
HEARD = ("status", "change", "broadcast", "presence", "system")
Event = dict[str, Any]
Message = dict[str, Any]


class Driver:
    """One official client, ready to open sockets."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._process = subprocess.Popen(self._command(kind), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._numbers = itertools.count(1)
        self._news = threading.Condition()
        self._answers: dict[int, Message] = {}
        self._channels: dict[str, Channel] = {}
        self._ended = False
        self.complaints: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @staticmethod
    def _command(kind: Kind) -> Sequence[str]:
        if kind == "python-2.34.1":
            return [str(python_client()), str(CLIENTS / "driver.py")]
        return [str(node()), str(javascript_clients() / "driver.mjs"), PACKAGES[kind]]

    @property
    def is_python(self) -> bool:
        return self.kind == "python-2.34.1"

    @property
    def carries_bytes(self) -> bool:
        return self.kind not in FIRST_SERIALIZER

    def open(self, url: str, key: str, token: str | None = None, *, resumes: bool = False, patient: bool = False) -> "Client":
        """A client that connects at its first join. `key`: the apikey; `token`: the user's, None for the apikey's own.

        `resumes`: with our wrapper; `patient`: tries to come back for long, as JavaScript clients do for ever.
        """
        client = Client(self, f"client-{next(self._numbers)}")
        self.tell("open", client=client.name, url=url, key=key, token=token, resumes=resumes, patient=patient)
        return client

    def tell(self, command: str, **words: object) -> Any:
        """Has the driver do something, and returns its answer."""
        number = next(self._numbers)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "command": command, **words}) + "\n")
        self._process.stdin.flush()
        self.wait(lambda: number in self._answers, f"no answer to {command}")
        answer = self._answers.pop(number)
        assert "error" not in answer, f"{self.kind}: {command}: {answer['error']}"
        return answer["value"]

    def wait(self, come: Callable[[], bool], missing: str) -> None:
        """Waits until something has come; what is missing is said if it does not, or if the client dies before."""
        with self._news:
            self._news.wait_for(lambda: come() or self._ended, PATIENCE)
            assert come(), f"{self.kind}: {missing}{'; the client died' if self._ended else ''}"

    def listen(self, client: "Client", name: str) -> "Channel":
        """A place for what a new channel will hear."""
        channel = Channel(client, f"channel-{next(self._numbers)}", name)
        self._channels[channel.handle] = channel
        return channel

    def stop(self) -> int:
        """Its exit status."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        status = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def kill(self) -> None:
        """Takes it away without a goodbye; the kernel closes its sockets."""
        self._process.kill()
        self.stop()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                with self._news:
                    self._take(json.loads(line))
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _take(self, message: Message) -> None:
        if "id" in message:
            self._answers[message["id"]] = message
        elif "complaint" in message:
            self.complaints.append(message["complaint"])
        else:
            self._channels[message["channel"]].heard[message["kind"]].append(message["heard"])


@dataclass(eq=False)
class Client:
    """One socket of a driver."""

    driver: Driver
    name: str
    closed: bool = False

    def join(
        self,
        name: str,
        *changes: Mapping[str, object],
        config: Mapping[str, object] | None = None,
        presence: bool = False,
    ) -> "Channel":
        """Asks for a channel, without waiting. `changes`: its bindings, whose numbers stand in the events; `presence`: listen."""
        channel = self.driver.listen(self, name)
        words = {"name": name, "config": dict(config or {}), "changes": [dict(change) for change in changes]}
        self.driver.tell("join", client=self.name, channel=channel.handle, **words, presence=presence)
        return channel

    def subscribe(self, name: str, *changes: Mapping[str, object], **more: Any) -> "Channel":
        """A channel that is joined."""
        channel = self.join(name, *changes, **more)
        channel.subscribed()
        return channel

    def authenticate(self, token: str) -> None:
        """Goes on with another token."""
        self.driver.tell("authenticate", client=self.name, token=token)

    def close(self) -> None:
        """Hangs up, once."""
        if not self.closed:
            self.closed = True
            self.driver.tell("close", client=self.name)


@dataclass(eq=False)
class Channel:
    """One channel, and everything that it has heard and no test has looked at yet, by kind."""

    client: Client
    handle: str
    name: str
    heard: dict[str, deque[Event]] = field(default_factory=lambda: {kind: deque() for kind in HEARD})

    def next(self, kind: str) -> Event:
        """The next event of this kind."""
        events = self.heard[kind]
        self.client.driver.wait(lambda: len(events) > 0, f"no {kind} came on {self.name}")
        return events.popleft()

    def until(self, kind: str, last: Callable[[Event], bool]) -> list[Event]:
        """The events of this kind up to the one that is the last, which stands at the end."""
        events = [self.next(kind)]
        while not last(events[-1]):
            events.append(self.next(kind))
        return events

    def nothing_more(self, kind: str) -> bool:
        """Whether every event of this kind was looked at; to be asked when something later has come."""
        return not self.heard[kind]

    def subscribed(self) -> None:
        """Waits for SUBSCRIBED; nothing else may come before it."""
        assert self.next("status") == {"status": "SUBSCRIBED", "error": None}

    def send(self, event: str, payload: object, **more: object) -> object:
        """Broadcasts; returns what the client says of it ("ok" from JavaScript). `more`: what only some versions know."""
        return self.client.driver.tell("send", channel=self.handle, event=event, payload=payload, **more)

    def track(self, payload: Mapping[str, object]) -> object:
        """Appears, with this to say of itself."""
        return self.client.driver.tell("track", channel=self.handle, payload=payload)

    def untrack(self) -> object:
        """Disappears."""
        return self.client.driver.tell("untrack", channel=self.handle)

    def state(self) -> dict[str, list[dict[str, Any]]]:
        """Who is there, as the client knows it: by key what they say of themselves."""
        return without_references(self.client.driver.tell("state", channel=self.handle))

    def leave(self) -> object:
        """Leaves."""
        return self.client.driver.tell("leave", channel=self.handle)


def without_references(state: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Presence by key, without the references, which every client demands and calls presence_ref."""
    return {
        key: [{name: meta[name] for name in meta.keys() - {"presence_ref"}} for meta in metas] for key, metas in state.items()
    }
