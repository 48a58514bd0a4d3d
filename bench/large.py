"""One very large transaction: memory of the service, heartbeats of a bystander, and whether a reader has everything in order."""

import argparse
import asyncio
import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import orjson

from bench.database import Database, insert_tweets, sample_database, service, token
from bench.load import Process, masked, open_socket
from bench.report import Figure
from bench.subscribers import join_changes

MEGABYTE = 1 << 20
WARM_UP = 2_000
BEAT_SECONDS, SAMPLE_SECONDS, PATIENCE = 0.5, 0.02, 600.0
SLOW_BYTES, SLOW_PAUSE = 4_096, 0.05
HEARTBEAT = masked(orjson.dumps([None, "9", "phoenix", "heartbeat", {}]))
MEMORY_GOAL, HEARTBEAT_GOAL = 64.0, 1.0
LONGEST = 64
"""Bytes that may be the beginning of the text of a row."""
_numbers = re.compile(rb"bench (\d+)\"")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, default=1_000_000)


@dataclass(slots=True)
class Large:
    """What was seen of one transaction of `rows`, and of one row that came after it."""

    rows: int
    received: int = 0
    disordered: int = 0
    closed: bool = False
    grown: int = 0
    beats: list[float] = field(default_factory=list)
    seconds: float = 0.0


def measure(arguments: argparse.Namespace) -> list[Figure]:
    seen = asyncio.run(run(arguments.rows))
    rows, name = seen.rows, f"a transaction of {seen.rows:,} rows"
    return [
        Figure(f"{name}: memory on top", "MB", seen.grown / MEGABYTE, rows / 1e6, "million rows", MEMORY_GOAL),
        Figure(f"{name}: a bystander's slowest heartbeat", "s", max(seen.beats), seen.seconds, "s in all", HEARTBEAT_GOAL),
        Figure(f"{name}: rows that the reader lacks", "", rows + 1 - seen.received, rows, "rows", 0, exact=True),
        Figure(f"{name}: out of order", "", seen.disordered, rows, "rows", 0, exact=True),
    ]


async def run(rows: int) -> Large:
    """A fresh database and service; one socket that reads, one that reads slowly, one that only has a heart."""
    async with sample_database() as database:
        return await asyncio.to_thread(_run, database, rows)


def _run(database: Database, rows: int) -> Large:
    seen, over, read = Large(rows), threading.Event(), threading.Event()
    with service(database) as process:
        _warm_up(database, process)
        before = process.resident_bytes
        work: list[Callable[[], None]] = [
            lambda: _read(_subscribed(database, process), seen, read),
            lambda: _read_slowly(_subscribed(database, process), over),
            lambda: _beat(_connected(process, token(0, database.settings.jwt_secret)), seen, over),
            lambda: _sample(process, before, seen, over),
        ]
        threads = [threading.Thread(target=each) for each in work]
        for thread in threads:
            thread.start()
        time.sleep(1)  # they are there
        began = time.monotonic()
        insert_tweets(database, rows, 1)
        insert_tweets(database, 1, 1)
        read.wait(PATIENCE)
        seen.seconds = time.monotonic() - began
        over.set()
        for thread in threads:
            thread.join()
    return seen


def _warm_up(database: Database, process: Process) -> None:
    """What is made once is not counted."""
    seen = Large(WARM_UP)
    with _subscribed(database, process) as reader:
        insert_tweets(database, WARM_UP, 1)
        _take(reader, seen, WARM_UP)


def _subscribed(database: Database, process: Process) -> socket.socket:
    mine = token(0, database.settings.jwt_secret)
    return _connected(process, mine, join_changes("tweets", mine))


def _connected(process: Process, mine: str, join: bytes | None = None) -> socket.socket:
    opened = open_socket(process.port, f"/socket/websocket?vsn=2.0.0&apikey={mine}", join)
    opened.settimeout(PATIENCE)
    return opened


def _read(reader: socket.socket, seen: Large, read: threading.Event) -> None:
    with reader:
        _take(reader, seen, seen.rows + 1)
    read.set()


def _take(reader: socket.socket, seen: Large, rows: int) -> None:
    """Reads so many rows, or until the socket is closed; says something now and then, as clients do."""
    tail, due = b"", 0.0
    while seen.received < rows:
        if time.monotonic() >= due:
            reader.sendall(HEARTBEAT)
            due = time.monotonic() + 10
        data = reader.recv(1 << 18)
        if not data:
            seen.closed = True
            return
        data, end = tail + data, 0
        for found in _numbers.finditer(data):
            seen.disordered += int(found[1]) != seen.received % seen.rows + 1
            seen.received += 1
            end = found.end()
        tail = data[max(end, len(data) - LONGEST) :]


def _read_slowly(reader: socket.socket, over: threading.Event) -> None:
    with reader, suppress(OSError):
        while not over.wait(SLOW_PAUSE) and reader.recv(SLOW_BYTES):
            pass


def _beat(quiet: socket.socket, seen: Large, over: threading.Event) -> None:
    with quiet:
        while not over.wait(BEAT_SECONDS):
            began = time.monotonic()
            quiet.sendall(HEARTBEAT)
            quiet.recv(65_536)
            seen.beats.append(time.monotonic() - began)


def _sample(process: Process, before: int, seen: Large, over: threading.Event) -> None:
    while not over.wait(SAMPLE_SECONDS):
        seen.grown = max(seen.grown, process.resident_bytes - before)
