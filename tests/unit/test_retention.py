import pytest

from realtime_inspector.replication.retention import Pressure, Retention, judge, retention


@pytest.mark.parametrize(
    ("safe", "own_limit", "limit"),
    [(None, 0, 0), (900, 0, 1000), (None, 500, 500), (900, 500, 500), (900, 5000, 1000), (-7, 0, 100)],
)
def test_the_narrower_limit_counts(safe: int | None, own_limit: int, limit: int) -> None:
    assert retention(100, safe, own_limit) == Retention(100, limit)


def held(percent: int) -> Retention:
    return Retention(percent, 100)


@pytest.mark.parametrize(
    ("looks", "verdict"),
    [
        ([49], Pressure.NONE),
        ([50], Pressure.WARN),
        ([95], Pressure.WARN),  # one look may be the first after a long absence
        ([79, 95], Pressure.WARN),
        ([80, 80], Pressure.DROP),
        ([90, 85], Pressure.WARN),  # catching up
        ([90, 49], Pressure.NONE),
    ],
)
def test_a_slot_is_given_up_that_stays_over_the_share(looks: list[int], verdict: Pressure) -> None:
    before = held(looks[0]) if len(looks) > 1 else None
    assert judge(held(looks[-1]), before, 50, 80) is verdict


def test_zero_is_never_and_so_is_no_limit() -> None:
    assert judge(held(99), held(99), 0, 0) is Pressure.NONE
    assert judge(held(99), held(99), 50, 0) is Pressure.WARN
    assert judge(Retention(10**12, 0), Retention(10**12, 0), 50, 80) is Pressure.NONE
