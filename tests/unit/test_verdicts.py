"""Decisions from evidence: default deny, a reason for everything that is withheld, and old values only to who saw them."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from realtime_inspector.model import (
    Binding,
    Change,
    Column,
    Identity,
    Operation,
    Position,
    Reason,
    Relation,
    ReplicaIdentity,
    Row,
)
from realtime_inspector.visibility.decisions import Decision, decide
from realtime_inspector.visibility.facts import Access, ColumnFacts, Kind, Shape
from realtime_inspector.visibility.filters import Comparable, Condition
from realtime_inspector.visibility.subscription import Subscription
from realtime_inspector.visibility.verdicts import Evidence, Sight, old_values

USER, SERVICE, ANON = Identity("authenticated", '{"sub":"a"}'), Identity("service_role", "{}"), Identity("anon", "{}")
RELATION = Relation(1, "public", "notes", ReplicaIdentity.FULL, (Column("id", 23, -1, True), Column("body", 25, -1, True)))
SHAPE = Shape(
    1,
    "public",
    "notes",
    Kind.TABLE,
    False,
    ReplicaIdentity.FULL,
    (
        ColumnFacts("id", 23, "int4", "integer", "N", Comparable(True, True)),
        ColumnFacts("body", 25, "text", "text", "S", Comparable(True, False)),
    ),
    ("id",),
    ("operator(pg_catalog.=)",),
)
EVERY = (Subscription(Binding(1, "*", "public", "notes")),)
CHECKED = Access(bypasses=False, checked=True, columns=None)
OPEN = Access(bypasses=False, checked=False, columns=None, claims=frozenset())
BYPASS = Access(bypasses=True, checked=False, columns=None, claims=frozenset())
ACCESS = {"authenticated": CHECKED, "service_role": BYPASS, "anon": OPEN}


def insert(index: int, *new: str) -> Change:
    return Change(Position(9, index), Operation.INSERT, RELATION, new)


def update(index: int, new: Row, old: Row | None = None, *, full: bool = True) -> Change:
    return Change(Position(9, index), Operation.UPDATE, RELATION, new, old, old is not None and full)


def delete(index: int, old: Row | None, *, full: bool = True) -> Change:
    return Change(Position(9, index), Operation.DELETE, RELATION, None, old, full)


def evidence(*changes: Change, rows: Sequence[int | None] | None = None, **others: object) -> Evidence:
    """Changes whose rows all stand in the snapshot as the stream has them, unless `rows` says otherwise."""
    stored = [c for c in changes if c.new is not None]
    numbers = rows if rows is not None else [None if c.new is None else stored.index(c) for c in changes]
    values = [dict(zip(("id", "body"), c.new or (), strict=True)) for c in stored]
    known = Evidence(SHAPE, changes, numbers, values, ACCESS, frozenset(["service_role"]))  # type: ignore[arg-type]
    return replace(known, **others)  # type: ignore[arg-type]


def reasons(about: Evidence, identity: Identity = USER, subscriptions: Sequence[Subscription] = EVERY) -> dict[int, Reason]:
    return {d.number: d.verdict.reason for d in decide(subscriptions, identity, about, explain=True)}


def delivered(about: Evidence, identity: Identity = USER, subscriptions: Sequence[Subscription] = EVERY) -> list[Decision]:
    return [d for d in decide(subscriptions, identity, about, explain=False) if d.subscriptions]


def test_what_is_not_in_the_evidence_is_hidden() -> None:
    about = evidence(insert(0, "1", "a"))
    assert reasons(about) == {0: Reason.HIDDEN_BY_POLICY}
    assert delivered(about) == []


def test_rows_in_sight_are_delivered_in_order_whatever_the_number_of_their_rows() -> None:
    changes = insert(0, "1", "a"), insert(1, "2", "b"), update(2, ("1", "a2"))
    about = evidence(*changes, rows=[1, 0, 1], sights={USER: Sight([0, 1])})
    assert [d.number for d in delivered(about)] == [0, 1, 2]


def test_the_sight_of_one_identity_is_nobody_elses() -> None:
    about = evidence(insert(0, "1", "a"), sights={USER: Sight([0])})
    assert delivered(about, Identity(USER.role, '{"sub":"b"}')) == []


def test_a_row_that_is_gone_is_said_to_be_gone() -> None:
    about = evidence(insert(0, "1", "a"), rows=[None], sights={USER: Sight([0])})
    assert reasons(about) == {0: Reason.ROW_GONE}
    assert reasons(about, SERVICE) == {0: Reason.ROW_GONE}
    assert delivered(about, SERVICE) == []


def test_a_policy_that_raises_withholds_with_its_code_only() -> None:
    about = evidence(insert(0, "1", "a"), sights={USER: Sight(raised=[0], error="22P02")})
    (decision,) = decide(EVERY, USER, about, explain=True)
    assert (decision.verdict.reason, decision.verdict.detail) == (Reason.POLICY_RAISED, "SQLSTATE 22P02")


@pytest.mark.parametrize(
    "access",
    [
        {},
        {"authenticated": Access(True, False, None, False)},
        {"authenticated": Access(False, False, frozenset(["body"]), False)},
        {"authenticated": Access(False, False, frozenset(), False)},
    ],
    ids=["unknown role", "bypasses without being privileged", "key not readable", "nothing readable"],
)
def test_without_the_privileges_nothing_is_shown(access: dict[str, Access]) -> None:
    about = evidence(insert(0, "1", "a"), delete(1, ("2", "b")), access=access, sights={USER: Sight([0])})
    assert reasons(about) == {0: Reason.NO_PRIVILEGE, 1: Reason.NO_PRIVILEGE}
    assert delivered(about) == []


def test_a_relation_that_cannot_be_served_is_refused_for_everybody() -> None:
    about = evidence(insert(0, "1", "a"), shape=replace(SHAPE, is_partition=True))
    for identity in (USER, SERVICE, ANON):
        assert reasons(about, identity) == {0: Reason.UNSUPPORTED_RELATION}
        assert delivered(about, identity) == []


def test_deletions_reach_who_needs_no_check_and_who_could_see_the_old_row() -> None:
    about = evidence(delete(0, ("1", "a")), delete(1, ("2", "b")), old_sights={USER: Sight([1])})
    assert [d.number for d in delivered(about, SERVICE)] == [0, 1]
    assert [d.number for d in delivered(about, ANON)] == [0, 1]
    assert reasons(about) == {0: Reason.HIDDEN_BY_POLICY, 1: Reason.DELIVERED}


def test_a_deletion_whose_row_is_unknown_is_withheld_with_the_remedy() -> None:
    about = evidence(delete(0, ("1", None), full=False))
    (decision,) = decide(EVERY, USER, about, explain=True)
    assert decision.verdict.reason is Reason.OLD_ROW_UNKNOWN
    assert "replica identity full" in decision.verdict.detail
    assert [d.number for d in delivered(about, SERVICE)] == [0]


def test_deletes_by_key_go_to_everybody_with_the_privileges_but_without_old_values() -> None:
    about = evidence(delete(0, ("1", "a")), deletes="keys")
    assert [(d.number, d.old_visible) for d in delivered(about)] == [(0, False)]


def test_a_deletion_of_which_the_log_tells_nothing_goes_to_nobody() -> None:
    about = evidence(delete(0, None, full=False))
    assert reasons(about, SERVICE) == {0: Reason.NO_KEY}
    assert delivered(about, SERVICE) == []


def test_policies_that_cannot_be_asked_about_the_old_row_are_named() -> None:
    about = evidence(delete(0, ("1", "a")), old_refused={"authenticated": "volatile"})
    (decision,) = decide(EVERY, USER, about, explain=True)
    assert (decision.verdict.reason, decision.verdict.detail) == (Reason.OLD_ROW_UNKNOWN, "volatile")


def test_old_values_of_an_update_are_for_those_who_saw_the_old_row() -> None:
    change = update(0, ("1", "public"), ("1", "private"))
    about = evidence(change, sights={USER: Sight([0])})
    assert [d.old_visible for d in delivered(about)] == [False]
    about = evidence(change, sights={USER: Sight([0])}, old_sights={USER: Sight([0])})
    assert [d.old_visible for d in delivered(about)] == [False]  # policies that read other tables answer for today only
    about = replace(about, old_timeless=frozenset(["authenticated"]))
    assert [d.old_visible for d in delivered(about)] == [True]
    assert [d.old_visible for d in delivered(about, SERVICE)] == [True]


def test_the_key_is_all_that_others_learn_of_an_old_row_under_replica_identity_full() -> None:
    change = update(0, ("2", "public"), ("1", "private"))
    assert old_values(change, ("id",), everything=False) == {"id": "1"}
    assert old_values(change, ("id",), everything=True) == {"id": "1", "body": "private"}


def test_truncate_is_never_delivered() -> None:
    about = evidence(Change(Position(9, 0), Operation.TRUNCATE, RELATION))
    assert reasons(about, SERVICE) == {0: Reason.UNSUPPORTED_RELATION}


def test_events_and_filters_choose_among_what_is_visible() -> None:
    inserts = Subscription(Binding(2, "INSERT", "public", "notes"))
    large = Subscription(Binding(3, "*", "public", "notes"), (Condition("id", "gt", ("1",)),))
    named = Subscription(Binding(4, "*", "public", "notes"), (Condition("body", "eq", ("a",)),))
    about = evidence(insert(0, "1", "a"), update(1, ("2", "b")), sights={USER: Sight([0, 1])})
    found = {d.number: [s.binding.id for s in d.subscriptions] for d in delivered(about, USER, (inserts, large, named))}
    assert found == {0: [2, 4], 1: [3]}
    assert reasons(about, USER, (named,)) == {0: Reason.DELIVERED, 1: Reason.FILTERED}


def test_a_filter_is_no_way_round_a_policy() -> None:
    named = Subscription(Binding(4, "*", "public", "notes"), (Condition("body", "eq", ("a",)),))
    about = evidence(insert(0, "1", "a"))
    assert reasons(about, USER, (named,)) == {0: Reason.HIDDEN_BY_POLICY}


def test_what_postgres_said_of_a_condition_counts_and_a_failure_withholds() -> None:
    like = Condition("body", "like", ("a%",))
    subscription = Subscription(Binding(5, "*", "public", "notes"), (like,))
    about = evidence(insert(0, "1", "ab"), insert(1, "2", "b"))
    assert about.undecided(like) == ["ab", "b"]
    about.satisfied = {("body", like): frozenset(["ab"])}
    assert [d.number for d in delivered(about, SERVICE, (subscription,))] == [0]
    failed = evidence(insert(0, "1", "ab"), satisfied={("body", like): None})
    assert reasons(failed, SERVICE, (subscription,)) == {0: Reason.FILTER_FAILED}


def test_a_deletion_is_filtered_by_what_the_log_says_of_the_row() -> None:
    named = Subscription(Binding(4, "*", "public", "notes"), (Condition("body", "eq", ("a",)),))
    assert [d.number for d in delivered(evidence(delete(0, ("1", "a"))), SERVICE, (named,))] == [0]
    assert reasons(evidence(delete(0, ("1", None), full=False)), SERVICE, (named,)) == {0: Reason.FILTERED}


@pytest.mark.parametrize("deletes", ["checked", "keys"])
def test_who_is_blind_at_a_glance_is_delivered_nothing(deletes: str) -> None:
    about = evidence(insert(0, "1", "a"), delete(1, ("2", "b")), sights={USER: Sight([0])}, deletes=deletes)
    strangers = [Identity(USER.role, "{}"), Identity("stranger", "{}")]
    assert [about.blind(identity) for identity in (USER, SERVICE, ANON, *strangers)] == [
        False,
        False,
        False,
        deletes == "checked",
        True,
    ]
    assert [delivered(about, identity) for identity in strangers if about.blind(identity)] == [[]] * (1 + (deletes == "checked"))
    assert delivered(evidence(delete(0, ("2", "b")), old_sights={USER: Sight([0])}))
    assert not evidence(delete(0, ("2", "b")), old_sights={USER: Sight([0])}).blind(USER)
    assert replace(about, shape=replace(SHAPE, columns=())).blind(SERVICE)
    assert replace(about, too_slow=True).blind(SERVICE)
