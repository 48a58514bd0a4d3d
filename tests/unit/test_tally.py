"""Counting what became of every event for every socket gives what explaining each of them would give."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from realtime_inspector.model import Binding, Identity, Position, Reason
from realtime_inspector.pipeline.tally import Counting, Tally
from realtime_inspector.visibility.audience import Audience, AudienceKey
from realtime_inspector.visibility.decisions import decide
from realtime_inspector.visibility.facts import Access
from realtime_inspector.visibility.filters import Condition
from realtime_inspector.visibility.subscription import Subscription
from realtime_inspector.visibility.verdicts import Evidence, Sight
from tests.unit.test_verdicts import ACCESS, CHECKED, SHAPE, delete, insert, update

SUBSCRIPTIONS = st.lists(
    st.builds(
        lambda event, condition: Subscription(Binding(1, event, "public", "notes"), condition),
        st.sampled_from(["*", "INSERT", "UPDATE", "DELETE"]),
        st.sampled_from([(), (Condition("id", "gt", ("2",)),), (Condition("body", "eq", ("a",)),)]),
    ),
    min_size=1,
    max_size=2,
)
NUMBERS = st.sets(st.integers(0, 5)).map(sorted)
ROLES = st.sampled_from(["authenticated", "limited", "anon", "service_role", "stranger"])
LIMITED = Access(bypasses=False, checked=True, columns=frozenset(["id"]))


@given(SUBSCRIPTIONS, ROLES, NUMBERS, NUMBERS, NUMBERS, st.integers(0, 2), st.lists(st.integers(0, 6), max_size=2))
def test_every_event_is_counted_once_for_every_socket_under_its_own_reason(
    subscriptions: list[Subscription],
    role: str,
    rows: list[int],
    raised: list[int],
    old: list[int],
    members: int,
    late: list[int],
) -> None:
    changes = [insert(0, "1", "a"), insert(1, "2", "b"), update(2, ("3", "a"), ("3", "b")), insert(3, "4", "c")]
    changes += [delete(4, ("5", "a")), delete(5, ("6", None), full=False)]
    identity = Identity(role, '{"sub":"a"}')
    evidence = Evidence(
        shape=SHAPE,
        changes=changes,
        rows=[0, 1, 2, None, None, None],
        values=[{"id": "1", "body": "a"}, {"id": "2", "body": "b"}, {"id": "3", "body": "a"}],
        access={**ACCESS, "limited": LIMITED} if role != "authenticated" else {"authenticated": CHECKED},
        privileged=frozenset(["service_role"]),
    )
    stored = [row for row in rows if row < 3]
    evidence.sights[identity] = Sight(stored, [row for row in raised if row < 3 and row not in stored], "P0001")
    evidence.old_sights[identity] = Sight([number for number in old if number == 4])
    audience: Audience[object] = Audience(AudienceKey("room", "2.0.0", identity, tuple(subscriptions), False))
    audience.members.update({object(): Position(0, 0) for _ in range(members)})
    audience.joining.update({object(): Position(9, index - 1) for index in late})
    tally = Tally()
    Counting(tally, evidence).count(audience, subscriptions, list(decide(subscriptions, identity, evidence, explain=False)))  # type: ignore[arg-type]
    expected: Counter[Reason] = Counter()
    for decision in decide(subscriptions, identity, evidence, explain=True):
        position = changes[decision.number].position
        expected[decision.verdict.reason] += members + sum(position > after for after in audience.joining.values())
    assert tally.reasons == expected
