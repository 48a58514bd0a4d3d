"""Attacks on the engine, each on a real Postgres: nobody receives what he could not SELECT, and nobody stops the others."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from realtime_inspector.model import BEFORE, Binding, Identity, Position
from realtime_inspector.pipeline import batches, evidence
from tests.conftest import drop_slots
from tests.postgres.conftest import Engine
from tests.postgres.river import ANON, SERVICE, Service, Start, Subscriber, start, user

__all__ = ["start"]

ALICE, BOB = (f"{n:08d}-0000-0000-0000-000000000000" for n in (1, 2))
PUBLICATION = "create publication supabase_realtime;"


def owned(table: str, columns: str = "", policy: str = "owner = (select auth.uid())") -> str:
    """A published table, of which everybody sees what the policy says."""
    return f"""
        create table {table} (id int primary key, owner uuid, body text {columns}); alter table {table} enable row level security;
        create policy own on {table} for select using ({policy});
        grant select on {table} to authenticated, anon, service_role; alter publication supabase_realtime add table {table};"""


def deed(condition: str, deed: str) -> str:
    """A policy's function that does something for one identity and says yes to everybody."""
    return f"""create function deed() returns boolean volatile language plpgsql as $$ begin
        if {condition} then {deed}; end if; return true; end $$;"""


OF_ALICE = f"insert into notes values (1, '{ALICE}', 'a')"
OF_BOTH = f"insert into notes values (1, '{ALICE}', 'a'), (2, '{BOB}', 'b')"
AS_BOB = f"auth.uid() = '{BOB}'"


# What policies do to whoever is asked after them.


async def test_what_a_policy_keeps_in_a_setting_is_forgotten_before_the_next_identity(engine: Engine, start: Start) -> None:
    """Applications remember in a setting who asks: they know one request per transaction, and here are many."""
    service = await start(
        PUBLICATION
        + """create function me() returns uuid stable language plpgsql as $$ begin
          if coalesce(current_setting('app.me', true), '') = '' then perform set_config('app.me', auth.uid()::text, true); end if;
          return current_setting('app.me')::uuid; end $$;"""
        + owned("notes", policy="owner = me()")
    )
    alice, bob = await service.join(user(ALICE), "notes"), await service.join(user(BOB), "notes")
    engine.run(OF_BOTH)
    await service.settled()
    assert [[d["record"]["id"] for d in each.data] for each in (alice, bob)] == [[1], [2]]


@pytest.mark.parametrize(
    ("helper", "policy"),
    [
        ("create function me() returns uuid immutable language sql as 'select auth.uid()'", "owner = me()"),
        (
            "create domain mine as uuid check (value = coalesce(auth.uid(), value))",
            "owner::mine is not null",
        ),
    ],
    ids=["immutable", "domain"],
)
async def test_claims_that_a_policy_reads_in_hiding_are_each_identitys_own(
    engine: Engine, start: Start, helper: str, policy: str
) -> None:
    """What a function that claims to be immutable says becomes part of the plan; what a domain checks is not in the policy."""
    service = await start(PUBLICATION + helper + ";" + owned("notes", policy=policy))
    alice, bob = await service.join(user(ALICE), "notes"), await service.join(user(BOB), "notes")
    engine.run(OF_BOTH)
    await service.settled()
    assert [[d["record"]["id"] for d in each.data] for each in (alice, bob)] == [[1], [2]]


NAMESAKES = {
    "cardinality": "create function public.cardinality(tid[]) returns int language sql immutable as 'select 1'",
    "array_agg": """create function public.every(tid[], tid) returns tid[] language sql immutable
        as 'select array[''(0,1)'', ''(0,2)'']::tid[]';
        create aggregate public.array_agg(tid) (sfunc = public.every, stype = tid[], initcond = '{"(0,1)"}')""",
    "concatenation": """create function public.both(tid[], tid[]) returns tid[] language sql immutable
        as 'select array[''(0,1)'', ''(0,2)'']::tid[]';
        create operator public.|| (function = public.both, leftarg = tid[], rightarg = tid[])""",
}


@pytest.mark.parametrize("namesake", NAMESAKES)
async def test_functions_on_the_applications_search_path_do_not_answer_for_ours(
    engine: Engine, start: Start, namesake: str
) -> None:
    """A function for exactly these types goes before the polymorphic one of pg_catalog."""
    service = await start(PUBLICATION + owned("notes") + NAMESAKES[namesake])
    alice, bob = await service.join(user(ALICE), "notes"), await service.join(user(BOB), "notes")
    engine.run(OF_BOTH)
    await service.settled()
    assert [[d["record"]["id"] for d in each.data] for each in (alice, bob)] == [[1], [2]]


async def test_a_policy_cannot_put_a_prepared_statement_in_the_place_of_ours(engine: Engine, start: Start) -> None:
    service = await start(
        PUBLICATION
        + """create function deed() returns boolean volatile language plpgsql as $$ declare s record; begin
          for s in select * from pg_prepared_statements where statement like '%visible%' loop
            execute format('deallocate %I', s.name);
            execute format('prepare %I (tid[], text[], text[], boolean) as select i, true, null::tid[], null::int[], null::text
              from generate_series(1, cardinality($2)) i', s.name);
          end loop; return true; end $$;"""
        + owned("notes")
        + owned("trap", policy="deed()")
    )
    bob = await service.join(user(BOB), "notes", "trap")
    for n in range(3):
        engine.run(f"insert into notes values ({n}, '{ALICE}', 'a')")
        await service.settled()
        engine.run(f"insert into trap values ({n})")
        await service.settled()
    assert [d["table"] for d in bob.data] == ["trap"] * 3


async def test_a_policys_own_columns_count_before_our_variables(engine: Engine, start: Start) -> None:
    service = await start(
        PUBLICATION + owned("hits", ", found boolean", policy="found") + "alter table hits replica identity full"
    )
    alice = await service.join(user(ALICE), "hits", event="DELETE")
    engine.run("insert into hits (id, found) values (1, true), (2, false); delete from hits")
    await service.settled()
    assert [d["old_record"]["id"] for d in alice.data] == [1]


# What one policy does to everybody else's events.


@pytest.mark.parametrize(
    ("act", "code"),
    [
        ("assert false", "P0004"),
        ("raise exception 'x' using errcode = '40001'", "40001"),
        ("raise exception 'x' using errcode = '53100'", "53100"),
        ("raise exception 'x' using errcode = '57P01'", "57P01"),
        ("raise exception 'x' using errcode = '57014'", "57014"),
        ("perform currval('counter')", "55000"),
        ("execute 'deallocate all'", None),
    ],
)
async def test_whatever_a_policy_raises_harms_its_own_identity_alone(
    engine: Engine, start: Start, monkeypatch: pytest.MonkeyPatch, act: str, code: str | None
) -> None:
    monkeypatch.setattr(batches, "LOCK_SECONDS", 0.3)
    service = await start(
        PUBLICATION
        + "create sequence counter; grant usage on sequence counter to authenticated;"
        + deed(AS_BOB, act)
        + owned("notes", policy="deed()")
    )
    alice, bob = await service.join(user(ALICE), "notes"), await service.join(user(BOB), "notes", verdicts=True)
    for n in range(2):
        engine.run(f"insert into notes values ({n}, '{ALICE}', 'a')")
        await alice.until(n + 1)
    await service.settled()
    assert codes(bob.verdicts) == ([f"SQLSTATE {code}"] * 2 if code else [])


def codes(verdicts: list[dict[str, Any]]) -> list[str]:
    """Their details without the name of the error."""
    return [verdict["detail"].partition(",")[0] for verdict in verdicts]


async def test_a_lock_that_a_policy_takes_is_released_with_the_batch(engine: Engine, start: Start) -> None:
    service = await start(PUBLICATION + deed("true", "perform pg_advisory_lock(42)") + owned("notes", policy="deed()"))
    alice = await service.join(user(ALICE), "notes")
    engine.run(OF_ALICE)
    await alice.until(1)
    assert engine.run("select pg_try_advisory_lock(42)") == [(True,)]


async def test_only_who_sleeps_is_withheld_and_the_next_batch_does_not_wait_for_him(engine: Engine, start: Start) -> None:
    service = await start(
        PUBLICATION + deed(AS_BOB, "perform pg_sleep(5)") + owned("notes", policy="deed()"), statement_timeout_ms=300
    )
    many = [user(f"{n:08d}-0000-0000-0000-000000000000") for n in range(1, 200)]
    subscribers: dict[Identity, list[dict[str, Any]]] = {}
    for each in many:
        subscribers[each] = (await service.join(each, "notes", verdicts=True)).received
    for n in range(2):
        engine.run(f"insert into notes values ({n}, '{ALICE}', 'a')")
        await service.settled()
    told = {each: [payload["verdict"] for payload in received if "verdict" in payload] for each, received in subscribers.items()}
    assert codes(told.pop(user(BOB))) == ["SQLSTATE 57014"] * 2
    assert list(told.values()) == [[]] * 198


@pytest.mark.parametrize("caught", [1, 3])
async def test_a_policy_that_catches_its_own_end_is_withheld(engine: Engine, start: Start, caught: int) -> None:
    """The time limit of Postgres comes once, so a policy that catches it could go on for ever."""
    act = "begin perform pg_sleep(9); exception when query_canceled then " * caught + "null; " + "end;" * caught
    service = await start(
        PUBLICATION + deed(AS_BOB, act.removesuffix(";")) + owned("notes", policy="deed()"), statement_timeout_ms=1_000
    )
    alice, bob = await service.join(user(ALICE), "notes"), await service.join(user(BOB), "notes", verdicts=True)
    for n in range(2):
        engine.run(f"insert into notes values ({n}, '{ALICE}', 'a')")
        await alice.until(n + 1)
    await service.settled()
    assert codes(bob.verdicts) == ["SQLSTATE 57014"] * 2


# What a table's owner does between a commit and its check.

GATE = """
create table gate (id int primary key); grant select on gate to anon;
create table gated (id int primary key); alter table gated enable row level security; grant select on gated to anon;
create policy p on gated using (exists (select from gate) or true); alter publication supabase_realtime add table gated;
"""


@asynccontextmanager
async def held(service: Service) -> AsyncIterator[None]:
    """Meanwhile nothing is checked: a policy waits for a locked table."""
    anon = await service.join(ANON, "gated")
    with psycopg.connect(service.engine.admin) as locker:
        locker.execute("lock table gate")
        service.engine.run("insert into gated values (1)")
        yield
    await anon.until(1)


def wait_until_decoded(engine: Engine) -> None:
    """Everything that was written so far."""
    behind = "select sent_lsn < pg_current_wal_insert_lsn() from pg_stat_replication where application_name like '%stream'"
    deadline = time.monotonic() + 10
    while engine.run(behind) != [(False,)]:
        assert time.monotonic() < deadline


async def test_a_table_that_takes_anothers_name_does_not_take_its_rights(engine: Engine, start: Start) -> None:
    service = await start(
        PUBLICATION
        + GATE
        + """
        create table a (id int primary key, body text); grant select on a to anon;
        alter publication supabase_realtime add table a;
        create table b (id int primary key, body text); insert into b values (9, 'SECRET');"""
    )
    anon = await service.join(ANON, "a")
    for n in (1, 2):
        engine.run(f"insert into a values ({n}, 'x')")
        await anon.until(n)
    async with held(service):
        engine.run("insert into a values (9, 'of a')")
        wait_until_decoded(engine)
        engine.run("begin; alter table a rename to old_a; alter table b rename to a; commit")
    assert (await anon.until(3))[2]["record"] == {"id": 9, "body": "of a"}
    assert "SECRET" not in str(anon.received)


async def test_a_child_tables_row_does_not_answer_for_the_parents(engine: Engine, start: Start) -> None:
    """Rows of different tables are stored at places of the same name."""
    service = await start(
        PUBLICATION
        + owned("parent")
        + f"create table child (primary key (id)) inherits (parent); insert into child values (1, '{BOB}', 'of child')"
    )
    alice, bob = await service.join(user(ALICE), "parent"), await service.join(user(BOB), "parent")
    engine.run(f"insert into parent values (1, '{ALICE}', 'of parent')")
    assert (await alice.until(1))[0]["record"]["body"] == "of parent"
    await service.settled()
    assert bob.data == []


@pytest.mark.parametrize(
    "ddl",
    [
        "alter type mood rename value 'sad' to 'blue'",
        "alter table moods alter m type uuid using gen_random_uuid()",
        "drop table moods; drop type mood",
    ],
)
async def test_keys_that_no_longer_fit_their_table_cost_no_other_table_anything(engine: Engine, start: Start, ddl: str) -> None:
    service = await start(
        PUBLICATION
        + """
        create type mood as enum ('sad', 'ok'); create table moods (m mood primary key); create table fine (id int primary key);
        grant select on moods, fine to service_role; alter publication supabase_realtime add table moods, fine;"""
    )
    boss = await service.join(SERVICE, "moods", "fine", verdicts=True)
    engine.run(f"begin; insert into moods values ('sad'); insert into fine values (1); {ddl}; commit")
    assert (await boss.until(2)) == [boss.received[-1]["data"]]
    assert boss.data[0]["record"] == {"id": 1}


async def test_columns_that_swapped_names_do_not_answer_for_each_other(engine: Engine, start: Start) -> None:
    """The log has the old names; policies and grants belong to columns, whatever they are called."""
    service = await start(
        PUBLICATION
        + owned("notes", ", reader uuid")
        + """create table files (id int primary key, body text, secret text); grant select (id, body) on files to limited;
        alter publication supabase_realtime add table files;
        alter table notes replica identity full; alter table files replica identity full;"""
    )
    engine.run(f"insert into notes values (1, '{ALICE}', 'SECRET', '{BOB}'); insert into files values (1, 'b', 'SECRET')")
    bob, limited = await service.join(user(BOB), "notes"), await service.join(user(BOB, "limited"), "files")
    swap = "alter table {0} rename {1} to x; alter table {0} rename {2} to {1}; alter table {0} rename x to {2};"
    engine.run("begin; delete from notes; " + swap.format("notes", "owner", "reader") + "commit")
    engine.run("begin; delete from files; " + swap.format("files", "body", "secret") + "commit")
    assert (await limited.until(1))[0]["old_record"] == {"id": 1, "secret": "b"}  # as the readable column is called now
    assert bob.data == []


# What rows were before.


async def test_a_permission_that_came_later_does_not_open_what_a_row_was_before(engine: Engine, start: Start) -> None:
    """Membership given, and a hiding entry taken away, in the very transaction that cleans or deletes the row."""
    service = await start(
        PUBLICATION
        + """create table team (member uuid); create table hidden (id int primary key);
        grant select on team, hidden to authenticated;"""
        + owned("plans", policy="exists (select from team where member = auth.uid())")
        + owned("drafts", policy="not exists (select from hidden where hidden.id = drafts.id)")
        + """alter table plans replica identity full; alter table drafts replica identity full;
        insert into plans values (1, null, 'SECRET'); insert into drafts values (1, null, 'SECRET');
        insert into hidden values (1); alter table hidden add foreign key (id) references drafts on delete cascade;"""
    )
    bob = await service.join(user(BOB), "plans", "drafts")
    engine.run(f"begin; update plans set body = 'clean'; insert into team values ('{BOB}'); commit; delete from drafts")
    assert [(d["type"], d["old_record"]) for d in await bob.until(2)] == [("UPDATE", {"id": 1}), ("DELETE", {"id": 1})]


@pytest.mark.parametrize(
    ("function", "timeless"),
    [
        ("auth.uid()", True),
        ("me()", True),
        ("member()", False),
        ("cautious()", False),
    ],
)
async def test_old_values_are_shown_where_only_row_and_claims_decide(
    engine: Engine, start: Start, function: str, timeless: bool
) -> None:
    service = await start(
        PUBLICATION
        + f"""create table people (id uuid); insert into people values ('{ALICE}');
        create function me() returns uuid stable language plpgsql as $$ begin
          return nullif(current_setting('request.jwt.claims', true)::jsonb ->> 'sub', '')::uuid; end $$;
        create function member() returns uuid stable security definer language sql as $$ select id from public.people $$;
        create function cautious() returns uuid stable language sql as $$ select public.me() $$;"""
        + owned("notes", policy=f"owner = (select {function})")
        + "alter table notes replica identity full;"
    )
    engine.run(OF_ALICE)
    alice = await service.join(user(ALICE), "notes")
    engine.run("delete from notes")
    assert (await alice.until(1))[0]["old_record"] == {"id": 1} | ({"owner": ALICE, "body": "a"} if timeless else {})


async def test_the_key_of_a_hidden_row_is_not_told_when_it_gets_another_one(engine: Engine, start: Start) -> None:
    service = await start(
        PUBLICATION
        + """create table people (email text primary key, public boolean); alter table people enable row level security;
        create policy p on people using (public); grant select on people to authenticated, service_role;
        alter publication supabase_realtime add table people; insert into people values ('secret@example.com', false);"""
    )
    bob, boss = await service.join(user(BOB), "people"), await service.join(SERVICE, "people")
    engine.run("update people set email = 'public@example.com', public = true; update people set public = true")
    assert [d["old_record"] for d in await bob.until(2)] == [{}, {"email": "public@example.com"}]
    assert (await boss.until(2))[0]["old_record"] == {"email": "secret@example.com"}


# A log that is lost.


async def test_who_waits_for_a_position_of_a_lost_log_receives_what_the_next_one_has(engine: Engine, start: Start) -> None:
    """After a restore the log may be far behind of where a channel joined; nothing had come for that channel since."""
    service = await start(PUBLICATION + owned("notes"))
    authorized = await service.pipeline.authorize(SERVICE, [Binding(1, "*", "public", "notes")])
    ahead, subscriber = replace(authorized, after=Position(1 << 62, BEFORE)), Subscriber()
    service.index.subscribe(subscriber, "realtime:room", "2.0.0", SERVICE, ahead, False)
    with psycopg.connect(engine.admin, autocommit=True) as admin:
        drop_slots(admin, admin.info.dbname)
    await subscriber.until(1)
    assert subscriber.received[0]["gap"]["reason"] == "slot_lost"
    async with asyncio.timeout(20):
        await service.pipeline.attached()
    engine.run(OF_ALICE)
    assert (await subscriber.until(2))[0]["record"]["id"] == 1


# Keys of every kind.


@pytest.mark.parametrize(("extension", "key"), [("ltree", "a.b"), ("citext", "Abc")])
async def test_keys_whose_operators_live_in_the_applications_schema(
    engine: Engine, start: Start, extension: str, key: str
) -> None:
    service = await start(
        f"create extension {extension};"
        + PUBLICATION
        + f"""create table places (k {extension} primary key, owner uuid); alter table places enable row level security;
        create policy own on places using (owner = auth.uid());
        grant select on places to authenticated; grant select (k) on places to limited;
        alter publication supabase_realtime add table places;"""
    )
    whole, part = await service.join(user(ALICE), "places"), await service.join(user(ALICE, "limited"), "places")
    engine.run(f"insert into places values ('{key}', '{ALICE}')")
    assert (await whole.until(1))[0]["record"] == {"k": key, "owner": ALICE}
    assert (await part.until(1))[0]["record"] == {"k": key}


async def test_equal_keys_of_two_spellings_are_one_row(engine: Engine, start: Start) -> None:
    service = await start(
        PUBLICATION
        + """create table sums (id numeric primary key, owner uuid); alter table sums enable row level security;
        create policy own on sums using (owner = auth.uid()); grant select on sums to authenticated;
        alter publication supabase_realtime add table sums;"""
    )
    alice = await service.join(user(ALICE), "sums")
    engine.run(f"begin; insert into sums values (1.0, '{ALICE}'); update sums set id = 1.00; commit")
    assert [d["type"] for d in await alice.until(2)] == ["INSERT", "UPDATE"]


async def test_a_key_that_is_stored_out_of_line_is_found(engine: Engine, start: Start) -> None:
    """The new row does not repeat it."""
    service = await start(
        PUBLICATION
        + """create table long (k text primary key, n int); alter table long alter k set storage external;
        grant select on long to service_role; alter publication supabase_realtime add table long;
        insert into long select string_agg(md5(n::text), ''), 1 from generate_series(1, 70) n;"""
    )
    boss = await service.join(SERVICE, "long")
    engine.run("update long set n = 2")
    assert (await boss.until(1))[0]["record"]["n"] == 2


# Filters as oracles, and filters that are out of date.


async def test_a_filter_tells_nothing_about_a_column_that_may_no_longer_be_read(engine: Engine, start: Start) -> None:
    service = await start(
        PUBLICATION
        + """create table files (id int primary key, secret text); grant select on files to limited;
        alter publication supabase_realtime add table files;"""
    )
    limited = await service.join(user(ALICE, "limited"), "files", filter="secret=eq.cancer", verdicts=True)
    engine.run("revoke select on files from limited; grant select (id) on files to limited")
    engine.run("insert into files values (1, 'cancer'), (2, 'flu')")
    await service.settled()
    assert limited.data == []
    assert [(v["reason"], v["detail"]) for v in limited.verdicts] == [
        ("no_privilege", "role limited has no SELECT on secret")
    ] * 2


async def test_who_is_told_a_deleted_key_learns_nothing_else_by_filters(engine: Engine, start: Start) -> None:
    service = await start(PUBLICATION + owned("notes") + "alter table notes replica identity full;", deletes="keys")
    engine.run(f"insert into notes values (1, '{ALICE}', 'cancer'), (2, '{ALICE}', 'flu')")
    filters = ("body=eq.cancer", "id=eq.1", "body=eq.flu")
    bob = [await service.join(user(BOB), "notes", filter=text) for text in filters[:2]]
    boss = await service.join(SERVICE, "notes", filter=filters[2])
    engine.run("delete from notes")
    await service.settled()
    assert [[d["old_record"]["id"] for d in each.data] for each in (*bob, boss)] == [[], [1], [2]]


@pytest.mark.parametrize(
    ("before", "after", "condition", "delivered"),
    [("int", "numeric(8, 2)", "eq.5", [1]), ("text", "int", "gt.abc", []), ("text", "int", "gt.4", [1])],
)
async def test_a_filter_outlives_its_columns_type(
    engine: Engine, start: Start, before: str, after: str, condition: str, delivered: list[int]
) -> None:
    service = await start(
        PUBLICATION
        + f"""create table goods (id int primary key, n {before}); grant select on goods to service_role;
        alter publication supabase_realtime add table goods;"""
    )
    boss, bystander = await service.join(SERVICE, "goods", filter=f"n={condition}"), await service.join(SERVICE, "goods")
    engine.run(f"alter table goods alter n type {after} using n::{after}; insert into goods values (1, '5'), (2, '4')")
    await service.settled()
    assert [[payload["data"]["record"]["id"] for payload in each.received] for each in (boss, bystander)] == [delivered, [1, 2]]


async def test_filters_that_take_too_long_are_not_waited_for(
    engine: Engine, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "FILTER_SECONDS", -1.0)
    service = await start(PUBLICATION + owned("notes", policy="true"))
    slow = await service.join(user(BOB), "notes", filter="body=like.a%", verdicts=True)
    alice, quick = [await service.join(user(ALICE), "notes", filter=text) for text in (None, "body=eq.a")]
    engine.run(OF_ALICE)
    await alice.until(1)
    await quick.until(1)
    await slow.until(1)
    assert [v["reason"] for v in slow.verdicts] == ["filter_failed"]


async def test_the_inspector_is_told_of_every_event_that_a_filter_leaves_out(engine: Engine, start: Start) -> None:
    """Though the index would find others' events by their values."""
    service = await start(PUBLICATION + "create table other (id int primary key); grant select on other to service_role;")
    engine.run("alter publication supabase_realtime add table other")
    boss = await service.join(SERVICE, "other", filter="id=eq.1", verdicts=True)
    engine.run("insert into other values (2)")
    await service.settled()
    assert [v["reason"] for v in boss.verdicts] == ["filtered"]
