"""Whatever Postgres may send is read back unchanged; whatever else arrives is refused in one way."""

from hypothesis import given
from hypothesis import strategies as st

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
from tests.pgoutput import encode

oids = st.integers(0, 2**32 - 1)
lsns = st.integers(0, 2**64 - 1)
clocks = st.integers(0, 2**62)
texts = st.text(st.characters(exclude_categories=["Cs"]))
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
rows = st.lists(st.none() | st.just(UNCHANGED) | texts, max_size=20).map(tuple)
columns = st.builds(Column, names, oids, st.integers(-(2**31), 2**31 - 1), st.booleans())
with_old_row = st.builds(Update, oids, rows, rows, st.booleans())
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Begin, lsns, clocks, oids),
    st.builds(Commit, lsns, lsns, clocks),
    st.builds(Origin, lsns, names),
    st.builds(TypeName, oids, names.filter(bool), names),
    st.builds(Relation, oids, names.filter(bool), names, st.sampled_from(ReplicaIdentity), st.lists(columns).map(tuple)),
    st.builds(Insert, oids, rows),
    st.builds(Update, oids, rows),
    with_old_row,
    st.builds(Delete, oids, rows, st.booleans()),
    st.builds(Truncate, st.lists(oids).map(tuple), st.booleans(), st.booleans()),
    st.builds(LogicalMessage, st.booleans(), lsns, names, st.binary()),
)


@given(messages)
def test_what_was_written_is_read(message: Message) -> None:
    assert decode(encode(message)) == message


@given(messages, st.data())
def test_damaged_messages_are_refused_in_one_way(message: Message, data: st.DataObject) -> None:
    damaged = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
        if not damaged:
            break
    assert is_read_or_refused(bytes(damaged))


@given(st.sampled_from(b"BCORYIUDTMSAEcb\0") | st.integers(0, 255), st.binary(max_size=200))
def test_noise_is_refused_in_one_way(kind: int, noise: bytes) -> None:
    assert is_read_or_refused(bytes([kind]) + noise)


def is_read_or_refused(data: bytes) -> bool:
    """A message that is read says all that is in the bytes: it can be written again in the same length or shorter."""
    try:
        message = decode(data)
    except MalformedMessage:
        return True
    return b"\xef\xbf\xbd" in encode(message) or len(encode(message)) <= len(data)
