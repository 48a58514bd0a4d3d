"""Builds the frames that tell of a change: the row is encoded once and shared by every frame that carries it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import orjson

from realtime_inspector.model import Operation, Verdict
from realtime_inspector.protocol import frames
from realtime_inspector.protocol.serializer import Serializer

ColumnType = tuple[str, str]
"""A column's name and its pg_type.typname."""

_ROWS: Final[dict[Operation, tuple[bool, bool]]] = {
    Operation.INSERT: (True, False),
    Operation.UPDATE: (True, True),
    Operation.DELETE: (False, True),
    Operation.TRUNCATE: (False, False),
}
"""Which of record and old_record an operation has."""


def encode_data(
    operation: Operation,
    schema: str,
    table: str,
    committed_at_us: int,
    columns: Sequence[ColumnType],
    record: bytes | None,
    old_record: bytes | None,
    errors: Sequence[str] | None,
) -> bytes:
    """The `data` of a change as JSON. `record` and `old_record` are JSON objects; one that is missing is sent empty.

    `committed_at_us`: microseconds since 1970 UTC.
    """
    has_record, has_old_record = _ROWS[operation]
    parts = [
        b'{"schema":',
        orjson.dumps(schema),
        b',"table":',
        orjson.dumps(table),
        b',"type":"',
        operation.encode(),
        b'","commit_timestamp":"',
        _timestamp(committed_at_us).encode(),
        b'","columns":',
        _columns(tuple(columns)),
        b',"errors":',
        orjson.dumps(list(errors) if errors else None),
    ]
    if has_record:
        parts += (b',"record":', record or b"{}")
    if has_old_record:
        parts += (b',"old_record":', old_record or b"{}")
    return b"".join((*parts, b"}"))


@dataclass(frozen=True, slots=True)
class Names:
    """What a frame says of its event. Both are safe in JSON. `more`: another frame of the same event follows on the channel."""

    event_id: str
    commit_id: str
    more: bool = False


def change_frame(serializer: Serializer, topic: str, ids: Sequence[int], data: bytes, of: Names) -> bytes:
    """One change for one channel: the ids of its bindings that match, and what `encode_data` made."""
    more = b',"more":true' if of.more else b""
    names = b',"event_id":"%b","commit_id":"%b"%b}' % (of.event_id.encode(), of.commit_id.encode(), more)
    payload = b"".join((b'{"ids":', orjson.dumps(list(ids)), b',"data":', data, names))
    return frames.push(serializer, topic, "postgres_changes", orjson.Fragment(payload))


def legacy_frame(serializer: Serializer, topic: str, operation: Operation, data: bytes) -> bytes:
    """One change for a channel that was joined without `config`: the operation is the event, the data the payload."""
    return frames.push(serializer, topic, operation, orjson.Fragment(data))


def verdict_frame(
    serializer: Serializer,
    topic: str,
    of: Names,
    operation: Operation,
    schema: str,
    table: str,
    committed_at_us: int,
    verdict: Verdict,
) -> bytes:
    """Why an event was not delivered. Only for whom its detail is meant: an admin who looks through somebody's eyes.

    Its status is ok, for the Python client answers status error by joining again, for ever.
    """
    told = {
        "event_id": of.event_id,
        "commit_id": of.commit_id,
        **({"more": True} if of.more else {}),
        "type": operation,
        "schema": schema,
        "table": table,
        "commit_timestamp": _timestamp(committed_at_us),
        "reason": verdict.reason,
        "detail": verdict.detail,
    }
    return frames.system(serializer, topic, "postgres_changes", "ok", verdict.reason, more={"verdict": told})


def _timestamp(microseconds: int) -> str:
    """Upstream's form: milliseconds, UTC, 'Z'. The Python client refuses null."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{_second(seconds)}.{rest // 1000:03}Z"


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    """Changes come in the order of their commits, so the last few seconds are asked for again and again."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


@lru_cache(maxsize=1024)
def _columns(columns: tuple[ColumnType, ...]) -> bytes:
    return orjson.dumps([{"name": name, "type": type_name} for name, type_name in columns])
