"""Turns what a client's WebSocket frame carries into a message, or raises MalformedFrame and nothing else."""

from dataclasses import dataclass
from typing import Final

import msgspec
import orjson

from realtime_inspector.errors import MalformedFrame
from realtime_inspector.protocol.broadcast import KEPT, Broadcast, Encoding, Persistence
from realtime_inspector.protocol.serializer import Serializer


@dataclass(frozen=True, slots=True)
class Message:
    """A text frame. `payload` is any JSON value that orjson can write again; `raw` is its text as it came."""

    join_ref: str | None
    ref: str | None
    topic: str
    event: str
    payload: object
    raw: bytes = b"{}"


@dataclass(frozen=True, slots=True)
class Push:
    """A binary frame of kind 3: a user's broadcast. `persistence`: whether its metadata asks that it be kept, and how long."""

    join_ref: str | None
    ref: str | None
    topic: str
    broadcast: Broadcast
    persistence: Persistence | None = None


_Ref = str | int | None


class _Object(msgspec.Struct):
    topic: str
    event: str
    payload: msgspec.Raw
    ref: _Ref
    join_ref: _Ref = None


class _Array(msgspec.Struct, array_like=True):
    """Phoenix ignores what stands behind the fifth element; so does msgspec."""

    join_ref: _Ref
    ref: _Ref
    topic: str
    event: str
    payload: msgspec.Raw


_DECODERS: Final[dict[Serializer, msgspec.json.Decoder[_Object] | msgspec.json.Decoder[_Array]]] = {
    Serializer.V1: msgspec.json.Decoder(_Object),
    Serializer.V2: msgspec.json.Decoder(_Array),
}
_WRITABLE_DEPTH: Final = 254
"""orjson reads 1024 levels but writes 254; what was read must be writable, because parts of it are echoed."""
_USER_BROADCAST_PUSH: Final = 3
_HEADER: Final = 7
_RAW: Final = 0
LONGEST_TTL: Final = 1_000_000_000
"""Seconds."""


def parse_text(serializer: Serializer, data: str | bytes) -> Message:
    """The message in a text frame. Numbers as refs are taken as their text; of duplicate keys the last one counts."""
    try:
        envelope = _DECODERS[serializer].decode(data)
        raw = bytes(envelope.payload)
        payload = orjson.loads(raw)
        if raw.count(b"[") + raw.count(b"{") > _WRITABLE_DEPTH:
            orjson.dumps(payload)
    except (ValueError, RecursionError, orjson.JSONEncodeError) as error:
        raise MalformedFrame(f"The frame is not a message of version {serializer}") from error
    return Message(_text(envelope.join_ref), _text(envelope.ref), envelope.topic, envelope.event, payload, raw)


def parse_binary(serializer: Serializer, data: bytes) -> Push:
    """The user broadcast in a binary frame: kind 3 of version 2.0.0, the only one that official clients send.

    Layout: kind, sizes of join_ref, ref, topic, event, metadata (one byte each), encoding; then these parts and the payload.
    """
    if serializer is not Serializer.V2 or len(data) < _HEADER or data[0] != _USER_BROADCAST_PUSH:
        raise MalformedFrame("The binary frame is not a user broadcast of version 2.0.0")
    parts = []
    position = _HEADER
    for size in data[1:6]:
        parts.append(data[position : position + size])
        position += size
    if position > len(data):
        raise MalformedFrame("The binary frame is shorter than its header says")
    join_ref, ref, topic, event = map(_decode, parts[:4])
    encoding = Encoding.BINARY if data[6] == _RAW else Encoding.JSON
    broadcast = Broadcast(event, _checked(data[position:], encoding), encoding)
    return Push(join_ref or None, ref or None, topic, broadcast, _persistence(parts[4]))


def _checked(payload: bytes, encoding: Encoding) -> bytes:
    """JSON is relayed as it came, inside text frames too: what is not JSON would break every receiver."""
    if encoding is Encoding.JSON:
        try:
            orjson.loads(payload)
        except orjson.JSONDecodeError as error:
            raise MalformedFrame("The payload of the broadcast is not JSON") from error
    return payload


def _persistence(meta: bytes) -> Persistence | None:
    """`{"persist": true}` or `{"persist": {"ttl": 60}}`; anything else asks for nothing."""
    try:
        asked = orjson.loads(meta).get("persist") if meta else None
    except (ValueError, AttributeError):
        return None
    match asked:
        case bool():
            return KEPT if asked else None
        case {"ttl": int(ttl)} if not isinstance(ttl, bool) and 0 < ttl <= LONGEST_TTL:
            return Persistence(ttl)
        case {}:
            return KEPT
        case _:
            return None


def _text(ref: _Ref) -> str | None:
    return str(ref) if isinstance(ref, int) else ref


def _decode(part: bytes) -> str:
    """realtime-js before 2.119 writes one byte a character, so that 'é' is not UTF-8."""
    try:
        return part.decode()
    except UnicodeDecodeError:
        return part.decode("latin-1")
