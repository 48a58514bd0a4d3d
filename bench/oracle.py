"""Plays random worlds on a running pipeline and holds what everybody was sent against what plain SELECTs showed them."""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import psycopg

from bench.report import Figure
from realtime_inspector.postgres.embedded import EmbeddedPostgres
from tests.conftest import drop_slots
from tests.oracle.judge import Judgement, judge
from tests.oracle.stage import Stage, random_play
from tests.oracle.world import World
from tests.postgres.conftest import Engine, prepared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=1, help="of the first world; each further one has the next")
    parser.add_argument("--pairs", type=int, default=100_000, help="of event and identity, at least")
    parser.add_argument("--commits", type=int, default=250, help="in each world")


def measure(arguments: argparse.Namespace) -> list[Figure]:
    """Ends with status 1 on any violation, after telling each with its seed, commit and step."""
    began = time.perf_counter()
    judgements = asyncio.run(_play(arguments.seed, arguments.pairs, arguments.commits))
    seconds = time.perf_counter() - began
    pairs = sum(judgement.pairs for judgement in judgements)
    _tell(judgements, seconds)
    violations = sum(sum(judgement.kinds.values()) for judgement in judgements)
    if violations:
        raise SystemExit(f"{violations} violations; repeat a world with --seed N --pairs 1 --commits {arguments.commits}")
    worlds = f"{len(judgements)} worlds from seed {arguments.seed}"
    by_image = sum(judgement.by_image for judgement in judgements)
    name = f"leaks and other violations in {pairs} pairs, {worlds}"
    return [Figure(name, "pairs", 0, by_image, "the log's image to whoever sees the row now", goal=0)]


async def _play(seed: int, pairs: int, commits: int) -> list[Judgement]:
    judgements: list[Judgement] = []
    async with EmbeddedPostgres() as postgres:
        while sum(judgement.pairs for judgement in judgements) < pairs:
            world = World(seed + len(judgements))
            async with database(postgres.url, f"oracle_{world.seed}") as engine:
                stage = Stage(engine, world, random_play(world.seed, commits))
                await stage.run()
            judgements.append(judge(stage))
            _progress(judgements[-1])
            if not judgements[-1].pairs:
                break
    return judgements


@asynccontextmanager
async def database(url: str, name: str) -> AsyncIterator[Engine]:
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"create database {name}".encode())
        yield prepared(urlsplit(url)._replace(path=f"/{name}").geturl())
        drop_slots(admin, name)
        admin.execute(f"drop database {name} with (force)".encode())


def _progress(judgement: Judgement) -> None:
    print(f"seed {judgement.seed}: {judgement.pairs:,} pairs, {dict(judgement.kinds) or 'no violation'}", file=sys.stderr)
    for violation in judgement.violations:
        print(violation, file=sys.stderr)


def _tell(judgements: Iterable[Judgement], seconds: float) -> None:
    outcomes, excused, pairs, judged = Counter[str](), Counter[str](), 0, 0
    for judgement in judgements:
        outcomes += judgement.outcomes
        excused += judgement.excused
        pairs += judgement.pairs
        judged += judgement.judged
    print(f"{pairs:,} pairs of event and identity, {judged:,} of event and listener, in {seconds:.0f} s", file=sys.stderr)
    for title, counts in (("outcome", outcomes), ("not judged", excused)):
        for name, count in sorted(counts.items()):
            print(f"  {title}: {name}: {count:,}", file=sys.stderr)
