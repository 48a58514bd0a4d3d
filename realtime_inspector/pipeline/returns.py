"""Serves those who come back from the recent past, a slice at a time, until they have caught up with the present."""

from collections.abc import Awaitable, Callable, Sequence

from realtime_inspector.model import BEGINNING, Transaction
from realtime_inspector.pipeline.batches import Sent
from realtime_inspector.pipeline.delivery import Delivery
from realtime_inspector.pipeline.ring import Ring
from realtime_inspector.ports import Outlet
from realtime_inspector.visibility.index import Index

SLICE = 1_000
"""Changes of the recent past that are served before live changes have their turn again."""

Deliver = Callable[[Sequence[Transaction], Index[Outlet], Sent], Awaitable[None]]


class Returns:
    """Between two batches of live changes, in the same task: so nobody is served twice, and nobody falls in between.

    Those who come back while others catch up form the next round. `replayed`: what was sent to those in a round, `memory`: to all
    others; a change that takes a row away does so at another moment for each of the two.
    """

    def __init__(self, index: Index[Outlet], ring: Ring, delivery: Delivery, replayed: Sent, memory: Sent) -> None:
        self._index = index
        self._ring = ring
        self._delivery = delivery
        self._replayed = replayed
        self._memory = memory
        self._reached = BEGINNING

    async def serve(self, deliver: Deliver) -> None:
        """One slice; whoever has caught up is served with all others from now on."""
        begun = self._index.begin_round()
        behind = self._index.behind
        if behind is None:
            return
        if begun is not None:
            self._reached, known = begun
            self._replayed.clear()
            for audience, sent in known.items():
                self._replayed.give(audience, sent)
            self._tell_absences(behind)
        for outlet, key, after in self._index.give_up(self._ring.floor, self._reached, self._ring.last):
            self._delivery.tell_gap(outlet, key, "retention", span=(after, self._ring.last))
        pieces, self._reached = self._ring.following(self._reached, SLICE)
        if pieces:
            await deliver(pieces, behind, self._replayed)
        if self._reached >= self._ring.last:
            self._delivery.announce_resumed(behind.resumed())
            self._rejoin()

    def forget(self) -> None:
        """Changes were left out: what was sent is not certain any more."""
        self._replayed.clear()

    def _rejoin(self) -> None:
        """What they were sent while they caught up counts from now on."""
        moved = self._index.end_round(self._ring.last)
        sent = self._replayed.taken([before for before, _ in moved])
        for before, now in moved:
            self._memory.give(now, sent[before])

    def _tell_absences(self, behind: Index[Outlet]) -> None:
        """What the publication left out while they were away."""
        for absence, position in self._ring.absences.items():
            for audience in behind.audiences(absence.table):
                for outlet in [outlet for outlet, after in audience.joining.items() if after <= position]:
                    self._delivery.tell_gap(outlet, audience.key, absence.reason, absence.table)
