"""The trail records every impersonation, lets a session end once, and can be rewritten by nobody that the service is."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from realtime_inspector.errors import DatabaseUnavailable, InvalidInput
from realtime_inspector.identity.impersonation import Grant, Selection
from realtime_inspector.model import Problem
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.audit import Audit
from realtime_inspector.postgres.published import published_tables
from realtime_inspector.postgres.users import Users

pytestmark = pytest.mark.every_version
READER = "test_audit_reader"
PREPARE = f"""
do $$ begin create role {READER} login password 'secret'; exception when duplicate_object then null; end $$;
grant usage on schema realtime_inspector to {READER};
grant select on all tables in schema realtime_inspector to {READER};
grant execute on all functions in schema realtime_inspector to {READER};
"""
TABLES = ("impersonation_sessions", "audit_log")


@pytest.fixture
async def admin(database: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database)
    for _ in range(2):  # init may run any number of times
        await connection.execute(sql.load("schema"))
    await connection.execute(PREPARE)
    yield connection
    await connection.close()


@pytest.fixture
async def pool(admin: Any, database: str) -> AsyncIterator[Any]:
    async with asyncpg.create_pool(reader_url(database), min_size=1, max_size=4, server_settings={"search_path": ""}) as made:
        yield made


@pytest.fixture
def audit(pool: Any) -> Audit:
    return Audit(pool)


def reader_url(database: str) -> str:
    parts = urlsplit(database)
    return parts._replace(netloc=f"{READER}:secret@{parts.hostname}:{parts.port}").geturl()


def a_grant(**changed: Any) -> Grant:
    made = Grant(
        str(uuid.uuid4()),
        "ann",
        "alice",
        "user",
        "authenticated",
        "ticket 42",
        int(time.time()) + 900,
        {"sub": "alice", "n": [1]},
    )
    return replace(made, **changed)


async def start(audit: Audit, granted: Grant, concurrent: bool = False) -> tuple[Any, Any]:
    return await audit.start(granted, ip_address="10.0.0.1", user_agent="a browser", concurrent=concurrent)


async def log(admin: Any) -> list[tuple[str, str | None, str | None]]:
    records = await admin.fetch("select action, admin_user_id, session_id::text from realtime_inspector.audit_log order by id")
    return [tuple(record) for record in records]


async def test_a_start_is_recorded_with_all_that_was_granted(audit: Audit, admin: Any) -> None:
    granted = a_grant()
    session, ended = await start(audit, granted)
    assert ended == ()
    assert (session.id, session.admin_user_id, session.target_user_id) == (granted.session_id, "ann", "alice")
    assert (session.kind, session.role, session.reason) == ("user", "authenticated", "ticket 42")
    assert (session.ip_address, session.user_agent, session.ended_at) == ("10.0.0.1", "a browser", None)
    assert session.expires_at.timestamp() == granted.expires_at
    assert await admin.fetchval("select claims from realtime_inspector.impersonation_sessions") == '{"n": [1], "sub": "alice"}'
    assert await log(admin) == [("started", "ann", granted.session_id)]


async def test_a_new_start_ends_the_admins_others(audit: Audit, admin: Any) -> None:
    first, second, other = a_grant(), a_grant(), a_grant(admin_user_id="bea")
    await start(audit, first)
    await start(audit, other)
    session, [ended] = await start(audit, second)
    assert (ended.id, ended.end_reason, session.id) == (first.session_id, "replaced", second.session_id)
    assert ended.ended_at is not None
    assert await log(admin) == [
        ("started", "ann", first.session_id),
        ("started", "bea", other.session_id),
        ("replaced", "ann", first.session_id),
        ("started", "ann", second.session_id),
    ]


async def test_a_concurrent_start_leaves_the_others(audit: Audit) -> None:
    await start(audit, a_grant())
    assert (await start(audit, a_grant(), concurrent=True))[1] == ()
    assert (await audit.list(Selection(is_active=True)))[1] == 2


async def test_of_many_starts_at_once_one_stays(audit: Audit) -> None:
    await asyncio.gather(*(start(audit, a_grant()) for _ in range(8)))
    assert (await audit.list(Selection(is_active=True)))[1] == 1


async def test_a_session_ends_once_and_by_its_own_admin(audit: Audit, admin: Any) -> None:
    granted, kept = a_grant(), a_grant()
    await start(audit, granted)
    await start(audit, kept, concurrent=True)
    assert await audit.end("bea", granted.session_id, "stopped") == ()
    [ended] = await audit.end("ann", granted.session_id, "stopped")
    assert (ended.id, ended.end_reason) == (granted.session_id, "stopped")
    assert await audit.end("ann", granted.session_id, "stopped") == ()
    assert [session.id for session in await audit.end("ann", None, "stopped")] == [kept.session_id]
    assert [action for action, *_ in await log(admin)] == ["started", "started", "stopped", "stopped"]


async def test_an_expired_session_is_over_without_being_ended(audit: Audit) -> None:
    await start(audit, a_grant(expires_at=int(time.time()) - 1))
    assert await audit.end("ann", None, "stopped") == ()
    assert (await audit.list(Selection(is_active=True)))[1] == 0
    assert (await audit.list(Selection(is_active=False)))[1] == 1


async def test_ended_sessions_whose_tokens_live_are_revoked(audit: Audit) -> None:
    running, ended, expired = a_grant(), a_grant(), a_grant(expires_at=int(time.time()) - 1)
    for granted in (running, ended, expired):
        await start(audit, granted, concurrent=True)
    await audit.end("ann", ended.session_id, "stopped")
    await audit.expire()
    # An expired one stays a little longer, so that every process closes its sockets.
    assert (await audit.endings()).sessions == {each.session_id: float(each.expires_at) for each in (ended, expired)}


async def test_refusals_are_recorded_and_bounded(audit: Audit, admin: Any) -> None:
    problem = Problem("ACCESS_DENIED", "Insufficient permissions")
    await audit.refuse("ann", problem, {"target": "x\x00" * 500, "role": None}, ip_address="10.0.0.1", user_agent=None)
    await audit.refuse(None, problem, {}, ip_address=None, user_agent=None)
    first, second = await admin.fetch("select * from realtime_inspector.audit_log order by id")
    assert (first["action"], first["admin_user_id"], first["ip_address"]) == ("refused", "ann", "10.0.0.1")
    assert '"code": "ACCESS_DENIED"' in first["detail"]
    assert len(first["detail"]) < 400
    assert second["admin_user_id"] is None


async def test_lists_are_filtered_and_paged_newest_first(audit: Audit) -> None:
    made = [
        a_grant(),
        a_grant(target_user_id=None, kind="anon", role="anon"),
        a_grant(admin_user_id="bea"),
        a_grant(target_user_id="bob"),
    ]
    for granted in made:
        await start(audit, granted, concurrent=True)
    await audit.end("bea", None, "stopped")
    first, second, third, fourth = (granted.session_id for granted in made)

    async def ids(**selection: Any) -> tuple[list[str], int]:
        found, total = await audit.list(Selection(**selection))
        return [session.id for session in found], total

    assert await ids() == ([fourth, third, second, first], 4)
    assert await ids(limit=2) == ([fourth, third], 4)
    assert await ids(limit=2, offset=3) == ([first], 4)
    assert await ids(limit=0) == ([], 4)
    assert await ids(offset=9) == ([], 4)
    assert await ids(admin_user_id="bea") == ([third], 1)
    assert await ids(target_user_id="alice", admin_user_id="ann") == ([first], 1)
    assert await ids(kind="anon") == ([second], 1)
    assert await ids(is_active=False) == ([third], 1)
    assert await ids(kind="nothing") == ([], 0)


REWRITING = (
    "update realtime_inspector.{0} set admin_user_id = 'nobody'",
    "update realtime_inspector.{0} set ip_address = ip_address",
    "delete from realtime_inspector.{0}",
    "truncate realtime_inspector.{0}",
    "truncate realtime_inspector.{0} cascade",
)


async def test_nothing_is_rewritten(audit: Audit, pool: Any, admin: Any) -> None:
    """Not by the service's login, which may not, and not by a superuser, whom the trigger stops."""
    await start(audit, a_grant())
    for role in ("origin", "replica"):
        await admin.execute(f"set session_replication_role = {role}")
        for connection in (pool, admin):
            for statement in (form.format(table) for table in TABLES for form in REWRITING):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement)
    for table in TABLES:
        assert await admin.fetchval(f"select count(*) from realtime_inspector.{table} where admin_user_id = 'ann'") == 1


async def test_an_ended_session_stays_as_it_is(audit: Audit, admin: Any) -> None:
    await start(audit, a_grant())
    await audit.end("ann", None, "stopped")
    for change in (
        "reason = 'something else'",
        "ended_at = null, end_reason = null",
        "ended_at = now(), end_reason = 'stopped', reason = 'something else'",
        "ended_at = now() + interval '1 hour'",
        "expires_at = now()",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await admin.execute(f"update realtime_inspector.impersonation_sessions set {change}")


async def test_a_running_session_keeps_its_reason_when_it_is_ended(audit: Audit, admin: Any) -> None:
    await start(audit, a_grant())
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await admin.execute(
            "update realtime_inspector.impersonation_sessions set ended_at = now(), end_reason = 'stopped', reason = 'another'"
        )


async def test_the_services_login_writes_through_functions_only(pool: Any) -> None:
    for statement in (
        "insert into realtime_inspector.audit_log (action) values ('stopped')",
        "insert into realtime_inspector.impersonation_sessions (id) values (gen_random_uuid())",
        "alter table realtime_inspector.audit_log disable trigger all",
        "drop function realtime_inspector.refuse_rewriting() cascade",
        "create table realtime_inspector.mine (id int)",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(statement)


async def test_everybody_else_sees_and_does_nothing(admin: Any) -> None:
    await admin.execute("do $$ begin create role test_audit_user; exception when duplicate_object then null; end $$")
    await admin.execute("grant usage on schema realtime_inspector to test_audit_user")
    await admin.execute("set role test_audit_user")
    for statement in (
        "select * from realtime_inspector.impersonation_sessions",
        "select * from realtime_inspector.audit_log",
        "select realtime_inspector.end_impersonation('ann', null, 'stopped', null, null)",
        "select realtime_inspector.record_audit('refused', 'ann', null, '{}', null, null)",
        "select realtime_inspector.start_impersonation(null, null, null, null, null, null, null, null, null, null, null)",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await admin.execute(statement)


async def test_the_functions_are_not_led_astray_by_a_search_path(audit: Audit, pool: Any, admin: Any) -> None:
    """Whoever may create objects must not be able to run them as the trail's owner."""
    await start(audit, a_grant())
    await admin.execute(
        f"create schema trap authorization {READER};"
        "create function trap.now() returns timestamptz language plpgsql as $$ begin raise exception 'trapped'; end $$;"
    )
    async with pool.acquire() as connection:
        await connection.execute("set search_path = trap, pg_catalog")
        assert await connection.fetch("select * from realtime_inspector.end_impersonation('ann', null, 'stopped', null, null)")
        await connection.execute("reset search_path")


async def test_the_table_has_the_rules_too(audit: Audit, admin: Any) -> None:
    for changed in (
        {"reason": "1234"},
        {"reason": " " * 9},
        {"reason": "x" * 501},
        {"kind": "root"},
        {"role": ""},
        {"admin_user_id": ""},
    ):
        with pytest.raises(DatabaseUnavailable):
            await start(audit, a_grant(**changed))
    assert await log(admin) == []


async def test_values_that_cannot_be_stored_are_the_callers_fault(audit: Audit) -> None:
    for changed in ({"session_id": "no uuid"}, {"claims": {"x": "\x00"}}, {"target_user_id": "a\x00"}):
        with pytest.raises(InvalidInput):
            await start(audit, a_grant(**changed))


async def test_a_session_id_is_used_once(audit: Audit) -> None:
    granted = a_grant()
    await start(audit, granted)
    with pytest.raises(DatabaseUnavailable):
        await start(audit, granted)


async def test_without_the_trail_there_is_an_error(database: str) -> None:
    async with asyncpg.create_pool(database, min_size=1, max_size=1) as unprepared:
        with pytest.raises(DatabaseUnavailable, match="not prepared") as caught:
            await start(Audit(unprepared), a_grant())
    assert "init" in caught.value.remedy
    with pytest.raises(DatabaseUnavailable):  # closed
        await Audit(unprepared).list(Selection())


USERS = """
create table public.people (
  id uuid primary key, email varchar, meta jsonb, details jsonb, position int
);
insert into public.people
select ('00000000-0000-0000-0000-00000000000' || n)::uuid, name || '@example.com',
       case name when 'carol' then '{"role": "inspector_admin"}'::jsonb when 'dave' then '[]' end,
       jsonb_build_object('name', name), n
from unnest(array['alice', 'bob', 'carol', 'dave']) with ordinality as given (name, n);
insert into public.people (id) values ('00000000-0000-0000-0000-000000000009');
"""
QUERY = "select id::text, email, meta::text, details::text from public.people -- all of them\n;"


async def test_users_are_found_by_e_mail_and_id(admin: Any) -> None:
    await admin.execute(USERS)
    users = Users(admin, QUERY)

    async def emails(text: str, limit: int = 20, **excluded: str) -> tuple[list[str], int]:
        found, total, note = await users.search(text, limit, **excluded)
        assert note == ""
        return [user.email.removesuffix("@example.com") for user in found], total

    assert await emails("") == (["alice", "bob", "carol", "dave", ""], 5)
    assert await emails("ALI") == (["alice"], 1)
    assert await emails("@example", 2) == (["alice", "bob"], 4)
    assert await emails("%") == ([], 0)
    assert await emails("00000000-0000-0000-0000-000000000003") == (["carol"], 1)
    assert await emails("", except_id="00000000-0000-0000-0000-000000000001", except_role="inspector_admin") == (
        ["bob", "dave", ""],
        3,
    )


async def test_a_user_comes_with_metadata(admin: Any) -> None:
    await admin.execute(USERS)
    carol = await Users(admin, QUERY).find("00000000-0000-0000-0000-000000000003")
    assert carol is not None
    assert (carol.email, carol.app_metadata, carol.user_metadata) == (
        "carol@example.com",
        {"role": "inspector_admin"},
        {"name": "carol"},
    )
    dave = await Users(admin, "select id::text, email, meta::text from public.people").find(
        "00000000-0000-0000-0000-000000000004"
    )
    assert dave is not None
    assert (dave.app_metadata, dave.user_metadata) == ({}, {})
    assert await Users(admin, QUERY).find("nobody") is None


async def test_without_a_table_of_users_there_is_a_note(admin: Any) -> None:
    for query in ("select id::text, email::text, raw::text from auth.users", "select", "select 1 from public.none"):
        users = Users(admin, query)
        found, total, note = await users.search("alice", 20)
        assert (found, total) == ((), 0)
        assert "RTI_USERS_QUERY" in note
        assert await users.find("alice") is None


async def test_users_cannot_be_asked_with_nul(admin: Any) -> None:
    await admin.execute(USERS)
    with pytest.raises(InvalidInput):
        await Users(admin, QUERY).search("\x00", 20)


async def test_published_tables_are_described(admin: Any) -> None:
    await admin.execute(
        """
        create table public.plain (a int, b varchar(3)[]);
        create table public."Quoted name" (id bigint primary key, at timestamptz, gone text);
        alter table public."Quoted name" drop column gone, replica identity full, enable row level security;
        create table public.unpublished (id int);
        create publication mine for table public.plain, public."Quoted name";
        """
    )
    assert await published_tables(admin, "mine") == [
        {
            "schema": "public",
            "name": "Quoted name",
            "rls": True,
            "replica_identity": "full",
            "columns": [
                {"name": "id", "type": "bigint", "key": True},
                {"name": "at", "type": "timestamp with time zone", "key": False},
            ],
        },
        {
            "schema": "public",
            "name": "plain",
            "rls": False,
            "replica_identity": "default",
            "columns": [
                {"name": "a", "type": "integer", "key": False},
                {"name": "b", "type": "character varying(3)[]", "key": False},
            ],
        },
    ]
    assert await published_tables(admin, "another") == []
