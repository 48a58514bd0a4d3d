"""Clients that all connect and join in the same second, from a process of their own, twice: the second time they come back.

`python -m bench.stampede PORT COUNT SECONDS` reads the tokens from standard input, one a line; prints a line when everybody is
joined for the first time, cuts them off within so many seconds when it reads one, and prints what the second time was like.
"""

import base64
import json
import os
import select
import socket
import sys
import time
from collections.abc import Sequence

from bench.load import masked
from bench.subscribers import join_changes

PATIENCE = 120.0
TABLE = "tweets"


class Herd:
    """Sockets on their way from nothing to joined."""

    def __init__(self, port: int, tokens: Sequence[str]) -> None:
        self._port = port
        self._tokens = tokens
        self._sockets: dict[int, socket.socket] = {}
        self._poll = select.epoll()
        self._heard: dict[int, bytes] = {}
        self._greeted: set[int] = set()

    def run(self, within: float = 0.0) -> dict[str, float]:
        """Everybody is cut off, connects, and again when it was cut off before it was joined, as clients do.

        `within`: seconds over which that is spread evenly. Returns the seconds until the last one was joined, how many were
        refused, and how often somebody had to come again.
        """
        began, refused, again = time.monotonic(), 0, 0
        before, coming = list(self._sockets), list(reversed(self._tokens))
        waiting: dict[int, str] = {}
        while waiting or coming:
            due = len(self._tokens) * min(1.0, (time.monotonic() - began) / within) if within else len(self._tokens)
            while len(self._tokens) - len(coming) < due:
                if before:
                    self._cut(before.pop())
                waiting[self._start()] = coming.pop()
            if time.monotonic() - began > PATIENCE:
                raise TimeoutError(f"{len(waiting)} are not joined")
            for number, event in self._poll.poll(0.001 if coming else 1, 512):
                try:
                    told = self._go_on(number, event, waiting[number])
                except OSError:
                    again += 1
                    token = waiting.pop(number)
                    self._drop(number)
                    waiting[self._start()] = token
                    continue
                if told is not None:
                    refused += not told
                    del waiting[number]
                    self._poll.modify(number, 0)
        return {"seconds": time.monotonic() - began, "refused": refused, "again": again}

    def _go_on(self, number: int, event: int, token: str) -> bool | None:
        """The next step of one socket: whether it was let in, None while that is not known. Raises OSError when cut off."""
        opened = self._sockets[number]
        if event & select.EPOLLOUT:
            opened.sendall(_handshake(self._port, token))
            self._poll.modify(number, select.EPOLLIN)
            return None
        received = opened.recv(65_536)
        if not received:
            raise ConnectionError("the service closed a socket")
        data = self._heard[number] = self._heard.get(number, b"") + received
        if b'"phx_reply"' in data:
            return b'"status":"ok"' in data
        if b"\r\n\r\n" not in data or number in self._greeted:
            return None
        if not data.startswith(b"HTTP/1.1 101"):
            return False
        self._greeted.add(number)
        opened.sendall(masked(join_changes(TABLE, token)))
        return None

    def _drop(self, number: int) -> None:
        self._poll.unregister(number)
        self._sockets.pop(number).close()
        self._heard.pop(number, None)
        self._greeted.discard(number)

    def _cut(self, number: int) -> None:
        """Without a word."""
        self._sockets[number].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes((1, 0, 0, 0, 0, 0, 0, 0)))
        self._drop(number)

    def _start(self) -> int:
        opened = socket.socket()
        opened.setblocking(False)
        opened.connect_ex(("127.0.0.1", self._port))
        self._sockets[opened.fileno()] = opened
        self._poll.register(opened.fileno(), select.EPOLLOUT)
        return opened.fileno()


def _handshake(port: int, token: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET /socket/websocket?vsn=2.0.0&apikey={token} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def main() -> None:
    count = int(sys.argv[2])
    herd = Herd(int(sys.argv[1]), [sys.stdin.readline().strip() for _ in range(count)])
    print(json.dumps(herd.run()), flush=True)
    sys.stdin.readline()
    print(json.dumps(herd.run(float(sys.argv[3]))), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
