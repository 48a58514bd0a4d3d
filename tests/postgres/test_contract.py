"""What every source of changes promises, on a real Postgres, from a commit to the bytes queued for each subscriber."""

import asyncio
import itertools
from typing import Any

import psycopg
import pytest

from tests.postgres.conftest import Engine
from tests.postgres.river import ANON, SERVICE, Service, Start, Subscriber, start, user

__all__ = ["start"]

ALICE, BOB = (f"{n:08d}-0000-0000-0000-000000000000" for n in (1, 2))
SCHEMA = """
create table notes (id int primary key, owner uuid, body text); alter table notes enable row level security;
create policy own on notes for select using (owner = (select auth.uid()));
create table open (id int primary key, name text);
create table lines (open int references open on update cascade on delete cascade, id int, primary key (open, id));
grant select on notes to authenticated; grant select on notes, open, lines to service_role; grant select on open to anon;
create publication supabase_realtime for table notes, open, lines;
"""


CUT = """select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and application_name in ('realtime_inspector stream', 'realtime_inspector listener')"""


@pytest.fixture(params=["replication", "notify"])
def begin(request: pytest.FixtureRequest, start: Start) -> Start:
    """Starts a service over each source."""

    async def beginning(schema: str = SCHEMA, **settings: Any) -> Service:
        return await start(schema, source=request.param, **settings)

    return beginning


def told(subscriber: Subscriber) -> list[tuple[str, str, Any]]:
    """What a subscriber was told: table, operation and key of each change."""
    return [(d["table"], d["type"], (d.get("record") or d.get("old_record"))["id"]) for d in subscriber.data]


@pytest.mark.every_version
async def test_changes_of_several_tables_arrive_in_commit_order_once(engine: Engine, begin: Start) -> None:
    service = await begin()
    boss = await service.join(SERVICE, "notes", "open")
    for n in range(20):
        writes = (
            f"insert into notes (id) values ({n}); insert into open values ({n}, 'x'); update notes set body = 'y' where id = {n}"
        )
        engine.run(f"begin; {writes}; commit")
    await boss.until(60)
    await service.settled()
    assert told(boss) == [
        step for n in range(20) for step in (("notes", "INSERT", n), ("open", "INSERT", n), ("notes", "UPDATE", n))
    ]
    assert len({payload["event_id"] for payload in boss.received}) == 60


async def test_the_events_of_one_transaction_and_no_others_share_a_commit_id_for_everybody(engine: Engine, begin: Start) -> None:
    service = await begin()
    boss, alice = await service.join(SERVICE, "notes", "open"), await service.join(user(ALICE), "notes")
    watched = await service.join(user(BOB), "notes", verdicts=True)
    for n in (1, 2, 3):
        writes = f"insert into notes (id, owner) values ({n}, '{ALICE}'), (10 + {n}, null); insert into open values ({n}, 'x')"
        engine.run(f"begin; {writes}; commit")
    await boss.until(9)
    await alice.until(3)
    await watched.until(6)
    commits = [payload["commit_id"] for payload in boss.received]
    assert [commits[place] for place in (0, 3, 6) for _ in range(3)] == commits
    assert list(dict.fromkeys(commits)) == [payload["commit_id"] for payload in alice.received]
    assert [verdict["commit_id"] for verdict in watched.verdicts] == [commits[place] for place in (0, 3, 6) for _ in range(2)]
    assert len(set(commits)) == 3


async def test_each_identity_receives_what_it_may_see(engine: Engine, begin: Start) -> None:
    service = await begin()
    alice, bob, boss = [await service.join(who, "notes") for who in (user(ALICE), user(BOB), SERVICE)]
    engine.run(f"insert into notes values (1, '{ALICE}', 'a'), (2, '{BOB}', 'b'), (3, null, 'c')")
    engine.run(f"update notes set owner = '{ALICE}', body = 'hers now'")
    await boss.until(6)
    await service.settled()
    assert [d["record"]["body"] for d in alice.data if d["type"] == "UPDATE"] == ["hers now"] * 3
    assert "hers now" not in str(bob.received)
    assert {d["record"]["owner"] for d in alice.data} == {ALICE}


async def test_a_join_without_privilege_receives_nothing(engine: Engine, begin: Start) -> None:
    service = await begin()
    anon = await service.join(ANON, "notes", verdicts=True)
    engine.run("insert into notes (id) values (1)")
    await anon.until(1)
    assert (anon.data, [v["reason"] for v in anon.verdicts]) == ([], ["no_privilege"])


async def test_filters_decide_on_the_row_as_it_is(engine: Engine, begin: Start) -> None:
    service = await begin("""
        create table goods (id int primary key, name text, price numeric, at timestamptz); grant select on goods to service_role;
        create publication supabase_realtime for table goods;""")
    cases = {
        "id=eq.2": [2], "id=in.(1,3)": [1, 3], "id=not.in.(1,3)": [2], "price=eq.1.5": [1], "price=gt.1.5": [2, 3],
        "name=eq.b": [3], "name=like.a%": [1], "name=ilike.A%": [1, 2], "at=is.null": [2], "at=gt.2026-01-01": [3],
    }  # fmt: skip
    subscribers = {text: await service.join(SERVICE, "goods", filter=text) for text in cases}
    engine.run("insert into goods values (1, 'abc', 1.50, '2025-01-01'), (2, 'Abc', 2, null), (3, 'b', 'NaN', '2026-06-01')")
    await service.settled()
    assert {text: [d["record"]["id"] for d in s.data] for text, s in subscribers.items()} == cases


async def test_updates_deletions_and_new_keys_name_their_rows(engine: Engine, begin: Start) -> None:
    service = await begin()
    boss = await service.join(SERVICE, "open")
    engine.run("insert into open values (1, 'a'); update open set name = 'b'; update open set id = 7; delete from open")
    engine.run("insert into open values (7, 'again')")
    await boss.until(3)
    await service.settled()
    deleted = next(d for d in boss.data if d["type"] == "DELETE")
    assert deleted["old_record"] == {"id": 7}
    assert boss.data[-1]["record"] == {"id": 7, "name": "again"}
    engine.run("update open set id = 8")
    await boss.until(len(boss.received) + 1)
    assert (boss.data[-1]["record"], boss.data[-1]["old_record"]) == ({"id": 8, "name": "again"}, {"id": 7})


async def test_a_deletion_reaches_who_was_sent_the_row_and_nobody_else(engine: Engine, begin: Start) -> None:
    service = await begin()
    alice, bob = await service.join(user(ALICE), "notes"), await service.join(user(BOB), "notes")
    engine.run(f"insert into notes values (1, '{ALICE}', 'a'), (2, '{BOB}', 'b')")
    await alice.until(1)
    await bob.until(1)
    engine.run("delete from notes")
    await alice.until(2)
    await bob.until(2)
    await service.settled()
    assert (told(alice), told(bob)) == (
        [("notes", op, 1) for op in ("INSERT", "DELETE")],
        [("notes", op, 2) for op in ("INSERT", "DELETE")],
    )


async def test_each_change_of_one_row_in_one_transaction_counts(engine: Engine, begin: Start) -> None:
    service = await begin()
    boss = await service.join(SERVICE, "open")
    engine.run("begin; insert into open values (1, 'a'); update open set name = 'b'; update open set name = 'c'; commit")
    await boss.until(3)
    await service.settled()
    assert told(boss) == [("open", "INSERT", 1), ("open", "UPDATE", 1), ("open", "UPDATE", 1)]
    assert {d["record"]["name"] for d in boss.data} == {"c"}


async def test_what_was_rolled_back_never_happened(engine: Engine, begin: Start) -> None:
    service = await begin()
    boss = await service.join(SERVICE, "open")
    engine.run("begin; insert into open values (1, 'a'); rollback")
    engine.run("""
        begin; insert into open values (2, 'b');
        savepoint s; insert into open values (3, 'c'); update open set name = 'x'; rollback to s;
        insert into open values (4, 'd'); savepoint t; update open set name = 'y' where id = 4; release t; commit""")
    await boss.until(3)
    await service.settled()
    assert told(boss) == [("open", "INSERT", 2), ("open", "INSERT", 4), ("open", "UPDATE", 4)]


async def test_copy_upsert_and_merge_are_writes_like_others(engine: Engine, begin: Start) -> None:
    service = await begin()
    boss = await service.join(SERVICE, "open")
    with psycopg.connect(engine.admin) as writer, writer.cursor().copy("copy open from stdin") as copy:
        for n in range(1, 101):
            copy.write_row((n, "copied"))
    engine.run("insert into open values (100, 'x'), (101, 'y') on conflict (id) do update set name = 'upserted'")
    await boss.until(102)
    await service.settled()
    assert told(boss) == [*(("open", "INSERT", n) for n in range(1, 101)), ("open", "UPDATE", 100), ("open", "INSERT", 101)]


async def test_truncate_has_no_event_and_stops_nothing(engine: Engine, begin: Start) -> None:
    service = await begin()
    boss = await service.join(SERVICE, "open", verdicts=True)
    engine.run("insert into open values (1, 'a')")
    await boss.until(1)
    engine.run("truncate open, lines; insert into open values (2, 'b')")
    await boss.until(3)
    assert [v["reason"] for v in boss.verdicts] == ["unsupported_relation"]
    assert told(boss) == [("open", "INSERT", 1), ("open", "INSERT", 2)]


async def test_a_large_transaction_arrives_whole_and_in_order(engine: Engine, begin: Start) -> None:
    service = await begin()
    alice, boss = await service.join(user(ALICE), "notes"), await service.join(SERVICE, "notes")
    engine.run(f"insert into notes select n, case when n % 3 = 0 then '{ALICE}'::uuid end, 'x' from generate_series(1, 3000) n")
    assert [d["record"]["id"] for d in await boss.until(3000)] == list(range(1, 3001))
    assert [d["record"]["id"] for d in await alice.until(1000)] == list(range(3, 3001, 3))


async def test_a_row_comes_before_the_rows_that_it_takes_along(engine: Engine, begin: Start) -> None:
    """By a foreign key, and by a trigger of the application."""
    service = await begin(f"""{SCHEMA}
        create function follow() returns trigger language plpgsql as $$ begin
          insert into lines values (new.id, 1), (new.id, 2); return null; end $$;
        create trigger "A follow" after insert on open for each row execute function follow();""")
    boss = await service.join(SERVICE, "open", "lines")
    engine.run("insert into open values (1, 'a')")
    await boss.until(3)
    engine.run("delete from open where id = 1")
    await boss.until(6)
    await service.settled()
    assert told(boss) == [
        (table, operation, id_) for operation in ("INSERT", "DELETE") for table, id_ in (("open", 1), ("lines", 1), ("lines", 2))
    ]


async def test_writers_at_the_same_time_are_told_in_the_order_of_their_commits(engine: Engine, begin: Start) -> None:
    """Each takes the next number under a lock that it holds until it commits, so the numbers are in that order."""
    service = await begin()
    engine.run("create table counter (n int); insert into counter values (0)")
    boss = await service.join(SERVICE, "open")
    write = """with next as (update counter set n = n + 1 returning n) insert into open select n, 'x' from next"""

    def writer() -> None:
        with psycopg.connect(engine.admin, autocommit=True) as connection:
            for _ in range(50):
                connection.execute(write)

    await asyncio.gather(*(asyncio.to_thread(writer) for _ in range(4)))
    await boss.until(200)
    assert [d["record"]["id"] for d in boss.data] == list(range(1, 201))


async def test_rows_are_found_by_keys_of_every_spelling(engine: Engine, begin: Start) -> None:
    """The writer's own settings have no part in it."""
    types = {
        "timestamptz": "2026-01-02 03:04:05.678901+09", "interval": "1 mon 2 days 03:04:05", "float8": "0.1", "bytea": r"\\x00ff",
        "numeric": "1.50", "boolean": "true", "text": "it's \"é\" \\ 🦩", "character(5)": "ab", "date": "2026-01-02",
        "daterange": "[2026-01-01,2026-02-01)", "inet": "10.0.0.1", "jsonb": '{"a": [1]}',
    }  # fmt: skip
    columns = [f'"c {n} 🦩" {kind}' for n, kind in enumerate(types)]
    names = ", ".join(f'"c {n} 🦩"' for n in range(len(types)))
    service = await begin(f"""
        create table odd (id int, {", ".join(columns)}, seen int default 0, primary key (id, {names}));
        grant select on odd to service_role; create publication supabase_realtime for table odd;""")
    boss = await service.join(SERVICE, "odd")
    with psycopg.connect(engine.admin, autocommit=True) as writer:
        writer.execute("set timezone = 'Asia/Tokyo'; set datestyle = 'SQL, DMY'; set intervalstyle = 'iso_8601'")
        writer.execute("set bytea_output = 'escape'; set extra_float_digits = -5")
        values = ", ".join(f"%s::{kind}" for kind in types)
        writer.execute(f"insert into odd values (1, {values})".encode(), list(types.values()))
        writer.execute("update odd set seen = 1")
        await boss.until(2)
        writer.execute("delete from odd")
    await boss.until(3)
    inserted, updated, deleted = boss.data
    assert (inserted["type"], updated["record"]["seen"]) == ("INSERT", 1)
    assert deleted["old_record"] == {name: value for name, value in updated["record"].items() if name != "seen"}


async def test_rows_of_partitions_are_rows_of_their_root(engine: Engine, begin: Start) -> None:
    service = await begin("""
        create table parted (id int primary key, name text) partition by range (id);
        create table low partition of parted for values from (0) to (100);
        create table high (name text, id int primary key);
        alter table parted attach partition high for values from (100) to (200);
        grant select on parted to service_role;
        create publication supabase_realtime for table parted with (publish_via_partition_root = true);""")
    boss = await service.join(SERVICE, "parted")
    engine.run("insert into low values (1, 'a')")
    await boss.until(1)
    engine.run("insert into parted values (101, 'b'); update parted set id = 102 where id = 1")
    await boss.until(4)
    assert told(boss) == [("parted", "INSERT", 1), ("parted", "INSERT", 101), ("parted", "DELETE", 1), ("parted", "INSERT", 102)]


async def test_what_a_subscription_of_postgres_itself_writes_is_seen(engine: Engine, begin: Start) -> None:
    service = await begin()
    boss = await service.join(SERVICE, "open")
    engine.run("set session_replication_role = replica; insert into open values (1, 'a')")
    assert [d["record"]["id"] for d in await boss.until(1)] == [1]


async def test_nothing_committed_after_a_join_was_answered_is_missed(engine: Engine, begin: Start) -> None:
    service = await begin()
    with psycopg.connect(engine.admin, autocommit=True) as writer:
        for n in range(100):
            subscriber = await service.join(SERVICE, "open")
            writer.execute("insert into open values (%s, 'x')", [n])
            await subscriber.until(1)
            assert subscriber.data[-1]["record"]["id"] == n
            service.index.unsubscribe(subscriber, "realtime:room")


async def test_after_a_cut_everything_comes_or_a_gap_before_anything_newer(engine: Engine, begin: Start) -> None:
    service = await begin()
    boss = await service.join(SERVICE, "open")
    for n in range(0, 40, 20):
        engine.run(f"insert into open values ({n}, 'before')")
        await boss.hears(lambda n=n: told(boss)[-1:] == [("open", "INSERT", n)])
        gaps = len(boss.gaps)
        engine.run(CUT)
        for m in range(1, 20):
            engine.run(f"insert into open values ({n + m}, 'during')")
        await boss.hears(lambda n=n, gaps=gaps: told(boss)[-1][2] == n + 19 or len(boss.gaps) > gaps)
    ids = [payload["data"]["record"]["id"] if "data" in payload else None for payload in boss.received]
    for before, after in itertools.pairwise(ids):
        assert after is None or before is None or after == before + 1, ids
    seen = [id_ for id_ in ids if id_ is not None]
    assert seen == sorted(set(seen))
    assert ids[-1] in (39, None)


async def test_who_comes_back_is_sent_what_it_missed_or_learns_that_it_cannot_be(engine: Engine, begin: Start) -> None:
    service = await begin()
    witness, first = await service.join(SERVICE, "open"), await service.join(SERVICE, "open")
    engine.run("insert into open values (1, 'a')")
    await first.until(1)
    service.index.unsubscribe(first, "realtime:room")
    engine.run("insert into open values (2, 'b'), (3, 'c')")
    await service.settled()
    second = await service.join(SERVICE, "open", resume=first.resume)
    await second.hears(lambda: len(second.data) == 2)
    assert [id_ for _, _, id_ in told(second)] == [2, 3]
    service.index.unsubscribe(second, "realtime:room")
    heard = len(witness.received)
    engine.run(CUT)
    engine.run("insert into open values (4, 'd')")
    await witness.until(heard + 1)
    third = await service.join(SERVICE, "open", resume=first.resume)
    await third.hears(lambda: third.unknown or len(third.data) == 3)
    assert [id_ for _, _, id_ in told(third)] == ([] if third.unknown else [2, 3, 4])
