"""Frames are what RFC 6455 and the official clients ask for."""

from collections.abc import Generator
from typing import TypeVar

import orjson
import pytest
from websockets.frames import Frame
from websockets.streams import StreamReader

from realtime_inspector.protocol import frames
from realtime_inspector.protocol.broadcast import Broadcast, Encoding
from realtime_inspector.protocol.serializer import Serializer

V1, V2 = Serializer.V1, Serializer.V2
TOPIC = "realtime:room"
T = TypeVar("T")


def read(data: bytes) -> list[tuple[int, bytes]]:
    """What another implementation finds in the bytes."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    found = []
    while not run(reader.at_eof()):
        frame = run(Frame.parse(reader.read_exact, mask=False))
        found.append((int(frame.opcode), bytes(frame.data)))
    return found


def run(parser: Generator[None, None, T]) -> T:
    """All data is there, so the parser never has to wait."""
    with pytest.raises(StopIteration) as stop:
        next(parser)
    value: T = stop.value.value
    return value


def text(frame: bytes | None) -> object:
    assert frame is not None
    [(opcode, payload)] = frames.split_frames(frame)
    assert opcode == frames.TEXT
    return orjson.loads(payload)


SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 100_000]


@pytest.mark.parametrize("size", SIZES)
def test_another_implementation_reads_every_size(size: int) -> None:
    payload = b"x" * size
    assert read(frames.text_frame(payload)) == [(1, payload)]
    assert read(frames.binary_frame(payload)) == [(2, payload)]


def test_joined_frames_are_split_again() -> None:
    parts = [(1 + index % 2, b"y" * size) for index, size in enumerate(SIZES)]
    joined = b"".join(frames.text_frame(data) if opcode == 1 else frames.binary_frame(data) for opcode, data in parts)
    assert frames.split_frames(joined) == parts == read(joined)
    assert frames.split_frames(b"") == []


def test_a_reply_in_both_versions() -> None:
    response: dict[str, object] = {"postgres_changes": []}
    payload = {"status": "ok", "response": response}
    assert text(frames.reply(V1, "1", "2", TOPIC, "ok", response)) == {
        "topic": TOPIC,
        "event": "phx_reply",
        "payload": payload,
        "ref": "2",
    }
    assert text(frames.reply(V2, "1", "2", TOPIC, "ok", response)) == ["1", "2", TOPIC, "phx_reply", payload]


def test_a_push_has_a_ref_that_is_null() -> None:
    """The Python client drops what has no `ref`."""
    assert text(frames.push(V1, TOPIC, "presence_state", {})) == {
        "topic": TOPIC,
        "event": "presence_state",
        "payload": {},
        "ref": None,
    }
    assert text(frames.push(V2, TOPIC, "presence_state", {}, "1")) == ["1", None, TOPIC, "presence_state", {}]


@pytest.mark.parametrize("ref", [None, "10"])
def test_a_heartbeat_is_answered_with_its_ref(ref: str | None) -> None:
    payload = {"status": "ok", "response": {}}
    reply = {"topic": "phoenix", "event": "phx_reply", "payload": payload, "ref": ref}
    assert text(frames.heartbeat_reply(V1, ref, None)) == reply
    assert text(frames.heartbeat_reply(V2, ref, None)) == [None, ref, "phoenix", "phx_reply", payload]


def test_a_heartbeat_may_tell_how_far_changes_have_come() -> None:
    payload = {"status": "ok", "response": {"moment": "now"}}
    assert text(frames.heartbeat_reply(V2, "1", "now")) == [None, "1", "phoenix", "phx_reply", payload]


def test_a_heartbeat_may_tell_the_services_clock() -> None:
    payload = {"status": "ok", "response": {"time": 1_795_176_182_000.5}}
    assert text(frames.heartbeat_reply(V2, "1", None, 1_795_176_182_000.5)) == [None, "1", "phoenix", "phx_reply", payload]


def test_the_end_carries_the_joins_ref() -> None:
    assert text(frames.closing(V2, TOPIC, "1")) == ["1", "1", TOPIC, "phx_close", {}]
    assert text(frames.closing(V1, TOPIC, None)) == {"topic": TOPIC, "event": "phx_close", "payload": {}, "ref": None}
    assert text(frames.closing(V2, TOPIC, "1", error="why")) == ["1", "1", TOPIC, "phx_error", {"reason": "why"}]


def test_a_system_message_names_the_channel_without_its_prefix() -> None:
    frame = frames.system(V2, "realtime:realtime:a", "system", "error", "why", join_ref="1", more={"code": "C"})
    payload = {"extension": "system", "status": "error", "message": "why", "channel": "realtime:a", "code": "C"}
    assert text(frame) == ["1", None, "realtime:realtime:a", "system", payload]


def test_a_payload_may_be_text_already() -> None:
    fanned = frames.fan_out(TOPIC, "presence_diff", orjson.Fragment(b'{"joins":{},"leaves":{}}'))
    assert text(fanned[V2]) == [None, None, TOPIC, "presence_diff", {"joins": {}, "leaves": {}}]
    assert text(fanned[V1]) == {"topic": TOPIC, "event": "presence_diff", "payload": {"joins": {}, "leaves": {}}, "ref": None}


def test_a_text_broadcast_is_relayed_verbatim_as_text() -> None:
    raw = b'{"type":"broadcast","event":"e","payload":{"n":123456789012345678901234567890}}'
    fanned = frames.broadcast_frames(Broadcast("e", raw, Encoding.WRAPPED), TOPIC)
    for frame in fanned.values():
        assert frame is not None
        assert raw in frame
    assert isinstance(text(fanned[V1]), dict)
    assert isinstance(text(fanned[V2]), list)


def test_a_json_broadcast_is_text_for_1_and_kind_4_for_2() -> None:
    fanned = frames.broadcast_frames(Broadcast("é", b'{"a":1}', Encoding.JSON, b'{"id":"x"}'), "realtime:ü")
    assert text(fanned[V1]) == {
        "topic": "realtime:ü",
        "event": "broadcast",
        "payload": {"type": "broadcast", "event": "é", "payload": {"a": 1}, "meta": {"id": "x"}},
        "ref": None,
    }
    [(opcode, data)] = frames.split_frames(fanned[V2] or b"")
    sizes_in_bytes = bytes((4, 11, 2, 10, 1))
    assert (opcode, data) == (2, sizes_in_bytes + "realtime:üé".encode() + b'{"id":"x"}{"a":1}')


def test_a_binary_broadcast_never_reaches_version_1() -> None:
    fanned = frames.broadcast_frames(Broadcast("e", b"\x00\xff", Encoding.BINARY), "t")
    assert fanned == {V1: None, V2: frames.binary_frame(b"\x04\x01\x01\x00\x00te\x00\xff")}


def test_a_name_too_long_for_a_binary_frame_travels_as_text() -> None:
    event = "é" * 128
    fanned = frames.broadcast_frames(Broadcast(event, b"{}", Encoding.JSON), TOPIC)
    assert text(fanned[V2]) == [None, None, TOPIC, "broadcast", {"type": "broadcast", "event": event, "payload": {}}]
    assert frames.broadcast_frames(Broadcast(event, b"", Encoding.BINARY), TOPIC) == {V1: None, V2: None}
