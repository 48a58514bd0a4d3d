"""Whoever was away is told of everything once; `python -m bench away` does the same with 50,000 changes and for a minute."""

from bench.away import at_once, back_after


async def test_after_many_changes_nothing_is_lost_and_nothing_comes_twice() -> None:
    seen = await back_after(2_000, 0.0)
    assert (list(seen.received), seen.notices) == (list(seen.expected), ["resumed"])


async def test_beyond_the_window_there_is_one_gap_and_nothing_stale() -> None:
    seen = await back_after(20, 3.0, window=1)
    assert (list(seen.received), seen.notices) == (list(seen.expected), ["gap: retention"])


async def test_what_is_written_as_soon_as_the_join_is_answered_is_seen() -> None:
    seen = await at_once(200)
    assert (list(seen.received), seen.notices) == (list(seen.expected), [])
