"""Writes pgoutput's messages as Postgres does, for tests of what reads them."""

import struct
from typing import assert_never

from realtime_inspector.model import UNCHANGED, Relation, Row
from realtime_inspector.replication.pgoutput import (
    EPOCH,
    Begin,
    Commit,
    Delete,
    Insert,
    LogicalMessage,
    Message,
    Origin,
    Truncate,
    TypeName,
    Update,
)


def encode(message: Message) -> bytes:
    """The bytes of a message (https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html)."""
    match message:
        case Begin():
            return struct.pack("!cQqI", b"B", message.commit_lsn, message.committed_at - EPOCH, message.xid)
        case Commit():
            return struct.pack("!cBQQq", b"C", 0, message.commit_lsn, message.end_lsn, message.committed_at - EPOCH)
        case Origin():
            return struct.pack("!cQ", b"O", message.commit_lsn) + text(message.name)
        case Relation():
            return relation(message)
        case TypeName():
            return struct.pack("!cI", b"Y", message.oid) + namespace(message.schema) + text(message.name)
        case Insert():
            return struct.pack("!cIc", b"I", message.relation_oid, b"N") + row(message.new)
        case Update():
            return struct.pack("!cI", b"U", message.relation_oid) + old(message) + b"N" + row(message.new)
        case Delete():
            return struct.pack("!cI", b"D", message.relation_oid) + old(message)
        case Truncate():
            oids = message.relation_oids
            options = message.cascade | message.restart_identity << 1
            return struct.pack(f"!cIB{len(oids)}I", b"T", len(oids), options, *oids)
        case LogicalMessage():
            head = struct.pack("!c?Q", b"M", message.transactional, message.lsn) + text(message.prefix)
            return head + struct.pack("!I", len(message.content)) + message.content
        case _:
            assert_never(message)


def relation(described: Relation) -> bytes:
    head = struct.pack("!cI", b"R", described.oid) + namespace(described.schema) + text(described.name)
    columns = [
        bytes([column.is_key]) + text(column.name) + struct.pack("!Ii", column.type_oid, column.type_modifier)
        for column in described.columns
    ]
    return head + described.replica_identity.encode() + struct.pack("!H", len(columns)) + b"".join(columns)


def old(message: Update | Delete) -> bytes:
    if message.old is None:
        return b""
    return (b"O" if message.old_is_full else b"K") + row(message.old)


def row(values: Row) -> bytes:
    parts = [struct.pack("!H", len(values))]
    for value in values:
        if value is None:
            parts.append(b"n")
        elif value is UNCHANGED:
            parts.append(b"u")
        else:
            encoded = value.encode()
            parts.append(b"t" + struct.pack("!I", len(encoded)) + encoded)
    return b"".join(parts)


def namespace(schema: str) -> bytes:
    return text("" if schema == "pg_catalog" else schema)


def text(value: str) -> bytes:
    return value.encode() + b"\0"
