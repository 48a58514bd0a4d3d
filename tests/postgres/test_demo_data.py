"""The sample application: what each account sees by plain SELECT, which is what the service is measured against."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import asyncpg
import pytest

from realtime_inspector.postgres import sample
from realtime_inspector.postgres.sample import ACCOUNTS, ACTS, KEPT, MARK, Account, act, install
from realtime_inspector.postgres.setup import Options, prepare

ALICE, BOB, CAROL, DAVE, VERA = ACCOUNTS


@dataclass(frozen=True)
class Sample:
    """A database with the sample application: the administrator's URL, and the evaluator's, which can become everybody."""

    admin: str
    evaluator: str

    async def see(self, who: Account | str, query: str) -> list[object]:
        """The first column of what this account, or this role without an account, gets."""
        role, claims = ("authenticated", who.claims) if isinstance(who, Account) else (who, {"role": who})
        url = self.admin if role == "service_role" else self.evaluator
        async with connected(url) as connection, connection.transaction():
            await become(connection, role, claims)
            return [row[0] for row in await connection.fetch(query)]

    async def act(self, who: Account, statement: str) -> str:
        """What the statement does as this account: the command tag."""
        async with connected(self.evaluator) as connection, connection.transaction():
            await become(connection, "authenticated", who.claims)
            return await connection.execute(statement)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def become(connection: asyncpg.Connection, role: str, claims: dict[str, object]) -> None:
    settings = "select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)"
    await connection.execute(settings, role, json.dumps(claims))


@pytest.fixture
async def demo(database: str) -> Sample:
    prepared = await prepare(database, Options(supabase_roles=True))
    await install(database)
    return Sample(database, prepared.env["RTI_EVALUATOR_URL"])


@pytest.mark.every_version
async def test_tweets_are_their_owners_alone(demo: Sample) -> None:
    content = "select content from public.tweets order by id"
    assert await demo.see(ALICE, content) == ["Only I can read this.", "The kettle is on."]
    assert await demo.see(BOB, content) == ["Alice cannot see this one."]
    assert await demo.see(CAROL, content) == await demo.see(DAVE, content) == await demo.see("anon", content) == []
    assert len(await demo.see("service_role", content)) == 4
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await demo.act(BOB, f"insert into public.tweets (user_id, content) values ('{ALICE.id}', 'as Alice')")
    assert await demo.act(BOB, "insert into public.tweets (content) values ('as myself')") == "INSERT 0 1"
    assert await demo.act(BOB, "update public.tweets set content = 'mine now'") == "UPDATE 2"


@pytest.mark.every_version
@pytest.mark.parametrize("table", ["articles", "notes"])
async def test_the_application_s_roles_decide_about_articles_and_notes(demo: Sample, table: str) -> None:
    status = f"select distinct status from public.{table} order by 1"
    everything = await demo.see("service_role", status)
    assert {"draft", "published"} <= set(everything)
    assert await demo.see(CAROL, status) == await demo.see(DAVE, status) == everything
    assert await demo.see(VERA, status) == ["published"]
    assert await demo.see(ALICE, status) == await demo.see(BOB, status) == await demo.see("anon", status) == []


@pytest.mark.parametrize(("table", "column"), [("articles", "title"), ("notes", "body")])
async def test_editors_write_their_own_only(demo: Sample, table: str, column: str) -> None:
    assert await demo.act(DAVE, f"insert into public.{table} ({column}) values ('new')") == "INSERT 0 1"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await demo.act(DAVE, f"insert into public.{table} ({column}, author_id) values ('new', '{CAROL.id}')")
    await demo.act(CAROL, f"insert into public.{table} ({column}) values ('by the admin')")
    changed = await demo.act(DAVE, f"update public.{table} set status = 'archived' where author_id <> '{DAVE.id}'")
    assert changed == "UPDATE 0"
    assert await demo.act(DAVE, f"delete from public.{table}") == "DELETE 0"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await demo.act(VERA, f"insert into public.{table} ({column}) values ('by a viewer')")
    assert await demo.act(VERA, f"update public.{table} set status = 'archived'") == "UPDATE 0"
    assert await demo.act(CAROL, f"delete from public.{table} where {column} = 'by the admin'") == "DELETE 1"


async def test_a_new_role_counts_at_once_for_articles_and_with_the_next_token_for_notes(demo: Sample) -> None:
    promote = f"insert into public.user_roles (user_id, role) values ('{BOB.id}', 'viewer')"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await demo.act(BOB, promote)
    await demo.act(CAROL, promote)
    assert await demo.see(BOB, "select status from public.articles") == ["published"]
    assert await demo.see(BOB, "select status from public.notes") == []
    assert await demo.see(replace(BOB, role="viewer"), "select status from public.notes") == ["published"]
    assert await demo.see(BOB, "select role from public.user_roles") == ["viewer"]


async def test_countries_are_everybody_s(demo: Sample) -> None:
    names = await demo.see("service_role", "select name from public.countries order by id")
    assert await demo.see("anon", "select name from public.countries order by id") == names != []
    assert await demo.see(ALICE, "select name from public.countries order by id") == names
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await demo.act(ALICE, "insert into public.countries (name) values ('Utopia')")


async def test_accounts_are_hidden_from_each_other(demo: Sample) -> None:
    for who in (ALICE, CAROL, "anon"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await demo.see(who, "select email from auth.users")
    assert await demo.see("service_role", "select email from auth.users") == [account.email for account in ACCOUNTS]


@pytest.mark.every_version
async def test_everything_is_published_and_tweets_tell_their_old_rows(demo: Sample) -> None:
    async with connected(demo.admin) as admin:
        published = await admin.fetch(
            "select schemaname || '.' || tablename from pg_publication_tables where pubname = $1 order by 1", "supabase_realtime"
        )
        tables = ["articles", "countries", "notes", "tweets", "user_roles"]
        assert [row[0] for row in published] == [f"public.{name}" for name in tables]
        assert await admin.fetchval("select relreplident from pg_class where oid = 'public.tweets'::regclass") == b"f"


async def test_installing_again_leaves_everything_as_it_is(demo: Sample) -> None:
    async with connected(demo.admin) as admin:
        await admin.execute('drop policy "own tweets" on public.tweets; delete from public.countries')
        await install(demo.admin)
        assert await admin.fetchval("select count(*) from pg_policies where tablename = 'tweets'") == 0
        assert await admin.fetchval("select count(*) from public.countries") == 0


async def test_the_activity_stays_small_and_leaves_other_rows_alone(demo: Sample) -> None:
    async with connected(demo.admin) as admin:
        snapshot = "select array_agg(t order by t.id)::text from (select id, content, user_id from public.tweets) as t"
        before = await admin.fetchval(snapshot)
        for what in ACTS * 3:
            for _ in range(KEPT):
                await act(admin, what)
        for table, column in (("tweets", "content"), ("articles", "title"), ("notes", "body"), ("countries", "name")):
            for what in ACTS:
                if what.statement.startswith(f"delete from public.{table}"):
                    await act(admin, what)
            rows = await admin.fetchval(f"select count(*) from public.{table} where {column} like '{MARK}%'")
            assert rows == KEPT, table
        await admin.execute(f"delete from public.tweets where content like '{MARK}%'")
        assert await admin.fetchval(snapshot) == before


async def test_the_activity_goes_on_after_its_connection_was_cut(demo: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "PAUSE", (0.0, 0.01))
    stirring = asyncio.create_task(sample.stir(lambda: demo.admin))
    async with connected(demo.admin) as admin:
        for _ in range(2):
            position = await admin.fetchval("select pg_current_wal_lsn()")
            while await admin.fetchval("select pg_current_wal_lsn() = $1", position):
                assert not stirring.done()
                await asyncio.sleep(0.02)
            others = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()"
            await admin.fetch(others, urlsplit(demo.admin).path[1:])
    stirring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stirring
