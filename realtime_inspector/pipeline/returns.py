"""Serves those who come back from the recent past, a slice at a time, until they have caught up with the present."""

from collections.abc import Awaitable, Callable, Sequence

from realtime_inspector.model import BEGINNING, Transaction
from realtime_inspector.pipeline.delivery import Delivery
from realtime_inspector.pipeline.ring import Ring
from realtime_inspector.ports import Outlet
from realtime_inspector.visibility.index import Audience, Index
from realtime_inspector.visibility.memory import Memory

SLICE = 1_000
"""Changes of the recent past that are served before live changes have their turn again."""

Sent = Memory[Audience[Outlet]]
Deliver = Callable[[Sequence[Transaction], Index[Outlet], Sent], Awaitable[None]]


class Returns:
    """Between two batches of live changes, in the same task: so nobody is served twice, and nobody falls in between.

    Those who come back while others catch up form the next round. `replayed`: what was sent again in a round; who is served live
    and who is not are told apart by having each a memory of their own.
    """

    def __init__(self, index: Index[Outlet], ring: Ring, delivery: Delivery, replayed: Sent) -> None:
        self._index = index
        self._ring = ring
        self._delivery = delivery
        self._replayed = replayed
        self._reached = BEGINNING

    async def serve(self, deliver: Deliver) -> None:
        """One slice; whoever has caught up is served with all others from now on."""
        hindmost = self._index.begin_round()
        behind = self._index.behind
        if behind is None:
            return
        if hindmost is not None:
            self._reached = hindmost
            self._replayed.clear()
            self._tell_absences(behind)
        for outlet, key in self._index.give_up(self._ring.floor, self._reached, self._ring.last):
            self._delivery.tell_gap(outlet, key, "retention")
        pieces, self._reached = self._ring.following(self._reached, SLICE)
        if pieces:
            await deliver(pieces, behind, self._replayed)
        if self._reached >= self._ring.last:
            self._delivery.announce_resumed(behind.audiences())
            self._index.end_round(self._ring.last)

    def _tell_absences(self, behind: Index[Outlet]) -> None:
        """What the publication left out while they were away."""
        for absence, position in self._ring.absences.items():
            for audience in behind.audiences(absence.table):
                for outlet in [outlet for outlet, after in audience.joining.items() if after <= position]:
                    self._delivery.tell_gap(outlet, audience.key, absence.reason, absence.table)
