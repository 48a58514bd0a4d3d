"""Decides whether the audit trail is as it was written: each entry's hash covers the entry and the hash before it.

The hashes are computed by the database (`chained` in schema.sql) and checked here, without anything that the database itself
says about them: whoever may replace its functions may also rewrite the trail.
"""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

ROOT: Final = bytes(32)
"""The hash before the first entry."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which entries; None does not restrict. `since` is included, `until` is not."""

    action: str | None = None
    admin_user_id: str | None = None
    session_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def parameters(self) -> tuple[object, ...]:
        """As the queries take them."""
        return self.action, self.admin_user_id, self.session_id, self.since, self.until


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as its hash covers it: `at` in UTC as 2026-11-30T20:15:00.123456, `detail` as Postgres writes its jsonb."""

    id: int
    at: str
    action: str
    admin_user_id: str | None
    session_id: str | None
    detail: str
    ip_address: str | None
    user_agent: str | None
    hash: bytes

    def after(self, previous: bytes) -> bytes:
        """The hash that this entry must have behind that one. Lengths count characters."""
        fields = (str(self.id), self.at, self.action, self.admin_user_id, self.session_id, self.detail)
        written = ("-" if field is None else f"{len(field)}:{field}" for field in (*fields, self.ip_address, self.user_agent))
        return sha256(previous + ",".join(written).encode()).digest()


@dataclass(frozen=True, slots=True)
class Flaw:
    """Where the trail is not as it was written, and how that shows. `id`: None where no entry is left to name."""

    id: int | None
    why: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found: how many entries there are, the hash of the newest one, and the first flaw if there is any."""

    entries: int
    head: str
    flaw: Flaw | None = None


class Verification:
    """Takes the entries one after the other, oldest first. `kept`: a head that was written down elsewhere.

    Who begins with the entry of that head gives `previous` and `last`, the hash and the number before it. Neither has to be
    trusted: the number of an entry and the hash before it are in its own hash, so only the entry that was kept has that one.
    """

    def __init__(self, kept: str = "", previous: bytes = ROOT, last: int | None = None) -> None:
        self._previous = previous
        self._last = last
        self._kept = kept.lower()
        self._met = not kept
        self.entries = 0
        self.flaw: Flaw | None = None

    def take(self, entry: Entry) -> None:
        """Checks the next entry."""
        self.entries += 1
        if self.flaw is None and entry.after(self._previous) != entry.hash:
            lost = "" if self._last is None or entry.id == self._last + 1 else f"; entries after {self._last} may be missing"
            self.flaw = Flaw(entry.id, f"its content, or what stood before it, is not what its hash was made of{lost}")
        self._previous, self._last = entry.hash, entry.id
        self._met = self._met or entry.hash.hex() == self._kept

    def end(self, head_id: int, head: bytes) -> Finding:
        """All were taken; `head`: what the database holds for the newest entry."""
        if self.flaw is None and (self._last or 0) != head_id:
            self.flaw = Flaw(self._last, f"entries after it are missing: the newest one was {head_id}")
        if self.flaw is None and self._previous != head:
            self.flaw = Flaw(self._last, "it is the newest entry, but not the one that was written last")
        if self.flaw is None and not self._met:
            self.flaw = Flaw(None, f"no entry has the hash {self._kept}, which was kept elsewhere: the trail was written anew")
        return Finding(self.entries, self._previous.hex(), self.flaw)
