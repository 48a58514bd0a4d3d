"""Plays one world on a running pipeline: writes its commits while listeners of every kind come, go and lag behind."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from realtime_inspector.model import Binding, Position
from realtime_inspector.pipeline import Pipeline
from realtime_inspector.ports import Outlet
from realtime_inspector.settings import Settings
from realtime_inspector.visibility.audience import Audience, Returning
from realtime_inspector.visibility.index import Index
from realtime_inspector.visibility.memory import RowId, Sent
from tests.oracle.listeners import Laggard, Listener, Wish
from tests.oracle.people import PEOPLE, WATCHING
from tests.oracle.tables import filters
from tests.oracle.world import World, Writer
from tests.postgres.conftest import Engine

START = 30.0
"""Seconds within which the stream must flow."""
LOST = (0, 0, 1, 5, 40)
"""So many of the last messages are lost with a connection."""
SELECTED = ("tag", "n")


class Noting(Index[Any]):
    """Keeps who was set aside, from here or while it caught up."""

    def __init__(self, departed: set[Any]) -> None:
        super().__init__()
        self._departed = departed

    def begin_round(self) -> tuple[Position, dict[Audience[Any], Mapping[RowId, Sent]]] | None:
        begun = super().begin_round()
        if begun is not None and self.behind is not None:
            self.behind.depart = partial(self._noted, self.behind.depart)
        return begun

    def depart(self, *arguments: Any) -> dict[tuple[Any, str], Returning]:
        return self._noted(super().depart, *arguments)

    def _noted(
        self, depart: Callable[..., dict[tuple[Any, str], Returning]], *arguments: Any
    ) -> dict[tuple[Any, str], Returning]:
        left = depart(*arguments)
        self._departed.update(outlet for outlet, _ in left)
        return left


@dataclass(frozen=True)
class Play:
    """What is played. `restarts`: how often the service ends in the middle and another one takes up the log.

    `patience`: seconds after the last commit within which everybody must have been told everything.
    """

    commits: int = 100
    restarts: int = 1
    travels: bool = True
    filters: bool = True
    patience: float = 30.0
    settings: dict[str, Any] | None = None


def random_play(seed: int, commits: int) -> Play:
    """One with settings that the seed chooses."""
    chance = random.Random(f"play {seed}")
    settings = {
        "left_view": chance.choice(("ignore", "delete")),
        "deletes": chance.choice(("checked", "checked", "keys")),
        "batch_changes": chance.choice((3, 200)),
        "claims_read": chance.choice(((), ("public.is_member=sub", "public.has_role=sub"))),
    }
    return Play(commits, restarts=chance.choice((0, 1, 2)), travels=chance.random() < 0.8, settings=settings)


class Stage:
    """The pipeline, the listeners and the workload of one world."""

    def __init__(self, engine: Engine, world: World, play: Play) -> None:
        self.world = world
        self.play = play
        self._engine = engine
        self._chance = random.Random(-world.seed)
        self.set_aside: set[Any] = set()
        """The sockets of which the policies were slow: what they are sent is decided later than what others are."""
        self._index: Index[Outlet] = Noting(self.set_aside)
        self._pipeline: Pipeline | None = None
        self.listeners = [*self._cast()]
        self.watching = self.listeners[0]

    async def run(self) -> None:
        """Until everybody was told everything; or until that takes too long, which the judge sees."""
        self._engine.run(self.world.schema)
        writer = await asyncio.to_thread(self.world.writer, self._engine.admin)
        try:
            await self._start()
            for listener in self.listeners:
                await listener.join(self._running, self._index)
            await self._live(writer)
            await asyncio.to_thread(writer.touch)
            with suppress(TimeoutError):
                await self._settle()
        finally:
            writer.close()
            await self._running.close()

    @property
    def _running(self) -> Pipeline:
        assert self._pipeline is not None
        return self._pipeline

    async def _start(self) -> None:
        urls = {"reader_url": self._engine.reader, "evaluator_url": self._engine.evaluator}
        settings = Settings(**urls, slot="oracle", **self.play.settings or {})
        self._index = Noting(self.set_aside)
        self._pipeline = await Pipeline.open(settings, self._index)
        async with asyncio.timeout(START):
            await self._pipeline.attached()
        everything = [Binding(1, "*", "public", "*")]
        authorized = await self._pipeline.authorize(PEOPLE[WATCHING], everything)
        self._index.subscribe(Laggard(self._chance), "realtime:slow", "2.0.0", PEOPLE[WATCHING], authorized, False)

    async def _live(self, writer: Writer) -> None:
        """Commits go on in a thread of their own, whatever happens to the others."""
        work = asyncio.create_task(asyncio.to_thread(self._write, writer))
        stops = sorted(self._chance.sample(range(1, self.play.commits), self.play.restarts))
        while not work.done():
            if stops and self.world.begun >= stops[0]:
                stops.pop(0)
                await self._restart()
            await self._travel()
            await asyncio.wait([work], timeout=self._chance.random() * 0.1)
        work.result()

    def _write(self, writer: Writer) -> None:
        writer.fill()
        for _ in range(self.play.commits):
            writer.commit()

    async def _restart(self) -> None:
        await self._running.close()
        for listener in self.listeners:
            if not listener.away:
                listener.leave(self._index, self._chance.choice(LOST) if listener.travels else 0)
        await self._start()
        for listener in self.listeners:
            await listener.join(self._running, self._index)

    async def _travel(self) -> None:
        travellers = [listener for listener in self.listeners if listener.travels]
        for listener in self._chance.sample(travellers, min(2, len(travellers))):
            if listener.away:
                await listener.join(self._running, self._index)
            else:
                listener.leave(self._index, self._chance.choice(LOST))

    async def _settle(self) -> None:
        for listener in self.listeners:
            if listener.away:
                await listener.join(self._running, self._index)
        async with asyncio.timeout(self.play.patience):
            while any(listener.waits for listener in self.listeners) or self._behind() or self._lags():  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    def _behind(self) -> bool:
        told = {receipt.event_id for receipt in self.watching.history}
        return len(told) < len(self.world.events)

    def _lags(self) -> bool:
        return bool(self._index.returning) or self._index.behind is not None or self._running.lags_aside

    def _cast(self) -> Sequence[Listener]:
        """Of each person one who is told verdicts, one who is not, one with filters, and one who travels."""
        everything = dict.fromkeys(self.world.names, Wish())

        def cast(name: str, person: str, wishes: dict[str, Wish], **more: bool) -> Listener:
            return Listener(f"{person}, {name}", person, wishes, lambda: self.world.begun, **more)

        found = []
        for person in PEOPLE:
            found.append(cast("watched", person, everything, verdicts=True))
            found.append(cast("plain", person, everything))
            if self.play.travels:
                found.append(cast("travelling", person, everything, travels=True))
            if self.play.filters:
                found.append(cast("filtering", person, self._wishes()))
            if self.play.filters and self.play.travels:
                found.append(cast("filtering, travelling", person, self._wishes(), travels=True, verdicts=True))
        return found

    def _wishes(self) -> dict[str, Wish]:
        chance, known = self._chance, filters()
        return {
            table: Wish(
                chance.choice(known),
                chance.choice(("*", "*", "*", "INSERT", "UPDATE", "DELETE")),
                chance.choice((None, None, SELECTED)),
            )
            for table in self.world.names
        }
