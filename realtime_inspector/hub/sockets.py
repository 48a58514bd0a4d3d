"""A live socket as the hub knows it, and who receives what is sent on a topic."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from realtime_inspector.channel.session import Session
from realtime_inspector.model import Token
from realtime_inspector.protocol.serializer import Serializer
from realtime_inspector.server.outbox import Link, Outbox


@dataclass(eq=False, slots=True)
class Socket:
    """A live socket, its session, and what the world knows of it.

    `token`: the one that was verified last. `topics`: topic -> whether it receives its own broadcasts. `questions`: how many
    to the world are open. `due`: when the session wants a tick. `returns`: a channel of it was told how to come back.
    """

    name: str
    link: Link
    serializer: Serializer
    session: Session
    token: Token
    peer: str
    opened_at: float
    topics: dict[str, bool] = field(default_factory=dict)
    impersonations: tuple[str, ...] = ()
    questions: int = 0
    returns: bool = False
    due: float | None = None
    malformed: int = 0


def described(socket: Socket) -> dict[str, object]:
    """A socket as an admin may see it. `dropped`: messages of the client that were none; to a socket nothing is dropped."""
    token, link = socket.token, socket.link
    subject = token.claims.get("sub")
    return {
        "id": socket.name,
        "peer": socket.peer,
        "role": token.identity.role,
        "subject": subject if isinstance(subject, str) else None,
        "vsn": socket.serializer,
        "opened_at": socket.opened_at,
        "topics": list(socket.topics),
        "sent": link.sent,
        "sent_bytes": link.sent_bytes,
        "dropped": socket.malformed,
        "queued_bytes": link.queued_bytes,
        "impersonation": {"session_id": token.session_id, "actor": token.actor} if token.session_id else None,
    }


class Members:
    """Who receives what is sent on a topic, by serializer, so that a frame is built once for each."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._links: dict[tuple[str, Serializer], dict[Link, None]] = {}

    def add(self, topic: str, socket: Socket) -> None:
        """From now on the socket receives."""
        self._links.setdefault((topic, socket.serializer), {})[socket.link] = None

    def discard(self, topic: str, socket: Socket) -> None:
        """The socket receives no more."""
        links = self._links.get((topic, socket.serializer), {})
        links.pop(socket.link, None)
        if not links:
            self._links.pop((topic, socket.serializer), None)

    def send(self, topic: str, ready: Mapping[Serializer, bytes | None], skip: Link | None = None) -> int:
        """Queues the ready frames to everybody but `skip`; returns to how many."""
        reached = 0
        for serializer, frame in ready.items():
            links = self._links.get((topic, serializer))
            if links and frame is not None:
                self._outbox.send(links, frame, skip)
                reached += len(links) - (skip in links)
        return reached
