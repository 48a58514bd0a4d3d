"""What somebody may ask about a row or an event: the forms that the interface hands to those who find out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from realtime_inspector.errors import InvalidInput
from realtime_inspector.model import Identity, Operation
from realtime_inspector.visibility.expressions import single
from realtime_inspector.visibility.trace import PolicyFacts


@dataclass(frozen=True, slots=True)
class Candidate:
    """A policy that does not exist. `replaces`: the name of one that it would take the place of."""

    name: str
    using: str | None = None
    check: str | None = None
    command: Literal["ALL", "SELECT", "INSERT", "UPDATE", "DELETE"] = "ALL"
    roles: tuple[str, ...] = ("public",)
    permissive: bool = True
    replaces: str | None = None

    def __post_init__(self) -> None:
        if not self.name.strip() or "\x00" in self.name or len(self.name.encode()) > 63:
            raise InvalidInput("A policy has a name of 1 to 63 bytes")
        if not self.roles or any("\x00" in role for role in self.roles):
            raise InvalidInput("A policy is for at least one role", hint="Name roles, or public for everybody.")
        if (self.using is None and self.command != "INSERT") or (self.command == "INSERT" and self.check is None):
            raise InvalidInput("The condition is missing", hint="USING for stored rows; WITH CHECK for INSERT.")
        if (self.command == "INSERT" and self.using is not None) or (self.command in ("SELECT", "DELETE") and self.check):
            raise InvalidInput(f"{self.command} has no such condition", hint="USING is for stored rows, WITH CHECK for new ones.")
        for condition in (self.using, self.check):
            if condition is not None:
                single(condition)

    def facts(self, *, member: bool) -> PolicyFacts:
        """As if the catalogue had it. Nobody knows what it calls: it counts as volatile only if it says so itself."""
        return PolicyFacts(self.name, self.permissive, self.command, self.roles, member, using=self.using, check=self.check)


@dataclass(frozen=True, slots=True)
class Question:
    """Why an identity sees a row, or not: of an event of the recent past, or of a table by key.

    `old`: the row as it was, if the asker knows it; `candidate`: a policy to count in as if it existed.
    """

    identity: Identity
    event_id: str | None = None
    schema: str = ""
    table: str = ""
    key: Mapping[str, str] = field(default_factory=dict)
    operation: Operation | None = None
    old: Mapping[str, str | None] | None = None
    candidate: Candidate | None = None


@dataclass(frozen=True, slots=True)
class Receiver:
    """What an event was to one live channel. `kept`: whether it was sent is known, and not decided anew.

    `size`: bytes of its records with every value, 0 if not known; `queued`: bytes that wait in its socket's queue now.
    """

    connection: str
    topic: str
    identity: Identity
    subject: str
    reason: str
    detail: str
    kept: bool
    size: int
    queued: int
