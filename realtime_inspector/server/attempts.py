"""Counts attempts by name within a minute and says when there were too many; what it remembers is bounded."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

WITHIN: Final = 60.0
REMEMBERED: Final = 10_000
"""Names; who floods with more of them meets the limit of all attempts together, which is one of the names."""


class Attempts:
    """The attempts of the last minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def admit(self, *limits: tuple[str, int]) -> bool:
        """Counts an attempt under each name, unless any of them has had as many as its limit says."""
        now = self._clock()
        counted = [(self._recent(name, now), most) for name, most in limits]
        if any(len(times) >= most for times, most in counted):
            return False
        for times, _ in counted:
            times.append(now)
        return True

    def forgive(self, *names: str) -> None:
        """The last attempt under each name does not count: it was right."""
        for name in names:
            if times := self._times.get(name):
                times.pop()

    def _recent(self, name: str, now: float) -> deque[float]:
        times = self._times.setdefault(name, deque())
        self._times.move_to_end(name)
        while times and now - times[0] >= WITHIN:
            times.popleft()
        if len(self._times) > REMEMBERED:
            self._times.popitem(last=False)
        return times
