"""Which subscriptions a change may concern: one audience for all sockets that would receive byte-identical frames.

Sockets that joined the same topic with the same serializer, identity and subscriptions share an Audience, so that rights
are checked and frames are built once for all of them. Equality filters are looked up by value, not asked one by one.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Generic

import orjson

from realtime_inspector.model import BEGINNING, Change, Identity, Operation, Position, Relation, Told
from realtime_inspector.visibility.audience import ANY, Audience, AudienceKey, Outlet, Returning, names
from realtime_inspector.visibility.claims import owner
from realtime_inspector.visibility.crowd import Crowd, Touched
from realtime_inspector.visibility.filters import Condition, Group
from realtime_inspector.visibility.lookup import TypedColumn, by_new_value, by_old_value
from realtime_inspector.visibility.memory import RowId, Sent
from realtime_inspector.visibility.subscription import Authorized, Subscription


@dataclass(slots=True)
class _Bucket(Generic[Outlet]):
    """The audiences that name one table: those found by a value of a column, and those of whom any change may be, in crowds.

    `watching`: those that must be looked at every time. Who is told verdicts is among them, and who
    impersonates: what is not for them is told, or counted, as well.
    """

    watching: dict[Audience[Outlet], None] = field(default_factory=dict)
    crowds: dict[tuple[str, tuple[Subscription, ...]], Crowd[Audience[Outlet]]] = field(default_factory=dict)
    by_value: dict[TypedColumn, dict[str, dict[Audience[Outlet], None]]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.watching or self.crowds or self.by_value)


class Index(Generic[Outlet]):
    """All audiences; the one object that both streams touch: joins write it, changes read it.

    Channels that come back wait in `returning` until the pipeline takes them into a round: an index of their own, `behind`, that
    is served from the recent past until it has caught up. Those of whom the policies are slow are `aside`: in an index that is
    served from the recent past beside this one. `resuming`: the channels here that are told when they have caught up.
    """

    def __init__(self) -> None:
        self._audiences: dict[AudienceKey, Audience[Outlet]] = {}
        self._by_outlet: dict[tuple[Outlet, str], Audience[Outlet]] = {}
        self._buckets: dict[tuple[str, str], _Bucket[Outlet]] = {}
        self._successors: dict[tuple[Outlet, str], AudienceKey] = {}
        self.returning: dict[tuple[Outlet, str], Returning] = {}
        self.behind: Index[Outlet] | None = None
        self.aside: Index[Outlet] | None = None
        self.resuming: set[tuple[Outlet, str]] = set()
        self.on_return: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        elsewhere = sum(len(part) for part in (self.behind, self.aside) if part is not None)
        return len(self._by_outlet) + len(self.returning) + elsewhere

    def __contains__(self, channel: tuple[Outlet, str]) -> bool:
        """Whether it is served from here, or waits to be."""
        return channel in self._by_outlet or channel in self.returning

    def subscribe(
        self,
        outlet: Outlet,
        topic: str,
        serializer: str,
        identity: Identity,
        authorized: Authorized,
        verdicts: Told,
        session: str | None = None,
    ) -> None:
        """Adds an outlet's channel. One that has the topic already changes over between two batches and misses nothing."""
        channel, key = (outlet, topic), AudienceKey(topic, serializer, identity, authorized.subscriptions, verdicts, session)
        if not authorized.subscriptions:
            self.unsubscribe(outlet, topic)
        elif channel in self._by_outlet:
            self._successors[channel] = key
        elif channel in self.returning:
            before = self.returning[channel]
            self.returning[channel] = Returning(key, before.after, resumes=before.resumes)
        elif self.behind is not None and channel in self.behind._by_outlet:
            self.behind._successors[channel] = key
        elif self.aside is not None and channel in self.aside:
            self.aside.subscribe(outlet, topic, serializer, identity, authorized, verdicts, session)
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
            joining, resuming = previous.joining.get(outlet), (outlet, key.topic) in self.resuming
            self.unsubscribe(outlet, key.topic)
            audience = self._enter(outlet, key)
            if resuming:
                self.resuming.add((outlet, key.topic))
            if joining is None:
                audience.members[outlet] = position
            else:
                audience.joining[outlet] = max(joining, position)

    def unsubscribe(self, outlet: Outlet, topic: str) -> None:
        """Removes an outlet's channel; unknown ones are fine."""
        self.returning.pop((outlet, topic), None)
        self.resuming.discard((outlet, topic))
        for part in (self.behind, self.aside):
            if part is not None:
                part.unsubscribe(outlet, topic)
        self._successors.pop((outlet, topic), None)
        audience = self._by_outlet.pop((outlet, topic), None)
        if audience is None:
            return
        audience.drop(outlet)
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
        return [audience for audience in audiences if any(names(s, *table) for s in audience.key.subscriptions)]

    def arriving(self, table: tuple[str, str] | None) -> list[tuple[Outlet, AudienceKey]]:
        """Those who wait to be served from here and whom a table may concern, or all of them."""
        waiting = [(outlet, returning.key) for (outlet, _), returning in self.returning.items()]
        return [(outlet, key) for outlet, key in waiting if table is None or any(names(s, *table) for s in key.subscriptions)]

    def forget_sent(self) -> None:
        """What those who wait to be served from here were sent before is not certain any more."""
        self.returning = {channel: replace(returning, sent={}) for channel, returning in self.returning.items()}

    def settle(self) -> None:
        """Another log begins, whose positions have nothing to do with those waited for: everybody is a full member.

        Nobody is behind any more either.
        """
        aside, self.aside = self.aside, None
        if aside is not None:
            aside.change_over(BEGINNING)
        self.end_round(BEGINNING)
        for part in (self, aside):
            for (outlet, _), returning in part.returning.items() if part is not None else ():
                self._enter(outlet, returning.key).joining[outlet] = BEGINNING
        self.returning.clear()
        for (outlet, _), audience in aside._by_outlet.items() if aside is not None else ():
            self._enter(outlet, audience.key).joining[outlet] = BEGINNING
        for audience in self._audiences.values():
            audience.members = dict.fromkeys([*audience.members, *audience.joining], BEGINNING)
            audience.joining.clear()
            audience.since.clear()

    def is_behind(self, outlet: Outlet, topics: Iterable[str]) -> bool:
        """Whether any of the outlet's channels still has to catch up."""
        elsewhere = [part for part in (self.behind, self.aside) if part is not None]
        return any((outlet, t) in self.returning or any((outlet, t) in part for part in elsewhere) for t in topics)

    def begin_round(self) -> tuple[Position, dict[Audience[Outlet], Mapping[RowId, Sent]]] | None:
        """Takes everybody who returned so far into an index of their own, if nobody is behind yet.

        Gives where they begin, and what they were sent, as far as it counts.
        """
        if not self.returning or self.behind is not None:
            return None
        self.behind = Index()
        self.behind.returning, self.returning = self.returning, {}
        hindmost = min(returning.after for returning in self.behind.returning.values())
        return hindmost, self.behind.admit(hindmost)

    def admit(self, reached: Position) -> dict[Audience[Outlet], Mapping[RowId, Sent]]:
        """Those who return are served from here from now on, each after its own position; gives what they were sent.

        That counts further only for those of one audience who come to one where nobody is, at the position that is reached here:
        what others were sent of the same changes was decided at another moment, and to who is ahead rows were sent that are yet
        to go.
        """
        admitted, self.returning = self.returning, {}
        known: dict[Audience[Outlet], Mapping[RowId, Sent]] = {}
        for (outlet, topic), returning in sorted(admitted.items(), key=lambda each: each[1].since is None):
            counts = returning.since is not None and returning.after == reached
            audience = self._enter(outlet, returning.key)
            if counts and not audience.sockets:
                known[audience] = returning.sent
            if counts and known.get(audience) is returning.sent:
                audience.since[outlet] = returning.since or BEGINNING
            audience.joining[outlet] = returning.after
            if returning.resumes:
                self.resuming.add((outlet, topic))
        return known

    def rewind(self, position: Position) -> None:
        """What is served from here begins anew before this position, up to which everybody here was served."""
        for audience in self._audiences.values():
            audience.rewind(position)

    def resumed(self) -> list[tuple[Outlet, AudienceKey]]:
        """Everybody here has caught up: those who are to be told so."""
        told, self.resuming = self.resuming, set()
        return [(outlet, self._by_outlet[outlet, topic].key) for outlet, topic in told if (outlet, topic) in self._by_outlet]

    def depart(
        self, audiences: Iterable[Audience[Outlet]], position: Position, sent: Mapping[Audience[Outlet], Mapping[RowId, Sent]]
    ) -> dict[tuple[Outlet, str], Returning]:
        """These leave, to be served from elsewhere from this position on. `sent`: the rows that they were sent."""
        left = {}
        for audience in audiences:
            for outlet in [*audience.members, *audience.joining]:
                channel, after = (outlet, audience.key.topic), max(audience.joining.get(outlet, position), position)
                successor, resumes = self._successors.get(channel), channel in self.resuming
                if successor is None:
                    left[channel] = Returning(audience.key, after, audience.began(outlet), sent.get(audience, {}), resumes)
                else:
                    left[channel] = Returning(successor, after, resumes=resumes)
                self.unsubscribe(*channel)
        return left

    def give_up(self, floor: Position, reached: Position, last: Position) -> list[tuple[Outlet, AudienceKey, Position]]:
        """Who is behind the floor can no longer catch up: they are served with all others after `last`, and given back here.

        `reached`: up to where the round was served. Gives also up to where each was served.
        """
        assert self.behind is not None
        lost: list[tuple[Outlet, str, Position]] = []
        for (outlet, topic), audience in self.behind._by_outlet.items():
            after = max(audience.joining.get(outlet, reached), reached)
            if after < floor:
                lost.append((outlet, topic, after))
        self.behind.change_over(reached)
        told = [(outlet, self.behind._by_outlet[outlet, topic].key, after) for outlet, topic, after in lost]
        for outlet, key, _ in told:
            self.behind.unsubscribe(outlet, key.topic)
            self._enter(outlet, key).joining[outlet] = last
        return told

    def end_round(self, position: Position) -> list[tuple[Audience[Outlet], Audience[Outlet]]]:
        """Who was behind has everything up to there, or further if it was further already, and is served with all others.

        Gives the audiences as they were behind, and as they are now, of those for whom what they were sent counts further: where
        others are already, of whom it was decided at another moment what they were sent, it does not.
        """
        behind, self.behind = self.behind, None
        if behind is None:
            return []
        behind.change_over(position)
        alone = {audience for audience in behind.audiences() if audience.key not in self._audiences}
        moved: dict[Audience[Outlet], Audience[Outlet]] = {}
        for (outlet, _), audience in behind._by_outlet.items():
            present = self._enter(outlet, audience.key)
            present.joining[outlet] = max(audience.joining.get(outlet, position), position)
            if audience in alone:
                moved[audience] = present
                present.since[outlet] = audience.began(outlet)
        return list(moved.items())

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
            if audience.key.verdicts or audience.key.session is not None or several:
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
