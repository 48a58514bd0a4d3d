"""Waits for a socket of libpq in a way that notices its end in every event loop."""

import asyncio
from collections.abc import Callable


def watch(loop: asyncio.AbstractEventLoop, socket: int, arrived: Callable[[], None]) -> None:
    """Calls `arrived` when there is something to read; to be called again after each time that more is expected.

    Under uvloop a watched socket that the peer reset is reported once, together with what can still be read from it, and never
    again (https://docs.libuv.org/en/v1.x/poll.html: "no further events will be reported"): who has not read up to the
    error by then would wait for ever.
    """
    loop.remove_reader(socket)
    loop.add_reader(socket, arrived)
