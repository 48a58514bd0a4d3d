"""The whole river on a real Postgres, from a commit to the bytes queued for each subscriber."""

from itertools import product
from typing import Any

import psycopg
import pytest

from realtime_inspector.model import Identity, Reason
from realtime_inspector.pipeline.rendering import Rendering
from realtime_inspector.postgres.evaluator import Evaluator
from realtime_inspector.visibility.audience import AudienceKey
from tests.postgres.conftest import Engine
from tests.postgres.river import ANON, SERVICE, Start, start, user

__all__ = ["start"]

ALICE, BOB = (f"{n:08d}-0000-0000-0000-000000000000" for n in (1, 2))
SCHEMA = f"""
create table notes (id int primary key, owner uuid, body text, public boolean not null default false, secret text);
alter table notes enable row level security;
create policy own on notes for select using (public or owner = (select auth.uid()));
create table open (id int primary key, name text);
create table team (member uuid primary key);
create table plans (id int primary key, body text); alter table plans enable row level security;
create policy members on plans for select using (exists (select from team where member = (select auth.uid())));
grant select on notes, open, team, plans to authenticated, service_role; grant select on open to anon;
grant select (id, owner, public, body) on notes to limited;
create publication supabase_realtime for table notes, open, plans;
insert into team values ('{ALICE}');
"""


@pytest.mark.every_version
async def test_each_identity_receives_what_it_may_see(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    alice, bob, boss = [await service.join(who, "notes") for who in (user(ALICE), user(BOB), SERVICE)]
    engine.run(f"insert into notes values (1, '{ALICE}', 'a', false), (2, '{BOB}', 'b', false), (3, null, 'c', true)")
    assert [d["record"]["id"] for d in await boss.until(3)] == [1, 2, 3]
    assert [d["record"]["id"] for d in await alice.until(2)] == [1, 3]
    assert [d["record"]["id"] for d in await bob.until(2)] == [2, 3]
    assert alice.data[0]["record"] == {"id": 1, "owner": ALICE, "body": "a", "public": False, "secret": None}
    assert [c["type"] for c in alice.data[0]["columns"]] == ["int4", "uuid", "text", "bool", "text"]


async def test_changes_of_several_tables_and_transactions_arrive_in_commit_order_once(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    boss = await service.join(SERVICE, "notes", "open")
    for n in range(20):
        writes = (
            f"insert into notes (id) values ({n}); insert into open values ({n}, 'x'); update notes set body = 'y' where id = {n}"
        )
        engine.run(f"begin; {writes}; commit")
    received = await boss.until(60)
    assert [(d["table"], d["type"], d["record"]["id"]) for d in received] == [
        step for n in range(20) for step in (("notes", "INSERT", n), ("open", "INSERT", n), ("notes", "UPDATE", n))
    ]
    assert len({payload["event_id"] for payload in boss.received}) == 60


async def test_a_deletion_reaches_who_could_see_the_row_and_nobody_else(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA + "alter table notes replica identity full;")
    engine.run(f"insert into notes values (1, '{ALICE}', 'a'), (2, '{BOB}', 'b')")
    alice, bob, boss = [await service.join(who, "notes", verdicts=True) for who in (user(ALICE), user(BOB), SERVICE)]
    engine.run("delete from notes where id = 1")
    assert (await alice.until(1))[0]["old_record"]["body"] == "a"
    assert (await boss.until(1))[0]["old_record"]["id"] == 1
    await bob.until(1)
    assert bob.data == []
    assert [v["reason"] for v in bob.verdicts] == ["hidden_by_policy"]


async def test_without_the_old_row_a_deletion_is_withheld_with_the_remedy(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    engine.run(f"insert into notes values (1, '{ALICE}', 'a')")
    alice, boss = await service.join(user(ALICE), "notes", verdicts=True), await service.join(SERVICE, "notes")
    engine.run("delete from notes where id = 1")
    assert (await boss.until(1))[0]["old_record"] == {"id": 1}
    await alice.until(1)
    assert alice.data == []
    assert [(v["reason"], "replica identity full" in v["detail"]) for v in alice.verdicts] == [("old_row_unknown", True)]


async def test_a_membership_that_ends_takes_effect_on_the_next_event(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    alice, boss = await service.join(user(ALICE), "plans"), await service.join(SERVICE, "plans")
    engine.run("insert into plans values (1, 'for the team')")
    await alice.until(1)
    engine.run("delete from team; insert into plans values (2, 'after')")
    await boss.until(2)
    await service.settled()
    assert [d["record"]["id"] for d in alice.data] == [1]


async def test_only_readable_and_selected_columns_are_sent(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    limited = await service.join(user(ALICE, "limited"), "notes")
    selecting = await service.join(user(ALICE), "notes", select=("body",))
    engine.run(f"insert into notes values (1, '{ALICE}', 'a', false, 'HIDDEN')")
    assert set((await limited.until(1))[0]["record"]) == {"id", "owner", "public", "body"}
    assert (await selecting.until(1))[0]["record"] == {"id": 1, "body": "a"}
    assert [c["name"] for c in selecting.data[0]["columns"]] == ["id", "body"]
    assert "HIDDEN" not in str(limited.received)


async def test_privileges_that_are_revoked_end_with_the_next_event(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    anon, boss = await service.join(ANON, "open"), await service.join(SERVICE, "open")
    engine.run("insert into open values (1, 'seen')")
    await anon.until(1)
    engine.run("revoke select on open from anon; insert into open values (2, 'not seen')")
    await boss.until(2)
    await service.settled()
    assert [d["record"]["id"] for d in anon.data] == [1]


async def test_a_table_published_while_running_is_served_from_its_next_commit(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    everything = await service.join(SERVICE, "*")
    engine.run("create table late (id int primary key); grant select on late to service_role")
    engine.run("alter publication supabase_realtime add table late; insert into late values (1)")
    assert [(d["table"], d["record"]) for d in await everything.until(1)] == [("late", {"id": 1})]
    late = await service.join(SERVICE, "late")
    engine.run("insert into late values (2)")
    assert (await late.until(1))[0]["record"] == {"id": 2}


async def test_columns_and_tables_may_change_while_changes_flow(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    boss = await service.join(SERVICE, "*")
    engine.run("insert into open values (1, 'a')")
    add = "alter table open add column extra int default 7"
    engine.run(f"begin; insert into open values (2, 'b'); {add}; insert into open values (3, 'c'); commit")
    engine.run("alter table open drop column name; insert into open values (4, 8)")
    engine.run("alter table open rename to opened; insert into opened values (5, 9)")
    received = await boss.until(5)
    assert [d["record"]["id"] for d in received] == [1, 2, 3, 4, 5]
    assert [set(d["record"]) for d in received[-2:]] == [{"id", "extra"}] * 2
    assert received[-1]["table"] == "opened"
    engine.run("begin; insert into opened values (6, 1); drop table opened; commit; insert into notes (id) values (7)")
    assert (await boss.until(6))[-1]["record"]["id"] == 7


async def test_filters_decide_on_every_operator(engine: Engine, start: Start) -> None:
    service = await start("""
        create table goods (id int primary key, name text, price numeric, at timestamptz); grant select on goods to service_role;
        create table open (id int primary key, name text); grant select on open to service_role;
        create publication supabase_realtime for table goods, open;""")
    cases = {
        "price=eq.1.5": [1], "price=not.eq.1.5": [2, 3], "price=gt.1.5": [2, 3], "price=lte.2": [1, 2],
        "name=like.a%": [1], "name=ilike.A%": [1, 2], "name=match.^[aA]": [1, 2], "name=imatch.^b": [3],
        "id=in.(1,3)": [1, 3], "id=not.in.(1,3)": [2], "at=is.null": [2], "at=not.is.null": [1, 3],
        "price=isdistinct.1.5": [2, 3], "id=gte.2,price=lt.9": [2], "at=gt.2026-01-01": [3], "name=neq.abc": [2, 3],
    }  # fmt: skip
    subscribers = {text: await service.join(SERVICE, "goods", filter=text) for text in cases}
    every = await service.join(SERVICE, "goods")
    engine.run("insert into goods values (1, 'abc', 1.50, '2025-01-01'), (2, 'Abc', 2, null), (3, 'b', 'NaN', '2026-06-01')")
    await every.until(3)
    await service.settled()
    assert {text: [d["record"]["id"] for d in s.data] for text, s in subscribers.items()} == cases


async def test_a_record_that_is_too_large_keeps_its_small_values(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA, record_bytes=1_000)
    boss = await service.join(SERVICE, "open")
    engine.run("insert into open values (1, repeat('x', 2000))")
    (data,) = await boss.until(1)
    assert (data["record"], data["errors"]) == ({"id": 1}, ["Error 413: Payload Too Large"])


async def test_nothing_committed_before_the_join_is_delivered(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    for n in range(30):
        engine.run(f"insert into open values ({n}, 'before')")
        late = await service.join(SERVICE, "open")
        engine.run(f"update open set name = 'after' where id = {n}")
        assert [d["type"] for d in await late.until(1)] == ["UPDATE"]
        service.index.unsubscribe(late, "realtime:room")


async def test_a_row_written_as_soon_as_the_join_is_answered_is_never_missed(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    with psycopg.connect(engine.admin, autocommit=True) as writer:
        for n in range(100):
            subscriber = await service.join(SERVICE, "open")
            writer.execute("insert into open values (%s, 'x')", [n])
            assert [d["record"]["id"] for d in await subscriber.until(1)] == [n]
            service.index.unsubscribe(subscriber, "realtime:room")


async def test_a_lost_stream_is_taken_up_again_without_loss_or_repetition(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    boss = await service.join(SERVICE, "open")
    engine.run("insert into open values (1, 'a')")
    await boss.until(1)
    engine.run("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and usename like 'engine%'")
    engine.run("insert into open values (2, 'b'); insert into open values (3, 'c')")
    assert [d["record"]["id"] for d in await boss.until(3)] == [1, 2, 3]


async def test_many_rows_in_one_transaction_arrive_whole_and_in_order(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    alice, boss = await service.join(user(ALICE), "notes"), await service.join(SERVICE, "notes")
    engine.run(f"insert into notes select n, case when n % 3 = 0 then '{ALICE}'::uuid end, 'x' from generate_series(1, 3000) n")
    assert [d["record"]["id"] for d in await boss.until(3000)] == list(range(1, 3001))
    assert [d["record"]["id"] for d in await alice.until(1000)] == list(range(3, 3001, 3))


async def test_a_fault_of_ours_costs_one_audience_a_gap_and_the_others_nothing(
    engine: Engine, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault is planted: rendering fails for everybody but the service role."""
    genuine = Rendering.frames

    def faulty(self: Rendering, key: AudienceKey, *others: Any, **more: Any) -> list[bytes]:
        if key.identity != SERVICE:
            raise ZeroDivisionError
        return genuine(self, key, *others, **more)

    monkeypatch.setattr(Rendering, "frames", faulty)
    service = await start(SCHEMA)
    anon, boss = await service.join(ANON, "open"), await service.join(SERVICE, "open")
    engine.run("insert into open values (1, 'a')")
    await boss.until(1)
    await anon.until(1)
    assert [payload["gap"]["reason"] for payload in anon.received] == ["internal_error"]
    assert [d["record"]["id"] for d in boss.data] == [1]


async def test_the_columns_name_domains_as_the_catalogue_does(engine: Engine, start: Start) -> None:
    service = await start("""
        create domain positive as int check (value > 0); create table goods (id int primary key, price positive);
        alter table goods replica identity full; grant select on goods to service_role;
        create publication supabase_realtime for table goods;""")
    boss = await service.join(SERVICE, "goods")
    engine.run("insert into goods values (1, 5); delete from goods")
    await boss.until(1)
    await service.settled()
    assert {tuple(c["type"] for c in data["columns"]) for data in boss.data} == {("int4", "positive")}


async def test_a_function_that_changes_while_it_is_asked_shows_nobody_the_answer_of_another(
    engine: Engine, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two identities that were alike to the function as it was in the snapshot, and are not to the one that ran."""
    service = await start(SCHEMA)
    one, other = (Identity("authenticated", f'{{"n":{n},"role":"authenticated","sub":"{ALICE}"}}') for n in (1, 2))
    subscribers = [await service.join(who, "notes") for who in (one, other)]
    boss = await service.join(SERVICE, "notes")
    ask = Evaluator.ask

    async def ask_after_a_change(self: Evaluator, *arguments: Any, **more: Any) -> Any:
        monkeypatch.undo()
        engine.run(f"""create or replace function auth.uid() returns uuid stable language sql as $$ select case
            when current_setting('request.jwt.claims')::json ->> 'n' = '1' then '{ALICE}'::uuid end $$""")
        return await ask(self, *arguments, **more)

    monkeypatch.setattr(Evaluator, "ask", ask_after_a_change)
    engine.run(f"insert into notes values (1, '{ALICE}', 'for number one')")
    await boss.until(1)
    await service.settled()
    assert [len(subscriber.data) for subscriber in subscribers] == [1, 0]


@pytest.mark.parametrize("full", [False, True])
async def test_nobody_loses_by_owners_alone_being_looked_at(engine: Engine, start: Start, full: bool) -> None:
    """An owner's id that is spelled otherwise, rows that change hands, and deletions; and everything is counted."""
    mine = """
        create table mine (id int primary key, owner uuid); alter table mine enable row level security;
        create policy own on mine for select using (owner = auth.uid()); grant select on mine to authenticated, service_role;
        alter publication supabase_realtime add table mine;"""
    service = await start(SCHEMA + mine + (" alter table mine replica identity full;" if full else ""))
    carol = "cccccccc-0000-0000-0000-00000000000c"
    people = {ALICE: user(ALICE), BOB: user(BOB), carol: user(carol.upper()), "nobody": Identity("authenticated", "{}")}
    subscribers = {sub: await service.join(identity, "mine") for sub, identity in people.items()}
    boss = await service.join(SERVICE, "mine")
    hands = [(n, one, other) for n, (one, other) in enumerate(product([ALICE, carol], repeat=2))]
    for n, first, then in hands:
        engine.run(f"insert into mine values ({n}, '{first}')")
        await boss.until(3 * n + 1)
        engine.run(f"update mine set owner = '{then}' where id = {n}")
        await boss.until(3 * n + 2)
        engine.run(f"delete from mine where id = {n}")
        await boss.until(3 * n + 3)
    await service.settled()
    for sub, subscriber in subscribers.items():
        told = [(d["type"], {**d.get("old_record", {}), **d.get("record", {})}["id"]) for d in subscriber.data]
        wanted = []
        for n, first, then in hands:
            due = {"INSERT": sub == first, "UPDATE": sub == then, "DELETE": sub in (first, then)}
            wanted += [(event, n) for event in due if due[event]]
        assert told == wanted
    assert sum(service.pipeline.tally.reasons.values()) == 3 * len(hands) * 5 + 1


async def test_where_claims_make_no_difference_what_was_built_for_one_is_sent_to_all(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    people = [user(f"{n:08d}-0000-0000-0000-000000000000") for n in range(5)]
    subscribers = [await service.join(who, "open", "notes") for who in people]
    inserts = await service.join(people[0], "open", event="INSERT")
    anon, boss = await service.join(ANON, "open"), await service.join(SERVICE, "open")
    engine.run("insert into open values (1, 'a'), (2, 'b'); insert into notes (id) values (7)")
    await boss.until(2)
    late = await service.join(people[1], "open", "notes")
    engine.run("update open set name = 'c' where id = 2")
    await boss.until(3)
    await service.settled()
    told = [[(d["type"], d["record"]["name"]) for d in s.data] for s in [*subscribers, anon, boss, inserts, late]]
    everything = [("INSERT", "a"), ("INSERT", "b"), ("UPDATE", "c")]
    assert told == [everything] * 7 + [everything[:2], everything[2:]]
    reasons = service.pipeline.tally.reasons
    assert (reasons[Reason.DELIVERED], reasons[Reason.HIDDEN_BY_POLICY]) == (7 * 3 + 2 + 1 + 1, 5)


async def test_a_watcher_changes_nothing_for_the_others(engine: Engine, start: Start) -> None:
    """Who is told verdicts is told each; the rest is counted and sent as if nobody watched."""
    service = await start(SCHEMA)
    people = [user(f"{n:08d}-0000-0000-0000-000000000000") for n in (1, 2, 3)]
    subscribers = [await service.join(who, "notes") for who in people]
    engine.run(f"insert into notes values (1, '{ALICE}', 'a')")
    await subscribers[0].until(1)
    before = dict(service.pipeline.tally.reasons)
    watcher = await service.join(people[2], "notes", verdicts=True)
    engine.run(f"insert into notes values (2, '{ALICE}', 'b')")
    await watcher.until(1)
    assert [v["reason"] for v in watcher.verdicts] == ["hidden_by_policy"]
    assert [len(s.received) for s in subscribers] == [2, 0, 0]
    assert service.pipeline.tally.reasons[Reason.HIDDEN_BY_POLICY] == 2 * before[Reason.HIDDEN_BY_POLICY] + 1
