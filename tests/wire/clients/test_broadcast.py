"""Broadcasts between the official clients, across both serializers."""

import itertools

import pytest

from tests.wire.clients.conftest import Connect, Drivers
from tests.wire.clients.driver import KINDS, Channel, Driver, Kind
from tests.wire.demo import Demo

Room = dict[Kind, Channel]
PAYLOADS = [
    {"text": 'é 😀 \u2028 "quoted"', "deep": [1, 2.5, None, {"a": [True]}], "big": 9007199254740991},
    {},
    {"large": "x" * 100_000},
]


def enter(connect: Connect, drivers: Drivers, name: str, **config: object) -> Room:
    """One channel of each client, all of one name."""
    room = {kind: connect(drivers[kind]).join(name, config={"broadcast": config}) for kind in KINDS}
    for channel in room.values():
        channel.subscribed()
    return room


@pytest.mark.parametrize("payload", PAYLOADS, ids=["everything", "empty", "large"])
def test_everybody_hears_everybody_else_and_not_themselves(connect: Connect, drivers: Drivers, payload: object) -> None:
    room = enter(connect, drivers, "für alle")
    for speaker, channel in room.items():
        channel.send(f"grüße von {speaker}", payload)
        for listener, other in room.items():
            if listener != speaker:
                assert other.next("broadcast") == {"event": f"grüße von {speaker}", "payload": payload}
    room["js-2.119.0"].send("end", {})
    for kind in KINDS[:1] + KINDS[2:]:
        assert room[kind].next("broadcast") == {"event": "end", "payload": {}}
    room["js-2.109.0"].send("end", {})
    assert room["js-2.119.0"].next("broadcast") == {"event": "end", "payload": {}}


def test_with_self_the_speaker_hears_it_too(connect: Connect, drivers: Drivers) -> None:
    room = enter(connect, drivers, "echo", self=True)
    for number, channel in enumerate(room.values()):
        channel.send("word", {"number": number})
        for other in room.values():
            assert other.next("broadcast") == {"event": "word", "payload": {"number": number}}


def test_with_ack_the_client_learns_that_it_was_taken(connect: Connect, drivers: Drivers) -> None:
    """JavaScript clients give up after ten seconds without a reply; the Python client does not tell."""
    room = enter(connect, drivers, "heard", ack=True)
    for speaker, channel in room.items():
        assert channel.send("word", {"by": speaker}) == (None if channel.client.driver.is_python else "ok")
        for listener, other in room.items():
            if listener != speaker:
                assert other.next("broadcast")["payload"] == {"by": speaker}


def test_bytes_travel_where_the_serializer_can_carry_them(connect: Connect, drivers: Drivers) -> None:
    room = enter(connect, drivers, "bytes")
    second = {kind: channel for kind, channel in room.items() if channel.client.driver.carries_bytes}
    assert len(second) == 3
    for (speaker, channel), data in itertools.product(second.items(), ({"$bytes": "00ff80"}, {"$bytes": ""})):
        channel.send("bytes", data)
        for listener, other in second.items():
            if listener != speaker:
                assert other.next("broadcast") == {"event": "bytes", "payload": data}
    room["js-2.15.5"].send("end", {})
    room["python-2.34.1"].send("end", {})
    for channel in (room["js-2.15.5"], room["python-2.34.1"]):
        assert channel.next("broadcast") == {"event": "end", "payload": {}}, "no bytes came before"


def test_only_the_channel_hears_it(connect: Connect, driver: Driver, demo: Demo) -> None:
    speaker, listener = connect(driver, demo.person("alice")), connect(driver)
    here, elsewhere = speaker.subscribe("here"), speaker.subscribe("elsewhere")
    there = listener.subscribe("elsewhere", config={"broadcast": {"self": True}})
    here.send("word", {"for": "here"})
    elsewhere.send("word", {"for": "elsewhere"})
    assert there.next("broadcast")["payload"] == {"for": "elsewhere"}
    elsewhere.leave()
    assert elsewhere.next("status")["status"] == "CLOSED"
    there.send("word", {"for": "nobody"})
    assert there.next("broadcast")["payload"] == {"for": "nobody"}
    again = speaker.subscribe("elsewhere")
    there.send("word", {"for": "them who came back"})
    assert again.next("broadcast")["payload"] == {"for": "them who came back"}
    assert here.nothing_more("broadcast")
    assert elsewhere.nothing_more("broadcast")
