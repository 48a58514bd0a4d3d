"""A TCP proxy on this machine that does to connections what networks do: cuts them, falls silent, delays, sends single bytes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

CHUNK = 65_536
SINGLE_BYTES = 3_000
"""So many bytes of each direction go one by one, when they do."""


class Proxy:
    """Forwards connections to a port that may change. Everything here holds for the connections that there are now."""

    def __init__(self, target: Callable[[], int]) -> None:
        self._target = target
        self._pairs: set[_Pair] = set()
        self.port = 0
        self.refuses = False
        """Whether new connections are cut at once."""

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._pairs)

    def cut(self) -> None:
        """Both ends learn of it at once."""
        for pair in list(self._pairs):
            pair.abort()

    def freeze(self) -> None:
        """Nothing more is forwarded, and neither end learns of it."""
        for pair in self._pairs:
            pair.frozen = True

    def delay(self, seconds: float) -> None:
        """What comes next waits for so long, in order."""
        for pair in self._pairs:
            pair.until = asyncio.get_running_loop().time() + seconds

    def trickle(self) -> None:
        """The next bytes of each direction go one by one."""
        for pair in self._pairs:
            pair.single = [SINGLE_BYTES, SINGLE_BYTES]

    async def serve(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """One connection, until it ends at either end."""
        pair = _Pair(back)
        self._pairs.add(pair)
        try:
            with contextlib.suppress(OSError):
                if not self.refuses:
                    await pair.run(near, self._target())
        finally:
            self._pairs.discard(pair)
            pair.abort()


class _Pair:
    """One connection through the proxy."""

    def __init__(self, back: asyncio.StreamWriter) -> None:
        self._writers = [back]
        self._pumps: list[asyncio.Task[None]] = []
        self.frozen = False
        self.until = 0.0
        self.single = [0, 0]

    def abort(self) -> None:
        for pump in self._pumps:
            pump.cancel()
        for writer in self._writers:
            writer.transport.abort()

    async def run(self, near: asyncio.StreamReader, port: int) -> None:
        far, forth = await asyncio.open_connection("127.0.0.1", port)
        self._writers.append(forth)
        ways = ((near, forth), (far, self._writers[0]))
        self._pumps = [asyncio.create_task(self._pump(number, *way)) for number, way in enumerate(ways)]
        await asyncio.wait(self._pumps, return_when=asyncio.FIRST_COMPLETED)
        self.abort()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _pump(self, direction: int, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(CHUNK):
            await asyncio.sleep(max(0.0, self.until - asyncio.get_running_loop().time()))
            if self.frozen:
                await asyncio.get_running_loop().create_future()
            count = min(self.single[direction], len(data))
            self.single[direction] -= count
            for place in range(count):
                if sink.is_closing():
                    return
                sink.write(data[place : place + 1])
                await asyncio.sleep(0)
            sink.write(data[count:])
            await sink.drain()


@asynccontextmanager
async def proxied(target: Callable[[], int]) -> AsyncIterator[Proxy]:
    """A proxy on a port of its own, until the block ends."""
    proxy = Proxy(target)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        while proxy.connections:
            proxy.cut()
            await asyncio.sleep(0.01)
