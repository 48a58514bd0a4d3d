"""A live WebSocket as an Outlet: queues ready frames, writes once per loop tick, and closes a peer that does not read."""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from realtime_inspector.server.outbox import Outbox

SLOW_CONSUMER: Final = 4008
"""Close code of a peer that does not read. 4000-4499 are private codes after which clients reconnect."""
GOING_AWAY: Final = 1001
SERVICE_RESTART: Final = 1012
PING_SECONDS: Final = 20.0
IDLE_SECONDS: Final = 57.0
"""Without any frame of the client, pongs included, the socket is closed; a sweep and GRACE_SECONDS later, within a minute as in
Phoenix, it is gone and nobody sees it as present any more."""
GRACE_SECONDS: Final = 2.0
"""How long a peer may take to answer a close frame before its transport is aborted."""
SHUTDOWN_SECONDS: Final = 0.5
"""The same when the service stops."""
MESSAGES_PER_TICK: Final = 64
"""After so many messages of one socket the others get their turn."""
_PING: Final = b"\x89\x00"

Receive = Callable[[str | bytes], None]


class Handshaken(Protocol):
    """The protocol of an accepted WebSocket, as its Connection uses it."""

    def detach(self) -> None:
        """The application may return while the socket lives on; the Connection has it now."""

    def close_frame(self, code: int, reason: str) -> bytes:
        """The frame that closes; empty when one was sent already."""


@dataclass(frozen=True, slots=True)
class Wire:
    """What all connections of a server share: their outbox, how much and how long a peer may leave unread, whom to tell."""

    outbox: Outbox
    queue_bytes: int
    queue_seconds: float
    on_slow: Callable[[], None]


class Connection:
    """The two queues between one socket's transport and the application. Rules:

    - `send` only queues; the outbox flushes each connection once per loop tick, in one piece.
    - What the kernel does not take of a piece waits in the transport; while something is there, the rest is kept as a backlog.
    - Backlog and transport together are bounded in bytes, and in seconds without progress. Who exceeds it is closed: a
      stream with a hole in it is worse than a reconnect.
    - Nothing follows a close frame. A peer that does not take it within GRACE_SECONDS is cut off.
    - What comes in is handed over in order, a bounded number of messages per tick, and only while the application takes it.
    """

    __slots__ = (
        # First: all that a delivery touches, close together.
        *("pending", "_blocked", "_settling", "_write_now", "_transport", "sent", "sent_bytes", "_wire"),
        *("_backlog", "_ending_at", "_farewell", "_gone", "_held", "_inbox", "_kept", "_loop", "_lost", "_paused", "_pings"),
        *("_progress_at", "_protocol", "_receive", "_received_at", "_remaining", "_served", "_waiters", "attention_at", "slow"),
    )

    def __init__(self, transport: asyncio.Transport, wire: Wire, protocol: Handshaken) -> None:
        transport.set_write_buffer_limits(high=0)  # it is blocked exactly while something waits in it
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._write_now = _direct(transport)
        self._protocol = protocol
        self._wire = wire
        self.pending: bytes | None = b""
        self.sent = self.sent_bytes = 0
        self.slow = False
        self._backlog: list[bytes] = []
        self._kept = 0
        self._blocked = self._settling = self._gone = False
        self._remaining = 0
        self._progress_at = self._received_at = self._loop.time()
        self._pings = 0
        self.attention_at = self._received_at + PING_SECONDS
        self._farewell: tuple[int, str] | None = None
        self._ending_at: float | None = None
        self._inbox: deque[str | bytes] | None = None
        self._served = 0
        self._held = self._paused = False
        self._receive: Receive | None = None
        self._lost: Callable[[], None] | None = None
        self._waiters: list[asyncio.Future[None]] = []

    # What the application uses.

    def send(self, frames: bytes) -> None:
        """Queues whole frames for the next flush; never blocks, never raises."""
        self._wire.outbox.send((self,), frames)

    @property
    def queued_bytes(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return len(self.pending or b"") + self._kept + self._transport.get_write_buffer_size()

    async def drained(self) -> None:
        """Returns when the kernel has taken everything, or when the socket is closed."""
        if self.pending is not None and (self._blocked or self.pending):
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            self._settling = True
            await waiter

    async def run(self, receive: Receive, lost: Callable[[], None]) -> None:
        """Returns at once: from now on each message goes to `receive`, in order, and in the end `lost` is called."""
        if self._gone:
            lost()
            return
        self._protocol.detach()
        self._receive, self._lost = receive, lost
        self._wire.outbox.join(self)
        self._resume()

    def hold(self, held: bool) -> None:
        """While held, no further message is handed over and the peer has to wait."""
        self._held = held
        self._loop.call_soon(self._resume)

    def close(self, code: int, reason: str) -> None:
        """Closes after what is queued was written; later sends are ignored."""
        if self.pending is not None:
            self._farewell = (code, reason)
            self._settling = True
            self._end_by(self._wire.queue_seconds)
            self.flush()
            self.pending = None

    def abort(self) -> None:
        """Drops the connection at once, without a close frame."""
        self.pending = None
        self._transport.abort()

    # What the outbox calls.

    def flush(self) -> None:
        """Writes what is queued, and then the close frame if one is due; keeps it while the kernel takes no more."""
        frames = self.pending
        if frames:
            self.pending = b""
            self.sent += self._wire.outbox.count(frames)
            self.sent_bytes += len(frames)
            if self._blocked:
                self._keep(frames)
            elif self._write_now is None:
                self._transport.write(frames)
            else:
                self._write_directly(frames)
        if self._settling and not self._blocked:
            self._settle()

    def sweep(self, now: float) -> None:
        """Ends what does not end by itself, closes who does not read or is silent, pings."""
        silence = now - self._received_at
        if self._ending_at is not None:
            if now >= self._ending_at:
                self.abort()
        elif self._blocked:
            if self._stalled(now):
                self._give_up("nothing was read for too long")
        elif silence >= IDLE_SECONDS:
            self.close(GOING_AWAY, "no frame came for a minute")
        else:
            if silence >= PING_SECONDS * (self._pings + 1):
                self._pings += 1
                self.send(_PING)
            self.attention_at = self._received_at + PING_SECONDS * (self._pings + 1)

    # What the protocol calls.

    def blocked(self) -> None:
        """Something waits in the transport."""
        self._blocked = True
        self.attention_at = 0.0
        self._remaining = self._transport.get_write_buffer_size()
        self._progress_at = self._loop.time()
        self._keep(b"")

    def unblocked(self) -> None:
        """The transport is empty again."""
        self._blocked = False
        backlog, self._backlog, self._kept = self._backlog, [], 0
        self._transport.write(b"".join(backlog))
        self.flush()

    def heard(self) -> None:
        """Bytes came in; a new tick, so the socket has its full share again."""
        self._received_at = self._loop.time()
        self._pings = self._served = 0

    def feed(self, message: str | bytes) -> None:
        """Hands a message over, or keeps it while the application holds, is not there yet, or this socket had its share."""
        if self.pending is None:
            return
        if self._receive is None or self._held or self._inbox or self._served >= MESSAGES_PER_TICK:
            if not self._inbox:
                self._inbox = deque()
                self._pause(True)
                self._loop.call_soon(self._resume)
            self._inbox.append(message)
        else:
            self._served += 1
            self._receive(message)

    def control(self, frame: bytes) -> None:
        """Writes the answer to a control frame, but not for a peer that does not read, so that nothing piles up.

        RFC 6455 5.5.3 lets us answer only the newest ping.
        """
        if self.pending is not None and not self._blocked:
            self._transport.write(frame)

    def end(self, last: bytes) -> None:
        """Writes the last frame of a closing handshake; the peer has a moment to hang up."""
        self._stop()
        self._transport.write(last)

    def lost(self) -> None:
        """The transport is gone."""
        self._gone = True
        self._stop()
        self._wire.outbox.leave(self)
        lost, self._lost, self._receive = self._lost, None, None  # they hold the socket of which this is a part
        if lost is not None:
            lost()

    def shutdown(self) -> None:
        """The server stops: says so at once and does not wait for what a slow peer has not read."""
        if self.pending is not None or self._farewell is not None:
            self._farewell = None
            self.flush()
            self._write_close(SERVICE_RESTART, "the service restarts")
            self._end_by(SHUTDOWN_SECONDS)

    # Inside.

    def _write_directly(self, frames: bytes) -> None:
        assert self._write_now is not None
        try:
            sent = self._write_now(frames)
        except OSError:  # it would block; or it is broken, which the transport will find out and report
            sent = 0
        if sent < len(frames):
            self._transport.write(frames[sent:])

    def _keep(self, frames: bytes) -> None:
        """Adds to the backlog and closes the peer when there is too much of it."""
        self._backlog.append(frames)
        self._kept += len(frames)
        if self._kept + self._remaining > self._wire.queue_bytes:
            self._give_up("it reads less than it is sent")

    def _settle(self) -> None:
        """Everything queued was taken: who waited for that goes on, and the close frame follows if one is due."""
        self._settling = False
        if self._farewell is not None:
            self._write_close(*self._farewell)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _stalled(self, now: float) -> bool:
        """Whether the transport's buffer has not shrunk for too long; nothing is added to it while it is full."""
        remaining = self._transport.get_write_buffer_size()
        if remaining < self._remaining:
            self._remaining = remaining
            self._progress_at = now
        return now - self._progress_at >= self._wire.queue_seconds

    def _give_up(self, why: str) -> None:
        self.slow = True
        self._wire.on_slow()
        self._write_close(SLOW_CONSUMER, f"slow consumer: {why}")

    def _write_close(self, code: int, reason: str) -> None:
        """What is still queued is dropped: either there is nothing, or the peer does not read it."""
        self._stop()
        self._transport.write(self._protocol.close_frame(code, reason))
        self._pause(False)  # the peer's own close frame is still to come

    def _stop(self) -> None:
        self.pending = self._farewell = self._inbox = None
        self._backlog.clear()
        self._kept = 0
        self._end_by(GRACE_SECONDS)
        self._settle()

    def _end_by(self, seconds: float) -> None:
        self._ending_at = self._loop.time() + seconds
        self.attention_at = 0.0

    def _resume(self) -> None:
        """Hands over what waits, this tick's share at most; reads from the socket again when nothing is left."""
        self._served = 0
        while self._inbox and self._receive is not None and not self._held and self._served < MESSAGES_PER_TICK:
            self._served += 1
            self._receive(self._inbox.popleft())
        self._pause(self.pending is not None and (self._held or bool(self._inbox)))
        if self._inbox and not self._held:
            self._loop.call_soon(self._resume)

    def _pause(self, paused: bool) -> None:
        if paused != self._paused and not self._transport.is_closing():
            self._paused = paused
            (self._transport.pause_reading if paused else self._transport.resume_reading)()


def _direct(transport: asyncio.Transport) -> Callable[[bytes], int] | None:
    """The socket's own send, which saves a tenth of a delivery; None where the transport has to see every byte.

    That is so with TLS, and with uvloop. asyncio hides the socket in a wrapper whose `send` is gone since Python 3.11.
    """
    raw = getattr(transport.get_extra_info("socket"), "_sock", None)
    if transport.get_extra_info("sslcontext") is not None or not isinstance(raw, socket.socket):
        return None
    return raw.send
