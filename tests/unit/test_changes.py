"""The frame of a change, byte for byte what official clients expect, and the row inside it encoded once."""

import orjson
import pytest

from realtime_inspector.model import Operation, Reason, Verdict
from realtime_inspector.protocol import frames
from realtime_inspector.protocol.changes import Names, change_frame, encode_data, verdict_frame
from realtime_inspector.protocol.serializer import Serializer

COLUMNS = (("id", "int8"), ("name", "text"))
COMMITTED = 1_789_000_000_123_999


def data(operation: Operation, record: bytes | None = None, old_record: bytes | None = None, **more: object) -> dict[str, object]:
    given = {"columns": COLUMNS, "errors": None, "committed_at_us": COMMITTED, **more}
    decoded = orjson.loads(encode_data(operation, "public", 't"é', record=record, old_record=old_record, **given))  # type: ignore[arg-type]
    assert isinstance(decoded, dict)
    return decoded


def test_an_insert_has_a_record() -> None:
    assert data(Operation.INSERT, b'{"id":1}') == {
        "schema": "public",
        "table": 't"é',
        "type": "INSERT",
        "commit_timestamp": "2026-09-10T00:26:40.123Z",
        "columns": [{"name": "id", "type": "int8"}, {"name": "name", "type": "text"}],
        "errors": None,
        "record": {"id": 1},
    }


def test_an_update_has_both_and_a_delete_the_old_one() -> None:
    update = data(Operation.UPDATE, b'{"id":2}', b'{"id":1}')
    assert (update["record"], update["old_record"]) == ({"id": 2}, {"id": 1})
    delete = data(Operation.DELETE, None, b'{"id":1}')
    assert delete["old_record"] == {"id": 1}
    assert "record" not in delete


def test_a_row_that_may_not_be_shown_is_empty_and_never_null() -> None:
    update = data(Operation.UPDATE, columns=(), errors=["Error 401: Unauthorized"])
    assert (update["record"], update["old_record"], update["columns"]) == ({}, {}, [])
    assert update["errors"] == ["Error 401: Unauthorized"]


def test_no_errors_are_null() -> None:
    assert data(Operation.INSERT, errors=[])["errors"] is None


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (999, "1970-01-01T00:00:00.000Z"),
        (1_001_000, "1970-01-01T00:00:01.001Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_the_time_is_utc_in_milliseconds(microseconds: int, text: str) -> None:
    assert data(Operation.DELETE, committed_at_us=microseconds)["commit_timestamp"] == text


def test_the_row_stands_in_the_frame_as_it_was_encoded() -> None:
    row = b'{"n":123456789012345678901234567890,"x":1.10}'
    encoded = encode_data(Operation.INSERT, "s", "t", 0, COLUMNS, row, None, None)
    for serializer in Serializer:
        assert row in change_frame(serializer, "realtime:a", [1], encoded, Names("e1", "c1"))


def test_one_frame_for_all_ids_of_a_channel() -> None:
    first = change_frame(Serializer.V1, "realtime:a", [3, 7], b'{"type":"INSERT"}', Names("e1", "c1"))
    second = change_frame(Serializer.V2, "realtime:a", (3, 7), b'{"type":"INSERT"}', Names("e1", "c1"))
    payload = {"ids": [3, 7], "data": {"type": "INSERT"}, "event_id": "e1", "commit_id": "c1"}
    [(_, text)] = frames.split_frames(first)
    assert orjson.loads(text) == {"topic": "realtime:a", "event": "postgres_changes", "payload": payload, "ref": None}
    [(_, text)] = frames.split_frames(second)
    assert orjson.loads(text) == [None, None, "realtime:a", "postgres_changes", payload]


def test_all_but_the_last_frame_of_an_event_say_that_there_are_more() -> None:
    frame = change_frame(Serializer.V1, "realtime:a", [3], b"{}", Names("e1", "c1", more=True))
    [(_, text)] = frames.split_frames(frame)
    assert orjson.loads(text)["payload"] == {"ids": [3], "data": {}, "event_id": "e1", "commit_id": "c1", "more": True}


def test_a_verdict_is_a_system_message_with_status_ok() -> None:
    verdict = Verdict(Reason.HIDDEN_BY_POLICY, "own rows only")
    frame = verdict_frame(Serializer.V2, "realtime:a", Names("e1", "c1"), Operation.UPDATE, "public", "tweets", 0, verdict)
    [(_, text)] = frames.split_frames(frame)
    assert orjson.loads(text) == [
        None,
        None,
        "realtime:a",
        "system",
        {
            "extension": "postgres_changes",
            "status": "ok",
            "message": "hidden_by_policy",
            "channel": "a",
            "verdict": {
                "event_id": "e1",
                "commit_id": "c1",
                "type": "UPDATE",
                "schema": "public",
                "table": "tweets",
                "commit_timestamp": "1970-01-01T00:00:00.000Z",
                "reason": "hidden_by_policy",
                "detail": "own rows only",
            },
        },
    ]
