"""Coming back through kills of Postgres and of the service and through broken networks: nothing lost, repeated or out of order.

The large run is `python -m bench faults`.
"""

import pytest

from bench.faults import Outcome, Plan, compare, suffer


async def test_kills_and_cuts_lose_and_repeat_nothing() -> None:
    outcome = await suffer(Plan(seed=3, changes=3_000, postgres=2, service=2, cuts=3))
    assert outcome.exact, outcome
    assert outcome.written >= 3_000
    assert outcome.returns > 2


@pytest.mark.parametrize(("plant", "harm"), [("forgets", "lost"), ("repeats", "duplicated"), ("early", "lost")])
async def test_a_planted_bug_is_seen(plant: str, harm: str) -> None:
    outcome = await suffer(Plan(seed=3, changes=600, postgres=0, service=2, cuts=0, plant=plant, patience=8.0))
    assert getattr(outcome, harm) > 0


def test_order_is_seen_too() -> None:
    outcome = Outcome()
    compare([1, 2, 3, 4], [1, 3, 2, 4, 4], outcome)
    assert (outcome.lost, outcome.duplicated, outcome.disordered) == (0, 1, 1)
