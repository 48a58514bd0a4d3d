"""What one socket may ask for, and what is known of each of its channels."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from realtime_inspector.channel.effects import Ticket
from realtime_inspector.model import Token
from realtime_inspector.protocol.codec import Message
from realtime_inspector.protocol.join import JoinRequest


@dataclass(frozen=True, slots=True)
class Limits:
    """What one socket may ask for; sizes in bytes."""

    channels: int = 100
    bindings: int = 100
    topic_bytes: int = 255  # a binary frame has one byte for the topic's size
    presence_bytes: int = 65_536


DEFAULTS: Final = Limits()


class Awaited(Enum):
    """Which answer a channel waits for."""

    TOKEN = "token"
    BINDINGS = "bindings"


@dataclass(slots=True)
class Channel:
    """`token` is what the channel was joined with and lives under, None while it is joining; `candidate` is to replace it."""

    topic: str
    join: Message
    request: JoinRequest
    presence_key: str
    token_text: str
    candidate: Token
    token: Token | None = None
    presence: bool = False
    awaited: tuple[Ticket, Awaited] | None = None
