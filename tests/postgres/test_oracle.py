"""The oracle: whatever policies, rows and identities, everybody receives what plain SELECTs show them, once and in order.

`python -m bench oracle` plays as many worlds as one likes.
"""

import pytest

from realtime_inspector.postgres import evaluator, questions
from tests.oracle.judge import Judgement, judge
from tests.oracle.stage import Play, Stage
from tests.oracle.world import World
from tests.postgres.conftest import Engine

PLAYS = [
    Play(commits=70),
    Play(commits=70, settings={"batch_changes": 3}),
    Play(commits=70, settings={"left_view": "delete", "claims_read": ("public.is_member=sub", "public.has_role=sub")}),
    Play(commits=70, settings={"deletes": "keys"}),
    Play(commits=70, restarts=0, travels=False, settings={"left_view": "delete"}),
]


async def played(engine: Engine, world: World, play: Play) -> Judgement:
    stage = Stage(engine, world, play)
    await stage.run()
    return judge(stage)


async def test_nothing_is_otherwise_where_everybody_is_set_aside_all_the_time(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Except that more of what was sent is forgotten, which withholds deletions."""
    monkeypatch.setattr(evaluator, "HURRY_MS", 1)
    monkeypatch.setattr(questions, "SLOW_MS", 1)
    judgement = await played(engine, World(7), Play(commits=30, patience=60, settings={"left_view": "delete"}))
    assert [violation for violation in judgement.violations if not violation.endswith("is not told that it is gone")] == []


@pytest.mark.parametrize(("seed", "play"), [*enumerate(PLAYS, 1)])
async def test_everybody_receives_what_select_shows(engine: Engine, seed: int, play: Play) -> None:
    judgement = await played(engine, World(seed), play)
    assert judgement.violations == []
    assert judgement.pairs > 1_500
    delivered = sum(count for outcome, count in judgement.outcomes.items() if outcome.endswith("delivered"))
    assert delivered > judgement.judged / 10, "the world shows hardly anything"
