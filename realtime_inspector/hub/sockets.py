"""A live socket as the hub knows it, and who receives what is sent on a topic."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from realtime_inspector.channel.session import Session
from realtime_inspector.model import Forum, Token
from realtime_inspector.protocol.serializer import Serializer
from realtime_inspector.server.answers import Connection
from realtime_inspector.server.outbox import Link, Outbox


@dataclass(slots=True)
class Membership:
    """A joined channel. `caught_up`: it was sent the arrears. `past`: ids of messages that it was sent as the past, and may meet
    again.
    """

    forum: Forum
    receives_own: bool
    caught_up: bool = False
    past: set[str] = field(default_factory=set)


@dataclass(eq=False, slots=True)
class Socket:
    """A live socket, its session, and what the world knows of it.

    `token`: the one that was verified last. `headers`: of its connection, as policies read them, a JSON object's text. `topics`:
    the joined channels. `questions`: how many to the world are open. `due`: when the session wants a tick. `returns`: a channel
    of it was told how to come back. `arrears`: which ones, and how many of them, it was sent in forums that it has left.
    """

    name: str
    link: Link
    serializer: Serializer
    session: Session
    token: Token
    peer: str
    opened_at: float
    headers: str = "{}"
    topics: dict[str, Membership] = field(default_factory=dict)
    impersonations: tuple[str, ...] = ()
    questions: int = 0
    returns: bool = False
    arrears: dict[Forum, tuple[int, int]] | None = None
    due: float | None = None
    malformed: int = 0


def described(socket: Socket) -> Connection:
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
    """Who receives what is sent in a forum, by serializer, so that a frame is built once for each."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._links: dict[tuple[Forum, Serializer], dict[Link, None]] = {}

    def add(self, forum: Forum, socket: Socket) -> None:
        """From now on the socket receives."""
        self._links.setdefault((forum, socket.serializer), {})[socket.link] = None

    def discard(self, forum: Forum, socket: Socket) -> None:
        """The socket receives no more."""
        links = self._links.get((forum, socket.serializer), {})
        links.pop(socket.link, None)
        if not links:
            self._links.pop((forum, socket.serializer), None)

    def lagging(self, forum: Forum, size: int) -> list[Link]:
        """Those with more queued than that."""
        links = [link for serializer in Serializer for link in self._links.get((forum, serializer), ())]
        return [link for link in links if link.queued_bytes > size]

    def send(
        self,
        forum: Forum,
        ready: Mapping[Serializer, bytes | None],
        skip: Link | None = None,
        had: Collection[Link] = (),
    ) -> int:
        """Queues the ready frames to everybody but `skip` and those who `had` them; returns to how many."""
        reached = 0
        for serializer, frame in ready.items():
            links = self._links.get((forum, serializer))
            if links and frame is not None:
                if had:
                    links = {link: None for link in links if link not in had}
                self._outbox.send(links, frame, skip)
                reached += len(links) - (skip in links)
        return reached
