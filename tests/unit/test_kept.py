"""Which sockets were sent which events, as far as it is kept."""

from typing import Any, cast

from realtime_inspector.model import Position
from realtime_inspector.pipeline.kept import OVERHEAD, Kept

A, B, C = (cast(Any, name) for name in "abc")


def at(index: int, lsn: int = 1) -> Position:
    return Position(lsn, index)


def test_everything_since_the_first_batch_is_known() -> None:
    kept = Kept()
    assert kept.receivers(at(0)) is None
    kept.begin(at(1))
    kept.note([at(1), at(2)], [A, B], {})
    kept.note([at(2)], [C], {})
    assert kept.receivers(at(0)) is None
    assert kept.receivers(at(1)) == {A, B}
    assert kept.receivers(at(2)) == {A, B, C}
    assert kept.receivers(at(3)) == frozenset()


def test_who_joined_in_between_was_sent_what_came_after() -> None:
    kept = Kept()
    kept.begin(at(0))
    kept.note([at(1), at(2)], [A, B], {B: at(1)})
    assert kept.receivers(at(1)) == {A}
    assert kept.receivers(at(2)) == {A, B}


def test_what_is_too_much_is_not_known_any_more() -> None:
    kept = Kept(limit=2 * (OVERHEAD + 3))
    kept.begin(at(0))
    for index in range(5):
        kept.note([at(index)], [A, B], {})
    assert [kept.receivers(at(index)) for index in range(5)] == [None, None, None, {A, B}, {A, B}]
    kept.clear()
    assert kept.receivers(at(4)) is None
