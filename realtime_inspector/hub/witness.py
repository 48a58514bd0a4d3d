"""Writes down what is seen under an impersonation: which channels were joined, and how many rows were delivered or denied.

A join is written down before any row is delivered; when the trail cannot be written, there is no join. Rows are counted, and
written down now and then, and when the service stops.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Final, Protocol

import structlog

from realtime_inspector.errors import RealtimeError
from realtime_inspector.model import Binding, Token
from realtime_inspector.server.flushing import flush_every

FLUSH_SECONDS: Final = 10.0
JOINS: Final = 100
"""Different channels of one impersonation that are written down; then one entry says that there are more."""
NoteJoin = Callable[[Token, str, bool, Sequence[Binding]], Awaitable[None]]
"""Token, topic, whether it is private, and its bindings."""
_log = structlog.get_logger(__name__)


async def not_noted(_token: Token, _topic: str, _private: bool, _bindings: Sequence[Binding]) -> None:
    """Where there is no trail, nobody impersonates."""


class Record(Protocol):
    """Adds an entry to the trail; raises DatabaseUnavailable."""

    async def __call__(
        self, action: str, admin_user_id: str | None, detail: Mapping[str, object], *, session_id: str | None = None
    ) -> int: ...


class Witness:
    """`seen`: by session, what the pipeline counts (`delivered`, `denied`); taken out as it is written down."""

    def __init__(self, record: Record, seen: MutableMapping[str, Counter[str]]) -> None:
        self._record = record
        self._seen = seen
        self._actors: dict[str, str | None] = {}
        self._joins: dict[str, set[str]] = {}

    async def joined(self, token: Token, topic: str, private: bool, bindings: Sequence[Binding] = ()) -> None:
        """Before a channel is joined with this token. Raises DatabaseUnavailable."""
        session = token.session_id
        if session is None:
            return
        tables = sorted({f"{b.schema}.{b.table}" + (f" where {b.filter}" if b.filter else "") for b in bindings})
        known, name = self._joins.setdefault(session, set()), f"{topic} {tables}"
        if name in known or len(known) > JOINS or (not tables and any(each.startswith(f"{topic} [") for each in known)):
            return
        self._actors[session] = token.actor
        more = len(known) == JOINS
        detail: dict[str, object] = {"more": True} if more else {"topic": topic, "private": private, "tables": tables}
        await self._record("joined", token.actor, detail, session_id=session)
        known.add(name)

    def forget(self, session: str) -> None:
        """The session has ended, and what was counted is written down with the next flush."""
        self._joins.pop(session, None)

    async def run(self) -> None:
        """Writes down what was counted, for ever, and once more in the end."""
        await flush_every(FLUSH_SECONDS, self.flush)

    async def flush(self) -> None:
        """One entry for each session under which something was decided since the last one."""
        for session in list(self._seen):
            counted = self._seen.pop(session)
            try:
                await self._record("seen", self._actors.get(session), dict(counted), session_id=session)
            except RealtimeError as error:
                self._seen[session] = counted + self._seen.get(session, Counter())
                _log.warning("seen_not_recorded", session=session, reason=error.text)
                return
            if session not in self._joins:
                self._actors.pop(session, None)
