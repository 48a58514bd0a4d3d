"""Whatever a client sends is a message or a MalformedFrame, and what becomes of a message is readable by everybody."""

import contextlib
import json

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from realtime_inspector.errors import MalformedFrame
from realtime_inspector.protocol import frames
from realtime_inspector.protocol.codec import Message, Push, parse_binary, parse_text
from realtime_inspector.protocol.join import parse_join
from realtime_inspector.protocol.serializer import Serializer

unicode = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | unicode
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(unicode, inner, max_size=4), max_leaves=12
)
serializers = st.sampled_from(Serializer)
refs = st.none() | unicode
sizes = st.binary(max_size=255)
fuzz = settings(deadline=None, max_examples=300)


@fuzz
@given(serializers, st.text() | st.binary() | values.map(json.dumps))
@example(Serializer.V2, "[" * 5000)
@example(Serializer.V2, '["1","1","t","e",' + "[" * 255 + "]" * 255 + "]")
@example(Serializer.V1, '{"topic":"\ud800"}')
def test_no_text_does_worse_than_malformed(serializer: Serializer, data: str | bytes) -> None:
    with contextlib.suppress(MalformedFrame):
        assert isinstance(parse_text(serializer, data), Message)


@fuzz
@given(serializers, refs, refs, unicode, unicode, values, st.data())
def test_no_damage_does_worse_than_malformed(
    serializer: Serializer, join_ref: str | None, ref: str | None, topic: str, event: str, payload: object, data: st.DataObject
) -> None:
    sent = bytearray(write(serializer, join_ref, ref, topic, event, payload))
    sent[data.draw(st.integers(0, len(sent) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(MalformedFrame):
        message = parse_text(serializer, bytes(sent))
        orjson.dumps(message.payload)
        assert json.loads(message.raw) == message.payload


def write(serializer: Serializer, join_ref: str | None, ref: str | None, topic: str, event: str, payload: object) -> bytes:
    if serializer is Serializer.V2:
        return orjson.dumps([join_ref, ref, topic, event, payload])
    return orjson.dumps({"topic": topic, "event": event, "payload": payload, "ref": ref, "join_ref": join_ref})


@fuzz
@given(serializers, refs, refs, unicode, unicode, values)
def test_what_was_meant_is_read(
    serializer: Serializer, join_ref: str | None, ref: str | None, topic: str, event: str, payload: object
) -> None:
    sent = write(serializer, join_ref, ref, topic, event, payload)
    assert parse_text(serializer, sent) == parse_text(serializer, sent.decode())
    assert parse_text(serializer, sent) == Message(join_ref, ref, topic, event, payload, orjson.dumps(payload))


@fuzz
@given(serializers, st.binary(max_size=300) | st.binary(max_size=300).map(lambda data: b"\x03" + data))
def test_no_bytes_do_worse_than_malformed(serializer: Serializer, data: bytes) -> None:
    with contextlib.suppress(MalformedFrame):
        assert isinstance(parse_binary(serializer, data), Push)


@fuzz
@given(sizes, sizes, sizes, sizes, sizes, st.integers(0, 255), st.binary(max_size=50) | values.map(orjson.dumps))
def test_a_binary_broadcast_arrives_in_every_form_it_has(
    join_ref: bytes, ref: bytes, topic: bytes, event: bytes, meta: bytes, encoding: int, payload: bytes
) -> None:
    parts = (join_ref, ref, topic, event, meta)
    try:
        push = parse_binary(Serializer.V2, bytes((3, *map(len, parts), encoding)) + b"".join(parts) + payload)
    except MalformedFrame:
        assert encoding != 0, "raw bytes are never malformed"
        return
    fanned = frames.broadcast_frames(push.broadcast, push.topic)
    second = fanned[Serializer.V2]
    assert (fanned[Serializer.V1] is None) == (encoding == 0)
    assert second is not None or encoding == 0
    for frame in filter(None, fanned.values()):
        check(frame, push)


def check(frame: bytes, push: Push) -> None:
    """The frame carries the push, read as realtime-js reads it."""
    [(opcode, data)] = frames.split_frames(frame)
    if opcode == frames.BINARY:
        kind, topic_size, event_size, meta_size, _ = data[:5]
        assert (kind, meta_size) == (4, 0)
        assert data[5 : 5 + topic_size].decode() == push.topic
        assert data[5 + topic_size : 5 + topic_size + event_size].decode() == push.broadcast.event
        assert data[5 + topic_size + event_size :] == push.broadcast.payload
    else:
        read = orjson.loads(data)
        topic, payload = (read["topic"], read["payload"]) if isinstance(read, dict) else (read[2], read[4])
        assert topic == push.topic
        assert payload == {"type": "broadcast", "event": push.broadcast.event, "payload": orjson.loads(push.broadcast.payload)}


settings_of_a_join = st.fixed_dictionaries(
    {},
    optional={
        "broadcast": values | st.dictionaries(st.sampled_from(["self", "ack", "replay", "replication_ready"]), values),
        "presence": values | st.dictionaries(st.sampled_from(["key", "enabled"]), values),
        "private": values,
        "verdicts": values,
        "postgres_changes": values
        | st.lists(
            values | st.dictionaries(st.sampled_from(["event", "schema", "table", "filter", "select", "id"]), values), max_size=6
        ),
    },
)
joins = values | st.fixed_dictionaries(
    {}, optional={"config": values | settings_of_a_join, "access_token": values, "user_token": values}
)


@fuzz
@given(joins)
def test_a_join_is_always_understood_somehow(payload: object) -> None:
    request = parse_join(payload)
    config = payload.get("config") if isinstance(payload, dict) else None
    entries = config.get("postgres_changes") if isinstance(config, dict) else None
    echo = [orjson.loads(entry) for entry in request.echo]
    if not isinstance(entries, list):
        assert echo == []
        return
    for sent, answered in zip(entries, echo, strict=True):
        if isinstance(sent, dict):
            assert 0 < answered["id"] < 2**31
            assert {**answered, "id": None} == {**sent, "id": None}
        else:
            assert answered == sent
    ids = [binding.id for binding in request.bindings]
    assert len(set(ids)) == len(ids)
    assert {entry["id"] for entry in echo if isinstance(entry, dict)} >= set(ids)
