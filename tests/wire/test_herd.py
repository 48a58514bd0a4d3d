"""Thousands that come at once are let in a few at a time, and what they all ask for is asked once."""

import asyncio

from realtime_inspector.server.turnstile import TURN_SECONDS, Turnstile


async def test_a_few_go_through_at_a_time_in_the_order_of_coming() -> None:
    turnstile, through = Turnstile(per_turn=2), list[int]()

    async def come(number: int) -> None:
        await turnstile.turn()
        through.append(number)

    coming = [asyncio.create_task(come(number)) for number in range(7)]
    counts = []
    while len(through) < 7:
        await asyncio.sleep(0)
        counts.append(len(through))
    assert through == list(range(7))
    steps = [after - before for before, after in zip([0, *counts], counts, strict=False)]
    assert max(steps) <= 2
    await asyncio.gather(*coming)


async def test_nobody_waits_where_few_come_and_acts_take_turns_too() -> None:
    turnstile, done = Turnstile(per_turn=1), list[str]()
    for _ in range(3):
        turnstile.act(lambda: done.append("alone"))
        assert done.pop() == "alone"
        await asyncio.sleep(2 * TURN_SECONDS)
    for name in "abc":
        turnstile.act(lambda name=name: done.append(name))  # type: ignore[misc]
    assert done == ["a"]
    await turnstile.turn()
    assert done == ["a", "b", "c"]


async def test_who_gives_up_holds_up_nobody() -> None:
    turnstile = Turnstile(per_turn=1)
    await turnstile.turn()
    gone, waits = asyncio.create_task(turnstile.turn()), asyncio.create_task(turnstile.turn())
    await asyncio.sleep(0)
    gone.cancel()
    await waits
