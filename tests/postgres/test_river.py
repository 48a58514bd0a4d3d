"""The life of the slot as subscribers see it: restarts, losses, and who is told of them."""

import pytest
from structlog.testing import capture_logs

from realtime_inspector.errors import SetupError
from realtime_inspector.pipeline.river import Pipeline
from realtime_inspector.postgres.state import State
from tests.postgres.river import SERVICE, Service, Start, start

__all__ = ["start"]

SCHEMA = """
create table tweets (id int primary key, body text); grant select on tweets to service_role, authenticated;
create publication supabase_realtime for table tweets;
"""


def state(pipeline: Pipeline) -> State:
    assert pipeline.state is not None
    return pipeline.state


def written(service: Service) -> int:
    ((position,),) = service.engine.run("select position from realtime_inspector.slots")
    assert isinstance(position, int)
    return position


async def test_a_restart_goes_on_from_its_own_position_in_the_same_epoch(start: Start) -> None:
    first = await start(SCHEMA)
    tweets = await first.join(SERVICE, "tweets")
    first.engine.run("insert into tweets values (1, 'a')")
    await tweets.until(1)
    await first.settled()
    before, reached = state(first.pipeline), first.pipeline.status()["position"]
    await first.pipeline.close()
    assert written(first) == reached
    second = await start("")
    assert state(second.pipeline) == State(before.epoch, before.secret, written(second))
    again = await second.join(SERVICE, "tweets")
    second.engine.run("insert into tweets values (2, 'b')")
    assert [change["record"]["id"] for change in await again.until(1)] == [2]


async def test_a_slot_that_is_missing_at_the_start_is_a_loss_and_begins_an_epoch(start: Start) -> None:
    first = await start(SCHEMA)
    before = state(first.pipeline)
    await first.settled()
    await first.pipeline.close()
    first.engine.run("select pg_drop_replication_slot('test_slot')")
    with capture_logs() as logs:
        second = await start("")
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["slot_lost"]
    assert state(second.pipeline).epoch != before.epoch
    assert state(second.pipeline).secret == before.secret
    tweets = await second.join(SERVICE, "tweets")
    second.engine.run("insert into tweets values (1, 'a')")
    assert [change["record"]["id"] for change in await tweets.until(1)] == [1]


async def test_a_first_start_that_handed_nothing_over_notices_the_loss_too(start: Start) -> None:
    first = await start(SCHEMA)
    await first.pipeline.close()
    first.engine.run("select pg_drop_replication_slot('test_slot')")
    with capture_logs() as logs:
        await start("")
    assert "slot_lost" in [line["event"] for line in logs]


async def test_an_unprepared_database_ends_the_start_with_the_remedy(start: Start) -> None:
    first = await start(SCHEMA)
    await first.pipeline.close()
    first.engine.run("drop table realtime_inspector.slots")
    with pytest.raises(SetupError, match=r"realtime_inspector\.slots") as refusal:
        await start("")
    assert "realtime-inspector init" in refusal.value.remedy
