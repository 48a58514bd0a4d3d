"""Checks (rows times identities) per second, by the clock and by Postgres' CPU: the reader and the evaluator alone."""

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from bench.database import REFERENCE, Database, OneByOne, cpu_seconds, identity, insert_tweets, sample_database
from bench.load import prepare_all
from bench.report import Figure
from realtime_inspector.model import Identity
from realtime_inspector.postgres.evaluator import Evaluator
from realtime_inspector.postgres.questions import Question, by_ctid
from realtime_inspector.postgres.shapes import read_shapes
from realtime_inspector.postgres.snapshot import SnapshotReader, Wanted
from realtime_inspector.visibility.facts import Shape


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cells", nargs="+", default=["1x1000", "100x100", "100x1000"], metavar="CHANGESxIDENTITIES")
    parser.add_argument("--rounds", type=int, default=5, help="ours and the reference take turns; the median round counts")


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of one round."""

    wall: float
    cpu: float


class Ours:
    """A snapshot with the rows, then the question about them."""

    def __init__(self, database: Database, shape: Shape) -> None:
        settings = database.settings
        self._shape = shape
        self._reader = SnapshotReader(settings.reader_url, settings.statement_timeout_ms)
        self._evaluator = Evaluator(
            settings.evaluator_url,
            connections=settings.evaluator_connections,
            statement_timeout_ms=settings.statement_timeout_ms,
            search_path=settings.search_path,
        )

    async def seen(self, identities: Sequence[Identity], keys: Sequence[int]) -> int:
        """How many times somebody sees one of the rows."""
        wanted = Wanted(self._shape, [(str(key),) for key in keys])
        async with self._reader.open([], [wanted], ["authenticated"]) as view:
            ctids = [row.ctid for row in view.relations[0].rows.values()]
            (answer,) = await self._evaluator.ask(view.snapshot, [Question(by_ctid(self._shape), ctids, identities)])
        return sum(len(sight.rows) for sight in answer.values())

    async def close(self) -> None:
        await self._reader.close()
        await self._evaluator.close()


def measure(arguments: argparse.Namespace) -> list[Figure]:
    prepare_all(0)
    return asyncio.run(_measure(arguments))


async def _measure(arguments: argparse.Namespace) -> list[Figure]:
    figures = []
    async with sample_database() as database:
        ours = Ours(database, await _shape(database))
        reference = OneByOne(database, "tweets", "t.id")
        for cell in arguments.cells:
            changes, identities = map(int, cell.split("x"))
            figures += await _cell(database, ours, reference, changes, identities, arguments.rounds)
        reference.close()
        await ours.close()
    return figures


async def _cell(database: Database, ours: Ours, reference: OneByOne, changes: int, size: int, rounds: int) -> list[Figure]:
    """Each row belongs to one of the identities; so both sides must find as many visible rows as there are."""
    database.run("truncate public.tweets")
    insert_tweets(database, changes, size)
    database.run("vacuum analyze public.tweets")
    keys = [int(str(key)) for (key,) in database.run("select id from public.tweets")]
    identities = [identity(number) for number in range(size)]
    costs: list[tuple[Cost, Cost]] = []
    for _ in range(rounds + 1):  # the first one warms up
        used, began = cpu_seconds(_backends(database)), time.perf_counter()
        assert await ours.seen(identities, keys) == changes
        us = Cost(time.perf_counter() - began, cpu_seconds(_backends(database)) - used)
        used, began = cpu_seconds([reference.pid]), time.perf_counter()
        assert sum(len(reference.rows(each, keys)) for each in identities) == changes
        costs.append((us, Cost(time.perf_counter() - began, cpu_seconds([reference.pid]) - used)))
    checks, name = changes * size, f"{changes} changes × {size} identities"
    return [
        _figure(f"{name}, by the clock", "checks/s", checks, [(us.wall, them.wall) for us, them in costs[1:]]),
        _figure(f"{name}, by Postgres' CPU", "checks/s CPU", checks, [(us.cpu, them.cpu) for us, them in costs[1:]]),
    ]


def _figure(name: str, unit: str, checks: int, seconds: Sequence[tuple[float, float]]) -> Figure:
    ours, theirs = (checks / statistics.median(side) for side in zip(*seconds, strict=True))
    return Figure(name, unit, ours, theirs, REFERENCE, more=True)


def _backends(database: Database) -> list[int]:
    names = ["realtime_inspector reader", "realtime_inspector evaluator"]
    rows = database.run("select pid from pg_stat_activity where application_name = any (%s)", names)
    return [int(str(pid)) for (pid,) in rows]


async def _shape(database: Database) -> Shape:
    connection = await asyncpg.connect(database.url, server_settings={"search_path": ""})
    try:
        oid = await connection.fetchval("select 'public.tweets'::regclass::oid::int8")
        return (await read_shapes(connection, [oid]))[oid]
    finally:
        await connection.close()
