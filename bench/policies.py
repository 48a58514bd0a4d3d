"""What one table of ten whose policies sleep, raise or worse costs the subscribers of the other nine."""

import argparse
import asyncio
import re
import statistics
import threading
import time
from collections.abc import Sequence
from typing import Final

import psycopg

from bench.database import Database, sample_database, service, user
from bench.load import prepare_all
from bench.report import Figure
from bench.subscribers import Subscribers

TABLES: Final = tuple(f"hostile_{number}" for number in range(10))
OTHERS: Final = TABLES[1:]
DEEDS: Final = {
    "sleep": "perform pg_sleep(30);",
    "raise": "raise exception 'no';",
    "recurse": "perform public.deed();",
    "write": "insert into public.hostile_9 (owner) values (null);",
    "reset the role": "reset role;",
    "reset claims": "perform set_config('request.jwt.claims', '{}', true);",
    "swallow time-outs": "loop begin perform pg_sleep(1); exception when query_canceled then null; end; end loop;",
}
DEED: Final = (
    "create or replace function public.deed() returns boolean volatile language plpgsql as $$ begin {} return true; end $$"
)
KNOWN_SECONDS: Final = 2.0
"""After which those that are slow have been found."""
RATIO_GOAL: Final = 1.5
_numbers = re.compile(rb"bench (\d+)\.")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--users", type=int, default=20, help="of the hostile table, and as many of the others")
    parser.add_argument("--rounds", type=int, default=6, help="for each deed, half of each without it")
    parser.add_argument("--commits", type=int, default=500, help="one-row transactions in each half, on each table in turn")
    parser.add_argument("--rate", type=float, default=100.0, help="transactions per second")


def measure(arguments: argparse.Namespace) -> list[Figure]:
    prepare_all(2 * arguments.users)
    return asyncio.run(_measure(arguments))


async def _measure(arguments: argparse.Namespace) -> list[Figure]:
    figures = []
    async with sample_database() as database:
        _install(database)
        for deed, body in DEEDS.items():
            calm, beside = _latencies(database, body, arguments)
            name = f"others' p99 beside policies that {deed}, of {len(beside):,}"
            usual = _p99(calm)
            figures.append(Figure(name, "ms", _p99(beside), usual, f"without, of {len(calm):,}", goal_ratio=RATIO_GOAL))
            longest = max(beside) * 1_000
            figures.append(Figure(f"others' longest wait, policies that {deed}", "ms", longest, usual, "p99 without", 1_000))
    return figures


def _install(database: Database) -> None:
    database.run(DEED.format("null;"))
    for table in TABLES:
        deed = "public.deed() and " if table == TABLES[0] else ""
        database.run(
            f"create table public.{table} (id bigint generated always as identity primary key, owner uuid, content text)"
        )
        database.run(f"alter table public.{table} enable row level security")
        database.run(f"grant select on public.{table} to authenticated")
        database.run(f"create policy own on public.{table} for select using ({deed}owner = auth.uid())")
        database.run(f"alter publication supabase_realtime add table public.{table}")


def _latencies(database: Database, body: str, arguments: argparse.Namespace) -> tuple[list[float], list[float]]:
    """Seconds until each row of the other tables arrived, in turn without the deed and with it; not while it is found out."""
    everybody = range(arguments.users)
    waits: tuple[list[float], list[float]] = [], []
    expected = arguments.commits * len(OTHERS) // len(TABLES)
    with service(database) as process:
        hostile = Subscribers(process.port, database, TABLES[0], everybody)
        others = Subscribers(process.port, database, ",".join(OTHERS), everybody)
        for number in range(2 * arguments.rounds):
            for crowd in (hostile, others):  # whoever says nothing for a minute is closed
                crowd.stay()
            database.run(DEED.format(body if number % 2 else "null;"))
            began, sent = time.perf_counter(), dict[int, float]()
            writer = threading.Thread(target=lambda sent=sent: sent.update(_write(database, arguments)))
            writer.start()
            others.await_changes(expected)
            writer.join()
            arrived = [(at, int(text)) for at, data in others.arrivals for text in _numbers.findall(data)]
            waits[number % 2].extend([at - sent[each] for at, each in arrived if sent[each] - began > KNOWN_SECONDS])
        others.close()
        hostile.close()
    database.run(DEED.format("null;"))
    return waits


def _write(database: Database, arguments: argparse.Namespace) -> dict[int, float]:
    """At a steady rate; when each was sent, by number."""
    sent = {}
    with psycopg.connect(database.url) as connection:
        began = time.perf_counter()
        for number in range(arguments.commits):
            time.sleep(max(0.0, began + number / arguments.rate - time.perf_counter()))
            row = [user(number // len(TABLES) % arguments.users), f" bench {number}."]
            insert = f"insert into public.{TABLES[number % len(TABLES)]} (owner, content) values (%s, %s)"
            connection.execute(insert.encode(), row)
            sent[number] = time.perf_counter()
            connection.commit()
    return sent


def _p99(waits: Sequence[float]) -> float:
    return statistics.quantiles(waits, n=100, method="inclusive")[98] * 1_000
