"""A Link over plain ASGI messages, for servers other than uvicorn: the frames are taken apart again, and each is awaited."""

import asyncio
from collections import deque
from collections.abc import Callable

from starlette.websockets import WebSocket

from realtime_inspector.protocol.frames import TEXT, split_frames
from realtime_inspector.server.connection import Wire


class Relay:
    """Queues like a Connection, bounded in the same way. Pings, idle peers and the size of messages are the server's matter."""

    def __init__(self, websocket: WebSocket, wire: Wire) -> None:
        self._websocket = websocket
        self._wire = wire
        self._clock = asyncio.get_running_loop().time
        self.pending: bytes | None = b""
        self.sent = self.sent_bytes = 0
        self.slow = False
        self.attention_at = 0.0
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._progress_at = 0.0
        self._farewell: tuple[int, str] | None = None
        self._filled, self._emptied, self._released, self._aborted = (asyncio.Event() for _ in range(4))
        self._emptied.set()
        self._released.set()

    def send(self, frames: bytes) -> None:
        """Queues whole frames for the next flush; never blocks, never raises."""
        self._wire.outbox.send((self,), frames)

    @property
    def queued_bytes(self) -> int:
        """Bytes that the server has not taken yet."""
        return len(self.pending or b"") + self._queued

    async def drained(self) -> None:
        """Returns when the server has taken everything, or when the socket is closed."""
        if self.pending is not None and self.queued_bytes:
            self.flush()
            await self._emptied.wait()

    async def run(self, receive: Callable[[str | bytes], None], lost: Callable[[], None]) -> None:
        """Hands each message to `receive`, in order, until the connection is gone; then calls `lost` and returns."""
        self._wire.outbox.join(self)
        work = [asyncio.create_task(job) for job in (self._read(receive), self._write(), self._until_aborted())]
        try:
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.pending = None
            self._emptied.set()
            self._wire.outbox.leave(self)
            lost()
            for job in work:
                job.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    def hold(self, held: bool) -> None:
        """While held, no further message is handed over and the peer has to wait."""
        (self._released.clear if held else self._released.set)()

    def close(self, code: int, reason: str) -> None:
        """Closes after what is queued was written; later sends are ignored."""
        if self.pending is not None:
            self.flush()
            self.pending = None
            self._farewell = (code, reason)
            self._filled.set()

    def abort(self) -> None:
        """Drops the connection at once."""
        self.pending = None
        self._aborted.set()

    def flush(self) -> None:
        """Hands what this tick queued to the writer, and drops a peer for whom there is too much of it."""
        if not self.pending:
            return
        if not self._queue:
            self._progress_at = self._clock()
        self.sent += self._wire.outbox.count(self.pending)
        self.sent_bytes += len(self.pending)
        self._queue.append(self.pending)
        self._queued += len(self.pending)
        self.pending = b""
        self._emptied.clear()
        self._filled.set()
        if self._queued > self._wire.queue_bytes:
            self._give_up()

    def sweep(self, now: float) -> None:
        """Once per second: drops a peer that has taken nothing for too long."""
        if self._queued and now - self._progress_at >= self._wire.queue_seconds:
            self._give_up()

    def _give_up(self) -> None:
        self.slow = True
        self._wire.on_slow()
        self.abort()

    async def _read(self, receive: Callable[[str | bytes], None]) -> None:
        while (message := await self._websocket.receive())["type"] == "websocket.receive":
            await self._released.wait()
            text = message.get("text")
            receive(message["bytes"] if text is None else text)

    async def _write(self) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._queue:
                await self._write_block(self._queue[0])
                self._queued -= len(self._queue.popleft())
                self._progress_at = self._clock()
            self._emptied.set()
            if self._farewell is not None:
                await self._websocket.close(*self._farewell)
                return

    async def _write_block(self, block: bytes) -> None:
        for opcode, payload in split_frames(block):
            await (self._websocket.send_text(payload.decode()) if opcode == TEXT else self._websocket.send_bytes(payload))

    async def _until_aborted(self) -> None:
        await self._aborted.wait()
