"""What this program asks of the world, as a handful of Protocols; each comment says what is atomic and what may be lost."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from realtime_inspector.errors import SlotLost
from realtime_inspector.model import Position, Token, Transaction


class Outlet(Protocol):
    """One live socket as the streams see it.

    `send` never blocks and never raises: it queues whole WebSocket frames (one or several joined) for the next write, in
    order. What cannot be queued because the peer does not read closes the socket; nothing is dropped from the middle.
    """

    def send(self, frames: bytes) -> None: ...

    @property
    def queued_bytes(self) -> int: ...

    async def drained(self) -> None:
        """Returns when little is queued, or when the socket is closed."""


class Source(Protocol):
    """Where committed transactions come from, in commit order, each piece at most once per process.

    `attach` connects, and connects again after a fault; `next` raises a SourceError when the stream broke. An acknowledgement
    may be lost in a crash; then the transactions after the last durable one come again in the next process. Not calling
    `next` is the back-pressure: nothing is buffered beyond a bound. `begins_with`: the reason of the gap at which every
    attachment begins; empty when it goes on where the last one ended.
    """

    @property
    def begins_with(self) -> str: ...

    async def attach(self, start_lsn: int = 0, /) -> None: ...

    async def next(self) -> Transaction: ...

    def next_nowait(self) -> Transaction | None: ...

    def acknowledge(self, end_lsn: int) -> None: ...

    @property
    def acknowledged(self) -> int: ...

    @property
    def received(self) -> int:
        """How far the log has come that `next` follows."""

    @property
    def durable(self) -> int:
        """A crash of Postgres takes back nothing of the log up to there."""

    @property
    def flows(self) -> bool: ...

    @property
    def log(self) -> str:
        """The name of the log that positions are of; empty where they outlive no process."""

    def lose(self, loss: SlotLost) -> None:
        """Gives up what it follows; the loss is raised after what has arrived, and the next `attach` begins anew."""

    def joined(self, position: Position, /) -> Position:
        """After which position a subscription counts that was checked when the log stood at this one."""

    async def close(self) -> None: ...


class TokenVerifier(Protocol):
    """Turns a token's text into a Token or raises a TokenError. May wait for keys; never trusts the token's own header."""

    async def verify(self, token: str, now: float) -> Token: ...


class Broker(Protocol):
    """Carries messages between the processes that serve one application; may lose messages, never reorders one sender's.

    `listen` registers the one receiver of this process; what this process publishes is delivered to it as well.
    """

    async def publish(self, topic: str, message: bytes) -> None: ...

    def listen(self, receive: Callable[[str, bytes], Awaitable[None] | None]) -> None: ...
