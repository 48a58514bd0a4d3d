"""Builds WebSocket frames that are ready to be written, once for all sockets that speak the same serializer."""

from collections.abc import Mapping
from typing import Final, Literal

import orjson

from realtime_inspector.protocol.broadcast import Broadcast, Encoding
from realtime_inspector.protocol.serializer import Serializer

Payload = Mapping[str, object] | orjson.Fragment
"""A payload is an object, or the text of one: clients crash on null, and the Python one drops everything else."""

TEXT: Final = 1
BINARY: Final = 2
CONTROL: Final = 8
"""Opcodes from here on are control frames (RFC 6455 5.5)."""
_USER_BROADCAST: Final = 4
_MAX_PART: Final = 255

# Frames of the server: one fragment, no mask (RFC 6455, 5.2).


def text_frame(payload: bytes) -> bytes:
    """The frame that carries this UTF-8 text."""
    return _frame(TEXT, payload)


def binary_frame(payload: bytes) -> bytes:
    """The frame that carries these bytes."""
    return _frame(BINARY, payload)


def _frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65_536:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


def split_frames(data: bytes) -> list[tuple[int, bytes]]:
    """The (opcode, payload) of each frame that this module built and somebody joined; for servers that build their own."""
    frames = []
    start = 0
    while start < len(data):
        opcode, short = data[start] & 0x0F, data[start + 1]
        extended = {126: 2, 127: 8}.get(short, 0)
        body = start + 2 + extended
        end = body + (int.from_bytes(data[start + 2 : body], "big") if extended else short)
        frames.append((opcode, data[body:end]))
        start = end
    return frames


def count_frames(data: bytes) -> int:
    """How many messages there are among frames that somebody joined; control frames are none."""
    count, start, size = 0, 0, len(data)
    while start < size:
        count += data[start] & 0x0F < CONTROL
        short = data[start + 1]
        if short < 126:
            start += 2 + short
        elif short == 126:
            start += 4 + (data[start + 2] << 8 | data[start + 3])
        else:
            start += 10 + int.from_bytes(data[start + 2 : start + 10], "big")
    return count


# Messages.


def message(serializer: Serializer, join_ref: str | None, ref: str | None, topic: str, event: str, payload: Payload) -> bytes:
    """Any text message. 1.0.0 has no join_ref, and `ref` must be there even when it is null."""
    if serializer is Serializer.V1:
        return text_frame(orjson.dumps({"topic": topic, "event": event, "payload": payload, "ref": ref}))
    return text_frame(orjson.dumps([join_ref, ref, topic, event, payload]))


def push(serializer: Serializer, topic: str, event: str, payload: Payload, join_ref: str | None = None) -> bytes:
    """A message that answers nothing: `system`, `presence_state`, `presence_diff`, `postgres_changes`."""
    return message(serializer, join_ref, None, topic, event, payload)


def reply(
    serializer: Serializer,
    join_ref: str | None,
    ref: str | None,
    topic: str,
    status: Literal["ok", "error"],
    response: Payload,
) -> bytes:
    """The answer to the client's message `ref`."""
    return message(serializer, join_ref, ref, topic, "phx_reply", {"status": status, "response": response})


def heartbeat_reply(serializer: Serializer, ref: str | None, moment: str | None, time: float | None = None) -> bytes:
    """The answer to a heartbeat, whose ref may be null (the Python client's first one).

    `moment`: how far changes have come. `time`: this service's clock, in ms since 1970, for who measures.
    """
    told = {"moment": moment, "time": time}
    return reply(serializer, None, ref, "phoenix", "ok", {name: value for name, value in told.items() if value is not None})


def closing(serializer: Serializer, topic: str, join_ref: str | None, *, error: str | None = None) -> bytes:
    """The end of the channel that was joined as `join_ref`. Clients never join again, but with an `error` they soon do."""
    if error is None:
        return message(serializer, join_ref, join_ref, topic, "phx_close", {})
    return message(serializer, join_ref, join_ref, topic, "phx_error", {"reason": error})


def system(
    serializer: Serializer,
    topic: str,
    extension: str,
    status: Literal["ok", "error"],
    text: str,
    *,
    join_ref: str | None = None,
    more: Mapping[str, object] | None = None,
) -> bytes:
    """A message of the service itself. The Python client demands these four keys and no other status, and accepts `more`."""
    channel = topic.removeprefix("realtime:")
    payload = {"extension": extension, "status": status, "message": text, "channel": channel, **(more or {})}
    return push(serializer, topic, "system", payload, join_ref)


def gap(
    serializer: Serializer,
    topic: str,
    reason: str,
    table: tuple[str, str] | None = None,
    *,
    after: str | None = None,
    until: str | None = None,
) -> bytes:
    """That changes were lost, of a table (schema, name) or of any; all of them after one moment and up to another, if known.

    Status ok: the Python client answers an error by joining again, for ever.
    """
    schema, name = table or (None, None)
    told = {"reason": reason, "schema": schema, "table": name, "from": after, "to": until}
    return system(serializer, topic, "resume", "ok", f"gap: {reason}", more={"gap": told})


def fan_out(topic: str, event: str, payload: Payload) -> Mapping[Serializer, bytes]:
    """One message for every member of a topic, built once for each serializer."""
    return {serializer: push(serializer, topic, event, payload) for serializer in Serializer}


def broadcast_frames(broadcast: Broadcast, topic: str) -> Mapping[Serializer, bytes | None]:
    """The frame of a user's message for each serializer; None where that serializer cannot carry it.

    Raw bytes have no form in 1.0.0. In 2.0.0 a name over 255 bytes has none in a binary frame: JSON then travels as text.
    """
    if broadcast.encoding is Encoding.WRAPPED:
        return fan_out(topic, "broadcast", orjson.Fragment(broadcast.payload))
    binary = _user_broadcast(broadcast, topic)
    if broadcast.encoding is Encoding.BINARY:
        return {Serializer.V1: None, Serializer.V2: binary}
    wrapped = _wrap(broadcast)
    second = binary or push(Serializer.V2, topic, "broadcast", wrapped)
    return {Serializer.V1: push(Serializer.V1, topic, "broadcast", wrapped), Serializer.V2: second}


def _wrap(broadcast: Broadcast) -> dict[str, object]:
    meta = {"meta": orjson.Fragment(broadcast.meta)} if broadcast.meta else {}
    return {"type": "broadcast", "event": broadcast.event, "payload": orjson.Fragment(broadcast.payload), **meta}


def _user_broadcast(broadcast: Broadcast, topic: str) -> bytes | None:
    """Kind 4, the only binary kind that realtime-js reads. Sizes count bytes, not characters: it throws otherwise."""
    parts = (topic.encode(), broadcast.event.encode(), broadcast.meta)
    if any(len(part) > _MAX_PART for part in parts):
        return None
    is_json = broadcast.encoding is Encoding.JSON
    return binary_frame(b"".join((bytes((_USER_BROADCAST, *map(len, parts), is_json)), *parts, broadcast.payload)))
