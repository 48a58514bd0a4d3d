"""Private channels as the official clients live through them: who gets in, what they hear of each other and of the database."""

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.wire.clients.conftest import Connect, Drivers
from tests.wire.clients.driver import KINDS, Channel, Driver, Kind
from tests.wire.clients.test_presence import hear
from tests.wire.demo import Demo

Admin = psycopg.Connection[Any]
PERSISTS: Kind = "js-2.119.0"
MAY = """
create policy wire_receive on realtime.messages for select to authenticated using (
  realtime.topic() like 'wire %' and (realtime.topic() <> 'wire bob' or auth.uid() = {bob}));
create policy wire_send on realtime.messages for insert to authenticated with check (
  realtime.topic() like 'wire %' and auth.uid() = {alice});
"""


@pytest.fixture
def policies(admin: Admin, demo: Demo) -> Iterator[None]:
    """Alice may send, everybody who is logged in may listen."""
    people = {name: f"'{demo.person(name).id}'" for name in ("alice", "bob")}
    admin.execute(MAY.format(**people).encode())
    yield
    admin.execute("drop policy wire_receive on realtime.messages; drop policy wire_send on realtime.messages")


def private(**more: object) -> dict[str, object]:
    """The configuration of a private channel, with acknowledgements."""
    return {"private": True, "broadcast": {"ack": True, "self": False}, **more}


def refusal(channel: Channel) -> str:
    status = channel.next("status")
    assert status["status"] == "CHANNEL_ERROR"
    return str(status["error"])


@pytest.mark.usefixtures("policies")
def test_policies_decide_who_joins_and_who_sends(connect: Connect, driver: Driver, demo: Demo) -> None:
    alice, bob = (connect(driver, demo.person(name)) for name in ("alice", "bob"))
    told = "Unauthorized: You do not have permissions to read from this Channel topic: wire bob"
    assert told in refusal(alice.join("wire bob", config=private()))
    assert "Unauthorized" in refusal(connect(driver).join("wire room", config=private()))
    sender, listener = (client.subscribe("wire room", config=private()) for client in (alice, bob))
    accepted, denied = sender.send("hello", {"n": 1}), listener.send("hello", {"n": 2})
    assert (accepted, denied) == ((None, None) if driver.is_python else ("ok", "error"))
    assert listener.next("broadcast")["payload"] == {"n": 1}
    assert sender.send("hello", {"n": 3}) in (None, "ok")
    assert listener.next("broadcast")["payload"] == {"n": 3}
    assert sender.nothing_more("broadcast")


@pytest.mark.usefixtures("policies")
def test_everybody_hears_text_bytes_and_the_database(connect: Connect, drivers: Drivers, demo: Demo, admin: Admin) -> None:
    room = {kind: connect(drivers[kind], demo.person("bob")).subscribe("wire all", config=private()) for kind in KINDS}
    public = connect(drivers[KINDS[0]], demo.person("bob")).subscribe("wire all")
    for kind in KINDS:
        connect(drivers[kind], demo.person("alice")).subscribe("wire all", config=private()).send("from", {"kind": kind})
        for channel in room.values():
            assert channel.next("broadcast")["payload"] == {"kind": kind}
    sender = connect(drivers[PERSISTS], demo.person("alice")).subscribe("wire all", config=private())
    assert sender.send("raw", {"$bytes": "00ff"}) == "ok"
    admin.execute("select realtime.send('{\"é\": 1}', 'sql', 'wire all'), realtime.send_binary('\\x00ff', 'raw', 'wire all')")
    admin.execute("select realtime.send('{\"last\": true}', 'sql', 'wire all')")
    for kind, channel in room.items():
        carried = [{"$bytes": "00ff"}] if drivers[kind].carries_bytes else []
        heard = [channel.next("broadcast")["payload"] for _ in range(2 + 2 * len(carried))]
        assert heard[: len(carried)] == carried
        assert heard[len(carried)]["é"] == 1
        assert heard[len(carried) + 1 : -1] == carried
        assert heard[-1]["last"] is True
    assert public.nothing_more("broadcast")


@pytest.mark.usefixtures("policies")
def test_what_is_kept_is_replayed(connect: Connect, drivers: Drivers, demo: Demo, admin: Admin) -> None:
    since = int(time.time() * 1000) - 1_000
    sender = connect(drivers[PERSISTS], demo.person("alice")).subscribe("wire kept", config=private())
    assert sender.send("kept", {"n": 1}, persist=True) == "ok"
    assert sender.send("fleeting", {"n": 2}) == "ok"
    assert sender.send("kept", {"n": 3}, persist={"ttl": 600}) == "ok"
    admin.execute("select realtime.send('{\"n\": 4}', 'sql', 'wire kept')")
    bob = connect(drivers[PERSISTS], demo.person("bob")).subscribe("wire kept", config=private())
    assert str(bob.send("kept", {"n": 5}, persist=True)).startswith("Unauthorized")
    for kind in KINDS:
        config = private(broadcast={"ack": True, "replay": {"since": since, "limit": 10}})
        channel = connect(drivers[kind], demo.person("bob")).subscribe("wire kept", config=config)
        assert [channel.next("broadcast")["payload"]["n"] for _ in range(3)] == [1, 3, 4]


@pytest.mark.usefixtures("policies")
def test_a_new_token_decides_anew(connect: Connect, driver: Driver, demo: Demo) -> None:
    client = connect(driver, demo.person("bob"))
    channel = client.subscribe("wire bob", config=private())
    client.authenticate(demo.token(demo.person("bob"), more="claims"))
    client.authenticate(demo.person("alice").token)
    if driver.is_python:
        assert "You no longer have permission to read" in refusal(channel)
    else:
        message = channel.until("system", lambda told: told["status"] == "error")[-1]
        assert message["message"] == "You no longer have permission to read from this Channel topic: wire bob"
    assert channel.next("status") == {"status": "CLOSED", "error": None}


@pytest.mark.usefixtures("policies")
def test_presence_is_seen_by_readers_and_set_by_writers(connect: Connect, driver: Driver, demo: Demo) -> None:
    alice, bob = (connect(driver, demo.person(name)) for name in ("alice", "bob"))
    rooms = {}
    for name, client in (("alice", alice), ("bob", bob)):
        rooms[name] = client.join("wire here", config=private(presence={"key": name, "enabled": True}), presence=True)
        rooms[name].subscribed()
        assert hear(rooms[name], 1) == [("sync", None, {})]
    public = bob.driver.open(demo.url, demo.anon_key, demo.person("bob").token)
    try:
        outside = public.join("wire here", config={"presence": {"key": "bob", "enabled": True}}, presence=True)
        outside.subscribed()
        assert hear(outside, 1) == [("sync", None, {})]
        assert rooms["bob"].track({"a": 1}) == (None if driver.is_python else "error")
        rooms["alice"].track({"a": 2})
        for room in rooms.values():
            assert hear(room, 2) == [("join", "alice", [{"a": 2}]), ("sync", None, {"alice": [{"a": 2}]})]
        assert outside.nothing_more("presence")
    finally:
        public.close()
