"""Carries messages within one process: what is published is received at once."""

from collections.abc import Awaitable, Callable

Receive = Callable[[str, bytes], Awaitable[None] | None]


class LocalBroker:
    """The Broker of a single process; loses nothing and keeps every order."""

    def __init__(self) -> None:
        self._receive: Receive | None = None

    def listen(self, receive: Receive) -> None:
        """Registers the one receiver."""
        self._receive = receive

    async def publish(self, topic: str, message: bytes) -> None:
        """Hands the message over before it returns."""
        if self._receive is not None:
            received = self._receive(topic, message)
            if received is not None:
                await received
