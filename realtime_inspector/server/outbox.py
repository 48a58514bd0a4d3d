"""What all connections of one server share: one flush per loop tick for those with something to write, one sweep per second."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, Protocol

import structlog

from realtime_inspector.ports import Outlet
from realtime_inspector.protocol.frames import count_frames

SWEEP_SECONDS: Final = 1.0
PIECE: Final = 65_536
"""Bytes of one tick after which a connection is flushed early, so that adding to what is queued stays cheap."""

_log = structlog.get_logger(__name__)


class Member(Protocol):
    """A connection as its outbox sees it.

    `pending`: the frames of this tick, joined; None when it takes no more. `attention_at`: from when on (the loop's time)
    it wants to be swept.
    """

    pending: bytes | None
    attention_at: float

    def flush(self) -> None: ...

    def sweep(self, now: float) -> None: ...

    def abort(self) -> None: ...


class Link(Member, Outlet, Protocol):
    """A connection as the application sees it. `sent`, `sent_bytes`: messages and bytes that were written so far.

    `slow`: it was closed because its peer did not read.
    """

    sent: int
    sent_bytes: int
    slow: bool

    async def run(self, receive: Callable[[str | bytes], None], lost: Callable[[], None]) -> None:
        """Each message goes to `receive`, in order, until the connection is gone; then `lost` is called, once.

        May return before that: then the connection lives on without its caller.
        """

    def hold(self, held: bool) -> None:
        """While held, no further message is handed over."""

    def close(self, code: int, reason: str) -> None:
        """Closes after what is queued was written."""


class Outbox:
    """Collects what connections are to write in this loop tick and flushes each of them once.

    The send call costs far more than everything else, so all frames of one connection and tick leave in one write.
    One timer per server instead of several per connection keeps an idle connection small.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._dirty: list[Member] = []
        self._members: set[Member] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._counted, self._count = b"", 0

    def send(self, members: Iterable[Member], frames: bytes, skip: Member | None = None) -> None:
        """Queues the same frames to each member but `skip`.

        This is the loop whose body runs once per delivered message. Members with the same history in this tick share one
        joined piece: it is made once, however many they are.
        """
        dirty = self._dirty
        if not dirty:
            self._loop.call_soon(self._flush)
        before: object = self
        after, first, full = b"", False, False
        for member in members:
            queued = member.pending
            if queued is not before:
                if queued is None:
                    continue
                before, after = queued, queued + frames
                first, full = not queued, len(after) > PIECE
            if member is skip:
                continue
            member.pending = after
            if first:
                dirty.append(member)
            if full:
                self._flush_early(member)

    def count(self, frames: bytes) -> int:
        """How many messages these frames are; members that share one piece have it counted once."""
        if frames is not self._counted:
            self._counted, self._count = frames, count_frames(frames)
        return self._count

    def join(self, member: Member) -> None:
        """From now on the member is swept once per second."""
        self._members.add(member)
        if self._timer is None:
            self._timer = self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def leave(self, member: Member) -> None:
        """The member's transport is gone."""
        self._members.discard(member)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for member in dirty:
            try:
                member.flush()
            except Exception:
                self._drop(member)

    def _flush_early(self, member: Member) -> None:
        try:
            member.flush()
        except Exception:
            self._drop(member)

    def _sweep(self) -> None:
        now = self._loop.time()
        for member in [member for member in self._members if member.attention_at <= now]:
            try:
                member.sweep(now)
            except Exception:
                self._drop(member)
        self._timer = self._loop.call_later(SWEEP_SECONDS, self._sweep) if self._members else None

    def _drop(self, member: Member) -> None:
        """One broken connection must not keep the others from being served."""
        _log.exception("connection_failed")
        self._members.discard(member)
        member.abort()
