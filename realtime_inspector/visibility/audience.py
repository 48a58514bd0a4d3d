"""The sockets that would receive byte-identical frames, and from where on each of them receives everything."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from realtime_inspector.model import Identity, Position, Relation, Told
from realtime_inspector.visibility.crowd import Crowd
from realtime_inspector.visibility.memory import RowId, Sent
from realtime_inspector.visibility.subscription import Subscription

ANY = "*"
Outlet = TypeVar("Outlet")
"""A live socket; the index only keeps it, the pipeline writes to it."""


@dataclass(frozen=True, slots=True)
class AudienceKey:
    """What makes two joined channels receive exactly the same bytes. `session`: the impersonation that it is counted for."""

    topic: str
    serializer: str
    identity: Identity
    subscriptions: tuple[Subscription, ...]
    verdicts: Told
    session: str | None = None


@dataclass(eq=False, slots=True, weakref_slot=True)
class Audience(Generic[Outlet]):
    """The sockets that share a key, each with the position after which it receives everything; `filtered`: by any filter.

    `members`: the stream has passed that position. `joining`: it has not yet. `crowds`: where it is counted. `since`: of those
    joining that come from elsewhere, after which position they have received everything already.
    """

    key: AudienceKey
    members: dict[Outlet, Position] = field(default_factory=dict)
    joining: dict[Outlet, Position] = field(default_factory=dict)
    since: dict[Outlet, Position] = field(default_factory=dict)
    filtered: bool = field(init=False)
    crowds: list[Crowd["Audience[Outlet]"]] = field(default_factory=list, init=False)

    @property
    def sockets(self) -> int:
        """How many there are."""
        return len(self.members) + len(self.joining)

    def __post_init__(self) -> None:
        self.take(self.key)

    def take(self, key: AudienceKey) -> None:
        """From now on everybody here has this key."""
        self.key = key
        self.filtered = any(subscription.conditions for subscription in key.subscriptions)

    def concerning(self, relation: Relation) -> list[Subscription]:
        """The subscriptions that name this relation, or everything."""
        return [s for s in self.key.subscriptions if names(s, relation.schema, relation.name)]

    def waits_for(self, position: Position) -> bool:
        """Whether anybody here is to receive the change there, or an earlier one of the same batch."""
        return bool(self.members) or any(after < position for after in self.joining.values())

    def settle(self, position: Position) -> None:
        """Every change from here on is after this one: who waited for less is a full member now."""
        for outlet in [outlet for outlet, after in self.joining.items() if after <= position] if self.joining else ():
            after = self.joining.pop(outlet)
            self.members[outlet] = self.since.pop(outlet, after)

    def began(self, outlet: Outlet) -> Position:
        """After which position one of these sockets has received everything, or will have."""
        known = self.members.get(outlet) or self.since.get(outlet)
        return self.joining[outlet] if known is None else known

    def rewind(self, position: Position) -> None:
        """The stream goes back and comes to this position again: nobody here counts as having received anything before it."""
        self.forget(position)
        self.joining.update(self.members)
        self.members.clear()

    def skip(self, outlet: Outlet, position: Position) -> None:
        """The socket misses what comes before this position."""
        self.drop(outlet)
        self.joining[outlet] = position

    def drop(self, outlet: Outlet) -> None:
        """The socket is none of these any more."""
        for sockets in (self.members, self.joining, self.since):
            sockets.pop(outlet, None)

    def withdraw(self, position: Position) -> None:
        """The log may go on from here in another way: nobody waits for a later position, which may never have been written."""
        self.joining = {outlet: min(after, position) for outlet, after in self.joining.items()}

    def forget(self, position: Position) -> None:
        """Nobody counts as having received anything up to here: what the sockets have cannot be told any more."""
        self.settle(position)
        self.since.clear()
        self.members = dict.fromkeys(self.members, position)


@dataclass(frozen=True, slots=True)
class Returning:
    """What a channel that comes back is to receive, and the position after which it has to be told what it missed.

    `since`: after which position it has received everything already; `sent`: the rows that it was sent, as far as that is known.
    `resumes`: whether it is told when it has caught up.
    """

    key: AudienceKey
    after: Position
    since: Position | None = None
    sent: Mapping[RowId, Sent] = field(default_factory=dict)
    resumes: bool = True


def names(subscription: Subscription, schema: str, table: str) -> bool:
    """Whether the subscription is to this table, or to everything."""
    return subscription.binding.schema in (ANY, schema) and subscription.binding.table in (ANY, table)
