"""Random DDL among random writes, at length: `python -m bench.ddl --seed 1`. Ends with status 1 where something is wrong."""

import argparse
import asyncio
import sys
from collections import Counter

from realtime_inspector.pipeline import Pipeline
from realtime_inspector.ports import Outlet
from realtime_inspector.postgres.embedded import EmbeddedPostgres
from realtime_inspector.settings import Settings
from realtime_inspector.visibility.index import Index
from tests.postgres.conftest import ROLES, Engine, login
from tests.postgres.river import MARKER, Service
from tests.postgres.storm import Storm, storm_over


async def rage(seed: int, ddl: int, writes: int, ahead: int) -> bool:
    """Prints what happened; whether all is well."""
    storm = Storm(seed)
    async with EmbeddedPostgres() as postgres:
        engine = Engine(
            postgres.url, login(postgres.url, "engine_reader", "reader"), login(postgres.url, "engine_evaluator", "evaluator")
        )
        engine.run(ROLES + "create publication supabase_realtime" + MARKER)
        index: Index[Outlet] = Index()
        settings = Settings(reader_url=engine.reader, evaluator_url=engine.evaluator, slot="bench")
        service = Service(await Pipeline.open(settings, index), index, engine)
        try:
            await service.pipeline.attached()
            subscribers = await storm_over(service, storm, ddl, writes, ahead)
        finally:
            await service.pipeline.close()
    boss = subscribers["boss"]
    gaps = Counter(payload["gap"]["reason"] for payload in boss.received if "gap" in payload)
    print(f"seed {seed}: {storm.made.total()} DDL {dict(storm.made)}")
    print(f"{storm.expected} changes of published tables, {storm.answered} answered; {storm.unpublished} of others")
    print(f"delivered: { {name: len(each.data) for name, each in subscribers.items()} }")
    print(f"withheld: {dict(Counter(verdict['reason'] for verdict in boss.verdicts))}; gap notices: {dict(gaps)}")
    print(f"values under another column's name: {len(storm.faults)}", *storm.faults[:5], sep="\n")
    return not storm.faults and storm.answered == storm.expected and "internal_error" not in gaps


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ddl", description=__doc__)
    for name, default in (("seed", 1), ("ddl", 200), ("writes", 20_000), ("ahead", 40)):
        parser.add_argument(f"--{name}", type=int, default=default)
    sys.exit(not asyncio.run(rage(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
