"""Random DDL among random writes, at length: values under another column's name, and changes without an answer."""

import argparse
import asyncio
from collections import Counter

from bench.report import Figure
from realtime_inspector.pipeline import Pipeline
from realtime_inspector.ports import Outlet
from realtime_inspector.postgres.embedded import EmbeddedPostgres
from realtime_inspector.settings import Settings
from realtime_inspector.visibility.index import Index
from tests.postgres.conftest import prepared
from tests.postgres.river import MARKER, Service, Subscriber
from tests.postgres.storm import Storm, storm_over


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ddl", type=int, default=200, help="statements")
    parser.add_argument("--writes", type=int, default=20_000, help="one row each, in transactions of their own")
    parser.add_argument("--ahead", type=int, default=40, help="changes that may be on their way when the next statement comes")


def measure(arguments: argparse.Namespace) -> list[Figure]:
    """Ends with status 1 on any fault, after telling it."""
    storm, subscribers = asyncio.run(_rage(arguments))
    boss = subscribers["boss"]
    gaps = Counter(payload["gap"]["reason"] for payload in boss.received if "gap" in payload)
    print(
        f"seed {arguments.seed}: {storm.made.total()} DDL {dict(storm.made)}; {storm.unpublished} changes of unpublished tables"
    )
    print(f"delivered: { {name: len(each.data) for name, each in subscribers.items()} }")
    print(f"withheld: {dict(Counter(verdict['reason'] for verdict in boss.verdicts))}; gap notices: {dict(gaps)}")
    wrong = len(storm.faults) + abs(storm.expected - storm.answered) + gaps["internal_error"]
    if wrong:
        raise SystemExit("\n".join([f"{storm.answered} of {storm.expected} changes answered", *storm.faults[:10]]))
    name = f"wrong or unanswered of {storm.expected} changes among {storm.made.total()} DDL, seed {arguments.seed}"
    return [Figure(name, "changes", wrong, storm.expected, "all of them", goal=0)]


async def _rage(arguments: argparse.Namespace) -> tuple[Storm, dict[str, Subscriber]]:
    storm = Storm(arguments.seed)
    async with EmbeddedPostgres() as postgres:
        engine = prepared(postgres.url)
        engine.run("create publication supabase_realtime" + MARKER)
        index: Index[Outlet] = Index()
        settings = Settings(reader_url=engine.reader, evaluator_url=engine.evaluator, slot="bench")
        service = Service(await Pipeline.open(settings, index), index, engine)
        try:
            await service.pipeline.attached()
            return storm, await storm_over(service, storm, arguments.ddl, arguments.writes, arguments.ahead)
        finally:
            await service.pipeline.close()
