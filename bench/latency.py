"""Milliseconds from a commit to its arrival at each of many sockets, for one-row transactions at a steady rate."""

import argparse
import asyncio
import re
import statistics
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psycopg

from bench.database import POLLED_REFERENCE, TABLES, Database, Polling, identity, sample_database, service, user
from bench.load import prepare_all
from bench.report import Figure
from bench.subscribers import Subscribers

POLL_SECONDS = 0.1
GOALS = {50: 3.0, 99: 15.0}
"""Percentile -> milliseconds."""
WARM_UP = 20
"""Commits that make connections, functions and plans."""
_numbers = re.compile(rb"bench (\d+)\.")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--subscribers", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--commits", type=int, default=200, help="one-row transactions in each measurement")
    parser.add_argument("--rate", type=float, default=20.0, help="transactions per second")


@dataclass(frozen=True, slots=True)
class Scene:
    """Who listens to which table. `equal`: all with the same claims, so that each row is for everybody; else for one each."""

    table: str
    subscribers: int
    equal: bool

    @property
    def users(self) -> list[int]:
        """The user of each subscriber."""
        return [0 if self.equal else number for number in range(self.subscribers)]

    @property
    def copies(self) -> int:
        """How many receive a row."""
        return self.subscribers if self.equal else 1

    def __str__(self) -> str:
        policy = "owner policy" if self.table == "tweets" else "no RLS"
        whom = f"{self.subscribers} subscribers" if self.equal else f"one of {self.subscribers} users"
        return f"{self.table} ({policy}) to {whom}"


def measure(arguments: argparse.Namespace) -> list[Figure]:
    """Each scene with our service and real sockets, then by polling in this process."""
    prepare_all(max(arguments.subscribers))
    return asyncio.run(_measure(arguments))


async def _measure(arguments: argparse.Namespace) -> list[Figure]:
    figures = []
    async with sample_database() as database:
        for scene in _scenes(arguments.subscribers):
            ours = _ours(database, scene, arguments)
            reference = _reference(database, scene, arguments)
            figures += [_figure(scene, percentile, ours, reference) for percentile in GOALS]
    return figures


def _scenes(sizes: Iterable[int]) -> list[Scene]:
    scenes = [Scene(table, size, equal=True) for table in TABLES for size in sizes]
    return [*scenes, *(Scene("tweets", size, equal=False) for size in sizes if size > 1)]


def _ours(database: Database, scene: Scene, arguments: argparse.Namespace) -> list[float]:
    with service(database) as process:
        subscribers = Subscribers(process.port, database, scene.table, scene.users)
        for commits in (WARM_UP, arguments.commits):
            writer = Writer(database, scene, commits, arguments.rate)
            subscribers.await_changes(commits * scene.copies)
            sent = writer.finish()
        subscribers.close()
    return [at - sent[int(number)] for at, data in subscribers.arrivals for number in _numbers.findall(data)]


def _reference(database: Database, scene: Scene, arguments: argparse.Namespace) -> list[float]:
    """As it is usually written: each poll's rows are selected once per subscriber."""
    polling = Polling(database, scene.table)
    listeners = [identity(number) for number in scene.users]
    writer = Writer(database, scene, arguments.commits, arguments.rate)
    arrived: list[tuple[float, int]] = []
    due = time.perf_counter()
    while len(arrived) < arguments.commits * scene.copies:
        due = max(due + POLL_SECONDS, time.perf_counter())
        time.sleep(max(0.0, due - time.perf_counter()))
        keys = polling.poll()
        for listener in listeners if keys else ():
            rows = polling.rows(listener, keys)
            arrived += [(time.perf_counter(), int(number)) for row in rows for number in _numbers.findall(row.encode())]
    sent = writer.finish()
    polling.close()
    return [at - sent[number] for at, number in arrived]


class Writer:
    """Commits rows at a steady rate in a thread, for each subscriber's user in turn; the text of a row is its number."""

    def __init__(self, database: Database, scene: Scene, commits: int, rate: float) -> None:
        self._users = scene.users
        self._insert = f"insert into public.{scene.table} {TABLES[scene.table]}".encode()
        self._sent: dict[int, float] = {}
        self._thread = threading.Thread(target=self._write, args=(database.url, commits, 1 / rate))
        self._thread.start()

    def finish(self) -> dict[int, float]:
        """When each row's COMMIT was sent, by its number."""
        self._thread.join()
        return self._sent

    def _write(self, url: str, commits: int, pause: float) -> None:
        with psycopg.connect(url) as connection:
            began = time.perf_counter()
            for number in range(commits):
                time.sleep(max(0.0, began + (number + 1) * pause - time.perf_counter()))
                owner = user(self._users[number % len(self._users)])
                connection.execute(self._insert, [owner, f" bench {number}."])
                self._sent[number] = time.perf_counter()
                connection.commit()


def _figure(scene: Scene, percentile: int, ours: Sequence[float], reference: Sequence[float]) -> Figure:
    def at(seconds: Sequence[float]) -> float:
        return statistics.quantiles(seconds, n=100, method="inclusive")[percentile - 1] * 1_000

    return Figure(f"{scene}, p{percentile}", "ms", at(ours), at(reference), POLLED_REFERENCE, GOALS[percentile])
