"""Log that the slot of an idle service holds back while other tables write much, beside a slot that nobody reads."""

import argparse
import asyncio
import time

from bench.database import Database, sample_database, service
from bench.report import Figure

GOAL_MB = 32.0
REFERENCE = "a slot that nobody reads"
BATCH_MB = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--megabytes", type=int, default=200, help="of log that tables outside of the publication write")


def measure(arguments: argparse.Namespace) -> list[Figure]:
    """Checkpoints come as on a busy server; the figure is the most that was held back after a batch and a second."""

    async def all_of_it() -> list[Figure]:
        async with sample_database() as database:
            return await asyncio.to_thread(_measure, database, arguments.megabytes)

    return asyncio.run(all_of_it())


def _measure(database: Database, megabytes: int) -> list[Figure]:
    slot = database.settings.slot
    with service(database):
        database.run("select pg_create_logical_replication_slot('bench_idle', 'pgoutput')")
        database.run("create table bench_busy (filler text)")
        database.run("alter table bench_busy alter filler set storage plain")
        most = 0.0
        for _ in range(megabytes // BATCH_MB):
            database.run("insert into bench_busy select repeat('x', 8000) from generate_series(1, %s)", BATCH_MB * 125)
            database.run("checkpoint")
            time.sleep(1.0)
            most = max(most, _held(database, slot))
        unread = _held(database, "bench_idle")
        database.run("select pg_drop_replication_slot('bench_idle')")
    return [Figure(f"log held back under {megabytes} MB of others' log, at most", "MB", most, unread, REFERENCE, GOAL_MB)]


def _held(database: Database, slot: str) -> float:
    query = "select pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::float8 from pg_replication_slots where slot_name = %s"
    ((held,),) = database.run(query, slot)
    return float(str(held)) / 1e6
