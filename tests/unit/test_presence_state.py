"""Who is present on a topic, and what the others are told about it."""

import orjson
import pytest

from realtime_inspector.presence.state import Diff, Meta, PresenceState, check_key, clean, encode_diff, encode_state


def test_the_first_entry_joins() -> None:
    present = PresenceState()
    assert present.track("alice", 1, b'{"a":1}', "r1") == Diff({"alice": (Meta("r1", b'{"a":1}'),)}, {})
    assert present.state() == {"alice": (Meta("r1", b'{"a":1}'),)}


def test_an_equal_payload_is_no_change() -> None:
    present = PresenceState()
    present.track("alice", 1, b"{}", "r1")
    assert present.track("alice", 1, b"{}", "r2") is None
    assert present.state() == {"alice": (Meta("r1", b"{}"),)}


def test_an_update_joins_anew_and_leaves_the_old_entry() -> None:
    present = PresenceState()
    present.track("alice", 1, b"{}", "r1")
    diff = present.track("alice", 1, b'{"a":1}', "r2")
    assert diff == Diff({"alice": (Meta("r2", b'{"a":1}', "r1"),)}, {"alice": (Meta("r1", b"{}"),)})


def test_owners_share_a_key() -> None:
    present = PresenceState()
    present.track("alice", 1, b"{}", "r1")
    assert present.track("alice", 2, b"{}", "r2") == Diff({"alice": (Meta("r2", b"{}"),)}, {})
    assert present.state() == {"alice": (Meta("r1", b"{}"), Meta("r2", b"{}"))}
    assert present.untrack(1) == Diff({}, {"alice": (Meta("r1", b"{}"),)})
    assert present.state() == {"alice": (Meta("r2", b"{}"),)}
    assert len(present) == 1


def test_an_owner_that_changes_its_key_moves() -> None:
    present = PresenceState()
    present.track("alice", 1, b"{}", "r1")
    assert present.track("bob", 1, b"{}", "r2") == Diff({"bob": (Meta("r2", b"{}"),)}, {"alice": (Meta("r1", b"{}"),)})
    assert present.state() == {"bob": (Meta("r2", b"{}"),)}


def test_who_is_not_there_cannot_leave() -> None:
    present = PresenceState()
    assert present.untrack(1) is None
    present.track("alice", 1, b"{}", "r1")
    present.untrack(1)
    assert present.untrack(1) is None
    assert (present.state(), len(present)) == ({}, 0)


def test_the_state_on_the_wire() -> None:
    present = PresenceState()
    assert encode_state(present.state()) == b"{}"
    present.track("alice", 1, b'{"name":"Alice"}', "r1")
    present.track("alice", 2, b"{}", "r2")
    assert orjson.loads(encode_state(present.state())) == {
        "alice": {"metas": [{"phx_ref": "r1", "name": "Alice"}, {"phx_ref": "r2"}]}
    }


def test_a_difference_on_the_wire_always_has_both_sides() -> None:
    present = PresenceState()
    joined = present.track("alice", 1, b"{}", "r1")
    updated = present.track("alice", 1, b'{"a":1}', "r2")
    assert joined is not None
    assert updated is not None
    assert orjson.loads(encode_diff(joined)) == {"joins": {"alice": {"metas": [{"phx_ref": "r1"}]}}, "leaves": {}}
    assert orjson.loads(encode_diff(updated)) == {
        "joins": {"alice": {"metas": [{"phx_ref": "r2", "phx_ref_prev": "r1", "a": 1}]}},
        "leaves": {"alice": {"metas": [{"phx_ref": "r1"}]}},
    }


def test_a_payload_cannot_forge_its_reference() -> None:
    assert clean({"phx_ref": "x", "phx_ref_prev": "y", "a": 1}) == b'{"a":1}'
    assert clean({"phx_ref": "x"}) == b"{}"


def test_the_order_of_fields_does_not_matter() -> None:
    assert clean({"b": {"d": 1, "c": 2}, "a": 1}) == clean({"a": 1, "b": {"c": 2, "d": 1}})


@pytest.mark.parametrize("key", ["ids", "constructor", "__proto__", "toString", "x" * 256, "é" * 128])
def test_a_key_that_breaks_clients_is_refused(key: str) -> None:
    problem = check_key(key)
    assert problem is not None
    assert problem.hint


@pytest.mark.parametrize("key", ["", "alice", "IDs", "x" * 255, "☃"])
def test_other_keys_are_fine(key: str) -> None:
    assert check_key(key) is None
