"""Rows per second of large transactions: decoded alone, decided inside of this process, and sent to real sockets."""

import argparse
import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import psycopg

from bench.database import REFERENCE, Database, Polling, identity, insert_tweets, sample_database, service, user
from bench.load import prepare_all
from bench.report import Figure
from bench.service import loop_factory
from bench.subscribers import MARK, Subscribers
from realtime_inspector.model import Binding, Reason
from realtime_inspector.pipeline import Pipeline
from realtime_inspector.ports import Outlet
from realtime_inspector.visibility.index import Index

TOPIC = "realtime:bench"
BYTES_SLOT = "bench_bytes"
INSERT = ord("I")
DECODED_GOAL = 100_000
LATENCY_GOAL = 5.0


@dataclass(frozen=True, slots=True)
class Scene:
    """Subscribers under the owner policy of tweets. `equal`: one user, who owns every row; else each row is for one of them."""

    subscribers: int
    equal: bool
    rows: int
    goal: float

    @property
    def users(self) -> list[int]:
        """The user of each subscriber."""
        return [0 if self.equal else number for number in range(self.subscribers)]

    @property
    def deliveries(self) -> int:
        """How many changes arrive in all."""
        return self.rows * (self.subscribers if self.equal else 1)

    def __str__(self) -> str:
        claims = "equal claims" if self.equal else "distinct claims, each row for one"
        return f"{self.rows} rows to {self.subscribers} subscribers with {claims}"


SCENES = (Scene(100, True, 5_000, 5_000), Scene(1_000, True, 1_000, 500), Scene(1_000, False, 5_000, 2_000))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--decoded", type=int, default=100_000, help="rows of the transaction that nobody subscribes to")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of rows and subscribers")
    parser.add_argument("--identities", type=int, nargs="*", default=[1_000, 5_000], help="for the latency of one change")
    parser.add_argument("--rounds", type=int, default=3, help="the median round counts")


def measure(arguments: argparse.Namespace) -> list[Figure]:
    scenes = [_scaled(scene, arguments.scale) for scene in SCENES]
    prepare_all(max(scene.subscribers for scene in scenes))
    with asyncio.Runner(loop_factory=loop_factory("auto")) as runner:
        return runner.run(_measure(arguments, scenes))


def _scaled(scene: Scene, scale: float) -> Scene:
    return replace(scene, subscribers=max(1, int(scene.subscribers * scale)), rows=max(1, int(scene.rows * scale)))


async def _measure(arguments: argparse.Namespace, scenes: Sequence[Scene]) -> list[Figure]:
    figures = []
    async with sample_database() as database:
        figures.append(await _decoded(database, arguments.decoded, arguments.rounds))
        for scene in scenes:
            alone = await _decided(database, scene, arguments.rounds)
            arrived = await asyncio.to_thread(_arrived, database, scene, arguments.rounds)
            reference = await asyncio.to_thread(_one_by_one, database, scene)
            figures.append(Figure(f"{scene}, engine alone", "rows/s", alone, reference, REFERENCE, scene.goal, more=True))
            figures.append(Figure(f"{scene}, real sockets", "rows/s", arrived, reference, REFERENCE, scene.goal, more=True))
        for size in arguments.identities:
            figures.append(await _latency(database, size, arguments.rounds))
    return figures


# Nobody subscribes.


async def _decoded(database: Database, rows: int, rounds: int) -> Figure:
    """From the connection to the last row's acknowledgement; the reference reads the same log and looks at nothing."""
    database.run("select pg_create_logical_replication_slot(%s, 'pgoutput')", BYTES_SLOT)
    async with engine(database):
        pass  # it has its slot now
    ours, theirs = [], []
    for _ in range(rounds):
        insert_tweets(database, rows, 1)
        ((written,),) = database.run("select (pg_current_wal_insert_lsn() - '0/0')::int8")
        insert_tweets(database, 1, 1)
        began = time.perf_counter()
        async with engine(database) as running:
            await running.acknowledged(int(str(written)))
            ours.append((rows + 1) / (time.perf_counter() - began))
        theirs.append((rows + 1) / await asyncio.to_thread(_bytes_only, database, rows + 1))
    database.run("select pg_drop_replication_slot(%s)", BYTES_SLOT)
    name = f"{rows} rows that nobody subscribed to, decoded and acknowledged"
    medians = statistics.median(ours), statistics.median(theirs)
    return Figure(name, "rows/s", *medians, "psycopg, bytes only", DECODED_GOAL, more=True)


def _bytes_only(database: Database, rows: int) -> float:
    """Seconds until so many rows have passed by."""
    began = time.perf_counter()
    options = f"proto_version '1', publication_names '{database.settings.publication}'"
    with psycopg.connect(database.url, replication="database", autocommit=True) as connection:
        pgconn = connection.pgconn
        pgconn.exec_(f"START_REPLICATION SLOT {BYTES_SLOT} LOGICAL 0/0 ({options})".encode())
        while rows:
            _, data = pgconn.get_copy_data(0)
            rows -= data[25] == INSERT
        seconds = time.perf_counter() - began
        pgconn.finish()
    database.run("select pg_replication_slot_advance(%s, pg_current_wal_lsn())", BYTES_SLOT)
    return seconds


# The engine in this process.


class Sink:
    """An outlet that throws away what it is sent."""

    queued_bytes = 0

    def __init__(self) -> None:
        self.reached = asyncio.Event()

    def send(self, frames: bytes) -> None:
        if frames:
            self.reached.set()

    async def drained(self) -> None:
        """Nothing ever waits here."""


class Arrivals:
    """What all sinks together were sent."""

    def __init__(self) -> None:
        self.complete = asyncio.Event()
        self._missing = 0

    def expect(self, changes: int) -> None:
        """From now on so many."""
        self._missing = changes
        self.complete.clear()

    def count(self, frames: bytes) -> None:
        self._missing -= frames.count(MARK)
        if self._missing <= 0:
            self.complete.set()


class Counted(Sink):
    """A sink whose changes are counted."""

    def __init__(self, arrivals: Arrivals) -> None:
        super().__init__()
        self._arrivals = arrivals

    def send(self, frames: bytes) -> None:
        self._arrivals.count(frames)


class Engine:
    """A running pipeline with sinks for sockets."""

    def __init__(self, pipeline: Pipeline, index: Index[Outlet]) -> None:
        self._pipeline = pipeline
        self._index = index
        self._delivered = 0

    async def subscribe(self, users: Sequence[int]) -> list[Sink]:
        binding = Binding(1, "*", "public", "tweets")
        authorized = {number: await self._pipeline.authorize(identity(number), [binding]) for number in set(users)}
        sinks = [Sink() for _ in users]
        for number, sink in zip(users, sinks, strict=True):
            self._index.subscribe(sink, TOPIC, "2.0.0", identity(number), authorized[number], False)
        return sinks

    async def subscribe_alike(self, users: int, tables: Sequence[str]) -> Arrivals:
        """A sink for each of so many users, for all of these tables; they are checked as one, which takes less time."""
        bindings = [Binding(number, "*", "public", table) for number, table in enumerate(tables, 1)]
        authorized = await self._pipeline.authorize(identity(0), bindings)
        arrivals = Arrivals()
        for number in range(users):
            self._index.subscribe(Counted(arrivals), TOPIC, "2.0.0", identity(number), authorized, False)
        return arrivals

    async def watch(self, table: str) -> Callable[[], None]:
        """Somebody who is told verdicts; gives what ends that."""
        authorized = await self._pipeline.authorize(identity(0), [Binding(1, "*", "public", table)])
        sink = Sink()
        self._index.subscribe(sink, "realtime:watched", "2.0.0", identity(0), authorized, True)
        return lambda: self._index.unsubscribe(sink, "realtime:watched")

    async def delivered(self, count: int) -> None:
        """Returns when so many more changes than at the last call have been handed over."""
        self._delivered += count
        while self._pipeline.tally.reasons[Reason.DELIVERED] < self._delivered:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.002)

    async def acknowledged(self, lsn: int) -> None:
        """Returns when everything before there has been acknowledged."""
        while int(str(self._pipeline.status()["position"])) <= lsn:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.002)


@asynccontextmanager
async def engine(database: Database) -> AsyncIterator[Engine]:
    index: Index[Outlet] = Index()
    pipeline = await Pipeline.open(database.settings, index)
    try:
        await pipeline.attached()
        yield Engine(pipeline, index)
    finally:
        await pipeline.close()


async def _decided(database: Database, scene: Scene, rounds: int) -> float:
    rates = []
    async with engine(database) as running:
        await running.subscribe(scene.users)
        for _ in range(rounds + 1):  # the first one warms up
            await asyncio.to_thread(insert_tweets, database, scene.rows, len(set(scene.users)))
            began = time.perf_counter()
            await running.delivered(scene.deliveries)
            rates.append(scene.rows / (time.perf_counter() - began))
    return statistics.median(rates[1:])


async def _latency(database: Database, size: int, rounds: int) -> Figure:
    """One change that one of so many users may see, of whom none is asked for nothing."""
    owner = size // 2
    insert = "insert into public.tweets (user_id, content) values (%s, 'bench')"
    ours = []
    async with engine(database) as running:
        sinks = await running.subscribe(range(size))
        for _ in range(5 * rounds + 1):  # the first one warms up
            sinks[owner].reached.clear()
            with psycopg.connect(database.url) as connection:
                connection.execute(insert, [user(owner)])
                began = time.perf_counter()
                connection.commit()
            await sinks[owner].reached.wait()
            ours.append(time.perf_counter() - began)
    theirs = statistics.median([_asked_one_by_one(database, insert, size) for _ in range(rounds)])
    goal = LATENCY_GOAL if size >= 5_000 else None
    median = statistics.median(ours[1:])
    return Figure(f"one change, {size} identities, engine alone, p50", "ms", median * 1e3, theirs * 1e3, REFERENCE, goal)


# Real sockets.


def _arrived(database: Database, scene: Scene, rounds: int) -> float:
    rates = []
    with service(database) as process:
        subscribers = Subscribers(process.port, database, "tweets", scene.users)
        for _ in range(rounds + 1):  # the first one warms up
            subscribers.stay()
            insert_tweets(database, scene.rows, len(set(scene.users)))
            began = time.perf_counter()
            subscribers.await_changes(scene.deliveries)
            rates.append(scene.rows / (time.perf_counter() - began))
        subscribers.close()
    return statistics.median(rates[1:])


# The reference.


def _one_by_one(database: Database, scene: Scene) -> float:
    polling = Polling(database, "tweets")
    insert_tweets(database, scene.rows, len(set(scene.users)))
    began = time.perf_counter()
    keys = polling.poll()
    found = sum(len(polling.rows(identity(number), keys)) for number in scene.users)
    seconds = time.perf_counter() - began
    polling.close()
    assert found == scene.deliveries
    return scene.rows / seconds


def _asked_one_by_one(database: Database, insert: str, size: int) -> float:
    """Seconds from the commit until the one in the middle has been asked; polled at once, not every 100 ms."""
    polling = Polling(database, "tweets")
    database.run(insert, user(size // 2))
    began = time.perf_counter()
    keys = polling.poll()
    for number in range(size // 2 + 1):
        polling.rows(identity(number), keys)
    seconds = time.perf_counter() - began
    polling.close()
    return seconds
