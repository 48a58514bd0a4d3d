"""What the policies on realtime.messages let somebody do on a private channel, and that asking them leaves nothing behind."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import pairwise

import psycopg
import pytest
from structlog.testing import capture_logs

from realtime_inspector.errors import DatabaseBusy, DatabaseUnavailable, SetupError
from realtime_inspector.model import Extension, Identity, Right, Rights
from realtime_inspector.postgres.permissions import Permissions
from realtime_inspector.postgres.setup import Options, prepare

BROADCAST, PRESENCE, PERSISTENCE = Extension
READ, WRITE = Right
BY_TOPIC = """
create policy receive on realtime.messages for select to authenticated
  using (realtime.topic() = 'room' and topic = 'room' and extension in ('broadcast', 'presence'));
create policy send on realtime.messages for insert to authenticated
  with check (realtime.topic() = 'room' and extension = 'broadcast');
"""


@dataclass(frozen=True)
class Asked:
    """A prepared database and who asks it."""

    url: str
    permissions: Permissions

    def run(self, statements: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statements.encode())
            return cursor.fetchall() if cursor.description else []

    async def may(
        self, right: Right, topic: str = "room", role: str = "authenticated", headers: str = "{}", **claims: object
    ) -> Rights:
        return await self.permissions.ask(Identity(role, json.dumps({"role": role, **claims})), headers, topic, right)


@contextlib.asynccontextmanager
async def asked(url: str, policies: str = "", *, timeout: int = 5_000, connections: int = 4) -> AsyncIterator[Asked]:
    made = await prepare(url, Options(supabase_roles=True))
    permissions = Permissions(
        made.env["RTI_EVALUATOR_URL"],
        connections=connections,
        statement_timeout_ms=timeout,
        search_path="public, extensions",
        privileged=["service_role"],
    )
    world = Asked(url, permissions)
    try:
        if policies:
            world.run(policies)
        yield world
    finally:
        await permissions.close()


@pytest.mark.every_version
async def test_policies_say_who_may_receive_and_send(database: str) -> None:
    async with asked(database, BY_TOPIC) as world:
        assert await world.may(READ) == Rights(READ, frozenset({BROADCAST, PRESENCE}))
        assert await world.may(WRITE) == Rights(WRITE, frozenset({BROADCAST}))
        for right in Right:
            assert await world.may(right, "another") == Rights(right, frozenset())
            assert await world.may(right, role="anon") == Rights(right, frozenset())
            assert await world.may(right, role="service_role") == Rights(right, frozenset(Extension))
        assert world.run("select count(*) from realtime.messages") == [(0,)]


async def test_nobody_may_anything_without_a_policy(database: str) -> None:
    async with asked(database) as world:
        for right in Right:
            assert await world.may(right) == Rights(right, frozenset())


async def test_policies_read_claims_and_headers(database: str) -> None:
    policy = """
    create policy p on realtime.messages for select to authenticated using (
      auth.uid() = '00000000-0000-0000-0000-000000000001' and current_setting('request.jwt.claim.sub') = auth.uid()::text
      and current_setting('request.jwt.claim.role') = 'authenticated'
      and current_setting('request.headers')::json ->> 'x-team' = 'blue' and extension = 'broadcast')
    """
    one, two = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"
    async with asked(database, policy) as world:
        assert (await world.may(READ, headers='{"x-team": "blue"}', sub=one)).extensions == {BROADCAST}
        assert (await world.may(READ, headers='{"x-team": "red"}', sub=one)).extensions == set()
        assert (await world.may(READ, headers='{"x-team": "blue"}', sub=two)).extensions == set()
        assert (await world.may(READ, sub=one)).extensions == set()


async def test_asking_is_rolled_back_whatever_a_policy_does(database: str) -> None:
    writes = """
    create table public.noted (what text); grant all on public.noted to authenticated;
    create function public.note() returns boolean language plpgsql as $$
      begin
        insert into public.noted values (current_user);
        perform set_config('role', 'anon', false), set_config('request.jwt.claims', '{"role": "service_role"}', false);
        perform pg_advisory_lock(77);
        return true;
      end $$;
    create policy receive on realtime.messages for select to authenticated using (public.note());
    create policy send on realtime.messages for insert to authenticated with check (extension = 'presence' and public.note());
    """
    async with asked(database, writes, connections=1) as world:
        assert (await world.may(READ)).extensions == {BROADCAST, PRESENCE}
        assert (await world.may(WRITE)).extensions == {PRESENCE}
        assert (await world.may(READ, role="anon")).extensions == set()
        assert world.run("select count(*) from public.noted") == [(0,)]
        assert world.run("select count(*) from realtime.messages") == [(0,)]
        assert world.run("select count(*) from pg_locks where locktype = 'advisory' and objid = 77") == [(0,)]


async def test_a_policy_that_raises_denies_and_only_the_log_says_what(database: str) -> None:
    raising = """
    create function public.bad() returns boolean language plpgsql as $$ begin raise 'secret of somebody'; end $$;
    create policy receive on realtime.messages for select to authenticated using (extension = 'presence' or public.bad());
    """
    async with asked(database, raising) as world:
        with capture_logs() as logs:
            rights = [await world.may(READ) for _ in range(3)]
        assert {each.extensions for each in rights} == {frozenset({PRESENCE})}
        (line,) = [line for line in logs if line["event"] == "channel_policy_raised"]
        assert {each.raised for each in rights} == {line["error_id"]}
        assert "secret of somebody" in line["reason"]


async def test_a_missing_privilege_is_no_silent_denial(database: str) -> None:
    policy = """
    create table public.hidden (id int);
    create policy p on realtime.messages for select using (exists (select from public.hidden));
    """
    async with asked(database, policy) as world:
        with capture_logs() as logs:
            rights = await world.may(READ)
        assert rights.extensions == set()
        assert rights.raised
        assert any("permission denied for table hidden" in line["reason"] for line in logs)


async def test_a_policy_that_sleeps_harms_nobody_else(database: str) -> None:
    sleeping = """
    create policy receive on realtime.messages for select to authenticated, anon
      using (case when current_user = 'anon' then pg_sleep(60) is null else true end)
    """
    async with asked(database, sleeping, timeout=500) as world:
        slow = [asyncio.create_task(world.may(READ, f"slow{number}", role="anon")) for number in range(6)]
        await asyncio.sleep(0)
        assert (await world.may(READ)).extensions == {BROADCAST, PRESENCE}
        assert not any(task.done() for task in slow)
        answers = await asyncio.gather(*slow)
        assert {each.extensions for each in answers} == {frozenset()}
        assert all(each.raised for each in answers)


async def test_a_change_of_policies_is_noticed(database: str) -> None:
    async with asked(database, "create function public.f() returns boolean language sql as 'select true'") as world:
        versions = [await world.permissions.version(), await world.permissions.version()]
        assert versions[0] == versions[1]
        for change in (
            "create policy p on realtime.messages for select using (public.f())",
            "create or replace function public.f() returns boolean language sql as 'select false'",
            "alter policy p on realtime.messages using (true)",
            "revoke select on realtime.messages from anon",
            "create role watched",  # roles are the cluster's: those of other tests stay as they are
            "grant watched to authenticated",
            "revoke watched from authenticated",
            "alter role watched noinherit",
            "drop role watched",
            "drop policy p on realtime.messages",
            "revoke usage on schema realtime from anon",
            "grant select (topic) on realtime.messages to anon",
        ):
            world.run(change)
            versions.append(await world.permissions.version())
        assert all(before != after for before, after in pairwise(versions[1:])), versions


async def test_a_catalogue_that_does_not_answer_in_time_is_told_as_such(database: str) -> None:
    """Whoever looks for changes of policies must be told in a way that does not end the looking."""
    async with asked(database, timeout=100) as world:
        with psycopg.connect(database) as other:
            other.execute("lock table pg_catalog.pg_policy in access exclusive mode")
            with pytest.raises(DatabaseBusy):
                await world.permissions.version()


async def test_a_missing_partition_is_made(database: str) -> None:
    async with asked(database, BY_TOPIC) as world:
        today = "select 'drop table realtime.messages_' || to_char(now() at time zone 'utc', 'YYYY_MM_DD')"
        world.run(str(world.run(today)[0][0]))
        assert (await world.may(READ)).extensions == {BROADCAST, PRESENCE}


async def test_without_the_table_or_the_database_the_reason_is_told(database: str, postgres: object) -> None:
    async with asked(database, "drop table realtime.messages") as world:
        with pytest.raises(SetupError):
            await world.may(READ)
    nowhere = Permissions(
        "postgresql://nobody@127.0.0.1:1/none", connections=1, statement_timeout_ms=500, search_path="public", privileged=()
    )
    with pytest.raises(DatabaseUnavailable):
        await nowhere.ask(Identity("anon", "{}"), "{}", "room", READ)
    await nowhere.close()


async def test_equal_questions_that_wait_are_asked_once(database: str) -> None:
    policies = """
    create sequence asked minvalue 0; grant usage on sequence asked to authenticated;
    create policy receive on realtime.messages for select to authenticated
      using (case when extension = 'broadcast' then nextval('public.asked') >= 0 end);
    """
    async with asked(database, policies) as world:
        assert await asyncio.gather(*(world.may(READ) for _ in range(20))) == [Rights(READ, frozenset({BROADCAST}))] * 20
        assert world.run("select last_value, is_called from asked") == [(0, True)]
        several = [world.may(READ, sub=str(who)) for who in (1, 2, 1)] + [world.may(READ, headers='{"x-a": "1"}')]
        assert await asyncio.gather(*several) == [Rights(READ, frozenset({BROADCAST}))] * 4
        assert world.run("select last_value from asked") == [(3,)]


async def test_a_question_is_not_answered_with_what_was_asked_before_it(database: str) -> None:
    policies = """
    create table open_rooms (name text); grant select on open_rooms to authenticated;
    create policy receive on realtime.messages for select to authenticated
      using (case when extension = 'broadcast' and pg_sleep(0.3) is not null then exists (select from public.open_rooms) end);
    """
    async with asked(database, policies) as world:
        before = asyncio.create_task(world.may(READ))
        async with asyncio.timeout(10):
            while world.run("select 1 from pg_stat_activity where wait_event = 'PgSleep'") == []:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        world.run("insert into open_rooms values ('room')")
        assert (await world.may(READ)).extensions == {BROADCAST}
        assert (await before).extensions == frozenset()
