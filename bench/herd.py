"""Thousands of sockets that come back in the same second: how long until all are joined, and what live events feel of it."""

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import IO

from bench.database import Database, service, token, with_database
from bench.load import prepare_all
from bench.report import Figure, percentile
from bench.subscribers import Subscribers

ALL_JOINED_SECONDS = 30.0
SLOWER = 3.0
RATE = 20.0
"""Live events per second."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sockets", type=int, default=5_000)
    parser.add_argument("--within", type=float, default=1.0, help="seconds in which all are cut off and come back")
    parser.add_argument("--calm", type=float, default=15.0, help="seconds in which live events are measured before")


def measure(arguments: argparse.Namespace) -> list[Figure]:
    prepare_all(2 * arguments.sockets)
    return with_database(_stampede, arguments)


def _stampede(database: Database, arguments: argparse.Namespace) -> list[Figure]:
    tokens = [token(number, database.settings.jwt_secret) for number in range(1, arguments.sockets + 1)]
    with service(database) as process:
        witness = Subscribers(process.port, database, "countries", [0])
        herd = _herd(process.port, tokens, arguments.within)
        try:
            told = json.loads(_line(herd.stdout))
            time.sleep(2)
            _live(database, witness, _for(1.0))
            calm = _live(database, witness, _for(arguments.calm))
            returned: list[dict[str, float]] = []
            watcher = threading.Thread(target=lambda: returned.append(json.loads(_line(herd.stdout))))
            watcher.start()
            _say(herd)
            busy = _live(database, witness, watcher.is_alive)
            watcher.join()
            _say(herd)
        finally:
            herd.kill()
            herd.wait()
            witness.close()
        connections = database.run("select count(*) from pg_stat_activity where usename ~ 'evaluator|reader'")
    refused = told["refused"] + returned[0]["refused"]
    name = f"{arguments.sockets:,} sockets come back within {arguments.within:g} s"
    limit = process_limit(database)
    return [
        Figure(f"{name}: all joined", "s", returned[0]["seconds"], ALL_JOINED_SECONDS, "goal", ALL_JOINED_SECONDS, exact=True),
        Figure(f"{name}: refused", "", refused, 1, "none", 0, exact=True),
        Figure(f"{name}: connections that broke before they were joined, and came again", "", returned[0]["again"], 1, "none"),
        Figure(f"{name}: live events meanwhile, p50", "ms", percentile(busy, 50), percentile(calm, 50), "calm"),
        Figure(
            f"{name}: live events meanwhile, p99", "ms", percentile(busy, 99), percentile(calm, 99), "calm", goal_ratio=SLOWER
        ),
        Figure(
            f"{name}: connections to Postgres", "", float(str(connections[0][0])), limit, "all that are configured", goal_ratio=1
        ),
    ]


def process_limit(database: Database) -> int:
    """Connections that the service may have: evaluators, authorizer and catalogue, reader, stream, admin interface."""
    return database.settings.evaluator_connections + 12


def _herd(port: int, tokens: list[str], within: float) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "bench.stampede", str(port), str(len(tokens)), str(within)]
    herd = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert herd.stdin is not None
    herd.stdin.write("\n".join(tokens) + "\n")
    herd.stdin.flush()
    return herd


def _line(stream: IO[str] | None) -> str:
    assert stream is not None
    line = stream.readline()
    assert line, "the herd has died"
    return line


def _say(herd: "subprocess.Popen[str]") -> None:
    assert herd.stdin is not None
    herd.stdin.write("\n")
    herd.stdin.flush()


def _for(seconds: float) -> Callable[[], bool]:
    until = time.monotonic() + seconds
    return lambda: time.monotonic() < until


def _live(database: Database, witness: Subscribers, go_on: Callable[[], bool]) -> list[float]:
    """Milliseconds from commit to arrival, one event after the other, as long as it goes on."""
    taken = []
    with database.connect() as writer:
        writer.autocommit = True
        while go_on():
            began = time.perf_counter()
            writer.execute("insert into public.countries (name) values ('bench')")
            committed = time.perf_counter()
            witness.await_changes(1)
            taken.append((witness.arrivals[-1][0] - committed) * 1e3)
            witness.stay()
            time.sleep(max(0.0, 1 / RATE - (time.perf_counter() - began)))
    return taken
