"""Holds traces of policies against plain SELECTs: random policies, rows and identities; also how long an answer takes."""

import argparse
import asyncio
import statistics
import sys
from collections import Counter

from bench.oracle import database
from bench.report import Figure
from realtime_inspector.postgres.embedded import EmbeddedPostgres
from realtime_inspector.server import logs
from tests.oracle.traces import Comparison, Gallery, compare, timed

TABLES, ROWS = 20, 6
LIMIT_MS = 20.0
"""For an answer about a table with up to ten policies."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=1, help="of the first gallery of tables; each further one has the next")
    parser.add_argument("--pairs", type=int, default=20_000, help="of row and identity, at least")


def measure(arguments: argparse.Namespace) -> list[Figure]:
    """Ends with status 1 on any difference that no caveat explains, after telling each with its seed."""
    logs.configure("error")
    comparisons, ten, reference = asyncio.run(_compare(arguments.seed, arguments.pairs))
    pairs = sum(each.pairs for each in comparisons)
    differing = sum((each.differing for each in comparisons), Counter())
    outcomes = sum((each.outcomes for each in comparisons), Counter())
    for title, counts in (("outcome", outcomes), ("differs, explained by", differing)):
        for name, count in sorted(counts.items()):
            print(f"  {title}: {name}: {count:,}", file=sys.stderr)
    violations = [violation for each in comparisons for violation in each.violations]
    if violations:
        raise SystemExit("\n".join([*violations, f"{len(violations)} differences that nothing explains"]))
    name = f"differences without a caveat in {pairs} pairs, {len(comparisons)} galleries"
    seconds = statistics.median(second for each in comparisons for second in each.seconds)
    plain = "a plain SELECT of that identity"
    return [
        Figure(name, "pairs", 0, sum(differing.values()), "differences that a caveat explains", goal=0, exact=True),
        Figure("why, random policies, median", "ms", seconds * 1_000, reference * 1_000, plain),
        Figure("why, ten policies, median", "ms", ten * 1_000, reference * 1_000, plain, goal=LIMIT_MS),
    ]


async def _compare(seed: int, pairs: int) -> tuple[list[Comparison], float, float]:
    comparisons: list[Comparison] = []
    async with EmbeddedPostgres() as postgres:
        while (done := sum(each.pairs for each in comparisons)) < pairs:
            number = seed + len(comparisons)
            async with database(postgres.url, f"trace_{number}") as engine:
                gallery = Gallery(engine, number, tables=TABLES, rows=ROWS)
                gallery.build()
                comparisons.append(await compare(gallery, pairs=pairs - done))
            found = comparisons[-1]
            print(f"seed {number}: {found.pairs:,} pairs, {len(found.violations)} violations", file=sys.stderr)
        async with database(postgres.url, "trace_ten") as engine:
            ten, reference = await timed(engine)
    return comparisons, ten, reference
