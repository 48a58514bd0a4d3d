"""Checks (rows times identities) per second, by the clock and by Postgres' CPU: the reader and the evaluator alone."""

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from bench.database import REFERENCE, Database, OneByOne, cpu_seconds, identity, insert_tweets, sample_database
from bench.load import prepare_all
from bench.report import Figure
from bench.upstream import NAME, Upstream
from realtime_inspector.model import Identity
from realtime_inspector.postgres.evaluator import Evaluator
from realtime_inspector.postgres.questions import Question, by_ctid
from realtime_inspector.postgres.shapes import read_shapes
from realtime_inspector.postgres.snapshot import SnapshotReader, Wanted
from realtime_inspector.visibility.facts import Shape

GOALS = {(1, 1_000): 2.5, (100, 1_000): 60.0}
"""Times as many checks as upstream, by changes and identities."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cells", nargs="+", default=["1x1000", "100x100", "100x1000"], metavar="CHANGESxIDENTITIES")
    parser.add_argument("--upstream", type=Path, help="a checkout of github.com/supabase/walrus, to compare with its SQL too")
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
            plain = view.access[self._shape.oid]["authenticated"].plain
            (answer,) = await self._evaluator.ask(view.snapshot, [Question(by_ctid(self._shape), ctids, identities, plain)])
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
        upstream = Upstream(database, arguments.upstream) if arguments.upstream else None
        for cell in arguments.cells:
            changes, identities = map(int, cell.split("x"))
            figures += await _cell(database, ours, (reference, upstream), changes, identities, arguments.rounds)
        reference.close()
        if upstream is not None:
            upstream.close()
        await ours.close()
    return figures


async def _cell(
    database: Database, ours: Ours, references: tuple[OneByOne, Upstream | None], changes: int, size: int, rounds: int
) -> list[Figure]:
    """Each row belongs to one of the identities; so every side must find as many visible rows as there are."""
    database.run("truncate public.tweets")
    insert_tweets(database, changes, size)
    database.run("vacuum analyze public.tweets")
    keys = [int(str(key)) for (key,) in database.run("select id from public.tweets")]
    identities = [identity(number) for number in range(size)]
    one_by_one, upstream = references
    sides: dict[str, Callable[[], int]] = {REFERENCE: lambda: sum(len(one_by_one.rows(each, keys)) for each in identities)}
    pids = {REFERENCE: one_by_one.pid}
    if upstream is not None:
        upstream.subscribe(identities)
        documents = upstream.changes(keys)
        sides[NAME], pids[NAME] = (lambda: upstream.seen(documents)), upstream.pid
    costs: dict[str, list[tuple[Cost, Cost]]] = {name: [] for name in sides}
    for _ in range(rounds + 1):  # the first one warms up
        used, began = cpu_seconds(_backends(database)), time.perf_counter()
        assert await ours.seen(identities, keys) == changes
        us = Cost(time.perf_counter() - began, cpu_seconds(_backends(database)) - used)
        for name, side in sides.items():
            used, began = cpu_seconds([pids[name]]), time.perf_counter()
            assert side() == changes
            costs[name].append((us, Cost(time.perf_counter() - began, cpu_seconds([pids[name]]) - used)))
    figures = []
    for name, pairs in costs.items():
        goal = GOALS.get((changes, size)) if name == NAME else None
        wall, cpu = [(us.wall, them.wall) for us, them in pairs[1:]], [(us.cpu, them.cpu) for us, them in pairs[1:]]
        said = f"{changes} changes × {size} identities"
        figures += [
            _figure(f"{said}, by the clock", "checks/s", changes * size, wall, name, None),
            _figure(f"{said}, by Postgres' CPU", "checks/s CPU", changes * size, cpu, name, goal),
        ]
    return figures


def _figure(
    name: str, unit: str, checks: int, seconds: Sequence[tuple[float, float]], reference: str, goal_ratio: float | None
) -> Figure:
    ours, theirs = (checks / statistics.median(side) for side in zip(*seconds, strict=True))
    return Figure(name, unit, ours, theirs, reference, goal_ratio=goal_ratio, more=True)


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
