"""What a client asks for with its bindings is what its callbacks get: events, filters, columns, old rows, values."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from tests.wire.clients.conftest import Connect, MakeTable
from tests.wire.clients.driver import Driver

Admin = psycopg.Connection[Any]
TIMES = 50


def binding(table: str, event: str = "*", **more: object) -> dict[str, object]:
    return {"event": event, "schema": "public", "table": table, **more}


def test_a_row_written_right_after_subscribed_is_never_missed(
    connect: Connect, driver: Driver, admin: Admin, make_table: MakeTable
) -> None:
    table = make_table("id int primary key")
    client = connect(driver)
    for number in range(TIMES):
        channel = client.subscribe(f"room {number}", binding(table, "INSERT"))
        admin.execute(f"insert into {table} values ({number})".encode())
        assert channel.next("change")["record"] == {"id": number}
        channel.leave()


def test_each_binding_hears_its_kind_of_event(connect: Connect, driver: Driver, admin: Admin, make_table: MakeTable) -> None:
    table = make_table("id int primary key, name text")
    channel = connect(driver).subscribe("room", *[binding(table, event) for event in ("*", "INSERT", "UPDATE", "DELETE")])

    def twice(statement: str) -> tuple[str, int, object, object]:
        """What the first binding, which wants everything, hears; and the number of the other one that hears the same."""
        admin.execute(statement.encode())
        first, second = channel.next("change"), channel.next("change")
        assert first | {"binding": second["binding"]} == second
        assert first["binding"] == 0
        return first["event"], second["binding"], first["record"], first["old_record"]

    assert twice(f"insert into {table} values (1, 'a')") == ("INSERT", 1, {"id": 1, "name": "a"}, {})
    assert twice(f"update {table} set name = 'b'") == ("UPDATE", 2, {"id": 1, "name": "b"}, {"id": 1})
    assert twice(f"update {table} set id = 2") == ("UPDATE", 2, {"id": 2, "name": "b"}, {"id": 1})
    assert twice(f"delete from {table}") == ("DELETE", 3, {}, {"id": 2})
    admin.execute(f"truncate {table}".encode())
    assert twice(f"insert into {table} values (3)") == ("INSERT", 1, {"id": 3, "name": None}, {})


def test_an_old_row_is_complete_with_replica_identity_full(
    connect: Connect, driver: Driver, admin: Admin, make_table: MakeTable
) -> None:
    table = make_table("id int primary key, name text, place text", full=True)
    admin.execute(f"insert into {table} values (1, 'a', 'x')".encode())
    channel = connect(driver).subscribe("room", binding(table), binding(table, "UPDATE", select=["name"]))
    admin.execute(f"update {table} set name = 'b'".encode())
    whole, selected = channel.next("change"), channel.next("change")
    assert whole["record"] == {"id": 1, "name": "b", "place": "x"}
    assert whole["old_record"] == {"id": 1, "name": "a", "place": "x"}
    assert (selected["record"], selected["old_record"]) == ({"id": 1, "name": "b"}, {"id": 1, "name": "a"})
    assert (whole["schema"], whole["table"], whole["errors"]) == ("public", table, None)
    assert datetime.fromisoformat(whole["commit_timestamp"]).tzinfo is UTC
    admin.execute(f"delete from {table}".encode())
    assert channel.next("change")["old_record"] == {"id": 1, "name": "b", "place": "x"}


FILTERS = {
    "id=eq.3": "id = 3",
    "id=neq.3": "id <> 3",
    "id=lt.3": "id < 3",
    "id=lte.3": "id <= 3",
    "id=gt.3": "id > 3",
    "id=gte.3": "id >= 3",
    "id=in.(1,3,5)": "id in (1, 3, 5)",
    "price=eq.12.5": "price = 12.5",
    "price=gte.9": "price >= 9",
    'name=in.(anna,"O\'Neil, Bo",zoe)': "name in ('anna', 'O''Neil, Bo', 'zoe')",
    'name=eq."O\'Neil, Bo"': "name = 'O''Neil, Bo'",
    "name=like.a%": "name like 'a%'",
    "name=ilike.A%": "name ilike 'A%'",
    "name=match.^an+": "name ~ '^an+'",
    "name=imatch.^AN+": "name ~* '^AN+'",
    "name=is.null": "name is null",
    "name=not.is.null": "name is not null",
    "name=isdistinct.anna": "name is distinct from 'anna'",
    "name=neq.anna": "name <> 'anna'",
    "name=not.eq.anna": "not name = 'anna'",
    "name=not.in.(anna,zoe)": "name not in ('anna', 'zoe')",
    "name=not.like.a%": "name not like 'a%'",
    "done=is.true": "done",
    "done=not.is.true": "done is not true",
    "done=eq.false": "not done",
    "due=lt.2026-03-01T00:00:00+01:00": "due < '2026-03-01T00:00:00+01:00'",
    "kind=eq.ab": "kind = 'ab'",
    "id=gt.1,id=lt.6,name=not.is.null": "id > 1 and id < 6 and name is not null",
    "or=(id.eq.1,id.eq.4)": "id = 1 or id = 4",
    "or=(name.eq.anna,price.gt.50,done.is.null)": "name = 'anna' or price > 50 or done is null",
    "not.or=(name.eq.anna,price.gt.50)": "not (name = 'anna' or price > 50)",
    'id=lt.6,or=(name.in.(zoe,"O\'Neil, Bo"),and(id.gte.2,not.or(name.like.z%,done.is.true)))': (
        "id < 6 and (name in ('zoe', 'O''Neil, Bo') or (id >= 2 and not (name like 'z%' or done is true)))"
    ),
}
ROWS = """(values
    (1, 'anna', 12.50, true, '2026-02-28 22:30+00', 'ab'),
    (2, 'Anna', 9, false, '2026-02-28 23:30+00', 'abc'),
    (3, null, null, null, null, null),
    (4, 'zoe', 100, true, 'infinity', 'b'),
    (5, 'O''Neil, Bo', -1, false, '1999-01-01 00:00+00', ''),
    (6, 'ärger', 12.500, null, '2026-03-01 00:00+00', 'ab ')
) as seed (id, name, price, done, due, kind)"""
MARKER = 1000
"""Rows from here on only say that what came before them has come."""


def test_filters_let_through_what_where_lets_through(
    connect: Connect, driver: Driver, admin: Admin, make_table: MakeTable
) -> None:
    columns = "id int primary key, name text, price numeric, done bool, due timestamptz, kind char(3), turn int default 0"
    table = make_table(columns, full=True)
    channel = connect(driver).subscribe("room", binding(table), *[binding(table, filter=text) for text in FILTERS])

    def matched(marker: int, statement: str) -> set[tuple[str, int]]:
        admin.execute(statement.encode())
        admin.execute(f"insert into {table} (id) values ({marker})".encode())
        changes = channel.until("change", lambda change: change["binding"] == 0 and change["record"].get("id") == marker)
        texts = ["", *FILTERS]
        found = [(texts[c["binding"]], (c["record"] or c["old_record"])["id"]) for c in changes]
        assert len(found) == len(set(found))
        return {(text, id_) for text, id_ in found if id_ < MARKER}

    inserted = matched(MARKER, f"insert into {table} select id, name, price, done, due::timestamptz, kind from {ROWS}")
    assert inserted == {
        (text, id_)
        for text, condition in {"": "true", **FILTERS}.items()
        for (id_,) in admin.execute(f"select id from {table} where id < {MARKER} and ({condition})".encode())
    }
    assert matched(MARKER + 1, f"update {table} set turn = 1 where id < {MARKER}") == inserted
    assert matched(MARKER + 2, f"delete from {table} where id < {MARKER}") == inserted


VALUES = {
    "numeric(10,2)": "12.50",
    "numeric": "NaN",
    "float8": "Infinity",
    "float4": "0.1",
    "int8": "9007199254740993",
    "int2": "-3",
    "bool": "false",
    "text": 'é 😀 \u2028 "quoted" \\ <b> \t',
    "varchar(9)": "",
    "char(5)": "ab",
    "bit(4)": "1010",
    "json": '{"z": [1, {"deep": null}], "a": "é", "big": 1.50}',
    "jsonb": '[true, {"k": "v"}]',
    "uuid": "a11ce000-0000-4000-8000-000000000001",
    "date": "2026-02-28",
    "time": "23:59:59.5",
    "timestamp": "2026-01-02 03:04:05.5",
    "timestamptz": "2026-01-02 03:04:05.678901+02",
    "interval": "1 year 2 days 03:04:05",
    "int4[]": "{1,NULL,3}",
    "int4[][]": "{{1,2},{3,4}}",
    "text[]": '{"a,b","say \\"hi\\"",NULL,"NULL",""}',
    "timestamptz[]": '{"2026-01-02 03:04:05+00"}',
    "int4range": "[1,5)",
    "inet": "10.0.0.1/8",
    "point": "(1.5,2)",
    "wire_mood": "so so",
    "wire_place": "(Rome,41.9)",
    "wire_percent": "7",
}


@pytest.fixture
def types(admin: Admin) -> Iterator[None]:
    admin.execute("create type wire_mood as enum ('fine', 'so so')")
    admin.execute("create type wire_place as (city text, latitude numeric)")
    admin.execute("create domain wire_percent as int check (value <= 100)")
    yield
    admin.execute("drop domain wire_percent; drop type wire_place; drop type wire_mood")


def test_values_arrive_unbroken(types: None, make_table: MakeTable, connect: Connect, driver: Driver, admin: Admin) -> None:
    """As Postgres' own JSON has them, but for bytea, which has no \\x in this protocol."""
    names = [f"v{number}" for number in range(len(VALUES))]
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(names, VALUES, strict=True))
    made = "made text generated always as ('made of ' || v5) stored, bytes bytea, large text, nothing text"
    table = make_table(f"id int primary key, {columns}, {made}")
    channel = connect(driver).subscribe("room", binding(table))
    places = ", ".join(["%s"] * len(names))
    large = "(select string_agg(md5(n::text), '') from generate_series(1, 3000) as n)"
    insert = f"insert into {table} (id, {', '.join(names)}, bytes, large) values (1, {places}, '\\x00ff', {large})"
    admin.execute(insert.encode(), list(VALUES.values()))
    expected = _as_json(admin, table, driver)
    assert channel.next("change")["record"] == expected
    admin.execute(f"update {table} set nothing = 'something'".encode())
    assert channel.next("change")["record"] == expected | {"nothing": "something"}, "what is stored apart is there as well"


def _as_json(admin: Admin, table: str, driver: Driver) -> dict[str, Any]:
    (row,) = admin.execute(f"select to_json(t) from {table} as t".encode())
    expected = dict(row[0]) | {"bytes": "00ff"}
    if not driver.is_python:  # JavaScript has one kind of number, and its clients read numbers in texts
        expected["v2"] = {"$number": "Infinity"}
        expected["v4"] = int(float(expected["v4"]))
    return expected
