"""How much one client, one address and all of them together may ask for: token buckets that are told the time.

Rates count as upstream's do: on average over a minute, so that a burst passes. Who asks for more is told which limit it was, and
nobody is punished beyond that. What one client spends is taken from no other, except where the whole service has one measure.
"""

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Final

from realtime_inspector.errors import TooManyConnections, TooManyJoins
from realtime_inspector.model import Problem

WINDOW: Final = 60.0
"""Seconds over which a rate is the average."""
REMEMBERED: Final = 10_000
"""Callers of HTTP whose buckets are kept; who has not come for longest starts anew."""

CLIENT_PRESENCE: Final = Problem(
    "ClientPresenceRateLimitReached",
    "Client presence rate limit exceeded",
    "Call track and untrack less often, and only when something changed; see RTI_PRESENCE_CALLS and RTI_PRESENCE_SECONDS.",
)
PRESENCE: Final = Problem(
    "PresenceRateLimitReached",
    "Too many presence messages per second",
    "Try again in a moment; all clients together exceed RTI_PRESENCE_PER_SECOND.",
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What is allowed. Sizes in bytes, rates per second; `channels` to `presence_seconds` are one socket's, the rest everybody's.

    0 connections of an address: as many as of all. `private_only`: no public channels.
    """

    channels: int = 100
    bindings: int = 100
    topic_bytes: int = 255  # a binary frame has one byte for the topic's size
    presence_bytes: int = 65_536
    messages_per_second: int = 100
    presence_calls: int = 5
    presence_seconds: int = 30
    presence_per_second: int = 1_000
    joins_per_second: int = 100
    connections: int = 200
    connections_per_address: int = 0
    private_only: bool = False


@dataclass(slots=True)
class Bucket:
    """Holds `size` tokens at most and gets `rate` new ones per second; begins full. `now`: seconds of any clock."""

    rate: float
    size: float
    level: float = field(init=False)
    _at: float = field(init=False, default=float("-inf"))

    def __post_init__(self) -> None:
        self.level = self.size

    def take(self, now: float, count: float = 1.0) -> bool:
        """Whether so many tokens were there; then they are gone."""
        self.fill(now)
        if self.level < count:
            return False
        self.level -= count
        return True

    def fill(self, now: float) -> None:
        """What came since the last time; a clock that was put back brings nothing and takes nothing."""
        self.level = min(self.size, self.level + self.rate * max(0.0, now - self._at))
        self._at = now


def averaged(rate: float) -> Bucket:
    """So many per second on average over the window; all of it may come at once."""
    return Bucket(rate, rate * WINDOW)


def own_joins(limits: Limits) -> Bucket:
    """A tenth of everybody's is one socket's, so that none takes the others' away."""
    return averaged(max(1.0, limits.joins_per_second / 10))


def presence_calls(limits: Limits) -> Bucket:
    """The calls of one channel of a client."""
    return Bucket(limits.presence_calls / limits.presence_seconds, limits.presence_calls)


class Gate:
    """What the clients of this process have in common: how many there are, and what they ask for together."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._connected: Counter[str] = Counter()
        self.joins = averaged(limits.joins_per_second)
        self.presence = averaged(limits.presence_per_second)
        self.calls: OrderedDict[str, Bucket] = OrderedDict()

    def enter(self, address: str, now: float, *, reserved: bool = False) -> None:
        """A new connection of this address; each is to `leave` again. Raises TooManyConnections or TooManyJoins.

        `reserved`: an impersonation's. Admins have to see the service just when it is full.
        """
        if not reserved:
            if self._connected.total() >= self.limits.connections:
                raise TooManyConnections
            if 0 < self.limits.connections_per_address <= self._connected[address]:
                raise TooManyConnections(hint="This address has as many as RTI_CONNECTIONS_PER_ADDRESS allows.")
            self.joins.fill(now)
            if self.joins.level < 1.0:  # it could not join anything
                raise TooManyJoins
        self._connected[address] += 1

    def leave(self, address: str) -> None:
        """A connection is gone."""
        self._connected[address] -= 1
        if self._connected[address] <= 0:
            del self._connected[address]

    def share(self, caller: str, now: float) -> Bucket:
        """What a caller of HTTP may send, whoever that is: those who share a token share its measure."""
        bucket = self.calls.pop(caller, None) or averaged(self.limits.messages_per_second)
        bucket.fill(now)
        self.calls[caller] = bucket
        if len(self.calls) > REMEMBERED:
            self.calls.popitem(last=False)
        return bucket
