"""Tables without a key through the running river: rows are found by their content, and a table that is too large says so."""

import asyncio
from typing import Any

import pytest

from realtime_inspector.model import Binding
from realtime_inspector.pipeline import evidence
from realtime_inspector.postgres import snapshot
from tests.postgres.conftest import Engine
from tests.postgres.river import SERVICE, Start, start, user

__all__ = ["start"]

ALICE, BOB = (f"{n:08d}-0000-0000-0000-000000000000" for n in (1, 2))
SCHEMA = """
create type mood as enum ('sad', 'so "so"');
create type spot as (x int, label text);
create table log (owner uuid, body text, mood mood, spot spot, n numeric, tags text[], doc json, at timestamptz, raw bytea,
  twice text generated always as (body || body) stored);
alter table log replica identity full; alter table log enable row level security;
create policy own on log for select using (owner = (select auth.uid()));
create table plain (n int, secret text); alter table plain replica identity full;
grant select on log, plain to authenticated, service_role; grant select (body, owner) on log to limited;
grant select (n) on plain to limited;
create publication supabase_realtime for table log, plain;
"""
AWKWARD = f"""insert into log values
    ('{ALICE}', 'a "b" \\ (c), ', 'so "so"', (null, ''), 'NaN', '{{NULL,"",a b}}', '{{"a": 1.0}}', 'infinity', '\\x00'),
    ('{ALICE}', '', 'sad', (1, ' '), 1.00, null, null, '0044-03-15 BC', null),
    (null, null, null, null, null, null, null, null, null),
    ('{BOB}', 'b', 'sad', null, 1.0, '{{}}', 'null', null, '')"""


def rows(engine: Engine, table: str, where: str = "true") -> list[Any]:
    """What a SELECT says of each row, as JSON."""
    return [row[0] for row in engine.run(f"select to_jsonb(t) from {table} t where {where} order by t.ctid")]


@pytest.mark.every_version
async def test_rows_are_found_by_their_content_whatever_it_is(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    alice, bob, boss = [await service.join(who, "log") for who in (user(ALICE), user(BOB), SERVICE)]
    engine.run(AWKWARD)
    texts = [(d["record"]["body"], d["record"]["twice"]) for d in await boss.until(4)]
    assert texts == [('a "b" \\ (c), ', 'a "b" \\ (c), ' * 2), ("", ""), (None, None), ("b", "bb")]
    await service.settled()
    assert [d["record"]["body"] for d in alice.data] == ['a "b" \\ (c), ', ""]
    assert [d["record"]["body"] for d in bob.data] == ["b"]
    assert alice.data[0]["record"]["n"] == "NaN"
    assert alice.data[0]["record"]["spot"] == {"x": None, "label": ""}
    assert boss.data[2]["record"] == rows(engine, "log", "owner is null")[0]


@pytest.mark.every_version
async def test_changes_and_deletions_of_rows_without_a_key(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA + "alter table log drop column twice;")
    engine.run(f"insert into plain values (1, 'a'), (1, 'a'), (2, 'b'); {AWKWARD}")
    boss, limited = await service.join(SERVICE, "plain"), await service.join(user(BOB, "limited"), "plain")
    alice, hidden = await service.join(user(ALICE), "log"), await service.join(user(ALICE, "limited"), "log", verdicts=True)
    engine.run("update plain set secret = 'c' where n = 2; delete from plain where n = 1")
    engine.run("update log set body = 'changed'")
    await alice.until(2)
    engine.run("delete from log")
    await service.settled()
    assert [(d["type"], d.get("record"), d["old_record"]) for d in boss.data] == [
        ("UPDATE", {"n": 2, "secret": "c"}, {"n": 2, "secret": "b"}),
        ("DELETE", None, {"n": 1, "secret": "a"}),
        ("DELETE", None, {"n": 1, "secret": "a"}),
    ]
    assert [(d.get("record"), d["old_record"]) for d in limited.data] == [
        ({"n": 2}, {"n": 2}),
        (None, {"n": 1}),
        (None, {"n": 1}),
    ]
    assert [d["type"] for d in alice.data] == ["UPDATE"] * 2 + ["DELETE"] * 2
    assert [d["record"]["body"] for d in alice.data[:2]] == ["changed"] * 2
    assert [d["old_record"]["body"] for d in alice.data] == ['a "b" \\ (c), ', "", "changed", "changed"]
    assert hidden.data == []
    assert {v["reason"] for v in hidden.verdicts} == {"no_privilege"}


async def test_of_equal_rows_each_is_told_and_what_was_overtaken_is_gone(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    boss = await service.join(SERVICE, "plain", verdicts=True)
    engine.run("begin; insert into plain values (1, 'a'), (1, 'a'), (2, 'b'); update plain set secret = 'c' where n = 2; commit")
    await service.settled()
    assert [d["record"] for d in boss.data] == [{"n": 1, "secret": "a"}] * 2 + [{"n": 2, "secret": "c"}]
    assert [v["reason"] for v in boss.verdicts] == ["row_gone"]


async def test_columns_that_were_renamed_since_still_find_their_row(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    boss, limited = await service.join(SERVICE, "plain"), await service.join(user(BOB, "limited"), "plain")
    engine.run("begin; insert into plain values (1, 'a'); alter table plain rename n to secret_n; commit")
    assert [d["record"] for d in await boss.until(1)] == [{"secret_n": 1, "secret": "a"}]
    assert [d["record"] for d in await limited.until(1)] == [{"secret_n": 1}]


async def test_who_may_read_nothing_is_sent_nothing(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA + "revoke select on plain from authenticated;")
    nobody = await service.join(user(ALICE), "plain", verdicts=True)
    engine.run("insert into plain values (1, 'a'); delete from plain")
    await service.settled()
    assert nobody.data == []
    assert [v["reason"] for v in nobody.verdicts] == ["no_privilege"] * 2


@pytest.mark.every_version
async def test_a_table_without_key_and_without_full_identity_is_refused_with_the_remedy(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA + "alter table plain replica identity default;")
    everything = await service.join(SERVICE, "*", verdicts=True)
    authorized = await service.pipeline.authorize(SERVICE, [Binding(1, "*", "public", "plain")])
    assert "REPLICA IDENTITY FULL" in authorized.problems[0].text
    engine.run("insert into plain values (1, 'a')")
    await everything.until(1)
    assert [(v["reason"], "REPLICA IDENTITY FULL" in v["detail"]) for v in everything.verdicts] == [
        ("unsupported_relation", True)
    ]


@pytest.mark.parametrize("via_root", ["true", "false"])
async def test_partitioned_tables_without_a_key(engine: Engine, start: Start, via_root: str) -> None:
    service = await start(f"""
        create table parted (id int, owner uuid) partition by range (id); alter table parted replica identity full;
        {"".join(f"create table p{n} partition of parted for values from ({n}0) to ({n + 1}0);" for n in range(1, 4))}
        {"".join(f"alter table p{n} replica identity full;" for n in range(1, 4))}
        alter table parted enable row level security; create policy own on parted using (owner = auth.uid());
        grant select on parted to authenticated, service_role;
        create publication supabase_realtime for table parted with (publish_via_partition_root = {via_root});""")
    alice, bob = await service.join(user(ALICE), "parted"), await service.join(user(BOB), "parted")
    engine.run(f"insert into parted values (10, '{ALICE}'), (20, '{BOB}'), (30, '{ALICE}'); delete from parted where id = 20")
    await service.settled()
    assert [(d["type"], d["record"]["id"]) for d in alice.data] == [("INSERT", 10), ("INSERT", 30)]
    assert [(d["type"], d["old_record"].get("id")) for d in bob.data if d["type"] == "DELETE"] == [("DELETE", 20)]


async def test_a_cast_of_the_application_is_never_run(engine: Engine, start: Start) -> None:
    """The reader bypasses row-level security, so a cast to text would be the application's code with all rights."""
    service = await start(
        SCHEMA
        + """create function spy(mood) returns text language plpgsql as $$ begin raise exception 'ran'; end $$;
        create cast (mood as text) with function spy(mood) as assignment;
        create function spy(log) returns text language plpgsql as $$ begin raise exception 'ran'; end $$;
        create cast (log as text) with function spy(log) as assignment;"""
    )
    boss = await service.join(SERVICE, "log")
    engine.run("insert into log (body, mood) values ('a', 'sad')")
    assert (await boss.until(1))[0]["record"]["mood"] == "sad"


async def test_a_table_that_takes_too_long_is_withheld_for_a_while_and_says_why(
    engine: Engine, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start(SCHEMA + "create table fine (id int primary key); grant select on fine to service_role;")
    engine.run("alter publication supabase_realtime add table fine")
    boss = await service.join(SERVICE, "plain", "fine", verdicts=True)
    nobody = await service.join(user(ALICE, "limited"), "fine")
    monkeypatch.setattr(snapshot, "LOOKUP", snapshot.Statement("set local statement_timeout = 1"))
    monkeypatch.setattr(evidence, "WITHHELD_SECONDS", 1.0)
    engine.run("insert into plain select n, repeat('x', 1000) from generate_series(1, 3000) n; insert into fine values (1)")
    await service.settled()
    (gap,) = [payload["gap"] for payload in boss.received if "gap" in payload]
    assert gap.pop("from")
    assert gap == {"reason": "lookup_too_slow", "to": None, "schema": "public", "table": "plain"}
    assert {(v["reason"], "primary key" in v["detail"]) for v in boss.verdicts} == {("lookup_too_slow", True)}
    assert [d["record"] for d in boss.data] == [{"id": 1}]
    monkeypatch.undo()
    await asyncio.sleep(1.0)
    engine.run("insert into plain values (0, 'again')")
    await service.settled()
    assert boss.data[-1]["record"] == {"n": 0, "secret": "again"}
    assert nobody.received == []
