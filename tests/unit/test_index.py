"""The index finds whom a change may concern: by table, by wildcard, by value; and forgets whoever left."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_inspector.model import (
    BEFORE,
    BEGINNING,
    UNCHANGED,
    Binding,
    Change,
    Column,
    Identity,
    Operation,
    Position,
    Relation,
    ReplicaIdentity,
    Row,
)
from realtime_inspector.visibility.filters import Condition, Group
from realtime_inspector.visibility.index import Index, wants
from realtime_inspector.visibility.subscription import Authorized, Subscription

ALICE, BOB = Identity("authenticated", '{"sub":"alice"}'), Identity("authenticated", '{"sub":"bob"}')
TWEETS = Relation(1, "public", "tweets", ReplicaIdentity.DEFAULT, (Column("id", 20, -1, True), Column("owner", 25)))


def binding(table: str = "tweets", event: str = "*", schema: str = "public") -> Binding:
    return Binding(7, event, schema, table)


def by_owner(*owners: str, negated: bool = False) -> Subscription:
    condition = Condition("owner", "in" if len(owners) > 1 else "eq", owners, negated)
    return Subscription(binding(), (condition,), frozenset([("owner", 25)]))


def change(new: Row | None = ("1", "alice"), old: Row | None = None, *, full: bool = False) -> Change:
    operation = Operation.DELETE if new is None else Operation.INSERT
    return Change(Position(100, 0), operation, TWEETS, new, old, full)


def reached(index: Index[str], *changes: Change) -> set[str]:
    return {outlet for audience in index.touched(changes) for outlet in (*audience.members, *audience.joining)}


def subscribed(**subscriptions: Subscription) -> Index[str]:
    index: Index[str] = Index()
    for outlet, subscription in subscriptions.items():
        index.subscribe(outlet, "room", "2.0.0", ALICE, Authorized((subscription,)), False)
    return index


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (binding(), True),
        (binding("*"), True),
        (binding("*", schema="*"), True),
        (binding(schema="*"), True),
        (binding("notes", schema="*"), False),
        (binding("notes"), False),
        (binding("*", schema="private"), False),
        (binding(schema="private"), False),
    ],
)
def test_tables_are_found_by_name_and_wildcard(named: Binding, expected: bool) -> None:
    index = subscribed(socket=Subscription(named))
    assert index.names(TWEETS) is expected
    assert reached(index, change()) == ({"socket"} if expected else set())


def test_an_equality_is_looked_up_by_value() -> None:
    index = subscribed(a=by_owner("alice"), b=by_owner("bob"), ab=by_owner("alice", "bob"), every=Subscription(binding()))
    assert reached(index, change(("1", "alice"))) == {"a", "ab", "every"}
    assert reached(index, change(("1", None))) == {"every"}
    assert reached(index, change(("1", "alice")), change(("2", "bob"))) == {"a", "b", "ab", "every"}


def test_a_value_that_the_stream_does_not_tell_concerns_everybody_who_filters_by_it() -> None:
    index = subscribed(a=by_owner("alice"), b=by_owner("bob"))
    assert reached(index, change(("1", UNCHANGED))) == {"a", "b"}
    assert reached(index, change(None, ("1", None))) == {"a", "b"}
    assert reached(index, change(None, ("1", "bob"), full=True)) == {"b"}


def test_what_texts_cannot_decide_is_always_asked() -> None:
    index = subscribed(no=by_owner("bob", negated=True), loose=Subscription(binding(), (Condition("owner", "like", ("b%",)),)))
    assert reached(index, change(("1", "alice"))) == {"no", "loose"}


def test_sockets_that_would_receive_the_same_bytes_share_an_audience() -> None:
    index: Index[str] = Index()
    for outlet, identity in (("one", ALICE), ("two", ALICE), ("three", BOB)):
        index.subscribe(outlet, "room", "2.0.0", identity, Authorized((Subscription(binding()),)), False)
    assert sorted(len(audience.joining) for audience in index.touched([change()])) == [1, 2]


def test_a_socket_becomes_a_member_when_commits_pass_its_check() -> None:
    index: Index[str] = Index()
    index.subscribe("socket", "room", "2.0.0", ALICE, Authorized((Subscription(binding()),), after=Position(50, BEFORE)), False)
    (audience,) = index.touched([change()])
    audience.settle(Position(49, 3))
    assert (audience.members, audience.joining) == ({}, {"socket": Position(50, BEFORE)})
    audience.settle(Position(50, 0))
    assert (audience.members, audience.joining) == ({"socket": Position(50, BEFORE)}, {})


def test_subscribing_again_replaces_and_leaving_forgets() -> None:
    index = subscribed(socket=by_owner("alice"))
    index.subscribe("socket", "room", "2.0.0", BOB, Authorized((by_owner("bob"),)), False)
    assert reached(index, change(("1", "alice"))) == {"socket"}
    index.change_over(Position(99, 0))
    assert reached(index, change(("1", "alice"))) == set()
    assert reached(index, change(("1", "bob"))) == {"socket"}
    index.unsubscribe("socket", "room")
    index.unsubscribe("socket", "room")
    assert len(index) == 0
    assert not index.names(TWEETS)


def test_a_channel_that_changes_over_misses_nothing_and_gets_nothing_from_before_it_joined() -> None:
    index: Index[str] = Index()
    for outlet, since in (("member", 0), ("joining", 50)):
        index.subscribe(
            outlet, "room", "2.0.0", ALICE, Authorized((Subscription(binding()),), after=Position(since, BEFORE)), False
        )
    (before,) = index.touched([change()])
    before.settle(Position(10, 0))
    for outlet in ("member", "joining"):
        index.subscribe(outlet, "room", "2.0.0", BOB, Authorized((Subscription(binding()),), after=Position(90, BEFORE)), False)
    assert set(before.members) == {"member"}
    index.change_over(Position(20, 3))
    (after,) = index.touched([change()])
    assert (after.key.identity, after.members, after.joining) == (
        BOB,
        {"member": Position(20, 3)},
        {"joining": Position(50, BEFORE)},
    )


def refreshed(identity: Identity) -> Identity:
    return Identity(identity.role, identity.claims.replace("}", ',"exp":9}'))


def test_an_audience_that_goes_on_as_the_same_person_stays_what_it_is() -> None:
    index = subscribed(one=by_owner("alice"), two=by_owner("alice"))
    (before,) = index.touched([change()])
    for outlet in ("one", "two"):
        index.subscribe(outlet, "room", "2.0.0", refreshed(ALICE), Authorized((by_owner("alice"),)), False)
    index.change_over(Position(99, 0))
    (after,) = index.touched([change()])
    assert after is before
    assert after.key.identity == refreshed(ALICE)
    assert set(after.joining.values()) == {BEGINNING}


@pytest.mark.parametrize(
    ("changing", "identity", "wanted", "there"),
    [
        ({"one", "two"}, BOB, by_owner("alice"), False),
        ({"one"}, refreshed(ALICE), by_owner("alice"), False),
        ({"one", "two"}, refreshed(ALICE), by_owner("alice"), True),
        ({"one", "two"}, Identity("admin", ALICE.claims), by_owner("alice"), False),
        ({"one", "two"}, refreshed(ALICE), by_owner("alice", "bob"), False),
    ],
    ids=["another person", "only some of them", "to an audience that is there", "another role", "for something else"],
)
def test_others_count_as_having_received_nothing(
    changing: set[str], identity: Identity, wanted: Subscription, there: bool
) -> None:
    """What was sent to the audience that they come to was not sent to them."""
    index = subscribed(one=by_owner("alice"), two=by_owner("alice"))
    if there:
        index.subscribe("there", "room", "2.0.0", identity, Authorized((by_owner("alice"),)), False)
    for audience in index.audiences():
        audience.settle(Position(5, 0))
    for outlet in changing:
        index.subscribe(outlet, "room", "2.0.0", identity, Authorized((wanted,)), False)
    index.change_over(Position(20, 3))
    (after,) = [audience for audience in index.audiences() if audience.key.identity == identity]
    assert {outlet: after.members[outlet] for outlet in changing} == dict.fromkeys(changing, Position(20, 3))


def test_after_a_gap_nobody_counts_as_having_received_anything() -> None:
    index = subscribed(old=by_owner("alice"))
    index.subscribe("new", "room", "2.0.0", ALICE, Authorized((by_owner("alice"),), after=Position(50, BEFORE)), False)
    (audience,) = index.touched([change()])
    audience.forget(Position(30, 4))
    assert (audience.members, audience.joining) == ({"old": Position(30, 4)}, {"new": Position(50, BEFORE)})
    index.settle()
    assert (audience.members, audience.joining) == (dict.fromkeys(("old", "new"), BEGINNING), {})


def test_who_leaves_while_changing_over_is_gone() -> None:
    index = subscribed(socket=by_owner("alice"))
    index.subscribe("socket", "room", "2.0.0", BOB, Authorized((by_owner("bob"),)), False)
    index.unsubscribe("socket", "room")
    index.change_over(Position(99, 0))
    assert len(index) == 0


def test_events_are_wanted_by_name_or_all() -> None:
    assert wants(Subscription(binding(event="*")), Operation.DELETE)
    assert wants(Subscription(binding(event="INSERT")), Operation.INSERT)
    assert not wants(Subscription(binding(event="INSERT")), Operation.UPDATE)


def by_either(*wanted: tuple[str, bool]) -> Subscription:
    """Owners of whom any will do, some of them negated."""
    each = [by_owner(name, negated=negated) for name, negated in wanted]
    conditions = tuple(condition for subscription in each for condition in subscription.conditions)
    return replace(each[0], conditions=conditions, rule=Group("and", (Group("or", conditions),)))


def test_an_or_of_equalities_on_one_column_is_looked_up_and_no_other() -> None:
    index = subscribed(found=by_either(("alice", False), ("bob", False)), asked=by_either(("alice", False), ("bob", True)))
    assert not index._buckets["public", "tweets"].watching
    assert reached(index, change(("1", "carol"))) == {"asked"}
    assert reached(index, change(("1", "bob"))) == {"asked", "found"}


OWNERS = st.sampled_from(["alice", "bob", "carol"])
SUBSCRIPTIONS = st.one_of(
    st.just(Subscription(binding())),
    st.just(Subscription(binding("*"))),
    st.just(Subscription(binding("notes"))),
    st.lists(OWNERS, min_size=1, max_size=3, unique=True).map(lambda owners: by_owner(*owners)),
    OWNERS.map(lambda owner: by_owner(owner, negated=True)),
    st.lists(st.tuples(OWNERS, st.booleans()), min_size=1, max_size=3).map(lambda each: by_either(*each)),
)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.lists(SUBSCRIPTIONS, max_size=3))), OWNERS)
def test_the_index_reaches_everybody_whom_asking_each_would_reach(
    steps: list[tuple[int, bool, list[Subscription]]], owner: str
) -> None:
    index: Index[int] = Index()
    model: dict[int, tuple[Subscription, ...]] = {}
    for outlet, leaves, subscriptions in steps:
        if leaves:
            index.unsubscribe(outlet, "room")
            model.pop(outlet, None)
        else:
            index.subscribe(outlet, "room", "2.0.0", ALICE, Authorized(tuple(subscriptions)), False)
            model[outlet] = tuple(subscriptions)
    index.change_over(Position(99, 0))
    found = {outlet for audience in index.touched([change(("1", owner))]) for outlet in (*audience.members, *audience.joining)}
    must = {outlet for outlet, wanted in model.items() if any(_concerns(s, owner) for s in wanted)}
    assert must <= found
    assert len(index) == sum(1 for wanted in model.values() if wanted)


def _concerns(subscription: Subscription, owner: str) -> bool:
    if subscription.binding.table == "notes":
        return False
    return subscription.holds(lambda condition: (owner in condition.values) is not condition.negated)


# Coming back.


def returned(index: Index[str], outlet: str, after: int, identity: Identity = ALICE) -> None:
    authorized = Authorized((Subscription(binding()),), after=Position(after, 0), returns=True)
    index.subscribe(outlet, "room", "2.0.0", identity, authorized, False)


def places(index: Index[str] | None) -> dict[str, Position]:
    """Every outlet of an index with the position after which it receives."""
    audiences = index.audiences() if index is not None else []
    return {outlet: after for audience in audiences for outlet, after in (*audience.members.items(), *audience.joining.items())}


def hindmost(index: Index[str]) -> Position:
    begun = index.begin_round()
    assert begun is not None
    return begun[0]


def test_who_comes_back_is_not_served_with_the_others_until_it_has_caught_up() -> None:
    told: list[bool] = []
    index: Index[str] = Index()
    index.on_return = lambda: told.append(True)
    for outlet, after in (("late", 5), ("later", 3)):
        returned(index, outlet, after)
    assert (told, len(index), places(index), hindmost(index)) == ([True, True], 2, {}, Position(3, 0))
    assert places(index.behind) == {"late": Position(5, 0), "later": Position(3, 0)}
    assert index.is_behind("late", ["room"])
    index.end_round(Position(4, 0))
    assert (places(index), index.behind) == ({"late": Position(5, 0), "later": Position(4, 0)}, None)
    assert not index.is_behind("late", ["room"])


def test_those_who_come_while_others_catch_up_form_the_next_round() -> None:
    index: Index[str] = Index()
    returned(index, "first", 5)
    hindmost(index)
    returned(index, "second", 3)
    assert index.begin_round() is None
    assert index.is_behind("second", ["room"])
    index.end_round(Position(9, 0))
    assert hindmost(index) == Position(3, 0)
    assert (places(index), places(index.behind)) == ({"first": Position(9, 0)}, {"second": Position(3, 0)})


def test_a_position_that_is_gone_is_given_up_at_once_and_the_others_go_on() -> None:
    index: Index[str] = Index()
    for outlet, after in (("lost", 3), ("here", 7)):
        returned(index, outlet, after)
    hindmost(index)
    assert [(each[0], each[2]) for each in index.give_up(Position(5, 0), Position(3, 0), Position(20, 0))] == [
        ("lost", Position(3, 0))
    ]
    assert (places(index), places(index.behind)) == ({"lost": Position(20, 0)}, {"here": Position(7, 0)})
    assert index.give_up(Position(5, 0), Position(6, 0), Position(20, 0)) == []


@pytest.mark.parametrize("begun", [False, True])
def test_who_comes_back_may_leave_or_become_somebody_else_meanwhile(begun: bool) -> None:
    index: Index[str] = Index()
    for outlet in ("leaves", "changes"):
        returned(index, outlet, 3)
    if begun:
        hindmost(index)
    index.unsubscribe("leaves", "room")
    index.subscribe("changes", "room", "2.0.0", BOB, Authorized((Subscription(binding()),), after=Position(50, 0)), False)
    if not begun:
        hindmost(index)
    index.end_round(Position(9, 0))
    [audience] = index.audiences()
    assert (audience.key.identity, list(places(index))) == (BOB, ["changes"])
    index.unsubscribe("changes", "room")
    assert len(index) == 0


def test_who_is_set_aside_goes_with_all_that_is_known_of_it() -> None:
    index = subscribed(slow=Subscription(binding()))
    [audience] = index.audiences()
    audience.settle(Position(5, 0))
    left = index.depart([audience], Position(9, 0), {})
    assert (len(index), left["slow", "room"].after, left["slow", "room"].since) == (0, Position(9, 0), BEGINNING)
    index.aside = Index()
    index.aside.returning.update(left)
    assert (len(index), index.is_behind("slow", ["room"])) == (1, True)
    [present] = index.aside.admit(Position(9, 0))
    assert (present.joining, present.began("slow")) == ({"slow": Position(9, 0)}, BEGINNING)
    present.settle(Position(9, 0))
    assert present.members == {"slow": BEGINNING}
    index.unsubscribe("slow", "room")
    assert len(index) == 0


def aside(*slow: tuple[str, int]) -> Index[str]:
    """An index to which these were set aside at these positions, each from an audience of its own that was sent a row."""
    made: Index[str] = Index()
    for outlet, after in slow:
        index = subscribed(**{outlet: Subscription(binding())})
        [audience] = index.audiences()
        audience.settle(Position(1, 0))
        made.returning.update(index.depart([audience], Position(after, 0), {audience: {("row",): ((0, Position(after, 0)),)}}))
    return made


def test_what_one_was_sent_does_not_count_for_others_whose_changes_were_decided_at_another_moment() -> None:
    index = aside(("first", 5), ("second", 5))
    [(audience, sent)] = index.admit(Position(5, 0)).items()
    assert sent == {("row",): ((0, Position(5, 0)),)}
    assert [audience.began(outlet) for outlet in ("first", "second")] == [BEGINNING, Position(5, 0)]
    index.returning.update(aside(("third", 5)).returning)
    assert (index.admit(Position(5, 0)), audience.began("third")) == ({}, Position(5, 0))


def test_who_is_further_than_the_others_counts_as_having_received_nothing() -> None:
    """The changes in between are still to be decided for the others, and take rows away that it was sent since."""
    index = aside(("ahead", 5))
    assert index.admit(Position(3, 0)) == {}
    assert [audience.began("ahead") for audience in index.audiences()] == [Position(5, 0)]


def test_where_the_stream_goes_back_nobody_counts_as_having_received_what_comes_again() -> None:
    index = aside(("behind", 3))
    [audience] = index.admit(Position(3, 0))
    assert audience.began("behind") == BEGINNING
    audience.settle(Position(9, 0))
    audience.rewind(Position(9, 0))
    assert (audience.members, audience.began("behind"), audience.joining["behind"]) == ({}, Position(9, 0), Position(9, 0))


def test_who_comes_back_to_others_who_were_served_meanwhile_leaves_behind_what_it_was_sent() -> None:
    index = subscribed(here=Subscription(binding()))
    [present] = index.audiences()
    present.settle(Position(4, 0))
    for outlet, identity in (("back", ALICE), ("alone", BOB)):
        returned(index, outlet, 3, identity)
    hindmost(index)
    [(before, now)] = index.end_round(Position(9, 0))
    assert (before.key.identity, now.began("alone"), present.began("back")) == (BOB, Position(3, 0), Position(9, 0))
    assert present.began("here") == BEGINNING


def test_who_is_aside_may_become_somebody_else_and_is_told_once_when_it_has_caught_up() -> None:
    index: Index[str] = Index()
    returned(index, "slow", 3)
    hindmost(index)
    index.aside = Index()
    assert index.behind is not None
    [audience] = index.behind.audiences()
    index.aside.returning.update(index.behind.depart([audience], Position(4, 0), {}))
    index.aside.admit(Position(4, 0))
    index.subscribe("slow", "room", "2.0.0", BOB, Authorized((Subscription(binding()),)), False)
    index.aside.change_over(Position(5, 0))
    told = [(outlet, key.identity) for outlet, key in index.aside.resumed()]
    assert (told, index.aside.resumed(), index.end_round(Position(9, 0))) == ([("slow", BOB)], [], [])
    index.settle()
    assert (index.aside, list(places(index))) == (None, ["slow"])


def test_another_log_makes_nobody_aside_who_they_were_before() -> None:
    index = subscribed(slow=Subscription(binding()))
    index.aside = Index()
    index.aside.returning.update(index.depart(index.audiences(), Position(4, 0), {}))
    index.aside.admit(Position(4, 0))
    index.subscribe("slow", "room", "2.0.0", BOB, Authorized((Subscription(binding()),)), False)
    index.settle()
    assert [(list(each.members), each.key.identity) for each in index.audiences()] == [(["slow"], BOB)]


def test_another_log_ends_every_return() -> None:
    index: Index[str] = Index()
    returned(index, "behind", 3)
    hindmost(index)
    returned(index, "waiting", 4)
    index.settle()
    assert (sorted(places(index)), index.behind, index.returning) == (["behind", "waiting"], None, {})


IDS = [f"{n:08d}-0000-0000-0000-000000000000" for n in (1, 2, 3)]
EVERY = Authorized((Subscription(binding()),))


def person(sub: str | None, role: str = "authenticated") -> Identity:
    return Identity(role, "{}" if sub is None else f'{{"sub":"{sub}"}}')


def test_where_only_owners_see_rows_those_are_found_who_may_own_one() -> None:
    index: Index[str] = Index()
    people = {"one": person(IDS[0]), "two": person(IDS[1]), "other": person(IDS[2].replace("-", "")), "none": person(None)}
    for outlet, identity in {**people, "anon": person(None, "anon")}.items():
        index.subscribe(outlet, "room", "2.0.0", identity, EVERY, False)
    index.subscribe("watching", "room", "2.0.0", person(IDS[2]), EVERY, True)
    touched = index.touched([change()])
    found = {outlet for audience in touched.owning({"authenticated": {IDS[0], None}}) for outlet in audience.joining}
    assert found == {"one", "other", "anon", "watching"}
    assert {crowd.role for crowd in touched.crowds} == {"authenticated", "anon"}
    assert list(touched.owning({})) == list(touched)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.sampled_from(["enter", "leave", "change", "next"])), max_size=40)
)
def test_a_crowd_knows_how_many_sockets_it_has(steps: list[tuple[int, int, str]]) -> None:
    index: Index[int] = Index()
    people = [*map(person, IDS), person(None, "anon")]
    for number, (outlet, who, step) in enumerate(steps):
        if step == "leave":
            index.unsubscribe(outlet, "room")
        elif step == "next":
            index.change_over(Position(number, 0))
        else:
            subscriptions = (*EVERY.subscriptions, Subscription(binding("*"))) if step == "change" else EVERY.subscriptions
            index.subscribe(outlet, "room", "2.0.0", people[who], Authorized(subscriptions, after=Position(number, 0)), False)
    touched = index.touched([change()])
    for crowd in touched.crowds:
        assert crowd.sockets == sum(audience.sockets for audience in crowd) > 0
    assert sum(audience.sockets for audience in touched) == len(index)
