"""Finds, among the audiences that a change may concern, those whose row it can be, without a look at all the others."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from realtime_inspector.visibility.subscription import Subscription

Audience = TypeVar("Audience")
Owner = str | None
"""See claims.owner."""


@dataclass(eq=False, slots=True)
class Crowd(Generic[Audience]):
    """The audiences of one role with the same subscriptions to a table. `sockets`: how many they have together."""

    role: str
    subscriptions: tuple[Subscription, ...]
    by_owner: dict[Owner, dict[Audience, None]] = field(default_factory=dict)
    sockets: int = 0

    def __bool__(self) -> bool:
        return bool(self.by_owner)

    def __iter__(self) -> Iterator[Audience]:
        for audiences in self.by_owner.values():
            yield from audiences

    def add(self, owner: Owner, audience: Audience) -> None:
        """Takes an audience in."""
        self.by_owner.setdefault(owner, {})[audience] = None

    def remove(self, owner: Owner, audience: Audience) -> None:
        """Lets it go."""
        audiences = self.by_owner[owner]
        del audiences[audience]
        if not audiences:
            del self.by_owner[owner]


@dataclass(frozen=True, slots=True)
class Touched(Generic[Audience]):
    """Whom changes of one relation may concern. `named`: those found one by one; `crowds`: the others."""

    named: dict[Audience, None] = field(default_factory=dict)
    crowds: Sequence[Crowd[Audience]] = ()

    def __iter__(self) -> Iterator[Audience]:
        """Everybody, none of them twice."""
        yield from self.named
        for crowd in self.crowds:
            yield from (audience for audience in crowd if audience not in self.named)

    def add(self, audiences: Iterable[Audience]) -> None:
        """These are concerned whatever they own."""
        self.named.update(dict.fromkeys(audiences))

    def owning(self, owned: Mapping[str, AbstractSet[Owner]]) -> dict[Audience, None]:
        """The same; of the roles that are named, only those who may own something of this, which whoever has no plain id may."""
        found = dict(self.named)
        for crowd in self.crowds:
            owners = owned.get(crowd.role)
            if owners is None:
                found.update(dict.fromkeys(crowd))
                continue
            for owner in (None, *owners):
                found.update(crowd.by_owner.get(owner, ()))
        return found
