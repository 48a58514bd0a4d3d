"""Decodes the messages of Postgres' logical replication output plugin pgoutput, protocol version 1.

The layouts are those of https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html. This is the hot path:
rows are read with bare offsets, and their texts without an error handler first.
"""

import struct
from collections.abc import Callable
from typing import Final

import msgspec

from realtime_inspector.model import UNCHANGED, Column, Relation, ReplicaIdentity, Row, Value

EPOCH: Final = 946_684_800_000_000
"""Postgres counts microseconds from 2000-01-01 UTC; this is that moment since 1970."""


class MalformedMessage(ValueError):
    """The bytes are not a message of pgoutput protocol 1."""


class Begin(msgspec.Struct, frozen=True):
    """A transaction starts. `commit_lsn` is already that of its commit; `committed_at`: microseconds since 1970."""

    commit_lsn: int
    committed_at: int
    xid: int


class Commit(msgspec.Struct, frozen=True):
    """The transaction is complete. `end_lsn`: the position after it, which may be acknowledged."""

    commit_lsn: int
    end_lsn: int
    committed_at: int


class Origin(msgspec.Struct, frozen=True):
    """The transaction came from another server by replication."""

    commit_lsn: int
    name: str


class TypeName(msgspec.Struct, frozen=True):
    """A type that is not built in, told before the relation that uses it."""

    oid: int
    schema: str
    name: str


class Insert(msgspec.Struct, frozen=True):
    """A new row."""

    relation_oid: int
    new: Row


class Update(msgspec.Struct, frozen=True):
    """A changed row. `old`: what the replica identity wrote, if anything; full when that is the whole row."""

    relation_oid: int
    new: Row
    old: Row | None = None
    old_is_full: bool = False


class Delete(msgspec.Struct, frozen=True):
    """A removed row."""

    relation_oid: int
    old: Row
    old_is_full: bool = False


class Truncate(msgspec.Struct, frozen=True):
    """All relations that one TRUNCATE emptied."""

    relation_oids: tuple[int, ...]
    cascade: bool = False
    restart_identity: bool = False


class LogicalMessage(msgspec.Struct, frozen=True):
    """What pg_logical_emit_message wrote; without `transactional` it may stand outside of any transaction."""

    transactional: bool
    lsn: int
    prefix: str
    content: bytes


Message = Begin | Commit | Origin | Relation | TypeName | Insert | Update | Delete | Truncate | LogicalMessage

_NULL, _UNCHANGED, _TEXT, _BINARY = b"nutb"
_KEY, _OLD, _NEW = b"KON"
_read_count = struct.Struct("!H").unpack_from
_read_length = struct.Struct("!I").unpack_from
_read_row_head = struct.Struct("!IB").unpack_from
_read_column = struct.Struct("!Ii").unpack_from
_BEGIN = struct.Struct("!xQqI")
_COMMIT = struct.Struct("!xBQQq")


def decode(data: bytes) -> Message:
    """The message in `data`; raises MalformedMessage for whatever else is in there. Invalid UTF-8 is replaced by U+FFFD."""
    try:
        return _DECODERS[data[0]](data)
    except MalformedMessage:
        raise
    except KeyError:
        raise MalformedMessage(f"unknown kind of message {data[:1]!r}") from None
    except (IndexError, ValueError, struct.error) as error:
        raise MalformedMessage(f"message {data[:1]!r} of {len(data)} bytes is cut short or has a wrong length: {error}") from None


def _begin(data: bytes) -> Begin:
    commit_lsn, committed_at, xid = _BEGIN.unpack(data)
    return Begin(commit_lsn, committed_at + EPOCH, xid)


def _commit(data: bytes) -> Commit:
    _, commit_lsn, end_lsn, committed_at = _COMMIT.unpack(data)
    return Commit(commit_lsn, end_lsn, committed_at + EPOCH)


def _origin(data: bytes) -> Origin:
    name, position = _text(data, 9)
    _ends(data, position)
    return Origin(int.from_bytes(data[1:9]), name)


def _relation(data: bytes) -> Relation:
    (oid,) = _read_length(data, 1)
    schema, position = _text(data, 5)
    name, position = _text(data, position)
    identity = ReplicaIdentity(chr(data[position]))
    (count,) = _read_count(data, position + 1)
    position += 3
    columns = []
    for _ in range(count):
        is_key = data[position] & 1 == 1
        column, position = _text(data, position + 1)
        type_oid, type_modifier = _read_column(data, position)
        position += 8
        columns.append(Column(column, type_oid, type_modifier, is_key))
    _ends(data, position)
    return Relation(oid, schema or "pg_catalog", name, identity, tuple(columns))  # "Namespace (empty string for pg_catalog)"


def _type(data: bytes) -> TypeName:
    (oid,) = _read_length(data, 1)
    schema, position = _text(data, 5)
    name, position = _text(data, position)
    _ends(data, position)
    return TypeName(oid, schema or "pg_catalog", name)


def _insert(data: bytes) -> Insert:
    relation_oid, mark = _read_row_head(data, 1)
    if mark != _NEW:
        raise MalformedMessage("an INSERT without a new row")
    new, position = _row(data, 6)
    if position != len(data):
        _ends(data, position)
    return Insert(relation_oid, new)


def _update(data: bytes) -> Update:
    relation_oid, mark = _read_row_head(data, 1)
    old, position = None, 5
    if mark in (_KEY, _OLD):
        old, position = _row(data, 6)
    if data[position] != _NEW:
        raise MalformedMessage("an UPDATE without a new row")
    new, position = _row(data, position + 1)
    _ends(data, position)
    return Update(relation_oid, new, old, mark == _OLD)


def _delete(data: bytes) -> Delete:
    relation_oid, mark = _read_row_head(data, 1)
    if mark not in (_KEY, _OLD):
        raise MalformedMessage("a DELETE without an old row")
    old, position = _row(data, 6)
    _ends(data, position)
    return Delete(relation_oid, old, mark == _OLD)


def _truncate(data: bytes) -> Truncate:
    (count,) = _read_length(data, 1)
    options = data[5]
    _ends(data, 6 + 4 * count)
    return Truncate(struct.unpack_from(f"!{count}I", data, 6), options & 1 == 1, options & 2 == 2)


def _message(data: bytes) -> LogicalMessage:
    transactional = data[1] & 1 == 1
    prefix, position = _text(data, 10)
    (length,) = _read_length(data, position)
    _ends(data, position + 4 + length)
    return LogicalMessage(transactional, int.from_bytes(data[2:10]), prefix, data[position + 4 :])


def _row(data: bytes, start: int) -> tuple[Row, int]:
    """A row and the offset after it; the caller compares that with the end, which also finds values that are cut short."""
    try:
        return _values(data, start, bytes.decode)
    except UnicodeDecodeError:  # only where the database's encoding is SQL_ASCII: nothing was checked or converted there
        return _values(data, start, _decode_replacing)


def _values(data: bytes, position: int, decode_text: Callable[[bytes], str]) -> tuple[Row, int]:
    (count,) = _read_count(data, position)
    position += 2
    values: list[Value] = []
    for _ in range(count):
        kind = data[position]
        if kind == _TEXT:
            start = position + 5
            position = start + _read_length(data, position + 1)[0]
            values.append(decode_text(data[start:position]))
        elif kind == _NULL:
            values.append(None)
            position += 1
        elif kind == _UNCHANGED:
            values.append(UNCHANGED)
            position += 1
        elif kind == _BINARY:
            raise MalformedMessage("a value in binary form, which was not asked for")
        else:
            raise MalformedMessage(f"unknown kind of value {kind:#04x}")
    return tuple(values), position


def _text(data: bytes, start: int) -> tuple[str, int]:
    """A string that ends with NUL, and the offset after it."""
    end = data.index(0, start)
    return _decode_replacing(data[start:end]), end + 1


def _decode_replacing(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _ends(data: bytes, position: int) -> None:
    if position != len(data):
        raise MalformedMessage(f"message {data[:1]!r} has {len(data)} bytes, but its contents {position}")


_DECODERS: Final[dict[int, Callable[[bytes], Message]]] = {
    ord("B"): _begin,
    ord("C"): _commit,
    ord("O"): _origin,
    ord("R"): _relation,
    ord("Y"): _type,
    ord("I"): _insert,
    ord("U"): _update,
    ord("D"): _delete,
    ord("T"): _truncate,
    ord("M"): _message,
}
