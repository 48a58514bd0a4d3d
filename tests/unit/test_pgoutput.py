"""The bytes below are spelled out, so that the decoder is not only held against the encoder of the other tests."""

import pytest

from realtime_inspector.model import UNCHANGED, Column, Relation, ReplicaIdentity
from realtime_inspector.replication.pgoutput import (
    Begin,
    Commit,
    Delete,
    Insert,
    LogicalMessage,
    MalformedMessage,
    Message,
    Origin,
    Truncate,
    TypeName,
    Update,
    decode,
)

LSN = "00000000 016b3748"
CLOCK = "0002f0a1 c9d34e00"  # microseconds since 2000-01-01: 2026-03-22 20:46:59.890688 UTC
CLOCK_1970 = 1_774_212_419_890_688

MESSAGES = {
    "begin": (f"42 {LSN} {CLOCK} 000002fa", Begin(0x16B3748, CLOCK_1970, 762)),
    "commit": (f"43 00 {LSN} 00000000 016b3778 {CLOCK}", Commit(0x16B3748, 0x16B3778, CLOCK_1970)),
    "origin": (f"4f {LSN} 6e6f646500", Origin(0x16B3748, "node")),
    "type": ("59 00004010 7075626c696300 6d6f6f6400", TypeName(16400, "public", "mood")),
    "type of pg_catalog": ("59 00000017 00 696e743400", TypeName(23, "pg_catalog", "int4")),
    "relation": (
        "52 00004000 7075626c696300 7400 64 0002 01 696400 00000014 ffffffff 00 6e00 000006a4 000a0006",
        Relation(
            16384,
            "public",
            "t",
            ReplicaIdentity.DEFAULT,
            (Column("id", 20, -1, is_key=True), Column("n", 1700, 655366, is_key=False)),
        ),
    ),
    "relation of pg_catalog": ("52 00000001 00 7400 6e 0000", Relation(1, "pg_catalog", "t", ReplicaIdentity.NOTHING, ())),
    "insert": ("49 00004000 4e 0003 74 00000001 31 6e 74 00000002 c3a9", Insert(16384, ("1", None, "é"))),
    "insert of no columns": ("49 00004000 4e 0000", Insert(16384, ())),
    "update": ("55 00004000 4e 0002 74 00000001 31 75", Update(16384, ("1", UNCHANGED))),
    "update of the key": (
        "55 00004000 4b 0002 74 00000001 31 6e 4e 0002 74 00000001 32 6e",
        Update(16384, ("2", None), ("1", None)),
    ),
    "update with the full old row": (
        "55 00004000 4f 0001 74 00000000 4e 0001 6e",
        Update(16384, (None,), ("",), old_is_full=True),
    ),
    "delete by key": ("44 00004000 4b 0002 74 00000001 31 6e", Delete(16384, ("1", None))),
    "delete with the full old row": ("44 00004000 4f 0001 74 00000001 31", Delete(16384, ("1",), old_is_full=True)),
    "truncate": ("54 00000002 03 00004000 00004001", Truncate((16384, 16385), cascade=True, restart_identity=True)),
    "truncate of one": ("54 00000001 00 00004000", Truncate((16384,))),
    "message": (f"4d 01 {LSN} 6100 00000003 00ff01", LogicalMessage(True, 0x16B3748, "a", b"\0\xff\1")),
    "message outside of transactions": (f"4d 00 {LSN} 00 00000000", LogicalMessage(False, 0x16B3748, "", b"")),
}


@pytest.mark.parametrize(("data", "message"), MESSAGES.values(), ids=MESSAGES)
def test_each_message_is_read(data: str, message: Message) -> None:
    assert decode(bytes.fromhex(data)) == message


@pytest.mark.parametrize("data", [data for data, _ in MESSAGES.values()], ids=MESSAGES)
def test_no_message_is_read_when_it_is_cut_short_or_too_long(data: str) -> None:
    whole = bytes.fromhex(data)
    for wrong in [*(whole[:length] for length in range(len(whole))), whole + b"\0"]:
        with pytest.raises(MalformedMessage):
            decode(wrong)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ("", "cut short"),
        ("53 00000001 01", "unknown kind of message b'S'"),
        ("49 00004000 4b 0000", "an INSERT without a new row"),
        ("55 00004000 58 0000", "an UPDATE without a new row"),
        ("55 00004000 4b 0000 4f 0000", "an UPDATE without a new row"),
        ("44 00004000 4e 0000", "a DELETE without an old row"),
        ("49 00004000 4e 0001 62 00000001 31", "a value in binary form"),
        ("49 00004000 4e 0001 78", "unknown kind of value 0x78"),
        ("49 00004000 4e 0001 74 ffffffff 31", "has 14 bytes"),
        ("49 00004000 4e ffff 6e", "cut short"),
        ("54 ffffffff 00 00004000", "has 10 bytes"),
        (f"4d 01 {LSN} 6100 ffffffff 00", "has 17 bytes"),
        ("52 00004000 7000 7400 78 0000", "not a valid ReplicaIdentity"),
        ("52 00004000 7000 7400 64 ffff", "cut short"),
        ("52 00004000 7075626c6963", "cut short"),
    ],
)
def test_whatever_is_wrong_is_said(data: str, complaint: str) -> None:
    with pytest.raises(MalformedMessage, match=complaint):
        decode(bytes.fromhex(data))


def test_invalid_utf_8_is_replaced() -> None:
    assert decode(bytes.fromhex("49 00004000 4e 0003 74 00000002 61ff 6e 74 00000002 c3a9")) == Insert(16384, ("a�", None, "é"))
    assert decode(bytes.fromhex("59 00004010 7000 ff00")) == TypeName(16400, "p", "�")
