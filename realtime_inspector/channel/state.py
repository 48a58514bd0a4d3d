"""What a session knows of each of its channels."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from realtime_inspector.channel.effects import Ticket
from realtime_inspector.channel.limits import Bucket
from realtime_inspector.model import Extension, Rights, Token
from realtime_inspector.protocol.codec import Message, Push
from realtime_inspector.protocol.join import JoinRequest
from realtime_inspector.visibility.subscription import Authorized

EVERYTHING: Final = frozenset(Extension)


class Awaited(Enum):
    """Which answer a channel waits for."""

    TOKEN = "token"
    RIGHTS = "rights"
    BINDINGS = "bindings"
    PAST = "past"


@dataclass(slots=True)
class Channel:
    """`token` is what the channel was joined with and lives under, None while it is joining; `candidate` is to replace it.

    `calls`: what is left of its presence calls; made when the first one comes.

    Of a private channel: `reads` is what its token lets it receive, `readable` what the candidate's does. `writes` is what it may
    send, None while that is not known; `writing` asks, since `asked_at`, and `held` waits for the answer.
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
    authorized: Authorized | None = None
    reads: frozenset[Extension] = EVERYTHING
    readable: frozenset[Extension] = EVERYTHING
    writes: Rights | None = None
    writing: Ticket | None = None
    asked_at: float = 0.0
    held: list[Message | Push] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As policies know it."""
        return self.topic.removeprefix("realtime:")
