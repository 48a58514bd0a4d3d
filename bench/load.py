"""A load client that costs little: raw sockets and epoll, counting bytes instead of parsing messages."""

import base64
import contextlib
import os
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

SERVER_CORE, CLIENT_CORE = 0, 1
PING = 0x89


@dataclass(frozen=True, slots=True)
class Process:
    """A server in a process of its own, on a core of its own where there are several."""

    pid: int
    port: int

    @property
    def cpu_seconds(self) -> float:
        """By the scheduler's own account, in nanosecond steps (clock ticks would be 10 ms)."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    @property
    def resident_bytes(self) -> int:
        """Memory that is really there."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def server(module: str, *arguments: str) -> Iterator[Process]:
    """Runs `python -m module PORT *arguments` until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    child = subprocess.Popen([sys.executable, "-m", module, str(port), *arguments])
    try:
        _pin(child.pid, SERVER_CORE)
        _await_port(port, child)
        yield Process(child.pid, port)
    finally:
        child.terminate()
        child.wait(10)


def prepare_client(sockets: int) -> None:
    """Takes the other core, and descriptors for the sockets."""
    _pin(0, CLIENT_CORE)
    _allow(sockets)


def prepare_all(sockets: int) -> None:
    """Lets this process and what it starts use every core, and takes descriptors for the sockets."""
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    _allow(sockets)


def _allow(sockets: int) -> None:
    """One descriptor per socket as far as the hard limit lets us (servers inherit it)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = sockets + 200
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise SystemExit(f"{sockets} sockets need a limit of {wanted} open files, the hard limit is {hard}: see ulimit -n")
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def masked(payload: bytes, opcode: int = 1) -> bytes:
    """A client's frame; with an all-zero mask, which is legal, the payload stays as it is."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65_536:
        head = bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0xFF)) + size.to_bytes(8, "big")
    return head + bytes(4) + payload


class Crowd:
    """Many sockets to one server, all reading what one of them causes; they answer pings, or else they would be closed."""

    def __init__(self, port: int, path: str, size: int, join: Callable[[int], bytes] | None = None) -> None:
        """`join`: the message that the socket with this number sends first; one answer is awaited."""
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._partial: dict[int, bytes] = {}
        self._frame_size = 0
        for number in range(size):
            opened = open_socket(port, path, None if join is None else join(number))
            self._sockets[opened.fileno()] = opened
            self._poll.register(opened.fileno(), select.EPOLLIN)
            if number % 100 == 0:
                self._read_ready(0)
        self._sender = next(iter(self._sockets.values()))
        while self._read_ready(0.3):
            pass

    def __len__(self) -> int:
        return len(self._sockets)

    def exchange(self, frames: bytes, expected: int, frame_size: int) -> None:
        """One socket sends; returns when so many messages of this size have arrived over all sockets."""
        self._frame_size = frame_size
        self._sender.sendall(frames)
        deadline = time.monotonic() + 10
        while expected > 0:
            expected -= self._read_ready(1)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{expected} messages did not arrive")

    def close(self) -> None:
        self._poll.close()
        for each in self._sockets.values():
            each.close()

    def _read_ready(self, seconds: float) -> int:
        return sum(self._read(number) for number, _ in self._poll.poll(seconds, 256))

    def _read(self, number: int) -> int:
        """How many messages arrived: by the size alone where it fits, frame by frame where something else is between."""
        data = self._sockets[number].recv(1 << 18)
        if not data:
            raise ConnectionError("the server closed a socket")
        if number not in self._partial and self._frame_size and len(data) % self._frame_size == 0 and data[0] != PING:
            return len(data) // self._frame_size
        return self._parse(number, self._partial.pop(number, b"") + data)

    def _parse(self, number: int, data: bytes) -> int:
        messages = 0
        while len(data) >= 2 and len(data) >= (end := _frame_end(data)):
            if data[0] == PING:
                self._sockets[number].sendall(masked(data[2:end], opcode=10))
            else:
                messages += 1
            data = data[end:]
        if data:
            self._partial[number] = data
        return messages


def _frame_end(data: bytes) -> int:
    size = data[1]
    if size == 126:
        return 4 + int.from_bytes(data[2:4], "big")
    return 10 + int.from_bytes(data[2:10], "big") if size == 127 else 2 + size


def open_socket(port: int, path: str, join: bytes | None, receive_buffer: int = 0) -> socket.socket:
    """A WebSocket that does not block. `join`: sent first, an answer awaited; `receive_buffer`: bytes, 0 as the kernel likes."""
    opened = socket.socket()
    if receive_buffer:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    opened.connect(("127.0.0.1", port))
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = base64.b64encode(os.urandom(16)).decode()
    opened.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head and (more := opened.recv(4096)):
        head += more
    if not head.startswith(b"HTTP/1.1 101"):
        raise ConnectionError(f"the server refused the WebSocket: {head!r}")
    if join is not None:
        opened.sendall(masked(join))
        opened.recv(65_536)
    opened.setblocking(False)
    return opened


def _await_port(port: int, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while child.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise ConnectionError(f"the server did not open port {port}")


def _pin(pid: int, core: int) -> None:
    if core in os.sched_getaffinity(0) | {SERVER_CORE} and (os.cpu_count() or 1) > core:
        os.sched_setaffinity(pid, {core})
