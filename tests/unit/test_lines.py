"""How events are said in the terminal: one line each, and nothing that a stranger wrote does anything but be read."""

import json

import click
import pytest

from realtime_inspector.cli import lines
from realtime_inspector.cli.lines import printable, program, records

CHANGE = {
    "ids": [1],
    "data": {
        "schema": "public",
        "table": "tweets",
        "type": "UPDATE",
        "commit_timestamp": "2026-01-02T03:04:05.678Z",
        "columns": [{"name": "id", "type": "int8"}],
        "record": {"id": 1, "content": "new"},
        "old_record": {"id": 1},
        "errors": None,
    },
}
BROADCAST = {"type": "broadcast", "event": "cursor", "payload": {"x": 1}}
DIFF = {"joins": {"ann": {"metas": [{"phx_ref": "1"}]}}, "leaves": {"bob": {"metas": []}}}
HOSTILE = "\x1b[2J\r\n\x07\u202egnp\x7f\x9b\U000e0001"


def said(event: str, payload: dict[str, object]) -> list[str]:
    return [click.unstyle(line) for record in records(event, payload) for line in lines.said(record, "12:00:00.000")]


def programs(event: str, payload: dict[str, object]) -> list[str]:
    return [program(record) for record in records(event, payload)]


def test_a_change_says_operation_table_and_rows() -> None:
    assert said("postgres_changes", CHANGE) == ['12:00:00.000  UPDATE     public.tweets  {"id":1,"content":"new"} was {"id":1}']
    failed = {
        "data": {"schema": "public", "table": "t", "type": "INSERT", "record": {}, "errors": ["Error 413: Payload Too Large"]}
    }
    assert said("postgres_changes", failed) == ["12:00:00.000  INSERT     public.t    (Error 413: Payload Too Large)"]


def test_a_broadcast_says_its_event_and_payload() -> None:
    assert said("broadcast", BROADCAST) == ['12:00:00.000  BROADCAST  cursor  {"x":1}']


def test_presence_says_who_came_and_who_went() -> None:
    assert said("presence_diff", DIFF) == [
        '12:00:00.000  JOINED     ann  [{"phx_ref":"1"}]',
        "12:00:00.000  LEFT       bob  []",
    ]
    assert said("presence_state", {"ann": {"metas": []}}) == ["12:00:00.000  HERE       ann  []"]


def test_programs_get_one_object_a_line() -> None:
    (change,) = map(json.loads, programs("postgres_changes", CHANGE))
    assert change["type"] == "changes"
    assert change["event"] == "UPDATE"
    assert change["record"] == {"id": 1, "content": "new"}
    assert list(map(json.loads, programs("broadcast", BROADCAST))) == [BROADCAST]
    assert [json.loads(line)["key"] for line in programs("presence_diff", DIFF)] == ["ann", "bob"]


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("broadcast", {"event": HOSTILE, "payload": {HOSTILE: HOSTILE}}),
        ("presence_state", {HOSTILE: {"metas": [HOSTILE]}}),
        ("postgres_changes", {"data": {"type": HOSTILE, "schema": HOSTILE, "table": HOSTILE, "record": {"a": HOSTILE}}}),
    ],
)
def test_what_strangers_write_stays_one_line_of_text(event: str, payload: dict[str, object]) -> None:
    (styled,) = [line for record in records(event, payload) for line in lines.said(record, "12:00:00.000")]
    assert styled.count("\x1b") == 4  # the time and the label, each switched on and off
    assert click.unstyle(styled).isprintable()
    (row,) = programs(event, payload)
    assert row.isprintable()
    assert json.loads(row)["type"]


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("postgres_changes", {}),
        ("postgres_changes", {"data": "x"}),
        ("postgres_changes", {"data": {"type": "INSERT"}}),
        ("broadcast", {}),
        ("presence_diff", {"joins": [], "leaves": {}}),
        ("unknown", {"event": "x"}),
    ],
)
def test_what_is_malformed_says_nothing(event: str, payload: dict[str, object]) -> None:
    assert said(event, payload) == []
    assert list(programs(event, payload)) == []


def test_presence_without_metas_is_still_said() -> None:
    assert said("presence_state", {"ann": "odd"}) == ["12:00:00.000  HERE       ann  []"]


def test_escapes_are_those_of_json() -> None:
    assert json.loads(f'"{printable(HOSTILE)}"') == HOSTILE
    assert printable("déjà vu 🙂") == "déjà vu 🙂"
