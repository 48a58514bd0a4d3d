"""What a session knows of each of its channels."""

from dataclasses import dataclass
from enum import Enum

from realtime_inspector.channel.effects import Ticket
from realtime_inspector.channel.limits import Bucket
from realtime_inspector.model import Token
from realtime_inspector.protocol.codec import Message
from realtime_inspector.protocol.join import JoinRequest


class Awaited(Enum):
    """Which answer a channel waits for."""

    TOKEN = "token"
    BINDINGS = "bindings"


@dataclass(slots=True)
class Channel:
    """`token` is what the channel was joined with and lives under, None while it is joining; `candidate` is to replace it.

    `calls`: what is left of its presence calls; made when the first one comes.
    """

    topic: str
    join: Message
    request: JoinRequest
    presence_key: str
    token_text: str
    candidate: Token
    token: Token | None = None
    presence: bool = False
    awaited: tuple[Ticket, Awaited] | None = None
    calls: Bucket | None = None
