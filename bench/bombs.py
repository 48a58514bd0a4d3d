"""What is sent to exhaust a service: memory that it takes at most, and seconds until every such socket is closed."""

import argparse
import socket
import threading
import time
import zlib
from collections.abc import Callable

from bench.load import Process, open_socket, server
from bench.report import Figure
from bench.service import SECRET
from realtime_inspector.identity.tokens import sign

HALVES = 500
EACH = 20
CLOSED_SECONDS = 10.0
MEGABYTES = 64.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--loop", default="uvloop", choices=["asyncio", "uvloop"])


def measure(options: argparse.Namespace) -> list[Figure]:
    path = f"/socket/websocket?vsn=2.0.0&apikey={sign({'role': 'anon', 'exp': 4_102_444_800}, SECRET)}"
    figures = []
    for name, attack in attacks(path).items():
        with server("bench.service", options.loop) as process:
            before = process.resident_bytes
            peak, done = [before], threading.Event()
            watcher = threading.Thread(target=_watch, args=(process, peak, done))
            watcher.start()
            seconds = _seconds_to_end(attack(process.port))
            done.set()
            watcher.join()
        grown = (max(peak) - before) / 1e6
        figures += [
            Figure(f"{name}: memory on top at most", "MB", grown, MEGABYTES, "goal", MEGABYTES, exact=True),
            Figure(f"{name}: until the last socket is closed", "s", seconds, CLOSED_SECONDS, "goal", CLOSED_SECONDS, exact=True),
        ]
    return figures


def attacks(path: str) -> dict[str, Callable[[int], list[socket.socket]]]:
    """By what they are: opens sockets to a port and does its worst with them."""
    inflating = zlib.compressobj(wbits=-15)
    bomb = inflating.compress(bytes(15_000_000)) + inflating.flush(zlib.Z_SYNC_FLUSH)
    payloads = {
        "frames that inflate to 15 MB": _frame(0xC1, bomb[:60_000]),
        "frames that claim 2^62 bytes": b"\x81\xff" + (1 << 62).to_bytes(8, "big") + bytes(4) + bytes(100_000),
        "endless fragments": _frame(0x01, b"") + _frame(0x00, b"") * 300_000,
        "pings, and nothing is read": _frame(0x89, b"x" * 125) * 100_000,
    }

    def halves(port: int) -> list[socket.socket]:
        opened = [socket.create_connection(("127.0.0.1", port)) for _ in range(HALVES)]
        for each in opened:
            each.sendall(b"GET /socket/websocket HTTP/1.1\r\nHost: x\r\nX: y")
        return opened

    def sending(payload: bytes) -> Callable[[int], list[socket.socket]]:
        def attack(port: int) -> list[socket.socket]:
            opened = [open_socket(port, path, None) for _ in range(EACH)]
            for each in opened:
                threading.Thread(target=_pour, args=(each, payload), daemon=True).start()
            return opened

        return attack

    return {"500 half handshakes": halves, **{f"{EACH} × {name}": sending(payload) for name, payload in payloads.items()}}


def _frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    head = bytes((first, 0x80 | size)) if size < 126 else bytes((first, 0xFE)) + size.to_bytes(2, "big")
    return head + bytes(4) + payload


def _pour(opened: socket.socket, payload: bytes) -> None:
    opened.setblocking(True)
    opened.settimeout(30)
    try:
        opened.sendall(payload)
    except OSError:
        return


def _seconds_to_end(opened: list[socket.socket]) -> float:
    """Reads until each is closed, in whatever way; at most a minute."""
    began = time.monotonic()
    for each in opened:
        each.settimeout(max(0.1, 60 - (time.monotonic() - began)))
        try:
            while each.recv(1 << 16):
                pass
        except OSError:
            pass
        each.close()
    return time.monotonic() - began


def _watch(process: Process, peak: list[int], done: threading.Event) -> None:
    while not done.wait(0.05):
        peak.append(process.resident_bytes)
