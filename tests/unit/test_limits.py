"""Token buckets, and the gate that all sockets share."""

import pytest

from realtime_inspector.channel.limits import REMEMBERED, WINDOW, Bucket, Gate, Limits, averaged, presence_calls
from realtime_inspector.errors import TooManyConnections, TooManyJoins

NOW = 1_000_000.0


def test_a_bucket_gives_what_it_holds_and_then_what_comes_in() -> None:
    bucket = Bucket(rate=2.0, size=3.0)
    assert [bucket.take(NOW) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(NOW + 0.5), bucket.take(NOW + 0.5)] == [True, False]
    assert [bucket.take(NOW + 100) for _ in range(4)] == [True, True, True, False]


def test_what_is_not_given_is_not_taken_either() -> None:
    bucket = Bucket(rate=1.0, size=3.0)
    assert not bucket.take(NOW, 4)
    assert bucket.take(NOW, 3)


def test_a_clock_that_is_put_back_brings_nothing_and_takes_nothing() -> None:
    bucket = Bucket(rate=1.0, size=2.0)
    assert bucket.take(NOW, 2)
    assert not bucket.take(NOW - 50)
    assert bucket.take(NOW - 49)


def test_a_rate_is_an_average_over_a_minute() -> None:
    bucket = averaged(5)
    assert bucket.take(NOW, 5 * WINDOW)
    assert not bucket.take(NOW)
    assert bucket.take(NOW + 1, 5)


def test_presence_calls_count_by_their_own_seconds() -> None:
    bucket = presence_calls(Limits(presence_calls=5, presence_seconds=30))
    assert [bucket.take(NOW) for _ in range(6)] == [True] * 5 + [False]
    assert not bucket.take(NOW + 5.9)
    assert bucket.take(NOW + 6.1)


def test_so_many_connections_and_no_more() -> None:
    gate = Gate(Limits(connections=2))
    gate.enter("a", NOW)
    gate.enter("b", NOW)
    with pytest.raises(TooManyConnections):
        gate.enter("c", NOW)
    gate.enter("c", NOW, reserved=True)
    gate.leave("c")
    gate.leave("a")
    gate.enter("c", NOW)


def test_one_address_cannot_take_all_of_them() -> None:
    gate = Gate(Limits(connections_per_address=2))
    gate.enter("a", NOW)
    gate.enter("a", NOW)
    with pytest.raises(TooManyConnections) as refused:
        gate.enter("a", NOW)
    assert "RTI_CONNECTIONS_PER_ADDRESS" in refused.value.remedy
    gate.enter("b", NOW)
    gate.leave("a")
    gate.enter("a", NOW)


def test_who_could_not_join_is_not_let_in() -> None:
    gate = Gate(Limits(joins_per_second=1))
    gate.joins.take(NOW, WINDOW)
    with pytest.raises(TooManyJoins):
        gate.enter("a", NOW)
    gate.enter("a", NOW + 1)


def test_callers_have_a_share_each_and_those_of_long_ago_are_forgotten() -> None:
    gate = Gate(Limits(messages_per_second=1))
    assert gate.share("ann", NOW).take(NOW, WINDOW)
    assert not gate.share("ann", NOW).take(NOW)
    assert gate.share("bob", NOW).take(NOW)
    for number in range(REMEMBERED):
        gate.share(str(number), NOW)
    assert len(gate.calls) == REMEMBERED
