"""Memory of the server per idle joined connection, each on a topic of its own."""

import argparse
import time
from collections.abc import Callable

from bench.fanout import join, socket_path
from bench.load import Crowd, prepare_client, server
from bench.report import Figure

GOAL_KB = 25.0
WARM = 20
"""Sockets that come and go first, so that what is made once per process is not counted per connection."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sockets", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--loop", default="asyncio", choices=["asyncio", "uvloop"], help="the event loop of both servers")


def measure(arguments: argparse.Namespace) -> list[Figure]:
    """A fresh server of each kind for each size, so that no memory of an earlier one is used again."""
    prepare_client(max(arguments.sockets))
    figures = []
    for size in arguments.sockets:
        ours = _kilobytes("bench.service", arguments.loop, size, _our_crowd)
        reference = _kilobytes("bench.reference", arguments.loop, size, lambda port, number: Crowd(port, "/", number))
        name = f"idle joined connection, {size} of them"
        figures.append(Figure(name, "kB", ours, reference, "starlette + uvicorn, no channels", GOAL_KB))
    return figures


def _kilobytes(module: str, loop: str, size: int, gather: Callable[[int, int], Crowd]) -> float:
    with server(module, loop) as process:
        gather(process.port, WARM).close()
        time.sleep(0.5)
        before = process.resident_bytes
        crowd = gather(process.port, size)
        grown = process.resident_bytes - before
        crowd.close()
    return grown / size / 1024


def _our_crowd(port: int, size: int) -> Crowd:
    return Crowd(port, socket_path(), size, lambda number: join(f"realtime:bench-{number}"))
