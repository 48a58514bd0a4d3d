"""A running pipeline for tests, and subscribers that keep what they are sent."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson
import pytest

from realtime_inspector.model import Binding, Identity
from realtime_inspector.pipeline import Pipeline
from realtime_inspector.ports import Outlet
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.announced import Announcement, key_expression
from realtime_inspector.postgres.facts import read_publication
from realtime_inspector.postgres.shapes import read_shapes
from realtime_inspector.postgres.steps import triggers
from realtime_inspector.protocol.frames import split_frames
from realtime_inspector.settings import Settings
from realtime_inspector.visibility.index import Index
from tests.postgres.conftest import Engine

PATIENCE = 60.0
"""Seconds within which what must come has to come, on a machine that is busy with other things as well."""
MARKER = """
;create table marker (id int generated always as identity primary key); grant select on marker to service_role;
alter publication supabase_realtime add table marker;
"""


def user(sub: str, role: str = "authenticated") -> Identity:
    return Identity(role, f'{{"role":"{role}","sub":"{sub}"}}')


SERVICE, ANON = Identity("service_role", '{"role":"service_role"}'), Identity("anon", '{"role":"anon"}')


@dataclass(eq=False)
class Subscriber:
    """An outlet that keeps what it is sent, and can wait for it."""

    received: list[dict[str, Any]] = field(default_factory=list)
    queued_bytes: int = 0
    on_payload: Callable[[dict[str, Any]], None] = lambda _: None
    token: str = ""
    unknown: str = ""
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def send(self, frames: bytes) -> None:
        for _, payload in split_frames(frames):
            self.received.append(orjson.loads(payload)[4])
            self.on_payload(self.received[-1])
        self._news.set()

    async def drained(self) -> None:
        return

    async def until(self, count: int) -> list[dict[str, Any]]:
        """The data of the changes, once there are that many."""
        await self.hears(lambda: len(self.received) >= count)
        return self.data

    async def hears(self, enough: Callable[[], bool]) -> None:
        """Returns once it was sent enough."""
        async with asyncio.timeout(PATIENCE):
            while not enough():
                self._news.clear()
                await self._news.wait()

    @property
    def data(self) -> list[dict[str, Any]]:
        return [payload["data"] for payload in self.received if "data" in payload]

    @property
    def gaps(self) -> list[tuple[str, str | None]]:
        """Reason and table of each gap notice."""
        return [(payload["gap"]["reason"], payload["gap"]["table"]) for payload in self.received if "gap" in payload]

    @property
    def story(self) -> list[Any]:
        """What was received, in order: ids of changed rows, reasons of gaps."""
        return [payload["gap"]["reason"] if "gap" in payload else payload["data"]["record"]["id"] for payload in self.received]

    @property
    def resume(self) -> str:
        """What to come back with: the last position that it knows of."""
        return ".".join([self.token, *[payload["event_id"] for payload in self.received if "event_id" in payload][-1:]])

    @property
    def notices(self) -> list[str]:
        """What the service said of losses and of what was made up for."""
        return [payload["message"] for payload in self.received if payload.get("extension") == "resume"]

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        return [payload["verdict"] for payload in self.received if "verdict" in payload]


@dataclass
class Service:
    """A running pipeline and the means to subscribe to it."""

    pipeline: Pipeline
    index: Index[Outlet]
    engine: Engine

    async def join(
        self, identity: Identity, *tables: str, verdicts: bool = False, resume: str | None = None, **binding: Any
    ) -> Subscriber:
        """A subscriber of these tables; the subscription is live when this returns, or comes back with `resume`."""
        subscriber = Subscriber()
        await self.rejoin(subscriber, identity, *tables, verdicts=verdicts, resume=resume, **binding)
        return subscriber

    async def flowing(self) -> None:
        """Returns when the stream flows (again)."""
        async with asyncio.timeout(20):
            while not self.pipeline.status()["attached"]:  # noqa: ASYNC110, nobody tells
                await asyncio.sleep(0.02)

    async def faulty(self, words: str) -> None:
        """Returns when the stream does not flow for this reason."""
        async with asyncio.timeout(20):
            while words not in str(self.pipeline.status()["fault"]):  # noqa: ASYNC110, nobody tells
                await asyncio.sleep(0.02)

    async def rejoin(
        self,
        subscriber: Subscriber,
        identity: Identity,
        *tables: str,
        verdicts: bool = False,
        resume: str | None = None,
        **binding: Any,
    ) -> None:
        """The same for a subscriber that there is already, such as after a new token."""
        event, schema = binding.pop("event", "*"), binding.pop("schema", "public")
        bindings = [Binding(n + 1, event, schema, table, **binding) for n, table in enumerate(tables)]
        authorized = await self.pipeline.authorize(identity, bindings, "realtime:room", resume)
        assert authorized.problems == ()
        subscriber.token, subscriber.unknown = authorized.resume_token, authorized.gap
        self.index.subscribe(subscriber, "realtime:room", "2.0.0", identity, authorized, verdicts)

    async def settled(self) -> None:
        """Returns when everything committed so far has been handed over, also to the slow: a row written now has come by."""
        marker = await self.join(SERVICE, "marker")
        self.engine.run("insert into marker default values")
        await marker.until(1)
        self.index.unsubscribe(marker, "realtime:room")
        async with asyncio.timeout(20):
            while self.index.returning or self.index.behind or (self.index.aside and self.pipeline.lags_aside):  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def announce(engine: Engine) -> None:
    """Gives the published tables their triggers, as `init --source notify` does."""
    connection = await asyncpg.connect(engine.admin, server_settings={"search_path": ""})
    publication = await read_publication(connection, "supabase_realtime")
    assert publication is not None
    await connection.execute(sql.load("announce"))
    shapes = await read_shapes(connection, [table.oid for table in publication.tables])
    for table in publication.tables:
        for step in triggers(Announcement(table.oid, table.sql, key_expression(shapes[table.oid].key))):
            await connection.execute(step.text)
    await connection.close()


Start = Callable[..., Awaitable[Service]]


@pytest.fixture
async def start(engine: Engine) -> AsyncIterator[Start]:
    services: list[Service] = []

    async def starting(
        schema: str, *, on: Engine = engine, index: Index[Outlet] | None = None, attached: bool = True, **settings: Any
    ) -> Service:
        if schema:  # without, the service starts again over what there is
            on.run(schema + MARKER)
        if settings.get("source") == "notify":
            await announce(on)
        index = Index() if index is None else index
        configured = Settings(reader_url=on.reader, evaluator_url=on.evaluator, slot="test_slot", **settings)
        service = Service(await Pipeline.open(configured, index), index, on)
        services.append(service)
        if attached:
            async with asyncio.timeout(20):
                await service.pipeline.attached()
        return service

    yield starting
    for service in services:
        await service.pipeline.close()
