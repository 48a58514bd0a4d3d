"""Members of a topic that never read, among a thousand that do: what these feel of it, and how soon the others are closed."""

import argparse
import os
import re
import signal
import socket
import statistics
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import orjson

from bench.fanout import TOPIC, join, socket_path
from bench.load import Crowd, Process, masked, open_socket, prepare_client, server
from bench.report import Figure, percentile

MESSAGE_BYTES = 40_000
"""Smaller ones would vanish in the kernel's buffers for long."""
RECEIVE_BUFFER = 4_096
SLOWER, CLOSED_SECONDS, MEGABYTES_EACH, EXIT_SECONDS = 1.2, 10.0, 1.0, 5.0
PATIENCE = 60.0
PUSH = masked(
    orjson.dumps(["1", "2", TOPIC, "broadcast", {"type": "broadcast", "event": "tick", "payload": {"text": "x" * MESSAGE_BYTES}}])
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--readers", type=int, default=1_000)
    parser.add_argument("--stalled", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--rate", type=float, default=4.0, help="messages a second, each of 40 kB to everybody")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each part")
    parser.add_argument("--rounds", type=int, default=2, help="in each, a part without them before every part with them")
    parser.add_argument("--loop", default="uvloop", choices=["asyncio", "uvloop"], help="the event loop of the server")


def measure(arguments: argparse.Namespace) -> list[Figure]:
    prepare_client(arguments.readers + sum(arguments.stalled))
    with server("bench.service", arguments.loop) as process:
        readers = Readers(process.port, arguments.readers)
        try:
            return _figures(process, readers, arguments)
        finally:
            readers.close()


def _figures(process: Process, readers: "Readers", arguments: argparse.Namespace) -> list[Figure]:
    count = int(arguments.rate * arguments.seconds)
    readers.receive(count, arguments.rate)  # warms up
    calm: dict[int, list[float]] = {number: [] for number in arguments.stalled}
    busy: dict[int, list[float]] = {number: [] for number in arguments.stalled}
    closed: dict[int, list[float]] = {number: [] for number in arguments.stalled}
    memory: dict[int, list[float]] = {number: [] for number in arguments.stalled}
    for _ in range(arguments.rounds):
        for number in arguments.stalled:
            with _peak(process) as before, _closing(process, number):
                calm[number].append(percentile(readers.receive(count, arguments.rate), 99))
            with _stalled(process.port, number), _peak(process) as during, _closing(process, number) as seconds:
                busy[number].append(percentile(readers.receive(count, arguments.rate), 99))
            closed[number].append(seconds[0])
            memory[number].append((max(during) - max(before)) / number / 2**20)
    with _stalled(process.port, max(arguments.stalled)):
        readers.receive(int(arguments.rate * 3), arguments.rate)
        exited = _seconds_to_exit(process)
    figures = []
    for number in arguments.stalled:
        name = f"{number} stalled among {arguments.readers:,}"
        ours, reference = statistics.median(busy[number]), statistics.median(calm[number])
        figures += [
            Figure(f"{name}: p99 of the others", "ms", ours, reference, "none stalled", goal_ratio=SLOWER),
            Figure(f"{name}: closed after", "s", max(closed[number]), CLOSED_SECONDS, "goal", CLOSED_SECONDS),
            Figure(f"{name}: memory for each", "MiB", max(memory[number]), MEGABYTES_EACH, "goal", MEGABYTES_EACH),
        ]
    name = f"SIGTERM beside {max(arguments.stalled)} stalled: exit after"
    return [*figures, Figure(name, "s", exited, EXIT_SECONDS, "goal", EXIT_SECONDS, exact=True)]


class Readers(Crowd):
    """Those who read, and note when each message was there."""

    def __init__(self, port: int, size: int) -> None:
        self._counts: dict[int, int] = {}
        self._sent: list[float] = []
        self._taken: list[float] = []
        super().__init__(port, socket_path(), size, lambda _: join(TOPIC))

    def receive(self, messages: int, rate: float) -> list[float]:
        """One of them sends so many; the milliseconds that each took to each."""
        self._counts = dict.fromkeys(self._sockets, 0)
        self._sent, self._taken = [], []
        began = time.perf_counter()
        while len(self._taken) < messages * len(self):
            now = time.perf_counter()
            if len(self._sent) < messages and now >= began + len(self._sent) / rate:
                self._sent.append(now)
                self._sender.sendall(PUSH)
            self._read_ready(0.002)
            if now - began > messages / rate + PATIENCE:
                raise TimeoutError("messages did not arrive")
        return self._taken

    def _read(self, number: int) -> int:
        messages = super()._read(number)
        if self._sent:
            now = time.perf_counter()
            for at in range(self._counts[number], self._counts[number] + messages):
                self._taken.append((now - self._sent[at]) * 1e3)
            self._counts[number] += messages
        return messages


@contextmanager
def _stalled(port: int, number: int) -> Iterator[None]:
    opened = [_stall(port) for _ in range(number)]
    try:
        yield
    finally:
        for each in opened:
            each.close()


def _stall(port: int) -> socket.socket:
    """Joins, and reads nothing any more, with as little room in the kernel as there can be."""
    return open_socket(port, socket_path(), join(TOPIC), RECEIVE_BUFFER)


@contextmanager
def _peak(process: Process) -> Iterator[list[int]]:
    """What memory was there meanwhile, every 100 ms."""
    seen = [process.resident_bytes]
    with _meanwhile(lambda: seen.append(process.resident_bytes), 0.1):
        yield seen


@contextmanager
def _closing(process: Process, number: int) -> Iterator[list[float]]:
    """Seconds until all stalled ones were given up; infinity if they were not."""
    began, before, seconds = time.monotonic(), _given_up(process), [float("inf")]

    def look() -> None:
        if seconds[0] == float("inf") and _given_up(process) - before >= number:
            seconds[0] = time.monotonic() - began

    with _meanwhile(look, 0.5):
        yield seconds


@contextmanager
def _meanwhile(look: Callable[[], None], seconds: float) -> Iterator[None]:
    """Looks once in so many seconds."""
    done = threading.Event()

    def run() -> None:
        while not done.wait(seconds):
            look()

    watcher = threading.Thread(target=run)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _given_up(process: Process) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{process.port}/metrics", timeout=10) as answer:
        found = re.search(rb"^\w*slow_consumers_total (\S+)", answer.read(), re.MULTILINE)
    assert found is not None
    return float(found[1])


def _seconds_to_exit(process: Process) -> float:
    began = time.monotonic()
    os.kill(process.pid, signal.SIGTERM)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    return time.monotonic() - began
