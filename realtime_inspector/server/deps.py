"""What the admin interface asks of the rest, as Protocols and one value that holds them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from realtime_inspector.identity.chain import Chosen, Entry, Finding
from realtime_inspector.identity.impersonation import Ending, Grant, Impersonation, Selection, User
from realtime_inspector.identity.statements import Mode, Shown, Statement
from realtime_inspector.model import Identity, Problem, PublishedTable
from realtime_inspector.server.answers import Connection
from realtime_inspector.server.keys import Keys
from realtime_inspector.server.rest import Door
from realtime_inspector.settings import Settings


class Audit(Protocol):
    """Where it is recorded what admins do. Each method is atomic and raises DatabaseUnavailable when nothing was recorded."""

    async def start(
        self, granted: Grant, *, ip_address: str | None, user_agent: str | None, concurrent: bool
    ) -> tuple[Impersonation, tuple[Impersonation, ...]]: ...

    async def end(
        self,
        admin_user_id: str,
        session_id: str | None,
        ending: Ending,
        *,
        ip_address: str | None = None,
        user_agent: str | None = None,
    ) -> tuple[Impersonation, ...]: ...

    async def revoke_admin(
        self, admin_user_id: str, by: str, reason: str, *, ip_address: str | None = None, user_agent: str | None = None
    ) -> tuple[Impersonation, ...]: ...

    async def record(
        self,
        action: str,
        admin_user_id: str | None,
        detail: Mapping[str, object],
        *,
        session_id: str | None = None,
        ip_address: str | None = None,
        user_agent: str | None = None,
    ) -> int: ...

    async def refuse(
        self,
        admin_user_id: str | None,
        problem: Problem,
        asked: Mapping[str, object],
        *,
        ip_address: str | None,
        user_agent: str | None,
    ) -> None: ...

    async def identity(self, admin_user_id: str, session_id: str) -> Identity:
        """Raises NotFound unless it is a running session of this admin."""

    async def list(self, selection: Selection) -> tuple[tuple[Impersonation, ...], int]: ...


class Trail(Protocol):
    """The trail to be read."""

    async def page(self, chosen: Chosen, limit: int, offset: int) -> tuple[tuple[Entry, ...], int]: ...

    def entries(self, chosen: Chosen) -> AsyncIterator[list[Entry]]: ...

    async def verify(self, kept: str = "") -> Finding: ...


class Console(Protocol):
    """Where statements are run as somebody. Raises StatementFailed, StatementRefused, NotFound and DatabaseUnavailable."""

    async def run(
        self,
        identity: Identity,
        statements: Sequence[Statement],
        mode: Mode,
        limit: int,
        confirm: Callable[[], Awaitable[None]],
    ) -> tuple[Sequence[Shown], Sequence[str]]: ...

    async def rows(
        self, identity: Identity, table: tuple[str, str], order: tuple[str, str] | None, limit: int, offset: int
    ) -> Shown: ...


class Users(Protocol):
    """Where the application's users are found; without a table of them there is nobody, and a note says so."""

    async def search(
        self, text: str, limit: int, *, except_id: str | None = None, except_role: str | None = None
    ) -> tuple[tuple[User, ...], int, str]: ...

    async def find(self, user_id: str) -> User | None: ...


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What the routes ask of the world.

    `close_session` closes the sockets of an impersonation that was ended; `connections` lists live sockets and `disconnect`
    closes one, if it is there; `refresh_endings` looks at once for what was ended or revoked.
    """

    settings: Settings
    keys: Keys
    door: Door
    audit: Audit
    users: Users
    tables: Callable[[], Awaitable[list[PublishedTable]]]
    close_session: Callable[[str], None]
    trail: Trail
    console: Console
    connections: Callable[[], Iterable[Connection]]
    disconnect: Callable[[str], bool]
    refresh_endings: Callable[[], Awaitable[None]]


def end_sessions(deps: Dependencies, sessions: Iterable[Impersonation]) -> None:
    """From now on nothing of these counts in this process, and their sockets are closed."""
    for session in sessions:
        deps.keys.revoke(session.id, session.expires_at.timestamp())
        deps.close_session(session.id)
