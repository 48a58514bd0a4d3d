"""What triggers that notify cost those who write, while somebody listens: seconds with them and without."""

import argparse
import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial

import psycopg

from bench.report import Figure
from realtime_inspector.postgres.announced import ROW_TRIGGER
from realtime_inspector.postgres.embedded import EmbeddedPostgres
from realtime_inspector.postgres.listener import CHANNEL
from realtime_inspector.postgres.setup import Options, prepare
from realtime_inspector.postgres.sql import quote_identifier

REFERENCE = "without triggers"
TABLE = "create table public.written (id bigint generated always as identity primary key, content text)"
INSERT = "insert into written (content) values ('x')"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, default=20_000, help="written by one statement")
    parser.add_argument("--commits", type=int, default=1_000, help="of one row each, by each writer")
    parser.add_argument("--writers", type=int, nargs="+", default=[1, 4], help="at the same time")
    parser.add_argument("--rounds", type=int, default=5, help="the median round counts")


def measure(arguments: argparse.Namespace) -> list[Figure]:
    return asyncio.run(_measure(arguments))


async def _measure(arguments: argparse.Namespace) -> list[Figure]:
    rows, commits = arguments.rows, arguments.commits
    async with EmbeddedPostgres() as postgres, _listened(postgres.url):
        figures = []
        for done, statement in (
            ("inserted", f"insert into written (content) select 'x' from generate_series(1, {rows})"),
            ("updated", f"update written set content = 'y' where id <= {rows}"),
        ):
            write = partial(_write, postgres.url, statement, 1)
            pair = _compared(postgres.url, arguments.rounds, rows, write)
            figures.append(Figure(f"a row of {rows} {done} by one statement", "µs", *pair, REFERENCE))
        for writers in arguments.writers:
            write = partial(_together, postgres.url, INSERT, commits, writers)
            pair = _compared(postgres.url, arguments.rounds, commits, write)
            figures.append(Figure(f"a commit of one row, {writers} at the same time", "µs", *pair, REFERENCE))
    return figures


@asynccontextmanager
async def _listened(url: str) -> AsyncIterator[None]:
    """A table with triggers, and a session that is told. What it does with that would cost the machine, not those who write."""
    _write(url, TABLE, 1)
    await prepare(url, Options(supabase_roles=True, source="notify", tables=("public.written",)))
    with psycopg.connect(url, autocommit=True) as listener:
        listener.execute(f"listen {CHANNEL}")
        yield


def _compared(url: str, rounds: int, pieces: int, write: Callable[[], None]) -> tuple[float, float]:
    """Median microseconds of a piece with triggers and without, by turns."""
    found: dict[str, list[float]] = {"enable always": [], "disable": []}
    for _ in range(rounds):
        for switch, times in found.items():
            _write(url, f"alter table written {switch} trigger {quote_identifier(ROW_TRIGGER)}", 1)
            began = time.perf_counter()
            write()
            times.append((time.perf_counter() - began) / pieces * 1e6)
    return statistics.median(found["enable always"]), statistics.median(found["disable"])


def _together(url: str, statement: str, times: int, writers: int) -> None:
    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(lambda _: _write(url, statement, times), range(writers)))


def _write(url: str, statement: str, times: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(times):
            connection.execute(statement.encode())
