"""Subscribers that keep what they are sent; some lose their connection with the last messages and come back."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from realtime_inspector.errors import DatabaseUnavailable
from realtime_inspector.model import Binding
from realtime_inspector.pipeline import Pipeline
from realtime_inspector.pipeline.delivery import LAGGING_BYTES
from realtime_inspector.ports import Outlet
from realtime_inspector.protocol.frames import split_frames
from realtime_inspector.visibility.index import Index
from realtime_inspector.visibility.subscription import Authorized
from tests.oracle.people import PEOPLE
from tests.oracle.tables import EVERYTHING, Filter

TOPIC = "realtime:oracle"


@dataclass(frozen=True)
class Wish:
    """What a listener asks of one table."""

    filter: Filter = EVERYTHING
    event: str = "*"
    select: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Receipt:
    """One message, how many commits had begun when it came, and in which life of the listener.

    `live`: not while it was told what it had missed.
    """

    payload: dict[str, Any]
    begun: int
    life: int
    live: bool

    @property
    def event_id(self) -> str | None:
        verdict = self.payload.get("verdict") or {}
        found = self.payload.get("event_id") or verdict.get("event_id")
        return None if found is None else str(found)


@dataclass(eq=False)
class Socket:
    """An outlet of one life of a listener. What it is sent after it was left is kept apart: that must be nothing."""

    keep: Callable[[dict[str, Any]], None]
    left: bool = False
    late: int = 0
    queued_bytes: int = 0

    def send(self, frames: bytes) -> None:
        if self.left:
            self.late += 1
            return
        for _, payload in split_frames(frames):
            self.keep(orjson.loads(payload)[4])

    async def drained(self) -> None:
        return


@dataclass(eq=False)
class Listener:
    """One client over all its connections. `refused`: by life, the tables that it may not listen to.

    `resumed`: by life, how many commits had begun when it was told that it has everything.
    """

    name: str
    person: str
    wishes: Mapping[str, Wish]
    clock: Callable[[], int]
    verdicts: bool = False
    travels: bool = False
    history: list[Receipt] = field(default_factory=list)
    resumed: dict[int, int] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    refused: dict[int, set[str]] = field(default_factory=dict)
    sockets: list[Socket] = field(default_factory=list)
    token: str = ""

    @property
    def life(self) -> int:
        return len(self.sockets)

    @property
    def socket(self) -> Socket:
        return self.sockets[-1]

    @property
    def away(self) -> bool:
        return not self.sockets or self.socket.left

    @property
    def waits(self) -> bool:
        """Whether it came back and was not told yet that it has everything."""
        return self.life > 1 and not self.away and self.life not in self.resumed

    async def join(self, pipeline: Pipeline, index: Index[Outlet]) -> None:
        """Joins for the first time, or comes back with the last position that it knows of."""
        bindings = [
            Binding(number + 1, wish.event, "public", table, filter=wish.filter.text, select=wish.select)
            for number, (table, wish) in enumerate(self.wishes.items())
        ]
        who = PEOPLE[self.person]
        resume = self._resume() if self.sockets else None
        authorized = await _insist(lambda: pipeline.authorize(who, bindings, TOPIC, resume))
        self.token = authorized.resume_token
        self.sockets.append(Socket(self._keep))
        self.refused[self.life] = set(self.wishes) - {s.binding.table for s in authorized.subscriptions}
        index.subscribe(self.socket, TOPIC, "2.0.0", who, authorized, self.verdicts)

    def leave(self, index: Index[Outlet], lost: int = 0) -> None:
        """Leaves; so many of the last messages were sent and never came."""
        index.unsubscribe(self.socket, TOPIC)
        self.socket.left = True
        mine = [number for number, receipt in enumerate(self.history) if receipt.life == self.life and receipt.event_id]
        if lost and mine:
            cut = mine[max(0, len(mine) - lost)]
            event = self.history[cut].event_id  # what is told of one event comes in one piece
            del self.history[min(number for number in mine if self.history[number].event_id == event) :]

    def _keep(self, payload: dict[str, Any]) -> None:
        if payload.get("extension") == "resume":
            self.notices.append(payload["message"])
            if payload["message"] == "resumed":
                self.resumed[self.life] = self.clock()
            return
        self.history.append(Receipt(payload, self.clock(), self.life, not self.waits))

    def _resume(self) -> str:
        known = [receipt.event_id for receipt in self.history if receipt.life == self.life and receipt.event_id]
        return ".".join([self.token, *known[-1:]])


async def _insist(ask: Callable[[], Awaitable[Authorized]]) -> Authorized:
    """As clients do, who are told that the database cannot be asked, such as while a lock lasts."""
    for _ in range(20):
        with suppress(DatabaseUnavailable):
            return await ask()
    return await ask()


class Laggard:
    """A socket that is full now and then: the stream waits a moment for it, so that checks come late by a random time."""

    def __init__(self, chance: random.Random, share: float = 0.3) -> None:
        self._chance = chance
        self._share = share

    def send(self, frames: bytes) -> None:
        """Throws it away."""

    @property
    def queued_bytes(self) -> int:
        return LAGGING_BYTES * 2 if self._chance.random() < self._share else 0

    async def drained(self) -> None:
        await asyncio.sleep(self._chance.random() * 0.05)
