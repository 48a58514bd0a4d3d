"""Every kind of table, key and value through the running river: what arrives is what a SELECT as that role shows."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from realtime_inspector.model import Identity
from realtime_inspector.postgres.sql import quote_identifier
from tests.postgres.conftest import Engine
from tests.postgres.river import SERVICE, Start, start, user

__all__ = ["start"]

ALICE, BOB = (f"{n:08d}-0000-0000-0000-000000000000" for n in (1, 2))


@dataclass(frozen=True)
class Case:
    """A table with an `owner` and rows of the other columns; `change`: what an UPDATE sets; `after`: DDL on the table {0}."""

    columns: str
    rows: tuple[str, ...]
    change: str
    after: str = ""
    since: int = 0


HUGE = "repeat(md5(random()::text), 200)"
CASES = {
    "composite key": Case("a text, b int, v text, primary key (b, a)", ("'x', 1, 'v'", "'x', 2, null"), "v = 'w'"),
    "numeric key": Case("k numeric primary key, v text", ("1.50, 'v'", "'NaN', 'v'", "'Infinity', 'v'"), "v = 'w'"),
    "enum key": Case("k mood primary key, v text", ("'sad', 'v'", "'so \"so\"', 'v'"), "v = 'w'"),
    "range key": Case("k int4range primary key, v int", ("'[1,5)', 1", "'empty', 2", "'(,5]', 3"), "v = v + 1"),
    "domain key": Case("k tag primary key, v int", ("'a', 1", "'b', 2"), "v = v + 1"),
    "bytea key": Case("k bytea primary key, v int", ("'\\x00ff', 1", "'', 2"), "v = v + 1"),
    "uuid and date key": Case(
        "k uuid, d timestamptz, v int, primary key (k, d)",
        ("gen_random_uuid(), 'infinity', 1", "gen_random_uuid(), '0044-03-15 BC', 2"),
        "v = v + 1",
    ),
    "key of another order": Case("v int, b text, a int, primary key (a, b)", ("1, 'x', 2", "3, 'x', 4"), "a = a + 10"),
    "key with included column": Case(
        "a int, v int", ("1, 2", "3, 4"), "v = v + 1", after="alter table {0} add constraint pk primary key (a) include (v)"
    ),
    "identity by index": Case(
        "id int primary key, code text not null unique, v int",
        ("1, 'a', 1", "2, 'b', 2"),
        "v = v + 1, id = id + 10",
        after='alter table {0} replica identity using index "identity by index_code_key"',
    ),
    "long key": Case("k text primary key, v int", ("repeat('k', 2000), 1",), "v = v + 1"),
    "generated": Case(
        "id int primary key, n int, twice int generated always as (n * 2) stored, gone int, v text",
        ("1, 2, default, 'v'", "2, null, default, null"),
        "n = 5",
        after="alter table {0} drop column gone",
    ),
    "toast": Case("id int primary key, big text, n int", (f"1, {HUGE}, 1", f"2, {HUGE}, 2"), "n = n + 1"),
    "toast with full identity": Case(
        "id int primary key, big text, n int", (f"1, {HUGE}, 1",), "n = n + 1", after="alter table {0} replica identity full"
    ),
    "strange names": Case(
        '"I d" int primary key, "🦊""x" text, "select" text, "a.b" int',
        ("1, 'v', 'w', 1", "2, '', null, 2"),
        "\"select\" = '🦊'",
    ),
    "types": Case(
        """id int primary key, mood mood, price price, spot spot, home place, spans int4multirange, span tstzrange, moods mood[],
        grid int[], spots spot[], doc json, docb jsonb, n numeric, f float8, r real, raw bytea, at timestamptz, day date,
        ts timestamp, took interval, net inet, bits varbit, fine boolean, c char(5), ch "char", words tsvector, oids oidvector""",
        (
            """1, 'so "so"', 1.50, '(1,"a ""b"" ")', '("(2,x)",home)', '{[1,3),[5,9)}', '[2026-01-01,infinity)', '{sad,NULL}',
            '{{1,2},{3,4}}', array['(1,a)', null]::spot[], ' { "a" : 1.10 } ', '{"b": [null, 1.10]}', 'NaN', '-Infinity', '1.1',
            '\\xdeadbeef', 'infinity', '-infinity', '0044-03-15 10:00 BC', '1 year -3 days 04:05:06.7', '10.0.0.1/8', B'101',
            true, 'ab', 'x', 'a b', '1 2'""",
            "2" + ", null" * 26,
            """3, 'sad', 'Infinity', '(,)', null, '{}', 'empty', '{}', '{}', '{}', 'null', '"x"', 'Infinity', 'NaN', '3e-40', '',
            '0044-03-15 10:00 BC', '5874897-12-31', 'infinity', '0', '::1', '', false, '', '', '', ''""",
        ),
        "fine = not fine",
    ),
    "virtual": Case(
        "id int primary key, n int, twice int generated always as (n * 2) virtual", ("1, 2, default",), "n = 5", since=18
    ),
}
TYPES = """
create schema "My 🏠"; grant usage on schema "My 🏠" to authenticated, service_role;
create type mood as enum ('sad', 'so "so"'); create domain price as numeric check (value > 0);
create domain tag as text check (value > '');
create type spot as (x int, label text); create type place as (spot spot, name text);
create publication supabase_realtime;
"""


def view(engine: Engine, identity: Identity, table: str) -> list[str]:
    """Every row that a SELECT under the identity shows, with bytea as the protocol writes it."""
    with psycopg.connect(engine.admin) as connection:
        connection.execute("set timezone = utc; set bytea_output = hex")
        connection.execute(f'set role "{identity.role}"'.encode())
        connection.execute("select set_config('request.jwt.claims', %s, false)", [identity.claims])
        rows = connection.execute(f"select to_json(t)::text from {table} t".encode()).fetchall()
    return ordered(cleaned(json.loads(text)) for (text,) in rows)


def cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: cleaned(part) for name, part in value.items()}
    return value.removeprefix("\\x") if isinstance(value, str) else value


def ordered(records: Iterable[Any]) -> list[str]:
    return sorted(json.dumps(record, sort_keys=True) for record in records)


def named(case: str) -> str:
    """The table of a case, as SQL writes it."""
    return '"My 🏠"."ta""ble 🦊"' if case == "strange names" else f'"{case}"'


@pytest.mark.every_version
async def test_what_arrives_is_what_a_select_shows(engine: Engine, start: Start) -> None:
    """Rows of two owners are written and changed; each change must arrive as SELECT shows the row, at whom it shows it."""
    (version,) = engine.run("select current_setting('server_version_num')::int / 10000")
    cases = {named(name): case for name, case in CASES.items() if case.since <= int(str(version[0]))}
    tables = "".join(
        f"""create table {table} (owner uuid, {case.columns}); alter table {table} enable row level security;
        create policy own on {table} using (owner = (select auth.uid())); grant select on {table} to authenticated, service_role;
        {case.after.format(table)}; alter publication supabase_realtime add table {table};"""
        for table, case in cases.items()
    )
    service = await start(TYPES + tables)
    readers = {who: await service.join(who, "*", schema="*") for who in (user(ALICE), user(BOB), SERVICE)}

    def records(who: Identity, table: str) -> list[dict[str, Any]]:
        return [d for d in readers[who].data if quote_identifier(d["table"]) == table.rpartition(".")[2]]

    for table, case in cases.items():
        for number, row in enumerate(case.rows):
            engine.run(f"insert into {table} values ('{(ALICE, BOB)[number % 2]}', {row})")
    await service.settled()
    for table in cases:
        for who in readers:
            assert ordered(d["record"] for d in records(who, table)) == view(engine, who, table), table
    for reader in readers.values():
        reader.received.clear()
    for table, case in cases.items():
        engine.run(f"update {table} set {case.change}")
    await service.settled()
    for table in cases:
        for who in readers:
            received = records(who, table)
            assert {d["type"] for d in received} == {"UPDATE"} or not received
            assert ordered(d["record"] for d in received) == view(engine, who, table), table
    readers[SERVICE].received.clear()
    for table in cases:
        engine.run(f"delete from {table}")
    await service.settled()
    for table, case in cases.items():
        assert [d["type"] for d in records(SERVICE, table)] == ["DELETE"] * len(case.rows), table


async def test_filters_and_selections_name_columns_however_they_are_called(engine: Engine, start: Start) -> None:
    service = await start("""
        create table "t 🦊" ("I d" int primary key, "🦊 x" text, hidden text);
        grant select on "t 🦊" to service_role; create publication supabase_realtime for table "t 🦊";""")
    named = await service.join(SERVICE, "t 🦊", filter='🦊 x=eq."a,b"', select=("🦊 x",))
    engine.run("""insert into "t 🦊" values (1, 'a', 'h'), (2, 'a,b', 'h')""")
    await service.settled()
    assert [d["record"] for d in named.data] == [{"I d": 2, "🦊 x": "a,b"}]


async def test_without_replica_identity_insertions_arrive(engine: Engine, start: Start) -> None:
    """Postgres refuses UPDATE and DELETE on such a table while it is published with them."""
    service = await start("""create table t (id int primary key, v text); alter table t replica identity nothing;
        grant select on t to service_role; create publication supabase_realtime for table t with (publish = 'insert');""")
    boss = await service.join(SERVICE, "t")
    engine.run("insert into t values (1, 'a'); update t set v = 'b'; delete from t; insert into t values (2, 'c')")
    await service.settled()
    assert [d["record"] for d in boss.data if d["table"] == "t"] == [{"id": 2, "v": "c"}]


CHANGED_TYPES = {
    "added": ("alter type spot add attribute z int", {"x": 1, "label": "a", "z": None}),
    "renamed": ("alter type spot rename attribute label to name", {"x": 1, "name": "a"}),
    "dropped": ("alter type spot drop attribute label", {"x": 1}),
    "swapped": (
        "alter type spot rename attribute x to y; alter type spot rename attribute label to x;"
        "alter type spot rename attribute y to label",
        {"label": 1, "x": "a"},
    ),
}


@pytest.mark.every_version
async def test_types_that_change_while_streaming(engine: Engine, start: Start) -> None:
    """The tables stay as they are, so the stream says nothing of it."""
    service = await start(
        "create publication supabase_realtime;"
        + "".join(
            f"""create schema {schema}; grant usage on schema {schema} to service_role; set search_path = {schema};
            create type spot as (x int, label text); create domain nice as spot; create type pair as (one nice, many spot[]);
            create table t (id int primary key, spot spot, pair pair);
            grant select on t to service_role; alter publication supabase_realtime add table t; reset search_path;"""
            for schema in CHANGED_TYPES
        )
    )
    for schema, (statement, expected) in CHANGED_TYPES.items():
        boss = await service.join(SERVICE, "t", schema=schema)
        engine.run(f"set search_path = {schema}; insert into t values (1, (1, 'a'), ((1, 'a'), array[(1, 'a')::spot]))")
        assert (await boss.until(1))[0]["record"]["pair"] == {"one": {"x": 1, "label": "a"}, "many": [{"x": 1, "label": "a"}]}
        engine.run(f"set search_path = {schema}; {statement}; update t set id = 2")
        received = (await boss.until(2))[1]["record"]
        assert received == {"id": 2, "spot": expected, "pair": {"one": expected, "many": [expected]}}, schema
