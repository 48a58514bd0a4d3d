"""Everything a session can ask the world for, as values; the hub executes each kind in one small method."""

from dataclasses import dataclass

from realtime_inspector.model import Binding, Problem, Right, Rights, Token, Told
from realtime_inspector.protocol.broadcast import Broadcast, Persistence
from realtime_inspector.protocol.join import Replay
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
class Probe:
    """Ask the policies of a private channel what the token's identity may do; answer with `resolve(ticket, Rights | Problem)`."""

    ticket: Ticket
    token: Token
    right: Right


@dataclass(frozen=True, slots=True)
class Recall:
    """Read what was sent on a private channel before; answer with `resolve(ticket, Recalled | Problem)`.

    What is sent from now on until CatchUp is kept for it.
    """

    ticket: Ticket
    replay: Replay


@dataclass(frozen=True, slots=True)
class AwaitStream:
    """Answer with `resolve(ticket, Flowing | Problem)` once broadcasts from the database arrive."""

    ticket: Ticket


@dataclass(frozen=True, slots=True)
class Open:
    """The channel is joined: from now on the socket receives the topic's broadcasts, if it `hears`, and, if asked for, presence.

    Again for a joined channel: what it hears changed.
    """

    topic: str
    receives_own: bool
    presence: bool
    private: bool = False
    hears: bool = True


@dataclass(frozen=True, slots=True)
class CatchUp:
    """Send the channel what was recalled for it, what was sent meanwhile, and what waits for those who come back."""

    topic: str
    past: tuple[Broadcast, ...] = ()


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Deliver changes for these subscriptions under this identity, replacing what the topic had before.

    `verdicts`: how much of what was not delivered is told as well; everything to impersonation tokens only.
    """

    topic: str
    token: Token
    authorized: Authorized
    verdicts: Told


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
class Persist:
    """The same on a private channel, and keep it; answer with `resolve(ticket, Kept | Problem)`."""

    ticket: Ticket
    broadcast: Broadcast
    persistence: Persistence


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


Effect = (
    Send
    | Beat
    | Verify
    | Authorize
    | Probe
    | Recall
    | AwaitStream
    | Open
    | CatchUp
    | Subscribe
    | Leave
    | Publish
    | Persist
    | Track
    | Untrack
    | SendPresenceState
)


@dataclass(frozen=True, slots=True)
class Recalled:
    """The answer to a Recall, oldest first."""

    past: tuple[Broadcast, ...]


@dataclass(frozen=True, slots=True)
class Flowing:
    """The answer to an AwaitStream."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The answer to a Persist. `id`: under which the message is kept."""

    id: str


Outcome = Token | Authorized | Rights | Recalled | Flowing | Kept | Problem
