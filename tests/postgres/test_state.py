"""What outlives the process: the epoch, the key of the positions, and how far the slot's reader was."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import psycopg
import pytest

from realtime_inspector.errors import DatabaseUnavailable, SetupError
from realtime_inspector.postgres import state as states
from realtime_inspector.postgres.line import Line
from realtime_inspector.postgres.setup import Options, prepare
from realtime_inspector.postgres.state import Bookmark
from tests.postgres.conftest import Engine

TABLE = "realtime_inspector.slots"
SUPABASE = Options(supabase_roles=True)


LINES: list[Line] = []


@pytest.fixture(autouse=True)
async def lines() -> AsyncIterator[None]:
    yield
    while LINES:
        LINES.pop().close()


@pytest.fixture
async def bookmark(engine: Engine) -> AsyncIterator[Bookmark]:
    made = another(engine)
    yield made
    await made.close()


def another(engine: Engine, slot: str = "s") -> Bookmark:
    return on(engine.reader, slot)


def on(url: str, slot: str = "s") -> Bookmark:
    LINES.append(Line(url, purpose="keeper", statement_timeout_ms=2_000))
    return Bookmark(LINES[-1], slot)


def position(engine: Engine) -> object:
    return engine.run(f"select position from {TABLE} where slot = 's'")[0][0]


async def test_the_first_start_makes_the_state_and_later_ones_find_it(engine: Engine, bookmark: Bookmark) -> None:
    assert await bookmark.load() is None
    state = await bookmark.begin()
    assert (len(state.secret), state.position) == (32, 0)
    other = another(engine)
    assert await other.load() == state
    assert await other.begin() == state
    await other.close()
    elsewhere = another(engine, "t")
    foreign = await elsewhere.begin()
    assert foreign.epoch != state.epoch
    assert foreign.secret != state.secret
    await elsewhere.close()


async def test_a_loss_begins_an_epoch_once_whoever_noticed_it(engine: Engine, bookmark: Bookmark) -> None:
    before = await bookmark.begin()
    bookmark.save(1000, 900)
    other = another(engine)
    after = await other.begin(before.epoch)
    assert (after.epoch != before.epoch, after.secret, after.position) == (True, before.secret, 0)
    assert await bookmark.begin(before.epoch) == after
    await other.close()


async def test_the_position_is_written_seldom_and_at_the_end(
    engine: Engine, bookmark: Bookmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "SAVE_SECONDS", 3600)
    await bookmark.begin()
    bookmark.save(1000, 900)
    async with asyncio.timeout(60):
        while position(engine) != 1000:  # noqa: ASYNC110, nobody tells
            await asyncio.sleep(0.01)
    written = engine.run(f"select xmin::text from {TABLE}")
    for moved in range(1001, 2001):
        bookmark.save(moved, 900)
    bookmark.save(7, 900)
    await asyncio.sleep(0.1)
    assert engine.run(f"select xmin::text from {TABLE}") == written
    await bookmark.close()
    assert position(engine) == 2000


async def test_who_lives_in_an_epoch_that_is_over_writes_nothing(engine: Engine, bookmark: Bookmark) -> None:
    state = await bookmark.begin()
    other = another(engine)
    await other.begin(state.epoch)
    bookmark.save(1000, 900)
    await bookmark.close()
    await other.close()
    assert position(engine) == 0


async def test_what_was_written_is_saved_when_the_database_is_back(engine: Engine, bookmark: Bookmark) -> None:
    await bookmark.begin()
    engine.run(f"alter table {TABLE} rename to hidden")
    bookmark.save(1000, 900)
    await asyncio.sleep(0.1)
    engine.run("alter table realtime_inspector.hidden rename to slots")
    engine.run("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'realtime_inspector keeper'")
    async with asyncio.timeout(60):
        while position(engine) != 1000:  # noqa: ASYNC110, nobody tells
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "harm",
    [
        f"drop table {TABLE}",
        "drop schema realtime_inspector cascade",
        f"revoke insert on {TABLE} from engine_reader",
        f"alter table {TABLE} drop column secret",
    ],
)
async def test_a_database_that_was_not_prepared_is_named_with_the_remedy(engine: Engine, bookmark: Bookmark, harm: str) -> None:
    engine.run(harm)
    with pytest.raises(SetupError, match="cannot keep its position") as refusal:
        await bookmark.begin()
    assert "realtime-inspector init" in refusal.value.remedy


async def test_nobody_at_home() -> None:
    bookmark = on("postgresql://127.0.0.1:1/none?sslmode=disable")
    with pytest.raises(DatabaseUnavailable):
        await bookmark.load()


@pytest.mark.parametrize("url", ["not a url", "http://127.0.0.1/x", "postgresql://u:geheim@127.0.0.1:geheim/x"])
async def test_what_is_no_url_is_refused_without_telling_it(url: str) -> None:
    with pytest.raises(SetupError) as refusal:
        await on(url).load()
    assert "RTI_READER_URL" in refusal.value.remedy
    assert "geheim" not in refusal.value.text + refusal.value.remedy


@pytest.mark.every_version
async def test_init_gives_it_to_the_reader_alone_also_where_there_was_an_older_schema(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as admin:
        first = await prepare(database, SUPABASE)
        admin.execute(f"drop table {TABLE}".encode())
        admin.execute("alter default privileges grant all on tables to public")
        second = await prepare(database, replace(SUPABASE, existing=first.env))
        rights = (
            "select grantee, string_agg(privilege_type, ' ' order by privilege_type) from information_schema.table_privileges"
        )
        held = admin.execute(f"{rights} where table_schema || '.' || table_name = '{TABLE}' group by 1".encode()).fetchall()
    reader = first.env["RTI_READER_URL"].partition("//")[2].partition(":")[0]
    assert {name: words for name, words in held if name != "postgres"} == {reader: "INSERT SELECT UPDATE"}
    bookmark = on(second.env["RTI_READER_URL"])
    state = await bookmark.begin()
    assert await bookmark.load() == state
    await bookmark.close()
