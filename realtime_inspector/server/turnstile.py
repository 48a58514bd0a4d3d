"""Lets a few through at a time: a herd that comes back at once does not hold up who is there already."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

HERD: Final = 50
"""So many who wait are a herd."""
TURN_SECONDS: Final = 0.001
"""Between two turns of a herd, in which loop and Postgres belong to the others: 5,000 take a third longer and are felt less."""
PER_TURN: Final = 1
"""About a millisecond of work: everybody else is served some hundred times a second meanwhile."""


class Turnstile:
    """A queue in which nobody waits as long as few come. `per_turn`: at a time."""

    def __init__(self, per_turn: int = PER_TURN) -> None:
        self._per_turn = per_turn
        self._free = per_turn
        self._waiting: deque[Callable[[], None]] = deque()
        self._turning = False

    def act(self, action: Callable[[], None]) -> None:
        """Does it at once while there is room in this turn, or later, in the order of coming. It must not raise."""
        if self._enters():
            action()
        else:
            self._waiting.append(action)

    async def turn(self) -> None:
        """Returns at once while there is room in this turn, or later, in the order of coming."""
        if not self._enters():
            place = asyncio.get_running_loop().create_future()
            self._waiting.append(lambda: None if place.done() else place.set_result(None))
            await place

    def _enters(self) -> bool:
        if not self._turning:
            self._turning = True
            self._prepare()
        if self._free == 0 or self._waiting:
            return False
        self._free -= 1
        return True

    def _next(self) -> None:
        idle = self._free == self._per_turn
        self._free = self._per_turn
        while self._free > 0 and self._waiting:
            self._free -= 1
            self._waiting.popleft()()
        self._turning = not (idle and self._free == self._per_turn)
        if self._turning:
            self._prepare()

    def _prepare(self) -> None:
        loop = asyncio.get_running_loop()
        if len(self._waiting) < HERD:
            loop.call_soon(self._next)
        else:
            loop.call_later(TURN_SECONDS, self._next)
