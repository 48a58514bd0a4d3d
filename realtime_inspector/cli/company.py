"""Brings together what several identities receive of one channel: each event once, with who received it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

WINDOW: Final = 0.5
"""Seconds from the first receipt of an event to the moment at which who has not received it counts as somebody who does not."""

Told = Callable[[Mapping[str, Any], Mapping[str, bool]], None]
"""Is given an event and, for each identity, whether it received it."""


@dataclass(slots=True)
class Company:
    """`names`: of those who look. What one alone receives is told at once, and so is what has no `event_id`, as the first
    receives it: broadcasts and presence are the same for all.
    """

    names: Sequence[str]
    told: Told
    _waiting: dict[str, tuple[Mapping[str, Any], set[str]]] = field(default_factory=dict)

    def receive(self, name: str, record: Mapping[str, Any]) -> None:
        """One of them received an event."""
        number = record.get("event_id")
        if len(self.names) == 1 or not isinstance(number, str):
            if name == self.names[0]:
                self.told(record, {name: True})
            return
        if number not in self._waiting:
            self._waiting[number] = (record, set())
            asyncio.get_running_loop().call_later(WINDOW, self._close, number)
        self._waiting[number][1].add(name)

    def _close(self, number: str) -> None:
        record, got = self._waiting.pop(number)
        self.told(record, {name: name in got for name in self.names})
