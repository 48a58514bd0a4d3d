"""Every entry of the trail is bound to the one before it: whatever a superuser does to it afterwards, verifying finds it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from realtime_inspector.errors import DatabaseUnavailable
from realtime_inspector.identity.chain import Chosen
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.audit import Audit
from realtime_inspector.postgres.trail import Trail
from tests.postgres.test_audit import PREPARE, a_grant, reader_url, start

pytestmark = pytest.mark.every_version
BEFORE_THE_CHAIN = """
create schema realtime_inspector;
create table realtime_inspector.impersonation_sessions (
  id uuid primary key, admin_user_id text not null, target_user_id text, impersonation_type text not null,
  target_role text not null, claims jsonb not null, reason text not null, ip_address text, user_agent text,
  started_at timestamptz not null default now(), expires_at timestamptz not null, ended_at timestamptz,
  end_reason text check (end_reason in ('stopped', 'replaced'))
);
create table realtime_inspector.audit_log (
  id bigint generated always as identity primary key, at timestamptz not null default clock_timestamp(),
  action text not null check (action in ('started', 'stopped', 'replaced', 'refused')),
  admin_user_id text, session_id uuid, detail jsonb not null default '{}', ip_address text, user_agent text
);
create function realtime_inspector.end_impersonation(text, uuid, text) returns void language sql as $$ select $$;
create function realtime_inspector.record_refusal(text, jsonb, text, text) returns void language sql as $$ select $$;
insert into realtime_inspector.audit_log (action, admin_user_id, detail) values
  ('refused', 'ann', '{"error": "ü, \\"quoted\\"", "n": 1.50}'), ('refused', null, '{}'), ('refused', 'bea', '{}');
delete from realtime_inspector.audit_log where id = 2;
"""


@pytest.fixture
async def admin(database: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database)
    await connection.execute(sql.load("schema") + PREPARE)
    yield connection
    await connection.close()


@pytest.fixture
async def pool(admin: Any, database: str) -> AsyncIterator[Any]:
    async with asyncpg.create_pool(reader_url(database), min_size=1, max_size=4, server_settings={"search_path": ""}) as made:
        yield made


async def fill(pool: Any) -> tuple[str, ...]:
    """A little of everything; gives the ids of two sessions."""
    audit, first, second = Audit(pool), a_grant(), a_grant(admin_user_id="bea")
    await start(audit, first)
    await start(audit, second)
    await audit.record("sql", "ann", {"sql": "select 'ü\x00', 1", "mode": "read"}, session_id=first.session_id)
    await audit.end("ann", None, "stopped", ip_address="10.0.0.2", user_agent='curl, "1"')
    await audit.record("login_failed", None, {})
    return first.session_id, second.session_id


async def test_an_untouched_trail_is_intact(pool: Any) -> None:
    trail = Trail(pool)
    assert (await trail.verify()).flaw is None
    await fill(pool)
    found = await trail.verify()
    assert (found.flaw, found.entries) == (None, 5)
    assert found.head == (await pool.fetchval("select hash from realtime_inspector.audit_head")).hex()
    await Audit(pool).record("connections", "ann", {"shown": 1})
    assert (await trail.verify(found.head)).flaw is None
    assert (await trail.verify(found.head)).head != found.head


async def test_many_who_write_at_once_make_one_chain(pool: Any) -> None:
    audit = Audit(pool)
    writing = [audit.record("sql", f"admin {n}", {"n": n}) for n in range(40)]
    numbers = await asyncio.gather(*writing, *(start(audit, a_grant()) for _ in range(10)))
    assert len({n for n in numbers if isinstance(n, int)}) == 40
    found = await Trail(pool).verify()
    assert (found.flaw, found.entries) == (None, 40 + 10 + 9)


LOOSEN = """
alter table realtime_inspector.audit_log disable trigger user;
alter table realtime_inspector.audit_head disable trigger user;
alter table realtime_inspector.impersonation_sessions disable trigger user;
"""


@pytest.mark.parametrize(
    ("tampering", "broken"),
    [
        ("update realtime_inspector.audit_log set admin_user_id = 'eve' where id = 2", 2),
        ('update realtime_inspector.audit_log set detail = detail || \'{"reason": "another"}\' where id = 1', 1),
        ("update realtime_inspector.audit_log set at = at + interval '1 microsecond' where id = 3", 3),
        ("update realtime_inspector.audit_log set ip_address = null where id = 4", 4),
        ("update realtime_inspector.audit_log set action = 'refused' where id = 5", 5),
        ("update realtime_inspector.audit_log set session_id = gen_random_uuid() where id = 1", 1),
        ("update realtime_inspector.audit_log set hash = sha256(hash) where id = 5", 5),
        ("delete from realtime_inspector.audit_log where id = 1", 2),
        ("delete from realtime_inspector.audit_log where id = 3", 4),
        ("delete from realtime_inspector.audit_log where id = 5", 4),
        ("truncate realtime_inspector.audit_log", None),
        ("delete from realtime_inspector.audit_head", 5),
        ("update realtime_inspector.audit_log set id = id + 10", 11),
        # An entry moved from one field to the next reads alike only to who forgets the lengths.
        ("update realtime_inspector.audit_log set ip_address = user_agent, user_agent = ip_address where id = 4", 4),
        ("update realtime_inspector.impersonation_sessions set reason = 'another' where admin_user_id = 'ann'", 1),
        ("update realtime_inspector.impersonation_sessions set claims = '{}' where admin_user_id = 'bea'", 2),
        ("update realtime_inspector.impersonation_sessions set expires_at = now() where admin_user_id = 'bea'", 2),
        ("delete from realtime_inspector.impersonation_sessions where admin_user_id = 'ann'", 1),
        (
            "update realtime_inspector.impersonation_sessions set ended_at = now(), end_reason = 'expired' "
            "where admin_user_id = 'bea'",
            2,
        ),
    ],
)
async def test_what_a_superuser_does_is_found(pool: Any, admin: Any, tampering: str, broken: int | None) -> None:
    await fill(pool)
    assert (await Trail(pool).verify()).flaw is None
    await admin.execute(LOOSEN + tampering)
    flaw = (await Trail(pool).verify()).flaw
    assert flaw is not None
    assert flaw.id == broken


async def test_a_trail_that_was_written_anew_lacks_the_head_that_was_kept(pool: Any, admin: Any) -> None:
    """Who can compute every hash again can be found by what is kept elsewhere, and by nothing else."""
    await fill(pool)
    kept = (await Trail(pool).verify()).head
    await admin.execute(
        LOOSEN
        + """
        update realtime_inspector.audit_log set ip_address = '10.9.9.9' where id = 4;
        do $$ declare entry realtime_inspector.audit_log; last bytea := decode(repeat('00', 32), 'hex'); begin
          for entry in select * from realtime_inspector.audit_log order by id loop
            last := realtime_inspector.chained(last, entry);
            update realtime_inspector.audit_log set hash = last where id = entry.id;
          end loop;
          update realtime_inspector.audit_head set hash = last;
        end $$;
        """
    )
    assert (await Trail(pool).verify()).flaw is None
    flaw = (await Trail(pool).verify(kept)).flaw
    assert flaw is not None
    assert "written anew" in flaw.why


async def test_verifying_goes_on_from_a_head_that_was_kept(pool: Any) -> None:
    trail = Trail(pool)
    await fill(pool)
    kept = (await trail.verify()).head
    assert (await trail.verify(kept, since=True)).entries == 1
    await fill(pool)
    found, whole = await trail.verify(kept.upper(), since=True), await trail.verify()
    assert (found.flaw, found.entries, found.head) == (None, whole.entries - 4, whole.head)
    first = (await pool.fetchval("select encode(hash, 'hex') from realtime_inspector.audit_log order by id limit 1")) or ""
    assert (await trail.verify(first, since=True)).entries == whole.entries
    flaw = (await trail.verify("00" * 32, since=True)).flaw
    assert flaw is not None
    assert "the trail was written anew" in flaw.why


MOVED = """
update realtime_inspector.audit_log set admin_user_id = 'eve' where id = 6;
update realtime_inspector.audit_log set id = 105 where id = 5;
update realtime_inspector.audit_log set id = id + 200 where id between 8 and 10;
do $$ declare entry realtime_inspector.audit_log; last bytea; begin
  select hash into last from realtime_inspector.audit_log where id = 105;
  for entry in select * from realtime_inspector.audit_log where id > 105 order by id loop
    last := realtime_inspector.chained(last, entry);
    update realtime_inspector.audit_log set hash = last where id = entry.id;
  end loop;
  update realtime_inspector.audit_head set id = 210, hash = last;
end $$;
"""
"""The entry whose hash was kept is put behind one that is altered, and all that comes after it is chained anew."""


@pytest.mark.parametrize(
    "tampering",
    [
        "update realtime_inspector.audit_log set admin_user_id = 'eve' where id = 7",
        "update realtime_inspector.audit_log set admin_user_id = 'eve' where id = 5",
        "delete from realtime_inspector.audit_log where id = 7",
        MOVED,
        # A copy of it is put in front of the whole trail.
        """insert into realtime_inspector.audit_log (id, at, action, detail, hash) overriding system value
           select -1, at, action, detail, hash from realtime_inspector.audit_log where id = 5;
           update realtime_inspector.audit_log set admin_user_id = 'eve' where id = 7""",
    ],
)
async def test_what_is_done_after_the_kept_head_is_found_from_there(pool: Any, admin: Any, tampering: str) -> None:
    trail = Trail(pool)
    await fill(pool)
    kept = (await trail.verify()).head
    await fill(pool)
    await admin.execute(LOOSEN + tampering)
    assert (await trail.verify(kept, since=True)).flaw is not None


async def test_an_entry_that_is_smuggled_in_is_chained_or_found(pool: Any, admin: Any) -> None:
    await fill(pool)
    await admin.execute("insert into realtime_inspector.audit_log (id, at, action) values (1, '2020-01-01', 'login')")
    assert await admin.fetchval("select at > now() - interval '1 hour' from realtime_inspector.audit_log where id = 6")
    assert (await Trail(pool).verify()).flaw is None
    await admin.execute(LOOSEN)
    await admin.execute("insert into realtime_inspector.audit_log (id, at, action, hash) values (0, now(), 'login', sha256(''))")
    flaw = (await Trail(pool).verify()).flaw
    assert flaw is not None
    assert flaw.id == 0


async def test_the_head_only_goes_on(pool: Any, admin: Any) -> None:
    await fill(pool)
    for role in ("origin", "replica"):
        await admin.execute(f"set session_replication_role = {role}")
        for connection in (pool, admin):
            for change in (
                "update realtime_inspector.audit_head set hash = sha256('')",
                "update realtime_inspector.audit_head set id = id - 1",
                "delete from realtime_inspector.audit_head",
                "truncate realtime_inspector.audit_head",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(change)


async def test_a_trail_from_before_the_chain_is_chained_once(database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(BEFORE_THE_CHAIN)
    for _ in range(2):  # init may run any number of times
        await connection.execute(sql.load("schema"))
    await connection.execute(PREPARE)
    async with asyncpg.create_pool(reader_url(database), min_size=1, max_size=1) as pool:
        await start(Audit(pool), a_grant())
        found = await Trail(pool).verify()
        assert (found.flaw, found.entries) == (None, 3)
        entries = [entry async for piece in Trail(pool).entries(Chosen()) for entry in piece]
        assert [(entry.id, entry.action) for entry in entries] == [(1, "refused"), (3, "refused"), (4, "started")]
    for table in ("audit_log", "audit_head"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f"delete from realtime_inspector.{table}")
    await connection.execute(LOOSEN + "update realtime_inspector.audit_log set detail = '{}' where id = 1")
    await connection.execute(sql.load("schema"))  # does not make good what was done since
    async with asyncpg.create_pool(reader_url(database), min_size=1, max_size=1) as pool:
        flaw = (await Trail(pool).verify()).flaw
        assert flaw is not None
        assert flaw.id == 1
    await connection.close()


async def test_what_belongs_to_a_session_is_written_with_it_only(pool: Any) -> None:
    for action in ("started", "stopped", "replaced", "expired", "revoked", "admin_revoked"):
        with pytest.raises(DatabaseUnavailable):
            await Audit(pool).record(action, "ann", {})
    for action in ("", "x", "With Space", "a" * 50):
        with pytest.raises(DatabaseUnavailable):
            await Audit(pool).record(action, "ann", {})
    assert (await Trail(pool).verify()).entries == 0


async def test_an_expired_session_gets_its_end_once(pool: Any) -> None:
    audit = Audit(pool)
    await start(audit, a_grant(expires_at=1_700_000_000))
    await asyncio.gather(*(audit.expire() for _ in range(4)))
    entries, total = await Trail(pool).page(Chosen(action="expired"), 10, 0)
    assert (len(entries), total) == (1, 1)
    assert (await Trail(pool).verify()).flaw is None


async def test_the_trail_is_read_by_pages(pool: Any) -> None:
    first, _ = await fill(pool)
    trail = Trail(pool)
    entries, total = await trail.page(Chosen(), 2, 0)
    assert ([entry.id for entry in entries], total) == ([5, 4], 5)
    assert [entry.id for entry in (await trail.page(Chosen(), 2, 4))[0]] == [1]
    assert await trail.page(Chosen(), 2, 9) == ((), 5)
    assert [entry.action for entry in (await trail.page(Chosen(session_id=first), 9, 0))[0]] == ["stopped", "sql", "started"]
    assert (await trail.page(Chosen(admin_user_id="bea", action="started"), 9, 0))[1] == 1
