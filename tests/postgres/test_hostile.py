"""Attacks on the engine, each on a real Postgres: nobody receives what he could not SELECT, and nobody stops the others."""

import pytest

from realtime_inspector.model import Identity
from realtime_inspector.pipeline import river
from tests.postgres.conftest import Engine
from tests.postgres.river import Start, start, user

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
    monkeypatch.setattr(river, "LOCK_SECONDS", 0.3)
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
    assert [v["detail"] for v in bob.verdicts] == ([f"SQLSTATE {code}"] * 2 if code else [])


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
    subscribers: dict[Identity, list[dict[str, object]]] = {}
    for each in many:
        subscribers[each] = (await service.join(each, "notes", verdicts=True)).received
    for n in range(2):
        engine.run(f"insert into notes values ({n}, '{ALICE}', 'a')")
        await service.settled()
    told = {each: [payload.get("verdict", {}).get("detail") for payload in received] for each, received in subscribers.items()}
    assert told.pop(user(BOB)) == ["SQLSTATE 57014"] * 2
    assert list(told.values()) == [[None, None]] * 198


@pytest.mark.parametrize("caught", [1, 3])
async def test_a_policy_that_catches_its_own_end_is_withheld(engine: Engine, start: Start, caught: int) -> None:
    """The time limit of Postgres comes once, so a policy that catches it could go on for ever."""
    act = "begin perform pg_sleep(9); exception when query_canceled then " * caught + "null; " + "end;" * caught
    service = await start(
        PUBLICATION + deed(AS_BOB, act.removesuffix(";")) + owned("notes", policy="deed()"), statement_timeout_ms=300
    )
    alice, bob = await service.join(user(ALICE), "notes"), await service.join(user(BOB), "notes", verdicts=True)
    for n in range(2):
        engine.run(f"insert into notes values ({n}, '{ALICE}', 'a')")
        await alice.until(n + 1)
    await service.settled()
    assert [v["detail"] for v in bob.verdicts] == ["SQLSTATE 57014"] * 2
