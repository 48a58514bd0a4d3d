"""Everything a session can ask the world for, as values; the hub executes each kind in one small method."""

from dataclasses import dataclass

from realtime_inspector.model import Binding, Token
from realtime_inspector.protocol.broadcast import Broadcast
from realtime_inspector.visibility.subscription import Authorized


@dataclass(frozen=True, slots=True)
class Ticket:
    """A number for one question to the world; the answer to a ticket that is no longer awaited is dropped."""

    number: int
    topic: str


@dataclass(frozen=True, slots=True)
class Send:
    """Queue this ready WebSocket frame to the session's own socket."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class Beat:
    """Answer the heartbeat `ref`, and say how far the changes were handed over if a channel could come back."""

    ref: str | None


@dataclass(frozen=True, slots=True)
class Verify:
    """Verify a token; answer with `resolve(ticket, Token | Problem)`."""

    ticket: Ticket
    token: str


@dataclass(frozen=True, slots=True)
class Authorize:
    """Check bindings for an identity; answer with `resolve(ticket, Authorized | Problem)`. `resume`: see JoinRequest."""

    ticket: Ticket
    token: Token
    bindings: tuple[Binding, ...]
    resume: str | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """The channel is joined: from now on the socket receives the topic's broadcasts and, if asked for, presence."""

    topic: str
    receives_own: bool
    presence: bool


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Deliver changes for these subscriptions under this identity, replacing what the topic had before.

    `verdicts`: also tell why events were not delivered; granted to impersonation tokens only.
    """

    topic: str
    token: Token
    authorized: Authorized
    verdicts: bool


@dataclass(frozen=True, slots=True)
class Leave:
    """The channel ended: no broadcasts, presence or changes for this topic any more."""

    topic: str


@dataclass(frozen=True, slots=True)
class Publish:
    """Hand a broadcast to every member of the topic; to this socket's own channel only if it opened with receives_own."""

    topic: str
    broadcast: Broadcast


@dataclass(frozen=True, slots=True)
class Track:
    """Set this channel's presence entry; `payload` is a JSON object's text. An equal payload is no change."""

    topic: str
    key: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Untrack:
    """Remove this channel's presence entry."""

    topic: str


@dataclass(frozen=True, slots=True)
class SendPresenceState:
    """Send the topic's whole presence state to this socket, and its differences from now on."""

    topic: str


Effect = Send | Beat | Verify | Authorize | Open | Subscribe | Leave | Publish | Track | Untrack | SendPresenceState
