"""Our service without a database, in its own process: broadcast and presence need none."""

import asyncio
import signal
import sys
from collections.abc import Callable

import uvicorn

from bench.limits import LIMITS
from realtime_inspector.app import run
from realtime_inspector.settings import Settings

SECRET = "a secret for benchmarks, 32 bytes or more"


async def main(port: int) -> None:
    """Until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await run(Settings(port=port, jwt_secret=SECRET, log_level="error", **LIMITS), on_ready=lambda _url, _port: None, stop=stop)


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The event loop that uvicorn means by this name, so that both sides of a comparison have the same."""
    return uvicorn.Config("", loop=name, log_config=None).get_loop_factory()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory(sys.argv[2])) as runner:
        runner.run(main(int(sys.argv[1])))
