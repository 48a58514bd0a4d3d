"""What a channel would miss: messages that pass while its past is read, and those sent while no service was there."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import structlog

from realtime_inspector.hub.sockets import Socket
from realtime_inspector.model import Forum
from realtime_inspector.protocol.broadcast import Broadcast
from realtime_inspector.server.metrics import Count
from realtime_inspector.server.outbox import Link

MEANWHILE: Final = 1_000
"""Messages that are kept for one channel whose past is being read; beyond that it is told that it cannot be had."""
ARREARS_BYTES: Final = 16_777_216
_log = structlog.get_logger(__name__)


class Missed:
    """`arrears_seconds`: so long those who come back to a service that was away are sent what came meanwhile.

    `dropped`: counts what could not be kept for them.
    """

    def __init__(self, arrears_seconds: float, dropped: Count) -> None:
        self._seconds = arrears_seconds
        self._dropped = dropped
        self._told = False
        self._waiting: defaultdict[Forum, dict[Socket, list[Broadcast]]] = defaultdict(dict)
        self._had: defaultdict[tuple[Forum, str], set[Link]] = defaultdict(set)
        self._arrears: defaultdict[Forum, list[Broadcast]] = defaultdict(list)
        self._bytes = 0
        self._until = 0.0
        self._cleared = 0
        """How often arrears were forgotten: what was counted before means nothing any more."""

    def begin(self, forum: Forum, socket: Socket) -> list[Broadcast]:
        """From now on everything is kept for the socket, in this list; more than MEANWHILE is too much."""
        kept = self._waiting[forum][socket] = []
        return kept

    def forget(self, forum: Forum, socket: Socket, kept: list[Broadcast]) -> None:
        """Nobody asks for this any more."""
        if forum in self._waiting and self._waiting[forum].get(socket) is kept:
            self._drop(forum, socket)

    def end(self, forum: Forum, socket: Socket, past: Iterable[Broadcast], now: float) -> list[Broadcast]:
        """What to send after the past, which will not be sent a second time."""
        known = {broadcast.id for broadcast in past}
        membership = socket.topics[forum.topic]
        membership.past.update(known)
        for number in known:
            self._had[forum, number].add(socket.link)
        if now >= self._until:
            self._arrears.clear()
            self._bytes, self._told = 0, False
            self._cleared += 1
        membership.caught_up = True
        cleared, had = (socket.arrears or {}).get(forum, (self._cleared, 0))
        missed = [*self._arrears.get(forum, ())[had if cleared == self._cleared else 0 :], *self._drop(forum, socket)]
        return list({each.id: each for each in missed if each.id not in known}.values())

    def note(self, forum: Forum, broadcast: Broadcast, now: float) -> set[Link]:
        """A message that the database keeps passes; returns who has it already."""
        for kept in self._waiting[forum].values() if forum in self._waiting else ():
            if len(kept) <= MEANWHILE:
                kept.append(broadcast)
        if broadcast.late and self._seconds:
            self._keep(forum, broadcast, now)
        return self._had.get((forum, broadcast.id), set())

    def _keep(self, forum: Forum, broadcast: Broadcast, now: float) -> None:
        if self._bytes < ARREARS_BYTES:
            self._until = now + self._seconds
            self._arrears[forum].append(broadcast)
            self._bytes += len(broadcast.payload) + 500
            return
        self._dropped.value += 1
        if not self._told:
            self._told = True
            _log.warning("arrears_dropped", kept_bytes=self._bytes, remedy="who comes back can replay what the table keeps")

    def part(self, forum: Forum, socket: Socket) -> None:
        """The socket is gone from the forum; what it was sent there it has."""
        membership = socket.topics[forum.topic]
        if membership.caught_up and forum in self._arrears:
            socket.arrears = {**(socket.arrears or {}), forum: (self._cleared, len(self._arrears[forum]))}
        for number in membership.past:
            links = self._had[forum, number]
            links.discard(socket.link)
            if not links:
                del self._had[forum, number]

    def _drop(self, forum: Forum, socket: Socket) -> list[Broadcast]:
        sockets = self._waiting.get(forum, {})
        kept = sockets.pop(socket, [])
        if not sockets:
            self._waiting.pop(forum, None)
        return kept
