"""What is peculiar to notifications, on a real Postgres: what they cannot tell, poolers, a queue that fills."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import psycopg
import pytest

from realtime_inspector.errors import SetupError, StreamEnded
from realtime_inspector.model import Binding
from realtime_inspector.postgres.announced import Announced
from realtime_inspector.postgres.connect import PINNED
from realtime_inspector.postgres.line import Line
from realtime_inspector.postgres.notify import Notifications
from realtime_inspector.postgres.stream import ReplicationStream
from tests.postgres.conftest import Engine
from tests.postgres.pooler import pooled
from tests.postgres.river import ANON, SERVICE, Start, announce, start

__all__ = ["start"]

SCHEMA = """
create table open (id text primary key, name text); create table other (id int primary key);
create table secret (id int primary key);
create table parted (id int primary key) partition by range (id); create table part partition of parted default;
grant select on open, other, secret, parted, part to anon, service_role;
create publication supabase_realtime for table open, other;
"""
LISTENER = "from pg_stat_activity where datname = current_database() and application_name = 'realtime_inspector listener'"
Listen = Callable[..., Awaitable[Notifications]]


@pytest.fixture
async def listen(engine: Engine) -> AsyncIterator[Listen]:
    """Attaches a source to a database with tables that announce their changes."""
    sources: list[tuple[Notifications, Line]] = []

    async def listening(url: str = "", **settings: float) -> Notifications:
        line = Line(url or engine.reader, purpose="keeper", statement_timeout_ms=2_000)
        source = Notifications(url or engine.reader, Announced(line, "supabase_realtime"), **settings)  # type: ignore[arg-type]
        sources.append((source, line))
        await source.attach()
        return source

    engine.run(SCHEMA)
    await announce(engine)
    yield listening
    for source, line in sources:
        await source.close()
        line.close()


async def rows(source: Notifications, count: int) -> list[object]:
    """The keys of the next changes."""
    found: list[object] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            found += [change.new[0] for change in (await source.next()).changes if change.new is not None]
    return found


async def test_every_reconnection_is_a_gap_even_if_nothing_was_lost(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA, source="notify")
    boss = await service.join(SERVICE, "open")
    for n in range(2):
        engine.run(f"select pg_terminate_backend(pid) {LISTENER}")
        await boss.until(2 * n + 1)
        engine.run(f"insert into open values ({n})")
        await boss.until(2 * n + 2)
    assert boss.story == ["listen_reconnect", "0", "listen_reconnect", "1"]


async def test_a_key_that_is_too_long_harms_no_writer_and_is_a_gap_of_its_table(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA, source="notify")
    boss, other = await service.join(SERVICE, "open"), await service.join(SERVICE, "other")
    engine.run("begin; insert into open values (repeat('x', 9000)), (repeat('y', 7000)); insert into other values (1); commit")
    await boss.until(2)
    await other.until(1)
    assert boss.gaps == [("key_unknown", "open")]
    assert [len(d["record"]["id"]) for d in boss.data] == [7000]
    assert other.story == [1]


async def test_a_key_that_is_renamed_harms_no_writer_and_is_a_gap_until_init_runs_again(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA, source="notify")
    boss = await service.join(SERVICE, "other")
    engine.run("alter table other rename id to number; insert into other values (1)")
    await boss.until(1)
    await announce(engine)
    engine.run("insert into other values (2)")
    await boss.until(2)
    assert boss.gaps == [("key_unknown", "other")]
    assert [d["record"] for d in boss.data] == [{"number": 2}]


async def test_triggers_that_do_not_fire_are_a_gap_where_that_begins_and_where_it_ends(engine: Engine, listen: Listen) -> None:
    source = await listen(watch_seconds=0.05)
    for switch in ("disable", "enable"):
        engine.run(f"alter table open {switch} trigger user")
        async with asyncio.timeout(60):
            (loss,) = (await source.next()).lost
        assert (loss.relation.name, loss.reason) == ("open", "not_announced")


async def test_a_table_without_triggers_is_refused_with_the_remedy(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA, source="notify")
    engine.run("alter publication supabase_realtime add table secret")
    (problem,) = (await service.pipeline.authorize(SERVICE, [Binding(1, "*", "public", "secret")])).problems
    assert "init --source notify" in problem.hint
    await announce(engine)
    boss = await service.join(SERVICE, "secret")
    engine.run("insert into secret values (1)")
    assert [d["table"] for d in await boss.until(1)] == ["secret"]


async def test_what_strangers_notify_does_nothing(engine: Engine, start: Start) -> None:
    rows = "insert into secret values (1); insert into parted values (1); insert into other values (1);"
    service = await start(SCHEMA + rows, source="notify")
    anon, boss = await service.join(ANON, "*"), await service.join(SERVICE, "*")
    other, secret, part = engine.oid("other"), engine.oid("secret"), engine.oid("part")
    forged = [
        "", "x", "[]", "null", "[1,2,3]", '{"a":1}', "[" * 5_000, '[1,2,3,"INSERT","x"]', '[1,2,3,"SELECT",{}]', "é\u2028🦩",
        f'[1,2,{secret},"UPDATE",{{"id":"1"}}]', f'[1,2,{part},"UPDATE",{{"id":"1"}}]', '[1,2,-1,"INSERT",{"id":"1"}]',
        '[1,2,99999999999999999999,"UPDATE",{"id":"1"}]', f'[1,{2**62},{other},"UPDATE",{{"id":"\\u0000"}}]',
        f'[1,2,{other},"UPDATE",{{"id":"9"}}]',
    ]  # fmt: skip
    for payload in forged:
        engine.run("select pg_notify('realtime_inspector', %s)", payload)
    engine.run("insert into other values (2)")
    assert [d["record"] for d in await boss.until(1)] == [{"id": 2}]
    await service.settled()
    assert (anon.story, boss.gaps) == ([2], [])
    engine.run("select pg_notify('realtime_inspector', %s)", f'[1,{2**62},{other},"DELETE",null,{{"wrong":"1"}}]')
    await boss.until(len(boss.received) + 1)
    assert boss.gaps == [("key_unknown", "other")]


async def test_a_key_that_is_none_costs_the_changes_beside_it_nothing(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA, source="notify")
    boss = await service.join(SERVICE, "other")
    forged = f"""select pg_notify('realtime_inspector', '[1,2,{engine.oid("other")},"INSERT",{{"id":"x"}}]')"""
    engine.run(f"begin; insert into other values (1); {forged}; insert into other values (2), (3); commit")
    await service.settled()
    assert [d["record"]["id"] for d in boss.data] == [1, 2, 3]
    assert boss.gaps == [("columns_changed", "other")]


async def test_the_listening_session_is_never_in_a_transaction(engine: Engine, listen: Listen) -> None:
    source = await listen()
    for n in range(3):
        engine.run(f"insert into other values ({n})")
        assert await rows(source, 1) == [str(n)]
        assert engine.run(f"select state, xact_start, backend_xmin {LISTENER}") == [("idle", None, None)]


async def test_not_reading_is_bounded_here_and_loses_nothing(engine: Engine, listen: Listen) -> None:
    source = await listen(queue_bytes=100_000)
    for n in range(20):
        engine.run(f"insert into other select generate_series({1_000 * n + 1}, {1_000 * (n + 1)})")
    await asyncio.sleep(0.5)
    assert 100_000 < source.queued_bytes < 1_000_000
    assert await rows(source, 20_000) == [str(n) for n in range(1, 20_001)]


async def test_who_does_not_read_lets_go_before_writers_fail(engine: Engine, listen: Listen) -> None:
    source = await listen(queue_bytes=10_000, queue_share=0.0005, watch_seconds=0.05)
    engine.run("insert into open select repeat('x', 7000) || n from generate_series(1, 3000) n")  # 21 MB of Postgres' 8 GB
    async with asyncio.timeout(60):
        while source.flows or engine.run(f"select pid {LISTENER}"):  # noqa: ASYNC110, nobody tells
            await asyncio.sleep(0.01)
    with pytest.raises(StreamEnded, match="queue of notifications"):
        await rows(source, 3_000)


@pytest.mark.parametrize("lenient", [False, True])
async def test_behind_a_transaction_pooler_neither_source_starts(engine: Engine, listen: Listen, lenient: bool) -> None:
    async with pooled(engine.reader, lenient=lenient) as url:
        with pytest.raises(SetupError) as refused:
            await listen(url)
        assert "RTI_READER_URL" in refused.value.remedy
        with pytest.raises(SetupError) as refused:
            await ReplicationStream(url, slot="test_slot", publication="supabase_realtime").attach()
        assert "RTI_READER_URL" in refused.value.remedy


async def test_the_pooler_of_these_tests_delivers_no_notification(engine: Engine) -> None:
    """It is a pooler: queries work, and LISTEN is taken without a word."""
    async with pooled(engine.reader) as url:
        listener, other = [await psycopg.AsyncConnection.connect(url, autocommit=True) for _ in range(2)]
        await listener.execute("listen anything")
        for _ in range(5):
            await (await other.execute("select pg_notify('anything', 'x')")).fetchone()
        engine.run("select pg_notify('anything', 'x')")
        assert [notify async for notify in listener.notifies(timeout=0.3)] == []
        await listener.close()
        await other.close()


async def test_triggers_read_keys_in_the_settings_of_the_service(engine: Engine) -> None:
    engine.run(SCHEMA)
    await announce(engine)
    connection = await asyncpg.connect(engine.admin)
    settings = await connection.fetchval("select proconfig from pg_proc where proname = 'announce'")
    assert {name.lower(): value.strip('"') for name, value in (line.split("=", 1) for line in settings)} == {
        name.lower(): value for name, value in PINNED.items()
    }
    await connection.close()
