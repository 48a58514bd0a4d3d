"""Policies that sleep: whom they concern waits, nobody else does, and what each is sent stays in order and complete."""

import asyncio

import pytest

from realtime_inspector.postgres import evaluator, questions
from tests.postgres.conftest import Engine
from tests.postgres.river import SERVICE, Service, Start, Subscriber, start, user

__all__ = ["start"]

ALICE, BOB = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"
SCHEMA = """
create table notes (id int primary key, owner uuid, body text); alter table notes enable row level security;
create table other (id int primary key, owner uuid); alter table other enable row level security;
grant select on notes, other to authenticated, service_role;
create table sleep (who uuid, seconds float); grant select on sleep to authenticated;
create function sleepy() returns boolean volatile language plpgsql as $$
  begin perform pg_sleep(seconds) from sleep where who = auth.uid(); return true; end $$;
create policy own on notes for select using (owner = auth.uid());
create policy own on other for select using (owner = auth.uid());
create policy sleepy on notes as restrictive for select using (sleepy());
create publication supabase_realtime for table notes, other;
"""


def sleeping(engine: Engine, seconds: float, who: str = BOB) -> None:
    engine.run(f"delete from sleep; insert into sleep values ('{who}', {seconds})")


def write(engine: Engine, first: int, last: int) -> None:
    """One transaction for each row, in turn of alice and of bob, on both tables."""
    for n in range(first, last + 1):
        owner = ALICE if n % 2 else BOB
        engine.run(f"begin; insert into notes values ({n}, '{owner}'); insert into other values ({n}, '{owner}'); commit")


def seen(subscriber: Subscriber) -> list[tuple[str, int]]:
    return [(data["table"], (data.get("record") or data["old_record"])["id"]) for data in subscriber.data]


def rows(first: int, last: int, *tables: str) -> list[tuple[str, int]]:
    return [(table, n) for n in range(first, last + 1, 2) for table in tables or ("notes", "other")]


async def quick_again(service: Service) -> None:
    async with asyncio.timeout(20):
        while service.index.aside is not None or service.index.returning or service.index.behind:  # noqa: ASYNC110, nobody tells
            await asyncio.sleep(0.01)


async def test_who_sleeps_is_sent_everything_later_and_nobody_else_waits(start: Start) -> None:
    service = await start(SCHEMA)
    alice, bob = await service.join(user(ALICE), "notes", "other"), await service.join(user(BOB), "notes", "other")
    sleeping(service.engine, 0.3)
    await asyncio.to_thread(write, service.engine, 1, 20)
    await alice.until(20)
    assert len(bob.data) < 20
    await bob.until(20)
    assert (seen(alice), seen(bob)) == (rows(1, 19), rows(2, 20))


async def test_who_sleeps_beyond_the_limit_is_told_so_in_order_with_what_it_receives(start: Start) -> None:
    service = await start(SCHEMA, statement_timeout_ms=400)
    alice = await service.join(user(ALICE), "notes")
    bob = await service.join(user(BOB), "notes", "other", verdicts=True)
    sleeping(service.engine, 60)
    write(service.engine, 1, 4)
    await alice.until(2)
    await bob.hears(lambda: len(bob.received) >= 8)
    told = [(v["table"], v["reason"], v["detail"].partition(",")[0]) for v in bob.verdicts if v["table"] == "notes"]
    assert (seen(alice), seen(bob)) == (rows(1, 3, "notes"), rows(2, 4, "other"))
    assert told[1::2] == [("notes", "policy_raised", "SQLSTATE 57014")] * 2


async def test_who_is_quick_again_goes_back_to_the_others_and_misses_nothing(start: Start) -> None:
    service = await start(SCHEMA)
    bob = await service.join(user(BOB), "notes")
    for first, seconds in ((1, 0.3), (11, 0), (21, 0.3), (31, 0)):
        sleeping(service.engine, seconds)
        await asyncio.to_thread(write, service.engine, first, first + 9)
        if not seconds:
            await quick_again(service)
    await bob.until(20)
    assert seen(bob) == rows(2, 40, "notes")


SWALLOWING = """create or replace function sleepy() returns boolean volatile language plpgsql as $$ begin
  if {} = 0 then perform set_config('client_connection_check_interval', '0', false); end if;
  while {} loop begin perform pg_sleep(1); exception when query_canceled then null; end; end loop; return true; end $$;"""
RUNNING = """select count(*) from pg_stat_activity
  where application_name = 'realtime_inspector evaluator' and query like '%visible%' and state = 'active'"""


async def nothing_runs_on(engine: Engine) -> None:
    """Returns when no policy is evaluated any more."""
    async with asyncio.timeout(20):
        while engine.run(RUNNING) != [(0,)]:  # noqa: ASYNC110, nobody tells
            await asyncio.sleep(0.05)


async def test_one_who_swallows_its_cancellation_for_ever_holds_nobody_up_for_long(start: Start) -> None:
    service = await start(SCHEMA, statement_timeout_ms=300)
    service.engine.run(SWALLOWING.format(0, f"auth.uid() = '{BOB}'"))
    alice = await service.join(user(ALICE), "notes", "other")
    bob, bystander = await service.join(user(BOB), "notes", "other", verdicts=True), await service.join(user(BOB), "other")
    await asyncio.to_thread(write, service.engine, 1, 6)
    await bystander.until(3)
    assert service.index.is_behind(bob, ["realtime:room"])
    await alice.until(6)
    await bob.hears(lambda: len(bob.data) >= 3)
    assert (seen(alice), seen(bob), seen(bystander)) == (rows(1, 5), rows(2, 6, "other"), rows(2, 6, "other"))
    assert [v["reason"] for v in bob.verdicts if v["table"] == "notes"][1::2] == ["policy_raised"] * 3
    await nothing_runs_on(service.engine)


async def test_what_a_policy_still_does_ends_with_the_service(start: Start) -> None:
    """Postgres would not notice before it has something to send."""
    service = await start(SCHEMA, statement_timeout_ms=60_000)
    service.engine.run(SWALLOWING.format(1, "true"))
    await service.join(user(BOB), "notes")
    write(service.engine, 2, 2)
    async with asyncio.timeout(20):
        while service.engine.run(RUNNING) == [(0,)] or service.index.aside is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await service.pipeline.close()
    await nothing_runs_on(service.engine)


async def test_a_policy_that_never_ends_is_waited_for_once_and_not_once_for_each(start: Start) -> None:
    service = await start(SCHEMA, statement_timeout_ms=60_000)
    service.engine.run(SWALLOWING.format(0, f"auth.uid() <> '{ALICE}'"))
    people = [f"00000000-0000-0000-0000-0000000000{number}" for number in range(10, 18)]
    alice = await service.join(user(ALICE), "other")
    joined = [await service.join(user(who), "notes") for who in people]
    for number, who in enumerate(people):
        write_both = f"insert into notes values ({number}, '{who}'); insert into other values ({number}, '{ALICE}')"
        service.engine.run(f"begin; {write_both}; commit")
        await alice.until(number + 1)
    assert all(service.index.is_behind(each, ["realtime:room"]) for each in joined)
    ended = service.engine.run("select sessions_killed from pg_stat_database where datname = current_database()")
    assert ended == [(1,)]


async def test_what_it_was_sent_before_is_still_known(start: Start) -> None:
    """Otherwise deletions would not reach it: the policies cannot be asked about rows that are gone."""
    service = await start(SCHEMA)
    bob = await service.join(user(BOB), "notes")
    write(service.engine, 1, 4)
    await bob.until(2)
    sleeping(service.engine, 0.3)
    service.engine.run("update notes set body = 'x' where id = 2; delete from notes where id = 4")
    await bob.until(4)
    sleeping(service.engine, 0)
    service.engine.run("update notes set body = 'y' where id = 2")
    await bob.until(5)
    await quick_again(service)
    service.engine.run("delete from notes")
    await bob.until(6)
    assert [(data["type"], (data.get("record") or data["old_record"])["id"]) for data in bob.data] == [
        ("INSERT", 2),
        ("INSERT", 4),
        ("UPDATE", 2),
        ("DELETE", 4),
        ("UPDATE", 2),
        ("DELETE", 2),
    ]


async def test_who_comes_back_with_a_slow_policy_is_told_when_it_has_caught_up(start: Start) -> None:
    service = await start(SCHEMA)
    bob, alice = await service.join(user(BOB), "notes"), await service.join(user(ALICE), "notes")
    service.index.unsubscribe(bob, "realtime:room")
    write(service.engine, 1, 6)
    await alice.until(3)
    sleeping(service.engine, 0.3)
    again = await service.join(user(BOB), "notes", resume=bob.resume)
    await again.hears(lambda: bool(again.notices))
    write(service.engine, 7, 8)
    await again.until(5)
    assert seen(again) == rows(2, 8, "notes")
    assert [payload.get("message") for payload in again.received] == [None] * 3 + ["resumed", None]


async def test_who_is_too_slow_for_the_window_is_told_of_the_gap_and_nobody_else(start: Start) -> None:
    service = await start(SCHEMA, resume_bytes=20_000, statement_timeout_ms=60_000)
    alice, bob = await service.join(user(ALICE), "notes"), await service.join(user(BOB), "notes")
    sleeping(service.engine, 0.3)
    write(service.engine, 1, 2)
    await asyncio.to_thread(write, service.engine, 3, 120)
    await alice.until(60)
    sleeping(service.engine, 0)
    await bob.hears(lambda: bool(bob.gaps))
    await service.settled()
    service.engine.run("insert into notes values (1000, %s)", BOB)
    await bob.hears(lambda: ("notes", 1000) in seen(bob))
    await quick_again(service)
    assert (set(bob.gaps), alice.gaps) == ({("retention", None)}, [])
    assert seen(alice) == rows(1, 119, "notes")
    assert seen(bob) == sorted(set(seen(bob)))


@pytest.mark.parametrize("batch", [3, 200])
async def test_however_often_everybody_is_set_aside_order_and_number_hold(
    start: Start, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(evaluator, "HURRY_MS", 1)
    monkeypatch.setattr(questions, "SLOW_MS", 1)
    service = await start(SCHEMA, batch_changes=batch)
    boss = await service.join(SERVICE, "notes")
    people = [await service.join(user(who), "notes", "other") for who in (ALICE, BOB) for _ in range(3)]
    sleeping(service.engine, 0.0005)
    for first in range(1, 200, 20):
        await asyncio.to_thread(write, service.engine, first, first + 19)
    for number, person in enumerate(people):
        await person.until(200)
        assert seen(person) == rows(1 + number // 3, 200)
    await boss.until(200)
