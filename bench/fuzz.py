"""Hostile frames without end: the service neither crashes nor logs faults, keeps its memory, and lets nobody else wait."""

import argparse
import asyncio
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from websockets.sync.client import ClientConnection, connect

from bench.database import Database, sample_database, token
from bench.hostile import Hostile
from bench.limits import VARIABLES
from bench.load import Process, open_socket
from bench.report import Figure

VERSIONS = ("1.0.0", "2.0.0")
BATCH = 100
SETTLED = 0.3
"""The share of the frames after which memory is expected to have settled."""
BEAT_SECONDS = 0.1
LATEST_SECONDS = 1.0
LARGEST_LOG = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--sockets", type=int, default=8, help="hostile ones at a time; half of them speak 1.0.0")
    parser.add_argument("--seed", type=int, default=1)


def measure(options: argparse.Namespace) -> list[Figure]:
    return asyncio.run(_measure(options))


async def _measure(options: argparse.Namespace) -> list[Figure]:
    async with sample_database() as database:
        return await asyncio.to_thread(_storm, database, options)


def _storm(database: Database, options: argparse.Namespace) -> list[Figure]:
    keys = [token(number, database.settings.jwt_secret) for number in range(4)]
    with tempfile.TemporaryFile() as log, _service(database, log) as (process, child):
        with bystander(process.port, keys[0]) as other:
            settled: list[int] = []
            storm = Storm(process.port, keys, options.seed, options.sockets)
            storm.send(int(options.frames * SETTLED))
            settled.append(process.resident_bytes)
            storm.send(options.frames - storm.sent)
            storm.close()
            grown = process.resident_bytes / settled[0]
            alive = child.poll() is None
        log.seek(0)
        lines = log.read()
    told = [line for line in lines.splitlines() if b"Traceback" in line or b'"level":"error"' in line]
    for line in told[:5]:
        print(line.decode(errors="replace"), file=sys.stderr)
    faults = len(told) + (not alive)
    seed = f"seed {options.seed}, {storm.sent:,} frames, {storm.closed:,} sockets closed"
    return [
        Figure("hostile frames: crashes and faults in the log", "", faults, 1, seed, goal=0, exact=True),
        Figure(
            "hostile frames: latest heartbeat of a bystander",
            "s",
            other.latest,
            LATEST_SECONDS,
            "goal",
            LATEST_SECONDS,
            exact=True,
        ),
        Figure("hostile frames: memory after, to memory settled", "", grown, 1, "flat", goal=1.1, exact=True),
        Figure("hostile frames: log", "kB", len(lines) / 1_000, LARGEST_LOG / 1_000, "goal", LARGEST_LOG / 1_000, exact=True),
    ]


@contextmanager
def _service(database: Database, log: IO[bytes]) -> Iterator[tuple[Process, "subprocess.Popen[bytes]"]]:
    """As it is shipped but for its limits, with a log that is kept."""
    urls = {"RTI_READER_URL": database.settings.reader_url, "RTI_EVALUATOR_URL": database.settings.evaluator_url}
    variables = os.environ | VARIABLES | urls | {"RTI_JWT_SECRET": database.settings.jwt_secret, "RTI_LOG_LEVEL": "info"}
    command = [sys.executable, "-m", "realtime_inspector", "serve", "--port", "0", "--ready-json"]
    child = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=log)
    try:
        assert child.stdout is not None
        yield Process(child.pid, int(json.loads(child.stdout.readline())["url"].rpartition(":")[2])), child
    finally:
        child.terminate()
        child.wait(10)


class Storm:
    """Hostile sockets that take turns; one that the service closes is opened again."""

    def __init__(self, port: int, keys: list[str], seed: int, sockets: int) -> None:
        self._port, self._keys = port, keys
        self._hostile = [Hostile(f"{seed} {number}", VERSIONS[number % 2], keys) for number in range(sockets)]
        self._sockets: list[socket.socket | None] = [None] * sockets
        self.sent = self.closed = 0

    def send(self, frames: int) -> None:
        """Sends so many more, or a few too many."""
        last = self.sent + frames
        while self.sent < last:
            for number, hostile in enumerate(self._hostile):
                batch = hostile.batch(BATCH)
                self.sent += BATCH
                try:
                    self._push(self._opened(number), batch)
                except OSError:
                    self._drop(number)

    def close(self) -> None:
        for number in range(len(self._sockets)):
            self._drop(number)

    def _opened(self, number: int) -> socket.socket:
        opened = self._sockets[number]
        if opened is None:
            path = f"/socket/websocket?vsn={VERSIONS[number % 2]}&apikey={self._keys[number % len(self._keys)]}"
            opened = self._sockets[number] = open_socket(self._port, path, None)
        return opened

    def _push(self, opened: socket.socket, batch: bytes) -> None:
        """Writes everything and reads whatever comes; raises OSError when the service has closed."""
        view, deadline = memoryview(batch), time.monotonic() + 30
        while view:
            readable, writable, _ = select.select([opened], [opened], [], 1)
            if readable and not opened.recv(1 << 18):
                raise ConnectionError
            if writable:
                view = view[opened.send(view) :]
            if time.monotonic() > deadline:
                raise TimeoutError("the service takes nothing any more")

    def _drop(self, number: int) -> None:
        opened, self._sockets[number] = self._sockets[number], None
        if opened is not None:
            self.closed += 1
            opened.close()


@dataclass
class Bystander:
    """`latest`: seconds that the slowest answer to a heartbeat took."""

    latest: float = 0.0
    answered: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def watch(self, port: int, key: str) -> None:
        with connect(f"ws://127.0.0.1:{port}/socket/websocket?vsn=2.0.0&apikey={key}", proxy=None) as link:
            self._beat(link)
            while not self.stop.wait(BEAT_SECONDS):
                self._beat(link)
            self._beat(link)

    def _beat(self, link: ClientConnection) -> None:
        began = time.monotonic()
        link.send('[null,"1","phoenix","heartbeat",{}]')
        link.recv(timeout=30)
        self.latest = max(self.latest, time.monotonic() - began)
        self.answered += 1


@contextmanager
def bystander(port: int, key: str) -> Iterator[Bystander]:
    """An honest client that is measured; it fails where it is not answered at all."""
    other = Bystander()
    failures: list[BaseException] = []

    def watch() -> None:
        try:
            other.watch(port, key)
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield other
    finally:
        other.stop.set()
        thread.join(60)
    if failures:
        raise failures[0]
