"""Coming back: after a minute among many changes, and later than the window; and writing as soon as a join is answered."""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import psycopg
from msgspec import structs

from bench.database import Database, sample_database, service, token, user
from bench.report import Figure
from bench.returning import Returning

PATIENCE = 300.0
QUIET = 1.0
"""Seconds in which nothing more may come in the end."""
SCHEMA = """
create table public.away (id bigint primary key, owner uuid); alter table public.away enable row level security;
create policy own on public.away for select using (owner = auth.uid());
grant select on public.away to authenticated;
alter publication supabase_realtime add table public.away;
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--changes", type=int, default=50_000, help="one-row transactions while the client is away")
    parser.add_argument("--seconds", type=float, default=60.0, help="that it is away at least")
    parser.add_argument("--eager", type=int, default=1_000, help="rows written as soon as a join is answered")


@dataclass(frozen=True, slots=True)
class Seen:
    """The rows that one client should have been told of and was, and what it was told besides."""

    expected: Sequence[int]
    received: Sequence[int]
    notices: Sequence[str]

    @property
    def lost(self) -> int:
        """What it misses."""
        return len(set(self.expected) - set(self.received))

    @property
    def wrong(self) -> int:
        """What came twice, out of order, or should not have come at all."""
        return len(self.received) - len(set(self.received) & set(self.expected)) + (list(self.received) != sorted(self.received))


def measure(arguments: argparse.Namespace) -> list[Figure]:
    return asyncio.run(_measure(arguments))


async def _measure(arguments: argparse.Namespace) -> list[Figure]:
    name = f"away {arguments.seconds:.0f} s among {arguments.changes:,} changes"
    within = await back_after(arguments.changes, arguments.seconds)
    beyond = await back_after(100, 4.0, window=1)
    eager = await at_once(arguments.eager)
    return [
        *_figures(name, within, "resumed"),
        *_figures("away beyond the window", beyond, "gap: retention"),
        *_figures(f"{arguments.eager:,} rows written as soon as the join is answered", eager, ""),
    ]


def _figures(name: str, seen: Seen, notice: str) -> list[Figure]:
    counts = {
        "lost": seen.lost,
        "twice, stale or out of order": seen.wrong,
        "notices other than the one that is due": int(list(seen.notices) != ([notice] if notice else [])),
    }
    return [Figure(f"{name}: {what}", "", n, max(1, len(seen.expected)), "changes", 0, exact=True) for what, n in counts.items()]


async def back_after(changes: int, seconds: float, *, window: int | None = None) -> Seen:
    """A client leaves, so many rows are written one by one, and it comes back. `window`: RTI_RESUME_SECONDS, if another."""
    async with _stage(window) as (database, client):
        async with _connected(client):
            await asyncio.to_thread(_write, database, 0, 10)
            await _until(lambda: len(client.received) == 10)
        left = time.monotonic()
        await asyncio.to_thread(_write, database, 10, 10 + changes)
        await asyncio.sleep(max(0.0, left + seconds - time.monotonic()))
        async with _connected(client):
            await _until(lambda: bool(client.notices))
            await asyncio.to_thread(_write, database, 10 + changes, 20 + changes)
            await _until(lambda: client.received[-1] == 19 + changes)
            await asyncio.sleep(QUIET)
        missed = 10 if window is None else 10 + changes
        return Seen([*range(10), *range(missed, 20 + changes)], client.received, client.notices)


async def at_once(rows: int) -> Seen:
    """So many rows, each in a transaction of its own, the first one as soon as the client is told that it is subscribed."""
    async with _stage(None) as (database, client), _connected(client):
        await asyncio.to_thread(_write, database, 0, rows)
        await _until(lambda: bool(client.received) and client.received[-1] == rows - 1)
        await asyncio.sleep(QUIET)
        return Seen(range(rows), client.received, client.notices)


@asynccontextmanager
async def _stage(window: int | None) -> AsyncIterator[tuple[Database, Returning]]:
    async with sample_database() as database:
        with psycopg.connect(database.url, autocommit=True) as admin:
            admin.execute(SCHEMA.encode())
        if window is not None:
            database = replace(database, settings=structs.replace(database.settings, resume_seconds=window))
        with service(database) as process:
            key = token(0, database.settings.jwt_secret)
            address = f"ws://127.0.0.1:{process.port}/socket/websocket?vsn=2.0.0&apikey={key}"
            yield (
                database,
                Returning(user(0), address, "away", lambda joined, reached: f"{joined}.{reached}" if reached else joined),
            )


@asynccontextmanager
async def _connected(client: Returning) -> AsyncIterator[None]:
    joins, running = client.joins, asyncio.create_task(client.run())
    try:
        await _until(lambda: client.joins > joins)
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _write(database: Database, first: int, last: int) -> None:
    with psycopg.connect(database.url, autocommit=True) as connection:
        for number in range(first, last):
            connection.execute("insert into public.away values (%s, %s)", [number, user(0)])


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110, nobody tells
            await asyncio.sleep(0.001)
