"""Serves those whose policies are slow from the recent past, beside the river: so that they wait, and nobody else.

They are served as all others are: in order, once, with a verdict for what is withheld. What makes them slow is asked with the
full time limit here. Who turns out to be quick goes back to the river, the way of those who come back.
"""

import asyncio
import secrets
from collections.abc import Mapping
from time import monotonic
from typing import Final

import structlog

from realtime_inspector.model import BEGINNING, Position, Reason
from realtime_inspector.pipeline.batches import Sent
from realtime_inspector.pipeline.delivery import Delivery
from realtime_inspector.pipeline.pace import Pace
from realtime_inspector.pipeline.returns import SLICE, Deliver
from realtime_inspector.pipeline.ring import Ring
from realtime_inspector.ports import Outlet
from realtime_inspector.visibility.audience import Returning
from realtime_inspector.visibility.index import Index

log = structlog.get_logger(__name__)
PAUSE: Final = 1.0
"""Seconds after a fault of ours."""
BRIEF: Final = 0.2
"""Seconds that serving a slice may take; after longer ones they are smaller."""


class Aside:
    """A river of its own over `Index.aside`. `memory`: what was sent to those there."""

    def __init__(self, index: Index[Outlet], ring: Ring, delivery: Delivery, pace: Pace, memory: Sent) -> None:
        self._index = index
        self._ring = ring
        self._delivery = delivery
        self._pace = pace
        self._memory = memory
        self._reached = BEGINNING
        self._slice = 1
        """Changes at a time: the time limit is for all that an identity is asked at once."""
        self._news = asyncio.Event()

    def take(self, slow: Mapping[tuple[Outlet, str], Returning]) -> None:
        """These are served here from now on."""
        if self._index.aside is None:
            self._index.aside = Index()
            self._memory.clear()
            self._slice = 1
        self._index.aside.returning.update(slow)
        self._ring.held = True
        self._news.set()

    def wake(self) -> None:
        """More was handed over."""
        if self._index.aside is not None:
            self._news.set()

    @property
    def lags(self) -> bool:
        """Whether somebody here still has to be served with what was handed over to the others."""
        aside = self._index.aside
        return aside is not None and bool(aside.returning or self._reached < self._ring.last)

    def forget(self) -> None:
        """Changes were left out: what was sent is not certain any more."""
        self._memory.clear()

    async def run(self, deliver: Deliver) -> None:
        """For ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                while await self._serve(deliver):
                    pass
            except Exception:  # a fault of ours: it must not be silent, nor end this task
                log.exception("aside_failed", error_id=secrets.token_hex(4))
                if self._index.aside is not None:
                    self._give_up(self._index.aside, self._ring.last, Reason.INTERNAL_ERROR)
                await asyncio.sleep(PAUSE)

    async def _serve(self, deliver: Deliver) -> bool:
        """One slice; whether there is more."""
        aside = self._index.aside
        if aside is None or not len(aside):
            self._index.aside, self._ring.held = None, False
            return False
        self._admit(aside)
        if self._reached < self._ring.floor:
            self._give_up(aside, self._ring.floor, "retention")
        aside.change_over(self._reached)
        pieces, reached = self._ring.following(self._reached, self._slice)
        if pieces:
            began = monotonic()
            await deliver(pieces, aside, self._memory)
            self._slice = max(1, self._slice // 2) if monotonic() - began > BRIEF else min(SLICE, self._slice * 2)
        if self._index.aside is not aside:  # another log began meanwhile, and nobody is here any more
            return False
        self._reached = reached
        if reached >= self._ring.last:
            self._delivery.announce_resumed(aside.resumed())
        self._release(aside)
        return reached < self._ring.last or bool(aside.returning) or not len(aside)

    def _admit(self, aside: Index[Outlet]) -> None:
        """Takes those who came meanwhile; if they are further behind, everybody here waits for them."""
        if not aside.returning:
            return
        hindmost = min(returning.after for returning in aside.returning.values())
        if not aside.audiences():
            self._reached = hindmost
        elif hindmost < self._reached:
            aside.rewind(self._reached)
            self._memory.clear()
            self._reached = hindmost
        for audience, sent in aside.admit(self._reached).items():
            self._memory.give(audience, sent)

    def _release(self, aside: Index[Outlet]) -> None:
        """Those who were asked here and are not slow. Nobody who would be told again of what the log left out."""
        if any(position >= self._reached for position in self._ring.absences.values()):
            return
        quick = [
            audience
            for audience in aside.audiences()
            if all(after < self._reached for after in audience.joining.values())
            and not self._pace.concerns(audience.key.identity)
        ]
        if quick:
            self._index.returning.update(aside.depart(quick, self._reached, self._memory.taken(quick)))
            self._index.on_return()

    def _give_up(self, aside: Index[Outlet], floor: Position, reason: str) -> None:
        """Who is behind the floor, such as of the window that is kept, misses what was until now, and is told so."""
        for audience in aside.audiences():
            for outlet in [*audience.members, *audience.joining]:
                after = audience.joining.get(outlet, self._reached)
                if after < floor:
                    self._delivery.tell_gap(outlet, audience.key, reason, span=(after, self._ring.last))
                    audience.skip(outlet, self._ring.last)
        self._memory.clear()
        self._reached = floor
