"""Knows each person's audiences, also those that everybody has left: what they were sent counts for who comes back."""

from itertools import takewhile
from typing import Final, Generic

import orjson

from realtime_inspector.visibility.audience import Audience, AudienceKey, Outlet
from realtime_inspector.visibility.subscription import Subscription

MOST: Final = 10_000
"""Audiences without sockets; the first to be left are the first to go."""
Person = tuple[str, str, str, tuple[Subscription, ...]]
"""Topic, role, and `sub` or all claims: who is the same also with a renewed token. What is asked for counts too."""


class Departed(Generic[Outlet]):
    """`left`: the audiences that everybody has left, in that order, and when it was noticed."""

    def __init__(self) -> None:
        self._by_person: dict[Person, dict[Audience[Outlet], None]] = {}
        self._left: dict[Audience[Outlet], float | None] = {}
        self._by_key: dict[AudienceKey, Audience[Outlet]] = {}

    def enter(self, key: AudienceKey) -> Audience[Outlet]:
        """An audience of this key, which must not be there: the one that was left, if it is still known."""
        audience = self._by_key.pop(key, None)
        if audience is None:
            audience = Audience(key)
            self._by_person.setdefault(person(key), {})[audience] = None
        else:
            del self._left[audience]
        return audience

    def leave(self, audience: Audience[Outlet], *, forget: bool = False) -> None:
        """Everybody has left. `forget`: what they were sent goes elsewhere with them."""
        if forget:
            if audience in self._left:
                self._drop(audience)
            return
        self._left[audience] = None
        self._by_key[audience.key] = audience
        if len(self._left) > MOST:
            self._drop(next(iter(self._left)))

    def known(self, key: AudienceKey) -> list[Audience[Outlet]]:
        """The audiences of who has this key, here or gone."""
        return list(self._by_person.get(person(key), ()))

    def expire(self, now: float, seconds: float) -> None:
        """Forgets those who left longer ago. `now`: seconds of a clock that never goes back."""
        gone = takewhile(lambda each: each[1] is not None and each[1] <= now - seconds, self._left.items())
        for audience, _ in list(gone):
            self._drop(audience)
        for audience in reversed(self._left):
            if self._left[audience] is not None:
                break
            self._left[audience] = now

    def _drop(self, audience: Audience[Outlet]) -> None:
        del self._left[audience]
        if self._by_key.get(audience.key) is audience:
            del self._by_key[audience.key]
        self._forget(audience)

    def _forget(self, audience: Audience[Outlet]) -> None:
        who = person(audience.key)
        audiences = self._by_person[who]
        del audiences[audience]
        if not audiences:
            del self._by_person[who]


def person(key: AudienceKey) -> Person:
    """Who that is. Claims without `sub` are all that is known of somebody."""
    subject = orjson.loads(key.identity.claims).get("sub")
    return key.topic, key.identity.role, key.identity.claims if subject is None else f"sub {subject!r}", key.subscriptions
