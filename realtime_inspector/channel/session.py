"""One socket's channels: what each message, outcome and moment means, answered with effects."""

from dataclasses import dataclass

from realtime_inspector.channel.effects import Effect, Ticket
from realtime_inspector.model import Problem, Token
from realtime_inspector.protocol.codec import Message, Push
from realtime_inspector.protocol.serializer import Serializer
from realtime_inspector.visibility.subscription import Authorized


@dataclass(frozen=True, slots=True)
class Limits:
    """What one socket may ask for; sizes in bytes."""

    channels: int = 100
    bindings: int = 100
    topic_bytes: int = 255
    presence_bytes: int = 65_536


Outcome = Token | Authorized | Problem


class Session:
    """The state of one socket's channels. Never raises for what a client sends, and never waits: it answers with effects."""

    def __init__(self, serializer: Serializer, apikey: str, token: Token, *, name: str, limits: Limits = Limits()) -> None:
        """`apikey`: the text of the handshake's token; `name`: unique among live sockets, the root of server-made presence keys."""

    def receive(self, message: Message | Push, now: float) -> list[Effect]:
        """A frame came in. `now` is in seconds since 1970, here and below."""
        raise NotImplementedError

    def resolve(self, ticket: Ticket, outcome: Outcome, now: float) -> list[Effect]:
        """The answer to a Verify or an Authorize came in; one that is no longer awaited changes nothing."""
        raise NotImplementedError

    def tick(self, now: float) -> list[Effect]:
        """Time passed: ends what expired. Call it at `next_tick()`."""
        raise NotImplementedError

    def next_tick(self) -> float | None:
        """When to call `tick`, in seconds since 1970; None: not before another method was called."""
        raise NotImplementedError

    def closed(self) -> list[Effect]:
        """The socket is gone: what the world has to forget."""
        raise NotImplementedError
