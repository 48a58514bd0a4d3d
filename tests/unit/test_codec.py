"""Frames of clients become messages; whatever else comes is a MalformedFrame."""

import pytest

from realtime_inspector.errors import MalformedFrame
from realtime_inspector.protocol.broadcast import KEPT, Broadcast, Encoding, Persistence
from realtime_inspector.protocol.codec import Message, Push, parse_binary, parse_text
from realtime_inspector.protocol.serializer import Serializer

V1, V2 = Serializer.V1, Serializer.V2


def test_a_join_of_the_python_client() -> None:
    sent = '{"event":"phx_join","payload":{"config":{}},"topic":"realtime:a","ref":"1","join_ref":"1"}'
    assert parse_text(V1, sent) == Message("1", "1", "realtime:a", "phx_join", {"config": {}}, b'{"config":{}}')


def test_an_object_may_lack_its_join_ref() -> None:
    message = parse_text(V1, '{"topic":"phoenix","event":"heartbeat","payload":{},"ref":null}')
    assert (message.join_ref, message.ref) == (None, None)


def test_a_heartbeat_of_realtime_js() -> None:
    assert parse_text(V2, b'[null,"10","phoenix","heartbeat",{}]') == Message(None, "10", "phoenix", "heartbeat", {})


def test_an_array_may_be_longer() -> None:
    assert parse_text(V2, '["1","2","t","e",{},"more",[]]').event == "e"


@pytest.mark.parametrize(
    ("ref", "text"), [("7", "7"), ("-1", "-1"), ('"x"', "x"), ('""', ""), ("null", None), (str(2**63), str(2**63))]
)
def test_a_ref_is_text_whatever_it_was(ref: str, text: str | None) -> None:
    assert parse_text(V2, f'[{ref},{ref},"t","e",{{}}]').ref == text
    assert parse_text(V1, f'{{"topic":"t","event":"e","payload":{{}},"ref":{ref},"join_ref":{ref}}}').join_ref == text


def test_the_last_of_duplicate_keys_counts() -> None:
    sent = '{"topic":"a","topic":"b","event":"e","payload":{"k":1,"k":2},"ref":"1"}'
    message = parse_text(V1, sent)
    assert (message.topic, message.payload) == ("b", {"k": 2})


@pytest.mark.parametrize("payload", ["null", "1", '"text"', "[]", "true"])
def test_a_payload_may_be_any_json(payload: str) -> None:
    assert parse_text(V2, f'[null,null,"t","e",{payload}]').raw == payload.encode()


def test_a_payload_keeps_its_text() -> None:
    """Numbers beyond 64 bits would lose digits if they were written anew."""
    message = parse_text(V2, b'[null,null,"t","broadcast",{"n": 123456789012345678901234567890, "x":1.10}]')
    assert message.raw == b'{"n": 123456789012345678901234567890, "x":1.10}'


def test_a_nul_character_is_json() -> None:
    assert parse_text(V2, r'[null,null,"t\u0000","e",{"a":"\u0000"}]').topic == "t\0"


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "x",
        "null",
        "{}",
        "[]",
        '["1","2","t","e"]',
        '["1","2",3,"e",{}]',
        '["1","2",null,"e",{}]',
        '["1","2","t",null,{}]',
        '[1.5,"2","t","e",{}]',
        '[true,"2","t","e",{}]',
        '[{},"2","t","e",{}]',
        '["1","2","t","e",{}',
        '["1","2","t","e",{}] x',
        '["1","2","t","e",{"a":NaN}]',
        '["1","2","t","e",{"a":1e999}]',
        '["1","2","t","e",{"a":01}]',
        r'["1","2","\ud800","e",{}]',
        r'["1","2","t","e",{"a":"\udfff"}]',
        '["1","2","t","e",{"a":"\ud800"}]',
        b'["1","2","t","e",{"a":"\xff"}]',
        b'["1","2","\xff","e",{}]',
        "[" + "9" * 5000 + ',"2","t","e",{}]',
        '["1","2","t","e",' + "[" * 100_000,
        '["1","2","t","e",' + "[" * 1000 + "]" * 1000 + "]",
        '["1","2","t","e",' + "[" * 300 + "]" * 300 + "]",
        '["1","2","t","e",' + '{"a":' * 300 + "1" + "}" * 300 + "]",
        "\ufeff[]",
    ],
)
def test_what_is_no_array_of_a_message_is_malformed(sent: str | bytes) -> None:
    with pytest.raises(MalformedFrame):
        parse_text(V2, sent)


@pytest.mark.parametrize(
    "sent",
    [
        '["1","2","t","e",{}]',
        '{"topic":"t","event":"e","ref":"1"}',
        '{"topic":"t","event":"e","payload":{}}',
        '{"topic":"t","payload":{},"ref":"1"}',
        '{"event":"e","payload":{},"ref":"1"}',
        '{"topic":1,"event":"e","payload":{},"ref":"1"}',
        '{"topic":"t","event":"e","payload":{},"ref":[]}',
    ],
)
def test_what_is_no_object_of_a_message_is_malformed(sent: str) -> None:
    with pytest.raises(MalformedFrame):
        parse_text(V1, sent)


def test_depth_that_can_be_written_again_is_fine() -> None:
    assert parse_text(V2, '["1","2","t","e",' + "[" * 250 + "]" * 250 + "]").topic == "t"
    assert parse_text(V2, '["1","2","t","e",[' + ",".join(["{}"] * 1000) + "]]").topic == "t"


def kind_3(join_ref: bytes, ref: bytes, topic: bytes, event: bytes, meta: bytes, encoding: int, payload: bytes) -> bytes:
    parts = (join_ref, ref, topic, event, meta)
    return bytes((3, *map(len, parts), encoding)) + b"".join(parts) + payload


def test_a_broadcast_of_realtime_js() -> None:
    sent = kind_3(b"6", b"7", b"realtime:room:1", b"hi", b"", 1, b'{"a":1}')
    assert parse_binary(V2, sent) == Push("6", "7", "realtime:room:1", Broadcast("hi", b'{"a":1}', Encoding.JSON))


def test_raw_bytes_stay_as_they_are() -> None:
    push = parse_binary(V2, kind_3(b"", b"", b"t", b"e", b"", 0, b"\x00\xff"))
    assert push == Push(None, None, "t", Broadcast("e", b"\x00\xff", Encoding.BINARY))


def test_names_in_one_byte_a_character_are_read() -> None:
    push = parse_binary(V2, kind_3(b"1", b"2", "realtime:café".encode("latin-1"), "é".encode(), b"", 1, b"{}"))
    assert (push.topic, push.broadcast.event) == ("realtime:café", "é")


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b'"\\ud800"', b"NaN", b"[" * 5000])
def test_json_that_is_none_is_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedFrame):
        parse_binary(V2, kind_3(b"1", b"2", b"t", b"e", b"", 1, payload))


@pytest.mark.parametrize(
    "sent",
    [b"", b"\x03", b"\x03\0\0\0\0\0", b"\x00\x01\x01\x01\x01jrte", b"\x04\x01\x01\0\x01te{}", b"\x03\xff\xff\xff\xff\xff\x01abc"],
)
def test_other_binary_frames_are_malformed(sent: bytes) -> None:
    with pytest.raises(MalformedFrame):
        parse_binary(V2, sent)


def test_version_1_has_no_binary_frames() -> None:
    with pytest.raises(MalformedFrame):
        parse_binary(V1, kind_3(b"1", b"2", b"t", b"e", b"", 1, b"{}"))


@pytest.mark.parametrize(
    ("meta", "persistence"),
    [
        (b"", None),
        (b'{"persist":true}', KEPT),
        (b'{"persist":{}}', KEPT),
        (b'{"persist":{"ttl":60}}', Persistence(60)),
        (b'{"persist":false}', None),
        (b'{"persist":"true"}', None),
        (b'{"persist":1}', None),
        (b"[]", None),
        (b"no json", None),
    ],
)
def test_metadata_may_ask_that_a_message_is_kept(meta: bytes, persistence: Persistence | None) -> None:
    assert parse_binary(V2, kind_3(b"", b"", b"t", b"e", meta, 0, b"")).persistence == persistence
