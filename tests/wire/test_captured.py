"""The exchanges in docs/protocol.md are what a real service says: they are run, and the page is held against them.

`REWRITE=1 .venv/bin/python -m pytest tests/wire/test_captured.py` writes the page anew.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import psycopg
import pytest
import yaml

from tests.wire.demo import Demo
from tests.wire.raw import VERSIONS, Socket, opened

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "protocol.md"
BLOCK = "<!-- exchange: {} -->\n```\n"
TABLE = "captured"
ROOM = "realtime:room"
SAMPLES = {
    r'("commit_timestamp":)"[^"]+"': r'\1"2026-01-02T03:04:05.678Z"',
    r'("event_id":)"[^"]+"': r'\1"xXHc2dNOjB7B6ApTWkyvx1nh3oY"',
    r'("commit_id":)"[^"]+"': r'\1"kQ0dW8bqv3mXn5Zr"',
    r'("phx_ref(?:_prev)?":)"[^"]+"': r'\1"9GniMq2KlgafSs_E"',
    r'("resume":)"[^"]+"': r'\1"q3mXn5Zr…"',
    r'("moment":)"[^"]+"': r'\1"kQ0dW8bq…"',
    r"expired \d+ seconds": "expired 60 seconds",
    r"eyJ[\w-]+\.[\w-]+\.[\w-]+": "eyJ…",
}
Admin = psycopg.Connection[Any]


class Recorder:
    """A socket whose frames are written down as they went over the wire, but for what differs each time."""

    def __init__(self, socket: Socket, vsn: str) -> None:
        self.lines: list[str] = []
        self._socket = socket
        self._first = vsn == "1.0.0"

    def send(self, topic: str, event: str, payload: object, join_ref: str | None = "1") -> None:
        ref = self._socket.send(topic, event, payload, join_ref)
        own = ref if event == "phx_join" else join_ref
        named = {"topic": topic, "event": event, "payload": payload, "ref": ref, "join_ref": own}
        self._write("→", json.dumps(named if self._first else [own, ref, topic, event, payload], separators=(",", ":")))

    def hear(self, messages: int = 1) -> None:
        for _ in range(messages):
            self._write("←", self._socket.next().text)

    def _write(self, arrow: str, text: str) -> None:
        for pattern, sample in SAMPLES.items():
            text = re.sub(pattern, sample, text)
        self.lines.append(f"{arrow} {text}")


@contextmanager
def recording(demo: Demo, vsn: str = "2.0.0") -> Iterator[Recorder]:
    with opened(demo.url, demo.anon_key, vsn) as socket:
        yield Recorder(socket, vsn)


def heartbeat(demo: Demo, _admin: Admin) -> list[str]:
    lines = []
    for vsn in VERSIONS:
        with recording(demo, vsn) as client:
            client.send("phoenix", "heartbeat", {}, None)
            client.hear()
            lines += client.lines
    return lines


def changes(demo: Demo, admin: Admin) -> list[str]:
    admin.execute(f"create table public.{TABLE} (id int primary key, body text)")
    admin.execute(f"grant select on public.{TABLE} to anon")
    admin.execute(f"alter publication supabase_realtime add table public.{TABLE}")
    try:
        with recording(demo) as client:
            entry = {"event": "*", "schema": "public", "table": TABLE, "filter": "or=(id.eq.1,body.like.n%)"}
            client.send(ROOM, "phx_join", {"config": {"postgres_changes": [entry], "presence": {"enabled": False}}})
            client.hear(2)
            for statement in ("insert into {} values (1, 'new')", "update {} set body = 'old'", "delete from {}"):
                admin.execute(statement.format(f"public.{TABLE}"))
                client.hear()
            client.send(ROOM, "phx_leave", {})
            client.hear(2)
            return client.lines
    finally:
        admin.execute(f"drop table public.{TABLE}")


def broadcast(demo: Demo, _admin: Admin) -> list[str]:
    with recording(demo) as client:
        client.send(ROOM, "phx_join", {"config": {"broadcast": {"self": True, "ack": True}, "presence": {"enabled": False}}})
        client.hear()
        client.send(ROOM, "broadcast", {"type": "broadcast", "event": "hello", "payload": {"a": 1}})
        client.hear(2)
        return client.lines


def presence(demo: Demo, _admin: Admin) -> list[str]:
    with recording(demo) as client:
        client.send(ROOM, "phx_join", {"config": {"presence": {"enabled": True, "key": "alice"}}})
        client.hear(2)
        for name in ("Alice", "Alice B."):
            client.send(ROOM, "presence", {"type": "presence", "event": "track", "payload": {"name": name}})
            client.hear(2)
        client.send(ROOM, "presence", {"type": "presence", "event": "untrack"})
        client.hear(2)
        return client.lines


def refusals(demo: Demo, _admin: Admin) -> list[str]:
    with recording(demo) as client:
        client.send("realtime:", "phx_join", {"config": {}})
        client.hear()
        client.send(ROOM, "broadcast", {"event": "hello", "payload": {}})
        client.hear()
        expired = demo.token(demo.person("alice"), -60)
        client.send(ROOM, "phx_join", {"config": {}, "access_token": expired})
        client.hear()
        entry = {"event": "*", "schema": "public", "table": "tweets", "filter": "id=near.1"}
        client.send(ROOM, "phx_join", {"config": {"postgres_changes": [entry], "presence": {"enabled": False}}})
        client.hear(2)
        client.send(ROOM, "access_token", {"access_token": ""})
        client.hear(2)
        return client.lines


EXCHANGES: dict[str, Callable[[Demo, Admin], list[str]]] = {
    "heartbeat, 1.0.0 and 2.0.0": heartbeat,
    "changes of a table": changes,
    "broadcast": broadcast,
    "presence": presence,
    "refusals": refusals,
}


def shown(name: str) -> tuple[int, int]:
    """Where the block of an exchange stands in the page."""
    text, head = PAGE.read_text(), BLOCK.format(name)
    start = text.index(head) + len(head)
    return start, text.index("```", start)


@pytest.mark.parametrize("name", EXCHANGES)
def test_the_page_shows_what_the_service_says(demo: Demo, admin: Admin, name: str) -> None:
    said = "".join(f"{line}\n" for line in EXCHANGES[name](demo, admin))
    start, end = shown(name)
    text = PAGE.read_text()
    if os.environ.get("REWRITE"):
        PAGE.write_text(text[:start] + said + text[end:])
    else:
        assert text[start:end] == said, f"run this with REWRITE=1, and read what has changed\n{said}"


# What the socket's description says of these frames.


def described() -> Any:
    return yaml.safe_load((DOCS / "asyncapi.yaml").read_text())


def resolved(document: Any, reference: str) -> Any:
    for part in reference.removeprefix("#/").split("/"):
        document = document[part.replace("~1", "/")]
    return document


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from [each] if key == "$ref" else references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_the_description_of_the_socket_is_whole() -> None:
    document = described()
    assert document["asyncapi"] == "3.0.0"
    assert document.keys() <= {"asyncapi", "info", "servers", "channels", "operations", "components"}
    assert {"title", "version"} <= document["info"].keys()
    for reference in references(document):
        assert resolved(document, reference)
    for operation in document["operations"].values():
        assert operation["action"] in ("send", "receive")
        for message in operation["messages"]:
            assert message["$ref"].startswith(operation["channel"]["$ref"] + "/messages/")
    for message in document["components"]["messages"].values():
        jsonschema.Draft202012Validator.check_schema(message["payload"])


def messages(action: str) -> dict[str, Any]:
    """By event: what a client may send ("receive": the service receives it), or is sent."""
    document = described()
    found = {}
    for operation in document["operations"].values():
        for message in operation["messages"] if operation["action"] == action else ():
            whole = resolved(document, resolved(document, message["$ref"])["$ref"])
            found[whole["name"]] = {**whole["payload"], "components": document["components"]}
    return found


@pytest.mark.parametrize("name", EXCHANGES)
def test_every_frame_that_is_shown_is_as_described(name: str) -> None:
    start, end = shown(name)
    lines = PAGE.read_text()[start:end].splitlines()
    assert lines
    for line in lines:
        frame = json.loads(line[2:])
        event, payload = (frame["event"], frame["payload"]) if isinstance(frame, dict) else (frame[3], frame[4])
        schema = messages("receive" if line.startswith("→") else "send")[event]
        jsonschema.Draft202012Validator(schema).validate(payload)


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("phx_reply", {"status": "fine", "response": {}}),
        ("system", {"extension": "system", "status": "error", "message": "no"}),
        ("postgres_changes", {"ids": ["1"], "data": {}}),
        ("presence_diff", {"joins": {}}),
    ],
)
def test_what_clients_could_not_read_is_not_as_described(event: str, payload: object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(messages("send")[event]).validate(payload)
