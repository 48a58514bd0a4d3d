"""Which subscriptions a change may concern: one audience for all sockets that would receive byte-identical frames.

Sockets that joined the same topic with the same serializer, identity and subscriptions share an Audience, so that rights
are checked and frames are built once for all of them. Equality filters are looked up by value, not asked one by one.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import orjson

from realtime_inspector.model import BEGINNING, Change, Identity, Operation, Position, Relation
from realtime_inspector.visibility.claims import owner
from realtime_inspector.visibility.crowd import Crowd, Touched
from realtime_inspector.visibility.filters import Condition, Group
from realtime_inspector.visibility.lookup import TypedColumn, by_new_value, by_old_value
from realtime_inspector.visibility.subscription import Authorized, Subscription

ANY = "*"
Outlet = TypeVar("Outlet")
"""A live socket; the index only keeps it, the pipeline writes to it."""


@dataclass(frozen=True, slots=True)
class AudienceKey:
    """What makes two joined channels receive exactly the same bytes."""

    topic: str
    serializer: str
    identity: Identity
    subscriptions: tuple[Subscription, ...]
    verdicts: bool


@dataclass(eq=False, slots=True, weakref_slot=True)
class Audience(Generic[Outlet]):
    """The sockets that share a key, each with the position after which it receives everything; `filtered`: by any filter.

    `members`: the stream has passed that position. `joining`: it has not yet. `crowds`: where it is counted.
    """

    key: AudienceKey
    members: dict[Outlet, Position] = field(default_factory=dict)
    joining: dict[Outlet, Position] = field(default_factory=dict)
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
        return [s for s in self.key.subscriptions if _names(s, relation.schema, relation.name)]

    def waits_for(self, position: Position) -> bool:
        """Whether anybody here is to receive the change there, or an earlier one of the same batch."""
        return bool(self.members) or any(after < position for after in self.joining.values())

    def settle(self, position: Position) -> None:
        """Every change from here on is after this one: who waited for less is a full member now."""
        for outlet in [outlet for outlet, after in self.joining.items() if after <= position] if self.joining else ():
            self.members[outlet] = self.joining.pop(outlet)

    def withdraw(self, position: Position) -> None:
        """The log may go on from here in another way: nobody waits for a later position, which may never have been written."""
        self.joining = {outlet: min(after, position) for outlet, after in self.joining.items()}

    def forget(self, position: Position) -> None:
        """Nobody counts as having received anything up to here: what the sockets have cannot be told any more."""
        self.settle(position)
        self.members = dict.fromkeys(self.members, position)


@dataclass(frozen=True, slots=True)
class Returning:
    """What a channel that came back is to receive, and the position after which it has to be told what it missed."""

    key: AudienceKey
    after: Position


@dataclass(slots=True)
class _Bucket(Generic[Outlet]):
    """The audiences that name one table: those found by a value of a column, and those of whom any change may be, in crowds.

    `watching`: those that must be looked at every time. Who is told verdicts is among them: what is not for them is told as well.
    """

    watching: dict[Audience[Outlet], None] = field(default_factory=dict)
    crowds: dict[tuple[str, tuple[Subscription, ...]], Crowd[Audience[Outlet]]] = field(default_factory=dict)
    by_value: dict[TypedColumn, dict[str, dict[Audience[Outlet], None]]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.watching or self.crowds or self.by_value)


class Index(Generic[Outlet]):
    """All audiences; the one object that both streams touch: joins write it, changes read it.

    Channels that come back wait in `returning` until the pipeline takes them into a round: an index of their own, `behind`, that
    is served from the recent past until it has caught up.
    """

    def __init__(self) -> None:
        self._audiences: dict[AudienceKey, Audience[Outlet]] = {}
        self._by_outlet: dict[tuple[Outlet, str], Audience[Outlet]] = {}
        self._buckets: dict[tuple[str, str], _Bucket[Outlet]] = {}
        self._successors: dict[tuple[Outlet, str], AudienceKey] = {}
        self.returning: dict[tuple[Outlet, str], Returning] = {}
        self.behind: Index[Outlet] | None = None
        self.on_return: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self._by_outlet) + len(self.returning) + (len(self.behind) if self.behind is not None else 0)

    def subscribe(
        self, outlet: Outlet, topic: str, serializer: str, identity: Identity, authorized: Authorized, verdicts: bool
    ) -> None:
        """Adds an outlet's channel. One that has the topic already changes over between two batches and misses nothing."""
        channel, key = (outlet, topic), AudienceKey(topic, serializer, identity, authorized.subscriptions, verdicts)
        if not authorized.subscriptions:
            self.unsubscribe(outlet, topic)
        elif channel in self._by_outlet:
            self._successors[channel] = key
        elif channel in self.returning:
            self.returning[channel] = Returning(key, self.returning[channel].after)
        elif self.behind is not None and channel in self.behind._by_outlet:
            self.behind._successors[channel] = key
        elif authorized.returns:
            self.returning[channel] = Returning(key, authorized.after)
            self.on_return()
        else:
            self._enter(outlet, key).joining[outlet] = authorized.after

    def change_over(self, position: Position) -> None:
        """Between two batches, at this position: channels that were given a new identity or other subscriptions take them up.

        Where a whole audience goes on as the same person with the same subscriptions, what it received counts further.
        """
        successors, self._successors = self._successors, {}
        moving: dict[tuple[Audience[Outlet], AudienceKey], list[Outlet]] = {}
        for (outlet, topic), key in successors.items():
            moving.setdefault((self._by_outlet[outlet, topic], key), []).append(outlet)
        for (previous, key), outlets in moving.items():
            whole = len(outlets) == len(previous.members) + len(previous.joining)
            if whole and key not in self._audiences and _continues(previous.key, key):
                self._rename(previous, key)
            else:
                self._move(previous, key, outlets, position)

    def _rename(self, audience: Audience[Outlet], key: AudienceKey) -> None:
        self._displace(audience)
        del self._audiences[audience.key]
        audience.take(key)
        self._audiences[key] = audience
        self._place(audience)

    def _move(self, previous: Audience[Outlet], key: AudienceKey, outlets: Iterable[Outlet], position: Position) -> None:
        """What the others of the new audience received before they did not receive."""
        for outlet in outlets:
            joining = previous.joining.get(outlet)
            self.unsubscribe(outlet, key.topic)
            audience = self._enter(outlet, key)
            if joining is None:
                audience.members[outlet] = position
            else:
                audience.joining[outlet] = max(joining, position)

    def unsubscribe(self, outlet: Outlet, topic: str) -> None:
        """Removes an outlet's channel; unknown ones are fine."""
        self.returning.pop((outlet, topic), None)
        if self.behind is not None:
            self.behind.unsubscribe(outlet, topic)
        self._successors.pop((outlet, topic), None)
        audience = self._by_outlet.pop((outlet, topic), None)
        if audience is None:
            return
        audience.members.pop(outlet, None)
        audience.joining.pop(outlet, None)
        for crowd in audience.crowds:
            crowd.sockets -= 1
        if not audience.members and not audience.joining:
            del self._audiences[audience.key]
            self._displace(audience)

    def audiences(self, table: tuple[str, str] | None = None) -> list[Audience[Outlet]]:
        """All audiences, or those that a table (schema, name) may concern."""
        audiences = list(self._audiences.values())
        if table is None:
            return audiences
        return [audience for audience in audiences if any(_names(s, *table) for s in audience.key.subscriptions)]

    def settle(self) -> None:
        """Another log begins, whose positions have nothing to do with those waited for: everybody is a full member.

        Nobody is behind any more either.
        """
        self.end_round(BEGINNING)
        self.begin_round()
        self.end_round(BEGINNING)
        for audience in self._audiences.values():
            audience.members = dict.fromkeys([*audience.members, *audience.joining], BEGINNING)
            audience.joining.clear()

    def is_behind(self, outlet: Outlet, topics: Iterable[str]) -> bool:
        """Whether any of the outlet's channels still has to catch up."""
        behind = self.behind._by_outlet if self.behind is not None else {}
        return any((outlet, topic) in self.returning or (outlet, topic) in behind for topic in topics)

    def begin_round(self) -> Position | None:
        """Takes everybody who returned so far into an index of their own; gives the position of the hindmost, if anybody did."""
        if not self.returning or self.behind is not None:
            return None
        self.behind = Index()
        for (outlet, _), returning in self.returning.items():
            self.behind._enter(outlet, returning.key).joining[outlet] = returning.after
        hindmost = min(returning.after for returning in self.returning.values())
        self.returning.clear()
        return hindmost

    def give_up(self, floor: Position, reached: Position, last: Position) -> list[tuple[Outlet, AudienceKey]]:
        """Who is behind the floor can no longer catch up: they are served with all others after `last`, and given back here.

        `reached`: up to where the round was served.
        """
        assert self.behind is not None
        lost: list[tuple[Outlet, str]] = []
        for (outlet, topic), audience in self.behind._by_outlet.items():
            if max(audience.joining.get(outlet, reached), reached) < floor:
                lost.append((outlet, topic))
        self.behind.change_over(reached)
        told = [(outlet, self.behind._by_outlet[outlet, topic].key) for outlet, topic in lost]
        for outlet, key in told:
            self.behind.unsubscribe(outlet, key.topic)
            self._enter(outlet, key).joining[outlet] = last
        return told

    def end_round(self, position: Position) -> None:
        """Who was behind has everything up to there, or further if it was further already, and is served with all others."""
        behind, self.behind = self.behind, None
        if behind is None:
            return
        behind.change_over(position)
        for (outlet, _), audience in behind._by_outlet.items():
            self._enter(outlet, audience.key).joining[outlet] = max(audience.joining.get(outlet, position), position)

    def names(self, relation: Relation) -> bool:
        """Whether anybody at all asked for this relation."""
        return any(bucket in self._buckets for bucket in _bucket_keys(relation))

    def touched(self, changes: Iterable[Change], *, before: bool = False) -> Touched[Audience[Outlet]]:
        """The audiences that these changes of one relation may concern.

        `before`: also by what the rows were before, as far as the log has it.
        """
        named: dict[Audience[Outlet], None] = {}
        crowds: list[Crowd[Audience[Outlet]]] = []
        changes = list(changes)
        for key in _bucket_keys(changes[0].relation) if changes else ():
            bucket = self._buckets.get(key)
            if bucket is not None:
                named.update(bucket.watching)
                crowds += bucket.crowds.values()
                for column, by_value in bucket.by_value.items():
                    named.update(dict.fromkeys(by_new_value(changes, column, by_value)))
                    if before:
                        named.update(dict.fromkeys(by_old_value(changes, column, by_value)))
        return Touched(named, crowds)

    def _enter(self, outlet: Outlet, key: AudienceKey) -> Audience[Outlet]:
        audience = self._audiences.get(key)
        if audience is None:
            audience = self._audiences[key] = Audience(key)
            self._place(audience)
        for crowd in audience.crowds:
            crowd.sockets += 1
        self._by_outlet[outlet, key.topic] = audience
        return audience

    def _place(self, audience: Audience[Outlet]) -> None:
        tables = _by_table(audience.key.subscriptions)
        several = len(tables) > 1 and any(ANY in table for table in tables)  # one change may be found by more than one of them
        for table, subscriptions in tables.items():
            bucket = self._buckets.setdefault(table, _Bucket())
            equalities = [_lookup(subscription) for subscription in subscriptions]
            if audience.key.verdicts or several:
                bucket.watching[audience] = None
                continue
            if any(equality is None for equality in equalities):
                identity, like = audience.key.identity, (audience.key.identity.role, tuple(subscriptions))
                crowd = bucket.crowds.get(like)
                if crowd is None:
                    crowd = bucket.crowds[like] = Crowd(*like)
                crowd.add(owner(identity.claims), audience)
                crowd.sockets += audience.sockets
                audience.crowds.append(crowd)
                continue
            for equality in equalities:
                assert equality is not None
                column, values = equality
                for value in values:
                    bucket.by_value.setdefault(column, {}).setdefault(value, {})[audience] = None

    def _displace(self, audience: Audience[Outlet]) -> None:
        identity = audience.key.identity
        for crowd in audience.crowds:
            crowd.remove(owner(identity.claims), audience)
            crowd.sockets -= audience.sockets
        audience.crowds.clear()
        for table, subscriptions in _by_table(audience.key.subscriptions).items():
            bucket, like = self._buckets[table], (identity.role, tuple(subscriptions))
            bucket.watching.pop(audience, None)
            if not bucket.crowds.get(like, True):
                del bucket.crowds[like]
            for column, by_value in list(bucket.by_value.items()):
                for value in [value for value, audiences in by_value.items() if audiences.pop(audience, 0) is None]:
                    if not by_value[value]:
                        del by_value[value]
                if not by_value:
                    del bucket.by_value[column]
            if not bucket:
                del self._buckets[table]


def wants(subscription: Subscription, operation: Operation) -> bool:
    """Whether the subscription's event includes this operation."""
    return subscription.binding.event in (ANY, operation)


def _continues(one: AudienceKey, other: AudienceKey) -> bool:
    """Whether two tokens speak for the same user, as those before and after a refresh do, who asks for the same."""
    subjects = [orjson.loads(key.identity.claims).get("sub") for key in (one, other)]
    same = subjects[0] is not None and subjects[0] == subjects[1]
    return same and one.identity.role == other.identity.role and one.subscriptions == other.subscriptions


def _names(subscription: Subscription, schema: str, table: str) -> bool:
    return subscription.binding.schema in (ANY, schema) and subscription.binding.table in (ANY, table)


def _bucket_keys(relation: Relation) -> tuple[tuple[str, str], ...]:
    return (relation.schema, relation.name), (relation.schema, ANY), (ANY, relation.name), (ANY, ANY)


def _by_table(subscriptions: Iterable[Subscription]) -> dict[tuple[str, str], list[Subscription]]:
    tables: dict[tuple[str, str], list[Subscription]] = {}
    for subscription in subscriptions:
        tables.setdefault((subscription.binding.schema, subscription.binding.table), []).append(subscription)
    return tables


def _lookup(subscription: Subscription) -> tuple[TypedColumn, tuple[str, ...]] | None:
    """An equality by which the subscription can be found; the authorizer marked those that texts can decide."""
    exact = dict(subscription.exact_columns)
    for part in subscription.parts:
        if (values := _values(part)) is not None and (column := _columns(part)[0]) in exact:
            return (column, exact[column]), values
    return None


def _values(part: Condition | Group) -> tuple[str, ...] | None:
    """The values one of which its only column must have where it holds; None where other values may do."""
    if isinstance(part, Condition):
        return part.values if part.operator in ("eq", "in") and not part.negated else None
    if len(set(_columns(part))) != 1:
        return None
    found = [_values(each) for each in part.parts]
    return None if None in found else tuple(dict.fromkeys(value for values in found for value in values or ()))


def _columns(part: Condition | Group) -> list[str]:
    return [condition.column for condition in ((part,) if isinstance(part, Condition) else part.conditions)]
