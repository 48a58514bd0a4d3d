"""Counts the tokens that the admin interface refused, and writes them down now and then: one entry for each kind.

Anybody can send tokens and the trail is kept for ever, so what a flood writes is bounded: a few kinds each time, and the rest
together. A kind is an address, whom the token names if it was verified, and why it was refused.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog

from realtime_inspector.errors import NotAdmin, RealtimeError, TokenError
from realtime_inspector.model import Token
from realtime_inspector.server.flushing import flush_every
from realtime_inspector.server.rest import STRANGER, Call

FLUSH_SECONDS: Final = 30.0
KINDS: Final = 10
"""Of verified tokens, and as many of others, so that forged ones do not crowd out those that name somebody."""
_log = structlog.get_logger(__name__)


class Record(Protocol):
    """Adds an entry to the trail; raises DatabaseUnavailable."""

    async def __call__(
        self,
        action: str,
        admin_user_id: str | None,
        detail: Mapping[str, object],
        *,
        ip_address: str | None,
        user_agent: str | None,
    ) -> int: ...


@dataclass(frozen=True, slots=True)
class _Kind:
    verified: bool
    ip_address: str | None = None
    subject: str | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Counted:
    """How often, and the first one's user agent and detail."""

    times: int
    user_agent: str | None
    detail: Mapping[str, object]


class Refusals:
    """What was refused since the last flush."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._counted: dict[_Kind, _Counted] = {}

    def note(self, call: Call, error: RealtimeError) -> None:
        """Counts a request that was refused for its token, and no other."""
        verified = call.token is not STRANGER
        if error.status >= 500 or not isinstance(error, NotAdmin if verified else TokenError):
            return
        # By the class, as the sentence may say how many seconds ago a token expired.
        kind = _Kind(verified, call.ip_address, _subject(call.token), error.text if verified else type(error).__name__)
        first = _Counted(0, call.user_agent, _detail(call, error))
        if kind not in self._counted and sum(each.verified == verified for each in self._counted) >= KINDS:
            kind, first = _Kind(verified), _Counted(0, None, {"error": "Refused for several more reasons, or from elsewhere"})
        counted = self._counted.get(kind, first)
        self._counted[kind] = replace(counted, times=counted.times + 1)

    async def run(self) -> None:
        """Writes down what was counted, for ever, and once more in the end."""
        await flush_every(FLUSH_SECONDS, self.flush)

    async def flush(self) -> None:
        """One entry for each kind; what cannot be written down is kept for the next time."""
        for kind, counted in list(self._counted.items()):
            detail = {**counted.detail, "times": counted.times}
            try:
                await self._record("refused", kind.subject, detail, ip_address=kind.ip_address, user_agent=counted.user_agent)
            except RealtimeError as failure:
                _log.warning("refusal_not_recorded", refused=counted.detail.get("code"), error=failure.text)
                return
            self._forget(kind, counted.times)

    def _forget(self, kind: _Kind, times: int) -> None:
        """More may have come while the entry was written."""
        counted = self._counted.pop(kind)
        if counted.times > times:
            self._counted[kind] = replace(counted, times=counted.times - times)


def _subject(token: Token) -> str | None:
    subject = token.actor or token.claims.get("sub")
    return str(subject) if subject else None


def _detail(call: Call, error: RealtimeError) -> Mapping[str, object]:
    since = datetime.fromtimestamp(int(time.time()), UTC).isoformat()
    detail: dict[str, object] = {"code": error.code, "error": error.text, "since": since}
    detail |= {"method": call.request.method, "path": call.request.scope["path"][:200]}
    if call.token is STRANGER:
        return detail
    return {**detail, "as_role": call.token.identity.role, "as_session": call.token.session_id}
