"""Kills Postgres and the service and cuts the network while changes flow, and counts what clients that come back have lost."""

import argparse
import asyncio
import itertools
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.report import Figure
from bench.returning import Returning
from bench.theatre import Theatre, staged

QUIET = 1.5
"""Seconds in which nothing more may come in the end."""
OVERLAP = 0.25
"""How often a fault does not wait until everybody recovered from the one before."""
RECOVERY_GOAL = 5.0
LEGS, WAYS = ("clients", "database"), ("cut", "outage", "silence", "delay", "trickle")
PLANTS = ("forgets", "repeats", "early")
"""Bugs that have to be seen: a client that comes back with nothing, one that comes back with its first position only, a service
that lets Postgres forget what clients who are away have yet to be sent."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to happen. `postgres`, `service`, `cuts`: how many faults of each kind."""

    seed: int = 1
    changes: int = 100_000
    postgres: int = 20
    service: int = 20
    cuts: int = 50
    plant: str = ""
    patience: float = 30.0
    """Seconds after a fault until a client that heard of nothing newer counts as stuck."""

    def faults(self, choice: random.Random) -> list[str]:
        """Their names, in the order in which they happen."""
        cuts = [f"{leg} {way}" for leg in LEGS for way in WAYS]
        lives = [("service", "service away")[n % 2] for n in range(self.service)]
        names = [*["postgres"] * self.postgres, *lives, *[cuts[n % len(cuts)] for n in range(self.cuts)]]
        choice.shuffle(names)
        return names


@dataclass(slots=True)
class Outcome:
    """What all clients together saw. `recovered`: for each fault, seconds from its end until all had something newer."""

    written: int = 0
    expected: int = 0
    lost: int = 0
    duplicated: int = 0
    disordered: int = 0
    strange: int = 0
    gaps: list[str] = field(default_factory=list)
    refusals: int = 0
    returns: int = 0
    stuck: list[str] = field(default_factory=list)
    recovered: dict[str, list[float]] = field(default_factory=dict)
    inflicted: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def exact(self) -> bool:
        """Whether everybody was told of everything that is theirs, once and in order."""
        return not (self.lost or self.duplicated or self.disordered or self.strange or self.gaps or self.stuck)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--changes", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=20, help="of Postgres, and as many of the service")
    parser.add_argument("--cuts", type=int, default=50, help="of the network, on both sides of the service")
    parser.add_argument("--plant", choices=PLANTS, default="", help="a bug, which has to be seen")


def measure(arguments: argparse.Namespace) -> list[Figure]:
    """First without faults, then with them."""
    plan = Plan(arguments.seed, arguments.changes, arguments.kills, arguments.kills, arguments.cuts, arguments.plant)
    control = asyncio.run(suffer(Plan(plan.seed, plan.changes // 10, 0, 0, 0)))
    return [*_figures("without faults", control), *_figures(f"with faults, seed {plan.seed}", asyncio.run(suffer(plan)))]


def _figures(when: str, outcome: Outcome) -> list[Figure]:
    counts = {
        "lost": outcome.lost,
        "duplicated": outcome.duplicated,
        "out of order": outcome.disordered,
        "of somebody else": outcome.strange,
        "gap notices": len(outcome.gaps),
        "clients that stayed silent": len(outcome.stuck),
    }
    expected = f"to be delivered, in {outcome.seconds:.0f} s"
    figures = [Figure(f"{what}, {when}", "", n, outcome.expected, expected, 0, exact=True) for what, n in counts.items()]
    for kind, seconds in sorted(outcome.recovered.items()):
        name = f"recovery after {kind}, {len(seconds)} of {outcome.inflicted[kind]} times (the others met the next fault)"
        median = statistics.median(seconds)
        figures.append(Figure(f"{name}, median", "s", median, max(seconds), "the longest", RECOVERY_GOAL))
    return figures


def compare(expected: Sequence[int], received: Sequence[int], outcome: Outcome) -> None:
    """Adds what one client saw to the outcome; ids grow in the order of commits."""
    first = list(dict.fromkeys(received))
    outcome.expected += len(expected)
    outcome.lost += len(set(expected) - set(first))
    outcome.strange += len(set(first) - set(expected))
    outcome.duplicated += len(received) - len(first)
    outcome.disordered += sum(later < earlier for earlier, later in itertools.pairwise(first))


async def suffer(plan: Plan) -> Outcome:
    """One run."""
    choice, outcome, began = random.Random(plan.seed), Outcome(), time.monotonic()
    async with staged(plan.plant == "early", choice) as theatre:
        clients = [theatre.client(owner, _past(plan.plant)) for owner in theatre.owners]
        tasks = [asyncio.create_task(client.run()) for client in clients]
        await _until(lambda: all(client.joins for client in clients), plan.patience)
        writing = asyncio.create_task(theatre.write())
        try:
            await _faults(plan, theatre, clients, outcome, choice)
            theatre.allow(max(10, plan.changes - theatre.written))
            theatre.finished = True
            await writing
            await _finish(theatre, clients, outcome, plan.patience)
        finally:
            for task in (*tasks, writing):
                task.cancel()
            await asyncio.gather(*tasks, writing, return_exceptions=True)
    outcome.written, outcome.seconds = theatre.written, time.monotonic() - began
    return outcome


async def _faults(plan: Plan, theatre: Theatre, clients: Sequence[Returning], outcome: Outcome, choice: random.Random) -> None:
    """Each in the middle of its share of the changes."""
    faults = plan.faults(choice)
    for number, name in enumerate(faults):
        half = max(20, (plan.changes - theatre.written) // (len(faults) - number + 1) // 2)
        theatre.allow(half)
        await _until(lambda: theatre.written >= theatre.allowed, plan.patience)
        theatre.allow(half)
        marks = {owner: theatre.last(owner) for owner in theatre.owners}
        await theatre.inflict(name)
        outcome.inflicted[name] += 1
        if choice.random() >= OVERLAP or number + 1 == len(faults):
            ended = time.monotonic()

            def recovered(marks: dict[str, int] = marks) -> bool:
                return all(client.received and client.received[-1] > marks[client.owner] for client in clients)

            if not await _until(recovered, plan.patience):
                outcome.stuck.append(name)
                return
            outcome.recovered.setdefault(name, []).append(time.monotonic() - ended)


async def _finish(theatre: Theatre, clients: Sequence[Returning], outcome: Outcome, patience: float) -> None:
    truth = await theatre.truth()
    await _until(lambda: all(client.received and client.received[-1] >= truth[client.owner][-1] for client in clients), patience)
    await asyncio.sleep(QUIET)
    for client in clients:
        compare(truth[client.owner], client.received, outcome)
        outcome.gaps += client.gaps
        outcome.refusals += len(client.refusals)
        outcome.returns += client.joins - 1


def _past(plant: str) -> Callable[[str, str], str | None]:
    """What a client comes back with: the token of its last join, and the last event or moment that it received."""
    if plant == "forgets":
        return lambda _token, _reached: None
    if plant == "repeats":
        return lambda token, _reached: token
    return lambda token, reached: f"{token}.{reached}" if reached else token


async def _until(condition: Callable[[], bool], patience: float) -> bool:
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.01)
    return True
