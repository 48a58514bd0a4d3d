"""Holds what has arrived for the one consumer of a source, bounded in bytes, and the fault that comes after it."""

import asyncio
from collections import deque
from collections.abc import Callable

from realtime_inspector.errors import SourceError
from realtime_inspector.model import Transaction


class Arrivals:
    """Whoever puts something in looks whether it is `full`, and reads on when `make_room` is called: half of it is taken then."""

    def __init__(self, limit_bytes: int, make_room: Callable[[], None], fault: SourceError) -> None:
        self._limit = limit_bytes
        self._make_room = make_room
        self._waiting: deque[tuple[Transaction, int]] = deque()
        self._arrived = asyncio.Event()
        self.fault: SourceError | None = fault
        """Why nothing more arrives."""
        self.size_bytes = 0
        """How much waits here."""

    @property
    def full(self) -> bool:
        """Whether nothing more is to be put in for now."""
        return self.size_bytes >= self._limit

    def put(self, transaction: Transaction, size: int) -> None:
        """What has arrived, and for how many bytes it counts."""
        self._waiting.append((transaction, size))
        self.size_bytes += size
        self._arrived.set()

    def fail(self, fault: SourceError) -> None:
        """Nothing more arrives; the consumer is told after what is here."""
        self.fault = fault
        self._arrived.set()

    def clear(self) -> None:
        """What waits here is of no use any more."""
        self._waiting.clear()
        self.size_bytes = 0

    async def next(self) -> Transaction:
        """The next piece. What arrived before a fault is given out first, then the fault is raised."""
        while not self._waiting:
            if self.fault is not None:
                raise self.fault.with_traceback(None)
            self._arrived.clear()
            await self._arrived.wait()
        return self._pop()

    def next_nowait(self) -> Transaction | None:
        """The next piece if it is here already."""
        return self._pop() if self._waiting else None

    def _pop(self) -> Transaction:
        transaction, size = self._waiting.popleft()
        self.size_bytes -= size
        if self.size_bytes <= self._limit // 2:
            self._make_room()
        return transaction
