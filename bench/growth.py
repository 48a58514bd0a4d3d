"""How the time from a commit to the last hand-over grows with changes, identities and tables; `--plot` draws it."""

import argparse
import asyncio
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.bulk import engine
from bench.database import REFERENCE, Database, OneByOne, identity, sample_database, user
from bench.load import prepare_all
from bench.plot import Line, draw
from bench.report import Figure
from bench.service import loop_factory

TABLES = 5
POLICIES = {
    "owners only": "user_id = (select auth.uid())",
    "everybody asked": "user_id = (select auth.uid()) or length(content) > 100",
}
"""One that names whose a row is, and one that shows rows otherwise as well, so that each identity has to be asked."""
OWNERS_GOAL = 5.0
WATCHED_IDENTITIES = 1_000
ASKED_AT_MOST = 1_000
"""Identities that the reference asks; what it would take for more follows from these."""


@dataclass(frozen=True, slots=True)
class Cell:
    """So many changes in each of so many tables, in one transaction; each row is for one of the identities."""

    policy: str
    identities: int
    changes: int
    tables: int

    def __str__(self) -> str:
        return f"{self.policy}: {self.identities} identities × {self.changes} changes × {self.tables} tables"

    @property
    def names(self) -> list[str]:
        return [f"growth_{list(POLICIES).index(self.policy)}_{number}" for number in range(self.tables)]

    @property
    def owners(self) -> list[str]:
        return [user(number * self.identities // self.changes) for number in range(self.changes)]

    @property
    def goal(self) -> float | None:
        """Milliseconds."""
        return OWNERS_GOAL if (self.policy, self.changes, self.tables) == ("owners only", 1, 1) else None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--identities", type=int, nargs="+", default=[1, 100, 1_000, 5_000])
    parser.add_argument("--changes", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--tables", type=int, nargs="+", default=[1, TABLES], help=f"{TABLES} at most")
    parser.add_argument("--rounds", type=int, default=9, help="the median round counts; the reference has one")
    parser.add_argument("--plot", type=Path, help="an SVG file to write")


def measure(arguments: argparse.Namespace) -> list[Figure]:
    prepare_all(0)
    with asyncio.Runner(loop_factory=loop_factory("auto")) as runner:
        measured, watched = runner.run(_measure(arguments))
    if arguments.plot:
        arguments.plot.write_text(draw("commit to last hand-over, one table", "identities", "ms", list(_lines(measured))))
    return [*measured.values(), watched]


async def _measure(arguments: argparse.Namespace) -> tuple[dict[Cell, Figure], Figure]:
    measured = {}
    async with sample_database() as database:
        for policy in POLICIES:
            _create(database, policy)
            for size in arguments.identities:
                cells = [Cell(policy, size, changes, tables) for changes in arguments.changes for tables in arguments.tables]
                ours = await _ours(database, cells, arguments.rounds)
                theirs = [await asyncio.to_thread(_one_by_one, database, cell) for cell in cells]
                for cell, us, them in zip(cells, ours, theirs, strict=True):
                    measured[cell] = Figure(str(cell), "ms", us * 1e3, them * 1e3, REFERENCE, cell.goal)
        return measured, await _watched(database, Cell(next(iter(POLICIES)), WATCHED_IDENTITIES, 1, 1), arguments.rounds)


def _create(database: Database, policy: str) -> None:
    for name in Cell(policy, 1, 1, TABLES).names:
        database.run(
            f"create table public.{name} (id bigint generated always as identity primary key, user_id uuid, content text)"
        )
        database.run(f"alter table public.{name} enable row level security")
        database.run(f"create policy p on public.{name} to authenticated using ({POLICIES[policy]})")
        database.run(f"grant select on public.{name} to authenticated, service_role")
        database.run(f"alter publication {database.settings.publication} add table public.{name}")


async def _ours(database: Database, cells: Sequence[Cell], rounds: int) -> list[float]:
    """Seconds of the median round, for each cell; the identities are the same ones."""
    medians = []
    async with engine(database) as running:
        arrivals = await running.subscribe_alike(cells[0].identities, Cell(cells[0].policy, 1, 1, TABLES).names)
        for cell in cells:
            seconds = []
            for _ in range(rounds + 1):  # the first one warms up
                arrivals.expect(cell.changes * cell.tables)
                began = await asyncio.to_thread(_insert, database, cell)
                await arrivals.complete.wait()
                seconds.append(time.perf_counter() - began)
            medians.append(statistics.median(seconds[1:]))
    return medians


async def _watched(database: Database, cell: Cell, rounds: int) -> Figure:
    """The same, by turns, while somebody is told verdicts about another table and while nobody is."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    async with engine(database) as running:
        arrivals = await running.subscribe_alike(cell.identities, cell.names)
        for number in range(4 * rounds + 2):  # the first two warm up
            watching = number % 2 == 0
            leave = await running.watch("countries") if watching else None
            arrivals.expect(1)
            began = await asyncio.to_thread(_insert, database, cell)
            await arrivals.complete.wait()
            seconds[watching].append(time.perf_counter() - began)
            if leave is not None:
                leave()
    ours, theirs = (statistics.median(seconds[watching][1:]) * 1e3 for watching in (True, False))
    return Figure(f"{cell}, verdicts of another table watched", "ms", ours, theirs, "nobody watches", goal_ratio=1.1)


def _insert(database: Database, cell: Cell) -> float:
    """Returns when the commit was sent."""
    with database.connect() as connection:
        for name in cell.names:
            insert = f"insert into public.{name} (user_id, content) select owner, 'bench' from unnest(%s::uuid[]) as owner"
            connection.execute(insert.encode(), [cell.owners])
        began = time.perf_counter()
        connection.commit()
    return began


def _one_by_one(database: Database, cell: Cell) -> float:
    """Seconds; who comes after the first ones takes as long as they do."""
    asked = min(cell.identities, ASKED_AT_MOST)
    _insert(database, cell)
    last = f"select id from public.%s order by id desc limit {cell.changes}"
    keys = {name: [int(str(key)) for (key,) in database.run(last % name)] for name in cell.names}
    asking = {name: OneByOne(database, name, "t.id") for name in cell.names}
    began = time.perf_counter()
    found = sum(len(one.rows(identity(number), keys[name])) for name, one in asking.items() for number in range(asked))
    seconds = time.perf_counter() - began
    for one in asking.values():
        one.close()
    assert found == cell.tables * sum(number * cell.identities // cell.changes < asked for number in range(cell.changes))
    return seconds * cell.identities / asked


def _lines(measured: dict[Cell, Figure]) -> Iterator[Line]:
    """One per policy and number of changes, and the reference for each number of changes."""
    for changes in dict.fromkeys(cell.changes for cell in measured):
        said = f"{changes} change{'s' if changes > 1 else ''}"
        for policy in POLICIES:
            cells = [(c, f) for c, f in measured.items() if (c.policy, c.changes, c.tables) == (policy, changes, 1)]
            yield Line(f"{said}, {policy}", [(cell.identities, figure.ours) for cell, figure in cells])
        yield Line(f"{said}, {REFERENCE}", [(cell.identities, figure.reference) for cell, figure in cells], dashed=True)
