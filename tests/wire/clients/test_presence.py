"""Who is present, as the official clients tell it to each other, across both serializers."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import psycopg

from tests.wire.clients.cable import Cable
from tests.wire.clients.conftest import Connect, Drivers
from tests.wire.clients.driver import KINDS, Channel, Driver, Kind, without_references
from tests.wire.demo import Demo

Admin = psycopg.Connection[Any]
Heard = tuple[str, object, object]
FORGETS_REFERENCES = "js-2.109.0"
"""Loses the reference of an entry when another comes under its key, and then shows it for ever; 2.119.0 does so no more."""


def hear(channel: Channel, count: int) -> list[Heard]:
    """The next events: what happened, to which key, and what they say of themselves; of a sync the whole state."""
    return [_told(channel.next("presence")) for _ in range(count)]


def _told(event: Mapping[str, Any]) -> Heard:
    if event["event"] == "sync":
        return "sync", None, without_references(event["state"])
    (metas,) = without_references({"": event["metas"]}).values()
    return event["event"], event["key"], metas


def enter(connect: Connect, drivers: Drivers, kinds: Sequence[Kind] = KINDS) -> dict[Kind, Channel]:
    """Each client on one channel, under its name as key, listening."""
    room = {}
    for kind in kinds:
        room[kind] = connect(drivers[kind]).join("who is there", config={"presence": {"key": kind}}, presence=True)
    for channel in room.values():
        channel.subscribed()
        assert hear(channel, 1) == [("sync", None, {})]
    return room


def test_everybody_sees_who_comes_and_goes(connect: Connect, drivers: Drivers) -> None:
    room = enter(connect, drivers)
    state: dict[str, object] = {}
    for kind, channel in room.items():
        state[kind] = [{"mood": f"é {kind}"}]
        assert channel.track({"mood": f"é {kind}"}) == (None if channel.client.driver.is_python else "ok")
        for other in room.values():
            assert hear(other, 2) == [("join", kind, state[kind]), ("sync", None, state)]
    for kind, channel in room.items():
        channel.track({"mood": f"é {kind}"})  # which changes nothing, so that nobody hears of it
        channel.untrack()
        before = state.pop(kind)
        for other in room.values():
            assert hear(other, 2) == [("leave", kind, before), ("sync", None, state)]


def test_a_change_is_a_coming_and_a_going_at_once(connect: Connect, drivers: Drivers) -> None:
    room = enter(connect, drivers)
    for kind, channel in room.items():
        channel.track({"mood": "good"})
        for other in room.values():
            hear(other, 2)
        channel.track({"mood": "better"})
        for other in room.values():
            came, went, (_, _, state) = hear(other, 3)
            assert (came, went) == (("join", kind, [{"mood": "better"}]), ("leave", kind, [{"mood": "good"}]))
            if other.client.driver.kind != FORGETS_REFERENCES:
                assert state == {kind: [{"mood": "better"}]}
        channel.untrack()
        for other in room.values():
            assert hear(other, 2)[0] == ("leave", kind, [{"mood": "better"}])


def test_who_comes_later_sees_who_is_there(connect: Connect, drivers: Drivers, driver: Driver) -> None:
    room = enter(connect, drivers, ["js-2.119.0", "python-2.34.1"])
    for number, (kind, channel) in enumerate(room.items(), 1):
        channel.track({"number": number})
        for other in room.values():
            assert [event for event, *_ in hear(other, 2)] == ["join", "sync"], kind
    late = connect(driver).subscribe("who is there", presence=True)
    joined = [("join", kind, [{"number": number}]) for number, kind in enumerate(room, 1)]
    assert hear(late, 3) == [*joined, ("sync", None, {kind: metas for _, kind, metas in joined})]
    late.track({"number": 3})
    (_, key, _), _ = hear(late, 2)
    assert late.state()[str(key)] == [{"number": 3}]
    assert key not in room, "the service made a key"


def test_sockets_with_the_same_key_are_one_with_several_entries(connect: Connect, driver: Driver) -> None:
    config = {"presence": {"key": "me"}}
    phone, laptop = (connect(driver).subscribe("me", config=config, presence=True) for _ in range(2))
    for channel in (phone, laptop):
        assert hear(channel, 1) == [("sync", None, {})]
    phone.track({"on": "phone"})
    for channel in (phone, laptop):
        assert hear(channel, 2)[1] == ("sync", None, {"me": [{"on": "phone"}]})
    laptop.track({"on": "laptop"})
    for channel in (phone, laptop):
        assert hear(channel, 2)[1] == ("sync", None, {"me": [{"on": "phone"}, {"on": "laptop"}]})
    phone.leave()
    went, (_, _, state) = hear(laptop, 2)
    assert went == ("leave", "me", [{"on": "phone"}])
    if driver.kind != FORGETS_REFERENCES:
        assert state == {"me": [{"on": "laptop"}]}


def test_who_does_not_listen_is_seen_and_sees_what_it_asked_for(connect: Connect, driver: Driver) -> None:
    watcher = connect(driver).subscribe("quiet", presence=True)
    assert hear(watcher, 1) == [("sync", None, {})]
    config = {"broadcast": {"self": True}}
    enabled = connect(driver).subscribe("quiet", config=config | {"presence": {"key": "enabled", "enabled": True}})
    silent = connect(driver).subscribe("quiet", config=config | {"presence": {"key": "silent", "enabled": False}})
    enabled.track({"number": 1})
    assert hear(watcher, 2)[1] == ("sync", None, {"enabled": [{"number": 1}]})
    assert _settled(enabled).state() == {"enabled": [{"number": 1}]}
    assert _settled(silent).state() == {}
    silent.track({"number": 2})
    both = {"enabled": [{"number": 1}], "silent": [{"number": 2}]}
    assert hear(watcher, 2)[1] == ("sync", None, both)
    assert _settled(silent).state() == both, "who appears sees everybody from then on"


def _settled(channel: Channel) -> Channel:
    """The channel when everything that was sent to it before has come."""
    channel.send("settled", {"by": channel.handle})
    channel.until("broadcast", lambda heard: heard["payload"] == {"by": channel.handle})
    return channel


def test_a_key_that_would_break_others_is_refused(connect: Connect, driver: Driver) -> None:
    status = connect(driver).join("keys", config={"presence": {"key": "ids"}}, presence=True).next("status")
    assert status["status"] == "CHANNEL_ERROR"
    assert "InvalidPresenceKey: The presence key 'ids' breaks JavaScript clients" in status["error"]


def test_a_client_that_dies_is_gone(connect: Connect, drivers: Drivers, driver: Driver, demo: Demo) -> None:
    (watcher,) = enter(connect, drivers, ["js-2.119.0"]).values()
    mortal = Driver(driver.kind)
    try:
        client = mortal.open(demo.url, demo.anon_key)
        client.subscribe("who is there", config={"presence": {"key": "mortal"}}).track({"mood": "fine"})
        assert hear(watcher, 2)[0] == ("join", "mortal", [{"mood": "fine"}])
    finally:
        mortal.kill()
    assert hear(watcher, 2) == [("leave", "mortal", [{"mood": "fine"}]), ("sync", None, {})]


def test_a_client_comes_back_by_itself_when_the_cable_was_cut(
    connect: Connect, drivers: Drivers, demo: Demo, admin: Admin
) -> None:
    """All clients at once, because each waits a second before it comes back."""
    (watcher,) = enter(connect, drivers, ["js-2.119.0"]).values()
    countries = {"event": "INSERT", "schema": "public", "table": "countries"}
    with Cable(urlsplit(demo.url).port or 0) as cable:
        room = {kind: connect(drivers[kind], demo.person("alice"), url=cable.url) for kind in KINDS}
        channels = {}
        for kind, client in room.items():
            channels[kind] = client.subscribe("who is there", countries, config={"presence": {"key": kind}})
            channels[kind].track({"number": 1})
            assert hear(watcher, 2)[0] == ("join", kind, [{"number": 1}])
        cable.cut()
        gone = [event for event in hear(watcher, 2 * len(KINDS)) if event[0] == "leave"]
        assert {key for _, key, _ in gone} == set(KINDS)
        for channel in channels.values():
            assert channel.next("status")["status"] == "CHANNEL_ERROR"
            channel.subscribed()
        (row,) = admin.execute("insert into countries (name) values ('Laputa') returning to_json(countries)")
        for channel in channels.values():
            assert channel.next("change")["record"] == row[0]
            channel.track({"number": 2})
            assert hear(watcher, 2)[0] == ("join", channel.client.driver.kind, [{"number": 2}])
        for client in room.values():
            client.close()
