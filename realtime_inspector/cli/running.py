"""Runs work until it ends or until SIGINT or SIGTERM asks for the end, and says when the service is ready."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson

GRACE: Final = 4.0
"""Seconds from the signal until work that has not ended is cancelled; the promise is an end within five."""


def run(work: Callable[[asyncio.Event], Awaitable[None]], grace: float = GRACE) -> None:
    """Run `work`, which ends soon after the event that it is given is set; a second signal cancels it at once."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_supervise(work, grace))


async def _supervise(work: Callable[[asyncio.Event], Awaitable[None]], grace: float) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    task = asyncio.ensure_future(work(stop))

    def signalled() -> None:
        if stop.is_set():
            task.cancel()
        else:
            stop.set()
            loop.call_later(grace, task.cancel)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, signalled)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def readiness(url: str, fragment: str = "", **more: Any) -> dict[str, Any]:
    """What --ready-json says. `url`: http://host:port; `fragment`: of the inspector's address, where nobody logs it."""
    return {
        "ready": True,
        "url": url,
        "websocket_url": f"ws{url.removeprefix('http')}/socket",
        "inspector_url": f"{url}/inspector/{fragment}",
        "pid": os.getpid(),
        **more,
    }


def announce(readiness: dict[str, Any]) -> None:
    """One line of JSON on standard output, at once."""
    print(orjson.dumps(readiness).decode(), flush=True)
