"""Keeps for a while which sockets were sent which events, so that who asks later is told what happened and not what would now."""

from array import array
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from realtime_inspector.model import Position
from realtime_inspector.ports import Outlet

PLACES = 500_000
"""Of 8 bytes: one for each socket and two for each event of an entry, and OVERHEAD for it. A socket that left stays so long."""
OVERHEAD = 25


def events(positions: Iterable[Position]) -> "array[int]":
    """The events at these positions, as numbers of 64 bits, two for each: as objects they would take five times as much.

    To be shared by all audiences that are sent the same.
    """
    return array("Q", [number for position in positions for number in (position.commit_lsn, position.index)])


def names(sent: "array[int]", position: Position) -> bool:
    """Whether the event there is among them."""
    place = -1
    try:
        while True:
            place = sent.index(position.index, place + 1)
            if place % 2 and sent[place - 1] == position.commit_lsn:
                return True
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class _Sent:
    """Events of one batch that the same sockets were sent. `late`: sockets that were sent those after a position only."""

    events: "array[int]"
    outlets: Sequence[Outlet]
    late: Mapping[Outlet, Position]

    @property
    def places(self) -> int:
        """What it takes."""
        return OVERHEAD + len(self.events) + len(self.outlets)


class Kept:
    """The newest entries. Written once for each audience and batch, read when somebody asks."""

    def __init__(self, limit: int = PLACES) -> None:
        self._limit = limit
        self._places = 0
        self._entries: deque[_Sent] = deque()
        self._since: Position | None = None

    def begin(self, first: Position) -> None:
        """From the first change of the first batch on, everything is written down."""
        if self._since is None:
            self._since = Position(first.commit_lsn, first.index - 1)

    def note(self, sent: "array[int]", outlets: Sequence[Outlet], late: Mapping[Outlet, Position]) -> None:
        """These sockets were sent these events."""
        if not sent or not outlets:
            return
        entry = _Sent(sent, outlets, late)
        self._entries.append(entry)
        self._places += entry.places
        while self._places > self._limit and len(self._entries) > 1:
            gone = self._entries.popleft()
            self._places -= gone.places
            last = max(Position(*pair) for pair in zip(gone.events[::2], gone.events[1::2], strict=True))
            self._since = last if self._since is None else max(self._since, last)

    def clear(self) -> None:
        """Positions from before mean nothing any more."""
        self._entries.clear()
        self._places, self._since = 0, None

    def receivers(self, position: Position) -> frozenset[Outlet] | None:
        """The sockets that were sent the event there; None if that is not known (any more)."""
        if self._since is None or position <= self._since:
            return None
        return frozenset(
            outlet
            for sent in self._entries
            if names(sent.events, position)
            for outlet in sent.outlets
            if outlet not in sent.late or sent.late[outlet] < position
        )
