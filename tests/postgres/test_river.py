"""The life of the slot as subscribers see it: restarts, losses, and who is told of them."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from structlog.testing import capture_logs

from bench.proxy import proxied
from realtime_inspector.errors import SetupError
from realtime_inspector.model import AFTER, BEGINNING, Binding, Position
from realtime_inspector.pipeline import guard, watch
from realtime_inspector.pipeline.ring import Ring
from realtime_inspector.pipeline.river import Pipeline
from realtime_inspector.ports import Outlet
from realtime_inspector.postgres import slot
from realtime_inspector.postgres.embedded import EmbeddedPostgres
from realtime_inspector.postgres.state import State
from realtime_inspector.replication import membership
from realtime_inspector.settings import Settings
from realtime_inspector.visibility.index import Index
from tests.postgres.conftest import Engine, prepared
from tests.postgres.river import SERVICE, Service, Start, Subscriber, start

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
    first = await start(SCHEMA, resume_seconds=0)
    tweets = await first.join(SERVICE, "tweets")
    first.engine.run("insert into tweets values (1, 'a')")
    await tweets.until(1)
    await first.settled()
    before, reached = state(first.pipeline), first.pipeline.status()["position"]
    await first.pipeline.close()
    assert written(first) >= reached > 0
    second = await start("")
    after = state(second.pipeline)
    assert after == replace(before, position=written(second), floor=after.floor, log=after.log)
    assert after.log
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
    await service.faulty("There is no publication")
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


async def test_a_slot_that_is_dropped_while_changes_flow_costs_one_gap(start: Start) -> None:
    service = await start(SCHEMA)
    tweets = await service.join(SERVICE, "tweets")
    service.engine.run("insert into tweets values (1)")
    await tweets.until(1)
    async with asyncio.timeout(60):
        while True:
            with suppress(psycopg.Error):  # the service may have come back first
                service.engine.run(
                    "select pg_terminate_backend(active_pid, 1000) from pg_replication_slots where slot_name = 'test_slot'"
                )
                # A new slot cannot begin before the end of a transaction that has written before the old one was dropped.
                service.engine.run("insert into tweets values (2); select pg_drop_replication_slot('test_slot')")
                break
            await asyncio.sleep(0.2)
        while not tweets.gaps:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
    await service.flowing()
    service.engine.run("insert into tweets values (3)")
    await tweets.until(3)
    await service.settled()
    assert tweets.story == [1, "slot_lost", 3]


@pytest.mark.parametrize(("window", "story"), [(120, [1, 2]), (0, ["taken_over", 2])])
async def test_a_second_service_stands_by_quietly_and_takes_over(start: Start, window: int, story: list[object]) -> None:
    first = await start(SCHEMA, resume_seconds=window)
    with capture_logs() as logs:
        second = await start("", attached=False, resume_seconds=window)
        await second.faulty("Standing by")
        ((pid,),) = first.engine.run("select active_pid from pg_replication_slots where slot_name = 'test_slot'")
        assert str(pid) in str(second.pipeline.status()["fault"])
        here, there = [await each.join(SERVICE, "tweets") for each in (first, second)]
        first.engine.run("insert into tweets values (1)")
        await here.until(1)
        await asyncio.sleep(2.5)  # while it tries again
    assert [(line["event"], line["log_level"]) for line in logs] == [("standing_by", "info")]
    await first.settled()
    await first.pipeline.close()
    async with asyncio.timeout(5):
        await second.pipeline.attached()
    first.engine.run("insert into tweets values (2)")
    await there.until(2)
    assert (here.story, there.story) == ([1], story)
    assert state(second.pipeline).epoch == state(first.pipeline).epoch
    assert state(second.pipeline).position > 0


async def test_who_lost_the_slot_to_another_service_for_a_while_tells_its_subscribers(start: Start) -> None:
    first = await start(SCHEMA, resume_seconds=0)
    second = await start("", attached=False, resume_seconds=0)
    await second.faulty("Standing by")
    tweets = await first.join(SERVICE, "tweets")
    first.engine.run("insert into tweets values (1)")
    await tweets.until(1)
    async with asyncio.timeout(20):
        while not second.pipeline.status()["attached"] or "Standing by" not in str(first.pipeline.status()["fault"]):
            if first.pipeline.status()["attached"]:
                first.engine.run(
                    "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = 'test_slot'"
                )
            await asyncio.sleep(0.3)
    first.engine.run("insert into tweets values (2)")
    await second.settled()
    query = "select (confirmed_flush_lsn - '0/0')::int8 >= %s from pg_replication_slots where slot_name = 'test_slot'"
    while first.engine.run(query, second.pipeline.status()["position"]) != [(True,)]:  # noqa: ASYNC110, nobody tells
        await asyncio.sleep(0.02)  # until then Postgres would send it again, here
    await second.pipeline.close()
    await first.flowing()
    first.engine.run("insert into tweets values (3)")
    await tweets.until(3)
    assert tweets.story == [1, "taken_over", 3]


@pytest.fixture
async def own() -> AsyncIterator[EmbeddedPostgres]:
    """A cluster that may be harmed."""
    async with EmbeddedPostgres(settings={"max_slot_wal_keep_size": "16MB", "wal_keep_size": "0"}) as own:
        yield own


async def test_crashes_of_postgres_cost_and_repeat_nothing(start: Start, own: EmbeddedPostgres) -> None:
    service = await start(SCHEMA, on=prepared(own.url))
    tweets = await service.join(SERVICE, "tweets")
    numbers = itertools.count(1)
    for _ in range(3):
        assert own.process is not None
        async with await psycopg.AsyncConnection.connect(own.url, autocommit=True) as writer:
            killer = asyncio.get_running_loop().call_later(0.5, own.process.kill)
            with suppress(psycopg.OperationalError):
                while True:
                    await writer.execute("insert into tweets values (%s), (%s)", [next(numbers), next(numbers)])
            killer.cancel()
        await own.wait()
        await own.start()
        await service.flowing()
    service.engine.run("insert into tweets values (%s)", next(numbers))
    written = [number for (number,) in service.engine.run("select id from tweets order by id")]
    await tweets.until(len(written))
    await service.settled()
    assert len(written) > 100
    assert tweets.story == written


async def test_what_postgres_forgot_in_a_crash_is_not_read_again_by_the_next_process(start: Start, own: EmbeddedPostgres) -> None:
    first = await start(SCHEMA, on=prepared(own.url), resume_seconds=0)
    index: Index[Outlet] = Index()
    tweets = Subscriber()
    authorized = await first.pipeline.authorize(SERVICE, [Binding(1, "*", "public", "tweets")])
    index.subscribe(tweets, "realtime:room", "2.0.0", SERVICE, replace(authorized, after=BEGINNING), False)
    first.engine.run("insert into tweets select generate_series(1, 5)")
    await first.settled()
    while written(first) < first.pipeline.status()["position"]:  # type: ignore[operator] # noqa: ASYNC110, nobody tells
        await asyncio.sleep(0.05)
    first.engine.run("create table anything ()")  # this commit is waited for, and the position lies before it
    assert own.process is not None
    own.process.kill()
    await own.wait()
    await first.pipeline.close()
    await own.start()
    ((forgotten,),) = first.engine.run(
        "select (confirmed_flush_lsn - '0/0')::int8 < %s from pg_replication_slots", written(first)
    )
    assert forgotten
    second = await start("", on=first.engine, index=index)
    second.engine.run("insert into tweets values (6)")
    await tweets.until(1)
    assert tweets.story == [6]


async def test_a_slot_that_is_invalidated_under_its_reader_costs_one_gap(start: Start, own: EmbeddedPostgres) -> None:
    service = await start(SCHEMA, on=prepared(own.url))
    tweets = await service.join(SERVICE, "tweets")
    with psycopg.connect(own.url) as locker:
        locker.execute("insert into tweets values (1)")
        locker.commit()
        await tweets.until(1)
        locker.execute("insert into tweets values (2)")
        locker.commit()
        locker.execute("lock table tweets")  # the service has to wait for it
        for _ in range(4):
            service.engine.run("insert into other values (1) on conflict do nothing; select pg_switch_wal()")
        async with asyncio.timeout(20):
            while service.engine.run("select wal_status from pg_replication_slots") != [("lost",)]:
                service.engine.run("checkpoint")
                await asyncio.sleep(0.1)
    await tweets.until(3)
    await service.flowing()
    service.engine.run("insert into tweets values (4)")
    await tweets.until(4)
    await service.settled()
    assert tweets.story == [1, 2, "slot_lost", 4]


async def test_a_slot_that_an_open_transaction_makes_hold_too_much_is_given_up_in_time(
    start: Start, own: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(slot, "CREATION_SECONDS", 1)
    service = await start(SCHEMA, on=prepared(own.url), slot_limit_bytes=8_000_000)
    service.engine.run("create table busy (filler text); alter table busy alter filler set storage plain")
    tweets = await service.join(SERVICE, "tweets")
    before = state(service.pipeline)
    with capture_logs() as logs, psycopg.connect(own.url) as writer:
        writer.execute("insert into tweets values (1)")
        async with asyncio.timeout(20):
            while not service.pipeline.guard.note:
                service.engine.run("insert into busy select repeat('x', 8000) from generate_series(1, 20)")
                await asyncio.sleep(0.05)
        assert "MB of log" in service.pipeline.guard.note
        service.engine.run("insert into busy select repeat('x', 8000) from generate_series(1, 1000)")
        await service.faulty(f"transactions are open in process {writer.info.backend_pid}")
        assert tweets.gaps == []  # not before the new slot begins
        writer.commit()
    await service.flowing()
    service.engine.run("insert into tweets values (2)")
    await service.settled()
    assert tweets.story == ["slot_lost", 2]
    assert [line["event"] for line in logs].count("slot_holds_much") == 1
    assert state(service.pipeline).epoch != before.epoch
    assert service.pipeline.guard.note == ""


async def test_the_log_of_others_is_not_held_back_while_nothing_of_ours_is_written(start: Start, own: EmbeddedPostgres) -> None:
    service = await start(SCHEMA, on=prepared(own.url))
    service.engine.run("create table busy (filler text); alter table busy alter filler set storage plain")
    held = "select pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) > 4000000 from pg_replication_slots"
    async with asyncio.timeout(20):
        for _ in range(7):  # 64 MB in all, where 16 MB may be held back
            service.engine.run("insert into busy select repeat('x', 8000) from generate_series(1, 1150)")
            while service.engine.run(held) == [(True,)]:
                service.engine.run("checkpoint")
                await asyncio.sleep(0.1)
    assert service.pipeline.status()["attached"]
    assert service.pipeline.gaps == {}


async def test_the_past_that_is_kept_for_who_comes_back_goes_before_the_slot_does(
    start: Start, own: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "LOOK_SECONDS", 0.05)
    service = await start(SCHEMA, on=prepared(own.url), slot_limit_bytes=8_000_000, slot_drop_percent=0)
    service.engine.run("create table busy (filler text); alter table busy alter filler set storage plain")
    await service.settled()  # a change that somebody might come back to
    async with asyncio.timeout(20):
        while not service.pipeline.guard.note:
            service.engine.run("insert into busy select repeat('x', 8000) from generate_series(1, 100)")
            await asyncio.sleep(0.05)
        while service.pipeline.guard.note:
            service.engine.run("checkpoint")
            await asyncio.sleep(0.1)
    assert service.pipeline.gaps == {}


async def test_a_fault_of_ours_anywhere_costs_one_gap_and_the_stream_goes_on(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start(SCHEMA)
    tweets = await service.join(SERVICE, "tweets")

    def fails(_self: Ring, _transaction: object, _now: float) -> None:
        monkeypatch.undo()
        raise RuntimeError("planted")

    monkeypatch.setattr(Ring, "append", fails)
    with capture_logs() as logs:
        service.engine.run("insert into tweets values (1)")
        await tweets.until(2)
        await service.flowing()
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["river_failed"]
    again = await service.join(SERVICE, "tweets", resume=tweets.resume)
    assert again.unknown
    service.engine.run("insert into tweets values (2)")
    await tweets.until(3)
    await service.settled()
    assert tweets.story == [1, "internal_error", 2]


async def test_the_log_is_let_go_of_while_changes_keep_coming(start: Start) -> None:
    service = await start(SCHEMA, resume_seconds=0)
    service.engine.run("insert into tweets values (0)")
    await service.settled()
    confirmed = "select confirmed_flush_lsn >= %s::pg_lsn from pg_replication_slots where slot_name = 'test_slot'"
    reached = service.engine.run("select pg_current_wal_lsn()::text")[0][0]
    async with asyncio.timeout(15):
        for number in itertools.count(1):
            service.engine.run("insert into tweets values (%s)", number)
            if service.engine.run(confirmed, reached) == [(True,)]:
                break
            await asyncio.sleep(0.05)


async def test_who_joined_in_a_part_of_the_log_that_a_crash_took_back_misses_nothing(start: Start) -> None:
    """A join counts from what is only in memory yet; a crash may take that back, and then the log has not come so far again."""
    service = await start(SCHEMA)
    tweets = Subscriber()
    authorized = await service.pipeline.authorize(SERVICE, [Binding(1, "*", "public", "tweets")])
    taken_back = replace(authorized, after=Position(authorized.after.commit_lsn + 1_000_000, AFTER))
    service.index.subscribe(tweets, "realtime:room", "2.0.0", SERVICE, taken_back, False)
    service.engine.run("insert into tweets values (1)")
    await service.settled()
    assert tweets.story == []
    service.engine.run("select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = 'test_slot'")
    await service.faulty("terminating connection")
    await service.flowing()
    service.engine.run("insert into tweets values (2)")
    await tweets.until(1)
    assert tweets.story == [2]


async def test_what_is_no_url_ends_the_start() -> None:
    pipeline = await Pipeline.open(Settings(reader_url="not a url", evaluator_url="neither"), Index())
    with pytest.raises(SetupError, match="not one"):
        await pipeline.attached()
    await pipeline.close()


@pytest.mark.parametrize(
    "meanwhile",
    [
        "alter publication supabase_realtime drop table tweets; alter publication supabase_realtime add table tweets",
        "alter publication supabase_realtime drop table tweets",
        "drop publication supabase_realtime; create publication supabase_realtime for table tweets, other, marker",
    ],
)
async def test_what_was_out_of_the_publication_while_no_service_ran_begins_an_epoch(start: Start, meanwhile: str) -> None:
    first = await start(SCHEMA)
    before = state(first.pipeline)
    await first.pipeline.close()
    first.engine.run("create table third (id int primary key); alter publication supabase_realtime add table third")
    second = await start("")
    assert state(second.pipeline).epoch == before.epoch
    await second.pipeline.close()
    second.engine.run(meanwhile)
    third = await start("")
    assert state(third.pipeline).epoch != before.epoch
    after = state(third.pipeline)
    await third.pipeline.close()
    assert state((await start("")).pipeline).epoch == after.epoch


async def test_who_is_told_of_a_gap_misses_nothing_that_is_written_then(start: Start) -> None:
    service = await start(SCHEMA)
    tweets = await service.join(SERVICE, "tweets")

    def answer(payload: dict[str, Any]) -> None:
        if "gap" in payload:
            service.engine.run("insert into tweets values (7)")

    tweets.on_payload = answer
    service.engine.run("insert into tweets values (1)")
    await tweets.until(1)
    service.engine.run("drop publication supabase_realtime; insert into tweets values (2)")
    await service.faulty("There is no publication")
    service.engine.run("create publication supabase_realtime for table tweets, other, marker")
    await tweets.until(2)
    await service.settled()
    assert tweets.story == [1, "publication", 7]


async def waiting(engine: Engine) -> None:
    """Returns when somebody waits for a lock on tweets."""
    async with asyncio.timeout(20):
        while not engine.run("select 1 from pg_locks where relation = 'tweets'::regclass and not granted"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
async def test_a_network_that_fell_silent_is_given_up_whatever_is_being_asked(start: Start, engine: Engine, busy: bool) -> None:
    """Though a question may take a minute, and Postgres waits for its silent reader for as long."""
    port = urlsplit(engine.admin).port or 0
    async with proxied(lambda: port) as network:
        reader, evaluator = (url.replace(f":{port}/", f":{network.port}/") for url in (engine.reader, engine.evaluator))
        service = await start(SCHEMA, on=replace(engine, reader=reader, evaluator=evaluator), statement_timeout_ms=60_000)
        try:
            tweets = await service.join(SERVICE, "tweets")
            engine.run("insert into tweets values (1)")
            await tweets.until(1)
            with psycopg.connect(engine.admin) as writer, psycopg.connect(engine.admin) as locker:
                writer.execute("insert into tweets values (2)")
                if busy:  # the reader is next
                    locking = asyncio.create_task(asyncio.to_thread(locker.execute, "lock table tweets"))
                    await waiting(engine)
                    writer.commit()
                    await locking
                    await waiting(engine)
                network.freeze()
            engine.run("insert into tweets values (3)")
            await tweets.until(3)
            assert tweets.story == [1, 2, 3]
        finally:
            await service.pipeline.close()  # or else it goes on to connect
