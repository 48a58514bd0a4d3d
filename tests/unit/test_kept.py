"""Which sockets were sent which events, as far as it is kept."""

import tracemalloc
from typing import Any, cast

from realtime_inspector.model import Position
from realtime_inspector.pipeline.kept import OVERHEAD, Kept, events, names

A, B, C = (cast(Any, name) for name in "abc")


def at(index: int, lsn: int = 1) -> Position:
    return Position(lsn, index)


def test_everything_since_the_first_batch_is_known() -> None:
    kept = Kept()
    assert kept.receivers(at(0)) is None
    kept.begin(at(1))
    kept.note(events([at(1), at(2)]), [A, B], {})
    kept.note(events([at(2)]), [C], {})
    assert kept.receivers(at(0)) is None
    assert kept.receivers(at(1)) == {A, B}
    assert kept.receivers(at(2)) == {A, B, C}
    assert kept.receivers(at(3)) == frozenset()


def test_who_joined_in_between_was_sent_what_came_after() -> None:
    kept = Kept()
    kept.begin(at(0))
    kept.note(events([at(1), at(2)]), [A, B], {B: at(1)})
    assert kept.receivers(at(1)) == {A}
    assert kept.receivers(at(2)) == {A, B}


def test_what_is_too_much_is_not_known_any_more() -> None:
    kept = Kept(limit=2 * (OVERHEAD + 4))
    kept.begin(at(0))
    for index in range(5):
        kept.note(events([at(index)]), [A, B], {})
    assert [kept.receivers(at(index)) for index in range(5)] == [None, None, None, {A, B}, {A, B}]
    kept.clear()
    assert kept.receivers(at(4)) is None


def test_a_position_is_both_of_its_numbers() -> None:
    sent = events([at(1, 2), at(2, 2), at(7, 1)])
    asked = [at(index, lsn) for lsn in (1, 2, 7) for index in (1, 2, 7)]
    assert [position for position in asked if names(sent, position)] == [at(7, 1), at(1, 2), at(2, 2)]


def test_many_events_take_little() -> None:
    tracemalloc.start()
    kept = Kept()
    for first in range(0, 300_000, 1_000):
        kept.note(events(at(index, 1 << 40) for index in range(first, first + 1_000)), [A, B], {})
    assert tracemalloc.get_traced_memory()[0] < 6_000_000
    tracemalloc.stop()
