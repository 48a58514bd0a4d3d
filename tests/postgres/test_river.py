"""The life of the slot as subscribers see it: restarts, losses, and who is told of them."""

import asyncio

import pytest
from structlog.testing import capture_logs

from realtime_inspector.errors import SetupError
from realtime_inspector.pipeline import watch
from realtime_inspector.pipeline.river import Pipeline
from realtime_inspector.postgres.state import State
from realtime_inspector.replication import membership
from tests.postgres.river import SERVICE, Service, Start, start

__all__ = ["start"]

SCHEMA = """
create table tweets (id int primary key, body text); create table other (id int primary key);
grant select on tweets, other to service_role;
create publication supabase_realtime for table tweets, other;
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


OUT_AND_BACK = {
    "taken out and put back": (
        "alter publication supabase_realtime drop table tweets; insert into tweets values (2)",
        "alter publication supabase_realtime add table tweets",
    ),
    "dropped and made again": (
        "drop table tweets",
        "create table tweets (id int primary key); grant select on tweets to service_role;"
        " insert into tweets values (2); alter publication supabase_realtime add table tweets",
    ),
    "filtered for a while": (
        "alter publication supabase_realtime set table tweets where (id > 100), other, marker; insert into tweets values (2)",
        "alter publication supabase_realtime set table tweets, other, marker",
    ),
}


@pytest.mark.every_version
@pytest.mark.parametrize("how", OUT_AND_BACK)
async def test_a_table_that_was_out_of_the_publication_is_told_before_anything_newer(start: Start, how: str) -> None:
    service = await start(SCHEMA)
    tweets, all_tables, other = [await service.join(SERVICE, table) for table in ("tweets", "*", "other")]
    service.engine.run("insert into tweets values (1); insert into other values (1)")
    await tweets.until(1)
    out, back = OUT_AND_BACK[how]
    service.engine.run(out)
    service.engine.run(back)
    service.engine.run("insert into tweets values (3); insert into tweets values (4); insert into other values (5)")
    await service.settled()
    assert tweets.story == [1, "publication", 3, 4]
    assert tweets.gaps == [("publication", "tweets")]
    assert all_tables.gaps == [("publication", "tweets")]
    assert other.story == [1, 5]
    assert service.pipeline.gaps == {"publication": 2}


@pytest.mark.every_version
async def test_a_schema_that_was_out_of_the_publication_is_told_for_its_tables(start: Start) -> None:
    service = await start("create publication supabase_realtime; create table tweets (id int primary key);")
    service.engine.run("grant select on tweets to service_role; alter publication supabase_realtime drop table marker")
    service.engine.run("alter publication supabase_realtime add tables in schema public")
    await service.settled()
    tweets = await service.join(SERVICE, "tweets")
    service.engine.run("insert into tweets values (1)")
    await tweets.until(1)
    service.engine.run("alter publication supabase_realtime drop tables in schema public; insert into tweets values (2)")
    service.engine.run("alter publication supabase_realtime add tables in schema public; insert into tweets values (3)")
    await tweets.until(3)
    assert tweets.story == [1, "publication", 3]


@pytest.mark.every_version
async def test_operations_that_were_left_out_for_a_while_are_told_to_everybody(start: Start) -> None:
    service = await start(SCHEMA)
    tweets, other = [await service.join(SERVICE, table) for table in ("tweets", "other")]
    service.engine.run("alter publication supabase_realtime set (publish = 'delete'); insert into tweets values (1)")
    service.engine.run("alter publication supabase_realtime set (publish = 'insert, update, delete, truncate')")
    service.engine.run("insert into tweets values (2)")
    await tweets.until(2)
    assert tweets.story == ["publication", 2]
    assert tweets.gaps == other.gaps == [("publication", None)]


@pytest.mark.parametrize(
    "how", ["drop table tweets", "alter table tweets rename to letters", "alter publication supabase_realtime drop table tweets"]
)
async def test_a_table_that_is_out_for_good_is_told_once(start: Start, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(membership, "PATIENCE", 0.2)
    service = await start(SCHEMA)
    tweets, other = [await service.join(SERVICE, table) for table in ("tweets", "other")]
    service.engine.run(how)
    await tweets.until(1)
    await asyncio.sleep(0.5)
    await service.settled()
    assert (tweets.gaps, other.gaps) == ([("table_removed", "tweets")], [])


@pytest.mark.every_version
async def test_a_publication_that_is_dropped_and_made_again_costs_one_gap_and_the_service_recovers(start: Start) -> None:
    service = await start(SCHEMA)
    tweets = await service.join(SERVICE, "tweets")
    service.engine.run("insert into tweets values (1)")
    await tweets.until(1)
    before = state(service.pipeline)
    service.engine.run("drop publication supabase_realtime; insert into tweets values (2)")
    await tweets.until(2)
    async with asyncio.timeout(10):
        while "There is no publication" not in str(service.pipeline.status()["fault"]):  # noqa: ASYNC110, nobody tells
            await asyncio.sleep(0.02)
    assert "realtime-inspector init" in str(service.pipeline.status()["fault"])
    service.engine.run("create publication supabase_realtime for table tweets, other, marker")
    await service.flowing()
    service.engine.run("insert into tweets values (3)")
    await tweets.until(3)
    await service.settled()
    assert tweets.story == [1, "publication", 3]
    assert state(service.pipeline).epoch != before.epoch


@pytest.mark.every_version
async def test_a_publication_that_is_replaced_between_two_changes_costs_one_gap(start: Start) -> None:
    service = await start(SCHEMA)
    tweets = await service.join(SERVICE, "tweets")
    service.engine.run("insert into tweets values (1)")
    await tweets.until(1)
    service.engine.run("drop publication supabase_realtime; insert into tweets values (2)")
    service.engine.run("create publication supabase_realtime for table tweets, other, marker")
    service.engine.run("insert into tweets values (3)")
    await tweets.until(2)
    await service.flowing()
    service.engine.run("insert into tweets values (4)")
    await tweets.until(3)
    await service.settled()
    assert tweets.story == [1, "publication", 4]
