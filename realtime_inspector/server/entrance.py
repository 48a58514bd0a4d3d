"""Takes on new connections, a few in each turn of the loop, so that thousands that come at once hold up nobody who is there."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

import structlog

ACCEPTED: Final = 4
"""Connections of one turn of the loop: a tenth of a millisecond each, and the kernel's queue must not overflow."""
RETRY_SECONDS: Final = 1.0
"""How long is waited when there are no descriptors left."""
_log = structlog.get_logger(__name__)


class Entrance:
    """What asyncio's own server does, which takes on as many as there are, however long the others wait meanwhile."""

    def __init__(self, listening: socket.socket, factory: Callable[[], asyncio.Protocol]) -> None:
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._factory = factory
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = True
        self._start()

    def close(self) -> None:
        """Takes on nobody any more."""
        self._open = False
        self._loop.remove_reader(self._listening.fileno())
        self._listening.close()

    async def wait_closed(self) -> None:
        """Nothing is left to wait for."""

    def _start(self) -> None:
        if self._open:
            self._loop.add_reader(self._listening.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTED):
            try:
                accepted, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                _log.error("accept_failed", error=str(error), remedy="allow more open files: see ulimit -n")
                self._loop.remove_reader(self._listening.fileno())
                self._loop.call_later(RETRY_SECONDS, self._start)
                return
            self._spawn(self._take(accepted))

    async def _take(self, accepted: socket.socket) -> None:
        try:
            accepted.setblocking(False)
            with suppress(OSError):
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(self._factory, accepted)
        except OSError:  # it went away in this very moment
            accepted.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
