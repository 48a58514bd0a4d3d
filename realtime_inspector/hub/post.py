"""Carries broadcasts to the broker and back, between the processes that serve one application."""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from realtime_inspector.model import Forum
from realtime_inspector.ports import Broker
from realtime_inspector.protocol.broadcast import Broadcast, Encoding
from realtime_inspector.server.metrics import Metrics

PUBLISHING: Final = 10_000
"""So many broadcasts on their way to the broker; what comes when it is full is dropped and counted."""
_log = structlog.get_logger(__name__)

Receive = Callable[[Forum, Broadcast, str], None]
"""Takes what the broker brings: forum, broadcast, and the socket that sent it."""


class Envelope(msgspec.Struct, array_like=True, frozen=True):
    """A broadcast between processes. `origin`: the process and socket that sent it; that socket may not want it back.

    The forum travels in it as well as in the subject: no broker's idea of subjects can mix public and private.
    """

    origin: str
    topic: str
    private: bool
    event: str
    encoding: Encoding
    payload: bytes
    meta: bytes
    id: str
    late: bool


class Post:
    """What is on its way to the broker; `receive` gets what comes from there, this process' own broadcasts included."""

    def __init__(self, broker: Broker, receive: Receive, metrics: Metrics) -> None:
        self._broker = broker
        self._receive = receive
        self._waiting: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(PUBLISHING)
        self._open = msgspec.msgpack.Decoder(Envelope)
        self._seal = msgspec.msgpack.Encoder()
        self._dropped = metrics.counter("broadcasts_dropped", "Broadcasts dropped because too many waited for the broker.")
        broker.listen(self.deliver)

    def publish(self, forum: Forum, sent: Broadcast, origin: str) -> bool:
        """False: dropped, there are too many."""
        try:
            self._waiting.put_nowait((forum.key, self._sealed(forum, sent, origin)))
        except asyncio.QueueFull:
            self._dropped.value += 1
            return False
        return True

    async def run(self) -> None:
        """Hands everything to the broker, in order, for ever."""
        while True:
            topic, message = await self._waiting.get()
            try:
                await self._broker.publish(topic, message)
            except Exception:
                self._dropped.value += 1
                _log.exception("broadcast_not_published")

    async def hand_over(self, forum: Forum, sent: Broadcast) -> None:
        """The same for who can wait and must not lose anything: returns when the broker has it."""
        await self._broker.publish(forum.key, self._sealed(forum, sent, ""))

    def deliver(self, _subject: str, message: bytes) -> None:
        """What the broker brings."""
        sealed = self._open.decode(message)
        broadcast = Broadcast(sealed.event, sealed.payload, sealed.encoding, sealed.meta, sealed.id, sealed.late)
        self._receive(Forum(sealed.topic, sealed.private), broadcast, sealed.origin)

    def _sealed(self, forum: Forum, sent: Broadcast, origin: str) -> bytes:
        parts = sent.event, sent.encoding, sent.payload, sent.meta, sent.id, sent.late
        return self._seal.encode(Envelope(origin, forum.topic, forum.private, *parts))
