"""What is run as somebody is run as nobody else, stays inside its transaction, and leaves behind what was asked for."""

import asyncio
from typing import Any

import orjson
import pytest

from realtime_inspector.errors import DatabaseUnavailable, NotFound, StatementFailed, StatementRefused
from realtime_inspector.identity.statements import Mode, Shown, Statement, split
from realtime_inspector.identity.tokens import canonical
from realtime_inspector.model import Identity
from realtime_inspector.postgres.console import AT_A_TIME, MOST_NOTICES, Console
from tests.postgres.conftest import Engine

ALICE, BOB = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
TABLES = f"""
create table public.tweets (id int primary key, user_id uuid, content text, secret text);
alter table public.tweets enable row level security;
create policy own on public.tweets to authenticated
  using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
grant select, insert, update, delete on public.tweets to authenticated;
grant select (id, content) on public.tweets to limited;
create policy open on public.tweets for select to limited using (true);
insert into public.tweets values (1, '{ALICE}', 'one', 's'), (2, '{BOB}', 'two', 's'), (3, '{ALICE}', null, 's');
create table public."Odd; name" (id int, "A ""col"" " text);
insert into public."Odd; name" values (1, 'x');
grant select on public."Odd; name" to authenticated;
create table public.later (id int primary key deferrable initially deferred);
grant all on public.later to authenticated;
create function public.sneaky(what text, value text) returns text language plpgsql as
  $$ begin return set_config(what, value, true); end $$;
create function public.chatty() returns void language plpgsql as
  $$ begin for n in 1..100 loop raise notice 'note %', n; end loop; end $$;
"""


def identity(sub: str = ALICE, role: str = "authenticated") -> Identity:
    return Identity(role, canonical({"role": role, "sub": sub}).decode())


async def never() -> None:
    raise AssertionError("it came to the commit")


class Run:
    """A console on a database, and how a text runs in it."""

    def __init__(self, engine: Engine, **given: Any) -> None:
        self.engine = engine
        self.console = Console(engine.evaluator, **{"statement_timeout_ms": 2_000, "search_path": "public", **given})
        self.asked = 0

    async def __call__(self, text: str, who: Identity | None = None, mode: Mode = "read", limit: int = 100) -> list[Shown]:
        async def confirm() -> None:
            self.asked += 1

        shown, self.notices = await self.console.run(who or identity(), split(text), mode, limit, confirm)
        return shown

    def tweets(self) -> list[tuple[object, ...]]:
        return self.engine.run("select id, content from public.tweets order by id")


@pytest.fixture
def run(engine: Engine) -> Run:
    engine.run(TABLES)
    return Run(engine)


BEFORE = [(1, "one"), (2, "two"), (3, None)]


@pytest.mark.every_version
async def test_rows_come_as_postgres_writes_them_with_the_names_of_types(run: Run) -> None:
    [shown] = await run(
        "select id, user_id, content, 1.50::numeric(5,2) as price, array['a,b', null] as names, now() > 'epoch' from tweets"
    )
    assert shown.columns == (
        *(("id", "integer"), ("user_id", "uuid"), ("content", "text"), ("price", "numeric(5,2)")),
        *(("names", "text[]"), ("?column?", "boolean")),
    )
    assert shown.rows == ((*("1", ALICE, "one", "1.50"), '{"a,b",NULL}', "t"), ("3", ALICE, None, "1.50", '{"a,b",NULL}', "t"))
    assert (shown.row_count, shown.truncated, shown.command) == (2, False, "SELECT 2")


async def test_everybody_sees_their_own(run: Run) -> None:
    assert (await run("select id from tweets", identity(BOB)))[0].rows == (("2",),)
    assert (await run("select current_user, session_user, auth.uid()"))[0].rows == (("authenticated", "engine_evaluator", ALICE),)
    with pytest.raises(StatementFailed) as caught:
        await run("select id from tweets", identity(role="anon"))
    assert caught.value.sqlstate == "42501"


async def test_several_statements_see_what_those_before_did(run: Run) -> None:
    text = f"insert into tweets values (9, '{ALICE}', 'new') returning id; select count(*) from tweets"
    shown = await run(text, mode="rollback")
    assert [each.rows for each in shown] == [(("9",),), (("3",),)]
    assert [each.command for each in shown] == ["INSERT 0 1", "SELECT 1"]
    assert run.tweets() == BEFORE


async def test_read_changes_nothing_and_says_why(run: Run) -> None:
    for text in (
        "delete from tweets",
        "insert into tweets values (7)",
        "select nextval('s') from (select 1) x",
        "select 1 into t",
    ):
        with pytest.raises(StatementFailed) as caught:
            await run(text)
        assert caught.value.sqlstate in {"25006", "42P01"}
    assert run.tweets() == BEFORE


async def test_commit_is_confirmed_and_stays(run: Run) -> None:
    [shown] = await run("update tweets set content = 'changed' where id < 3", mode="commit")
    assert (shown.row_count, shown.command, run.asked) == (1, "UPDATE 1", 1)
    assert run.tweets() == [(1, "changed"), (2, "two"), (3, None)]


async def test_who_is_not_confirmed_changes_nothing(run: Run) -> None:
    async def refuse() -> None:
        raise NotFound("No such running impersonation of yours")

    with pytest.raises(NotFound):
        await run.console.run(identity(), split("delete from tweets"), "commit", 10, refuse)
    assert run.tweets() == BEFORE


@pytest.mark.parametrize("mode", ["rollback", "commit"])
async def test_an_error_takes_everything_back(run: Run, mode: Mode) -> None:
    with pytest.raises(StatementFailed) as caught:
        await run(f"delete from tweets; insert into tweets values (8, '{BOB}')", mode=mode)
    assert (caught.value.sqlstate, caught.value.text) == (
        "42501",
        'new row violates row-level security policy for table "tweets"',
    )
    assert run.tweets() == BEFORE


@pytest.mark.parametrize("mode", ["rollback", "commit"])
async def test_what_is_checked_last_is_part_of_the_effect(run: Run, mode: Mode) -> None:
    with pytest.raises(StatementFailed) as caught:
        await run("insert into later values (1), (1)", mode=mode)
    assert caught.value.sqlstate == "23505"
    assert run.engine.run("select count(*) from public.later") == [(0,)]


async def test_errors_have_code_and_position_in_the_whole_text(run: Run) -> None:
    text = "select 1;\n select 'ü', nothing_there from tweets"
    with pytest.raises(StatementFailed) as caught:
        await run(text)
    assert caught.value.sqlstate == "42703"
    assert caught.value.position == text.index("nothing_there") + 1
    assert caught.value.more == {"sqlstate": "42703", "position": caught.value.position, "detail": ""}


async def test_rows_and_bytes_are_bounded_and_counted(run: Run) -> None:
    [shown] = await run("select n from generate_series(1, 50000) n", limit=3)
    assert (shown.rows, shown.row_count, shown.truncated) == ((("1",), ("2",), ("3",)), 50_000, True)
    [shown] = await run("select repeat('x', 3000000) from generate_series(1, 3)")
    assert (len(shown.rows), shown.row_count, shown.truncated) == (1, 3, True)
    first, second = await run("select repeat('x', 4000000); select repeat('x', 300000)")
    assert (len(first.rows), len(second.rows), second.truncated) == (1, 0, True)
    [shown] = await run("select 1", limit=0)
    assert (shown.rows, shown.row_count, shown.truncated) == ((), 1, True)


async def test_it_ends_in_time(engine: Engine) -> None:
    run = Run(engine, statement_timeout_ms=200)
    with pytest.raises(StatementFailed) as caught:
        await run("select pg_sleep(60)")
    assert caught.value.sqlstate == "57014"
    left = engine.run(
        "select count(*) from pg_stat_activity where application_name = 'realtime_inspector console' and state = 'active'"
    )
    assert left == [(0,)]


async def test_notices_come_along_but_not_without_end(run: Run) -> None:
    await run("select chatty()")
    assert len(run.notices) == MOST_NOTICES
    assert "note 1" in run.notices[0]


CHANGES = [
    ("role", "anon"),
    ("role", "none"),
    ("request.jwt.claims", orjson.dumps({"sub": BOB}).decode()),
    ("request.jwt.claims", ""),
    ("statement_timeout", "0"),
    ("row_security", "off"),
    ("search_path", "pg_temp, public"),
    ("realtime_inspector.run", "mine"),
]


@pytest.mark.parametrize("mode", ["read", "rollback", "commit"])
async def test_an_identity_that_was_changed_ends_the_run(run: Run, mode: Mode) -> None:
    """By a function of the application, which no text shows."""
    for what, value in CHANGES:
        with pytest.raises(StatementRefused, match="changed the identity"):
            await run(f"select sneaky('{what}', '{value}'); select count(*) from tweets", mode=mode)
        if mode != "read":
            with pytest.raises((StatementRefused, StatementFailed)):
                await run(f"update tweets set content = sneaky('{what}', '{value}') where id = 1", mode=mode)
    assert run.tweets() == BEFORE
    assert run.asked == 0


async def test_nobody_becomes_what_the_login_may_not(run: Run) -> None:
    for role in ("service_role", "postgres", "engine_reader", "pg_read_all_data"):
        with pytest.raises(StatementFailed) as caught:
            await run("select 1", identity(role=role))
        assert caught.value.sqlstate == "42501"
        with pytest.raises(StatementFailed) as caught:
            await run(f"select sneaky('role', '{role}')")
        assert caught.value.sqlstate == "42501"


@pytest.mark.every_version
async def test_behind_the_first_gate_there_is_another(run: Run) -> None:
    """As if nobody had looked at the text: what leaves the transaction is noticed, and ends the run."""
    for text in (
        *(
            "commit",
            "rollback",
            "end",
            "set role none",
            "reset role",
            "do $$ begin commit; end $$",
            "set session role none",
        ),
        *("copy tweets to stdout", "call pg_catalog.x()", "prepare transaction 'x'", "discard all", "set statement_timeout = 0"),
    ):
        statements = [Statement("select 1", 0), Statement(text, 0), Statement("update tweets set content = 'gone'", 0)]
        with pytest.raises((StatementRefused, StatementFailed)):
            await run.console.run(identity(), statements, "rollback", 10, never)
    assert run.tweets() == BEFORE


async def test_one_call_is_one_statement(run: Run) -> None:
    both = Statement("select 1; delete from tweets", 0)
    with pytest.raises(StatementFailed) as caught:
        await run.console.run(identity(), [both], "commit", 10, never)
    assert caught.value.sqlstate == "42601"
    assert run.tweets() == BEFORE


async def test_nothing_of_one_run_reaches_the_next(run: Run) -> None:
    await run("select pg_advisory_lock(1)")
    assert run.engine.run("select count(*) from pg_locks where locktype = 'advisory' and objid = 1") == [(0,)]
    assert (await run("select current_setting('request.jwt.claims', true)", identity(BOB)))[0].rows[0][0] == identity(BOB).claims


async def test_a_table_is_looked_into_as_somebody(run: Run) -> None:
    shown = await run.console.rows(identity(), ("public", "tweets"), ("id", "desc"), 10, 0)
    assert [row[0] for row in shown.rows] == ["3", "1"]
    shown = await run.console.rows(identity(), ("public", "tweets"), ("id", "asc"), 1, 1)
    assert [row[0] for row in shown.rows] == ["3"]
    shown = await run.console.rows(identity(role="limited"), ("public", "tweets"), None, 10, 0)
    assert [name for name, _ in shown.columns] == ["id", "content"]
    assert len(shown.rows) == 3
    shown = await run.console.rows(identity(), ("public", "Odd; name"), ('A "col" ', "asc"), 10, 0)
    assert (shown.columns, shown.rows) == ((("id", "integer"), ('A "col" ', "text")), (("1", "x"),))
    for table in (("public", "none"), ("none", "tweets"), ("public", "tweets; drop table tweets")):
        with pytest.raises(NotFound):
            await run.console.rows(identity(), table, None, 10, 0)
    for order in (("secret", "asc"), ('id"; drop table tweets', "asc")):
        with pytest.raises(StatementFailed):
            await run.console.rows(identity(role="limited"), ("public", "tweets"), order, 10, 0)
    with pytest.raises(StatementFailed) as caught:
        await run.console.rows(identity(role="anon"), ("public", "tweets"), None, 10, 0)
    assert caught.value.sqlstate == "42501"


async def test_no_more_run_at_a_time_than_may(run: Run) -> None:
    asleep = (
        "select count(*) from pg_stat_activity where application_name = 'realtime_inspector console' and wait_event = 'PgSleep'"
    )
    runs = asyncio.gather(*(run("select pg_sleep(0.1)") for _ in range(6)))
    found = set()
    while not runs.done():
        [(count,)] = await asyncio.to_thread(run.engine.run, asleep)
        found.add(count)
    assert [each[0].row_count for each in await runs] == [1] * 6
    assert max(found) == AT_A_TIME


async def test_without_a_database_there_is_an_error(engine: Engine) -> None:
    console = Console(engine.evaluator.replace("engine_evaluator", "nobody"), statement_timeout_ms=1_000, search_path="public")
    with pytest.raises(DatabaseUnavailable):
        await console.run(identity(), split("select 1"), "read", 1, never)
