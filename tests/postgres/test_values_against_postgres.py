"""Postgres is the oracle: our JSON of a value's text equals its to_json, except where values.py says that it does not."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime_inspector.postgres import sql
from realtime_inspector.postgres.connect import PINNED
from realtime_inspector.replication.values import BUILT_IN, TypeCatalog, build_catalog

PREPARED = """
create extension hstore;
create type mood as enum ('sad', 'so so', 'it''s "ok"');
create type empty as ();
create type person as (name text, "the ""age" int, tags text[], born timestamptz);
create type family as (head person, members person[], mood mood, gone int, facts jsonb);
alter type family drop attribute gone;
create domain price as numeric(10, 2) check (value >= 0);
create domain prices as price[];
create domain head as person;
create domain worst as head;
create table notes (id bigint, body varchar(20), mood mood);
create type span as range (subtype = float8);
"""


@dataclass(frozen=True)
class Oracle:
    """A database and what its types are."""

    connection: psycopg.Connection
    types: TypeCatalog

    def ask(self, expression: str, *parameters: object) -> tuple[object, object]:
        """What we make of a value's text, and what Postgres' to_json makes of the value."""
        query = f"select v, to_json(v)::text, pg_typeof(v)::oid::int8 from (select {expression} as v) as q"
        result = self.connection.execute(query.encode(), parameters).pgresult
        assert result is not None
        text, expected, oid = (result.get_value(0, column) for column in range(3))
        assert oid is not None
        if text is None:
            return None, expected and read(expected)
        assert expected is not None
        return read(self.types.encoder(int(oid))(text.decode())), read(expected)


@pytest.fixture
def oracle(database: str) -> Iterator[Oracle]:
    options = " ".join(f"-c {name}={value.replace(' ', '')}" for name, value in PINNED.items() if name != "search_path")
    with psycopg.connect(database, autocommit=True, options=options) as connection:
        connection.execute(PREPARED)
        yield Oracle(connection, build_catalog(connection.execute(sql.load("types")).fetchall()))


def read(encoded: bytes) -> object:
    """Numbers as they are written, because the scale of a numeric counts."""
    return json.loads(encoded, parse_int=Number, parse_float=Number)


class Number(str):
    """Not equal to the string of the same characters."""

    def __eq__(self, other: object) -> bool:
        return type(other) is Number and str(self) == str(other)

    __hash__ = str.__hash__


LITERALS = {
    "bool": ["t", "f"],
    "int2": ["-32768"],
    "int4": ["0"],
    "int8": ["9223372036854775807", "-9223372036854775808"],
    "numeric": ["12.50", "0.000", "1e-30", "1e40", "NaN", "Infinity", "-Infinity", "-0.0"],
    "numeric(5,2)": ["7"],
    "float4": ["1.1", "1e20", "-0", "NaN", "-Infinity", "3e-40"],
    "float8": ["0.1", "1e-300", "1e300", "123456789012345680", "Infinity"],
    "text": ["", " ", 'quote " and \\ and /', "line\nfeed\ttab\x01", "<script>&amp;", "né 漢字 😀 \u2028", "NULL", "{}"],
    "varchar(3)": ["abc"],
    "char(5)": ["ab"],
    '"char"': ["x"],
    "name": ["a name"],
    "bit(6)": ["010101"],
    "varbit": ["", "101"],
    "uuid": ["0e37df36-f698-11e6-8dd4-cb9ced3df976"],
    "date": ["2026-01-02", "0044-03-15 BC", "infinity", "-infinity", "5874897-12-31"],
    "time": ["04:05:06.789", "24:00"],
    "timetz": ["04:05:06.789+05:30"],
    "timestamp": ["2026-01-02 03:04:05.5", "0044-03-15 10:00 BC", "infinity", "-infinity", "294276-12-31 23:59:59.999999"],
    "timestamptz": ["2026-01-02 03:04:05.678901+02", "2026-01-02 00:00-11:30", "0044-03-15 10:00 BC", "infinity", "-infinity"],
    "interval": ["1 year 2 months -3 days 4:05:06.7", "0", "-1 second"],
    "money": ["12.34", "-1234567.89"],
    "inet": ["10.0.0.1/8", "::1"],
    "cidr": ["10.0.0.0/8"],
    "macaddr": ["08:00:2b:01:02:03"],
    "point": ["(1,-2.5)"],
    "line": ["{1,2,3}"],
    "lseg": ["[(0,0),(1,1)]"],
    "box": ["(2,2),(1,1)"],
    "path": ["((0,0),(1,1))", "[(0,0),(1,1)]"],
    "polygon": ["((0,0),(1,1),(2,0))"],
    "circle": ["<(1,2),3>"],
    "json": [' { "a" : 1.10 , "a":2 } ', "null", '"x"', "[1,2,\n3]", r'"\u0041\n"', "1e400", "12345678901234567890123"],
    "jsonb": [' { "b" : 1.10 , "a":[true,null,{"c":"é"}] } ', "null", '"x"', "[]", "1e300"],
    "tsvector": ["'a':1 'b c':2"],
    "tsquery": ["a & b"],
    "pg_lsn": ["16/B374D848"],
    "oid": ["42"],
    "xid8": ["42"],
    "regclass": ["pg_catalog.pg_class"],
    "regtype": ["int8[]"],
    "int2vector": ["1 2 3", ""],
    "oidvector": ["1 2"],
    "int4range": ["[1,5)", "empty", "(,)"],
    "tstzrange": ["[2026-01-01,2026-02-01)"],
    "span": ["[1.5,2.5]"],
    "int4multirange": ["{[1,2),[5,7)}", "{}"],
    "mood": ["sad", "so so", 'it\'s "ok"'],
    "price": ["3"],
    "prices": ["{1,2.5,NULL}"],
    "hstore": ["", 'a=>1, "b c"=>NULL, "q\\"\\\\"=>"NULL", "漢"=>""'],
    "empty": ["()"],
    "person": ["(,,,)", '("",1,{},)', '("a ""q"" \\\\ (x), y",-1,"{x,""y z"",NULL}","2026-01-02 03:04+00")', '("\n",0,,)'],
    "head": ['("a b",1,,)'],
    "worst": ['("a b",1,,)'],
    "family": ["(,,,)", '("(a,1,{x},)","{""(b,2,,)"",NULL}","so so","{""k"": [1, ""(x)""]}")'],
    "notes": ["(1,body,sad)", "(,,)"],
    "int4[]": ["{}", "{1,-2,NULL}", "{{1,2},{3,NULL}}", "[2:3]={5,6}", "[-1:0][3:3]={{5},{6}}"],
    "text[]": ['{a,"b c",NULL,"NULL","null","",",","{","}","\\"","\\\\","a\\nb"}', "{{{a}},{{b}}}"],
    "float8[]": ["{1.5,NaN,Infinity}"],
    "numeric(9,3)[]": ["{1.5,NULL}"],
    "bool[]": ["{t,f,NULL}"],
    "char(3)[]": ['{a,"b c"}'],
    "timestamptz[]": ['{"2026-01-02 03:04:05+02",infinity,NULL}'],
    "jsonb[]": ['{"{\\"a\\": [1, \\"x\\"]}",null,NULL,"\\"NULL\\""}'],
    "box[]": ["{(1,1),(0,0);(2,2),(1,1);NULL}", "{}"],
    "point[]": ['{"(1,2)",NULL}'],
    "int4range[]": ['{"[1,5)",empty}'],
    "int2vector[]": ['{"1 2","3"}'],
    "mood[]": ['{sad,"so so","it\'s \\"ok\\""}'],
    "price[]": ["{1.10,NULL}"],
    "hstore[]": ['{"\\"a\\"=>\\"1\\"",""}'],
    "person[]": ['{"(a,1,,)",NULL}'],
    "family[]": ['{"(\\"(a,1,,)\\",,sad,)"}'],
}  # fmt: skip


@pytest.mark.every_version
def test_to_json_says_the_same_of_every_type(oracle: Oracle) -> None:
    differing = {}
    for kind, literals in LITERALS.items():
        for literal in literals:
            ours, theirs = oracle.ask(f"%s::{kind}", literal)
            if ours != theirs:
                differing[kind, literal] = (ours, theirs)
    assert differing == {}


@pytest.mark.every_version
def test_bytea_is_hexadecimal_without_a_prefix(oracle: Oracle) -> None:
    assert oracle.ask(r"'\x00ff'::bytea") == ("00ff", r"\x00ff")
    assert oracle.ask(r"array['\x00ff'::bytea, '']") == (["00ff", ""], [r"\x00ff", r"\x"])


def test_json_nested_deeper_than_clients_read_is_a_string(oracle: Oracle) -> None:
    deep = "[" * 3_000 + "]" * 3_000
    result = oracle.connection.execute("select %s::json", [deep]).pgresult
    assert result is not None
    text = result.get_value(0, 0)
    assert text is not None
    assert json.loads(oracle.types.encoder(114)(text.decode())) == deep


@pytest.mark.every_version
def test_the_built_in_types_are_what_postgres_says(oracle: Oracle) -> None:
    assert {oid: oracle.types[oid] for oid in BUILT_IN} == dict(BUILT_IN)
    assert all(TypeCatalog()[oid] == BUILT_IN[oid] for oid in BUILT_IN)


@pytest.mark.every_version
def test_every_column_of_the_catalogue_itself(oracle: Oracle) -> None:
    """Whole rows of Postgres' own tables as composites: many types, arrays, names and nulls in one."""
    for table in (
        "pg_class",
        "pg_proc",
        "pg_type",
        "pg_attribute",
        "pg_index",
        "pg_namespace",
        "pg_aggregate",
        "pg_enum",
        "pg_database",
    ):
        for row in range(0, 30, 3):
            ours, theirs = oracle.ask(f"(select t from pg_catalog.{table} t offset {row} limit 1)")
            assert ours == theirs, table


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
nasty = texts | st.text("{}()[]\",;\\ \n'=>NULLnul:.-+e0", max_size=12)
numbers = st.decimals(allow_nan=True, allow_infinity=True, places=8) | st.decimals(-100, 100)
asked = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@asked
@given(text=nasty)
def test_any_text(oracle: Oracle, text: str) -> None:
    ours, theirs = oracle.ask("%s::text", text)
    assert ours == theirs == text


@asked
@given(number=numbers, real=st.floats(), whole=st.integers(-(2**63), 2**63 - 1))
def test_any_number(oracle: Oracle, number: Decimal, real: float, whole: int) -> None:
    numeric = "NaN" if number.is_nan() else str(number)  # Postgres' NaN has neither sign nor silence
    for expression in ("%s::numeric", "array[null, %s]::numeric[]"):
        ours, theirs = oracle.ask(expression, numeric)
        assert ours == theirs
    single = real if 1e-30 < abs(real) < 1e30 else 0
    for expression, value in (("%s::float8", real), ("%s::float4", single), ("%s::int8", whole)):
        ours, theirs = oracle.ask(expression, value)
        assert ours == theirs


@asked
@given(flat=st.lists(nasty | st.none()), width=st.integers(1, 3), low=st.integers(-5, 5))
def test_any_array(oracle: Oracle, flat: list[str | None], width: int, low: int) -> None:
    ours, theirs = oracle.ask("%s::text[]", flat)
    assert ours == theirs == flat
    square = [flat[start : start + width] for start in range(0, len(flat) - len(flat) % width, width)]
    ours, theirs = oracle.ask("%s::text[]", square)
    assert ours == theirs == square
    ours, theirs = oracle.ask("array_fill(%s::text, array[%s, 2], array[%s, 3])", flat[0] if flat else "", width, low)
    assert ours == theirs


@asked
@given(name=nasty | st.none(), age=st.none() | st.integers(-(2**31), 2**31 - 1), tags=st.none() | st.lists(nasty | st.none()))
def test_any_composite(oracle: Oracle, name: str | None, age: int | None, tags: list[str | None] | None) -> None:
    person = "row(%s, %s::int4, %s::text[], '2026-01-02 03:04:05+00')::person"
    ours, theirs = oracle.ask(person, name, age, tags)
    assert ours == theirs
    members = f"row({person}, array[{person}, null], 'so so', jsonb_build_object('k', %s::text))::family"
    ours, theirs = oracle.ask(f"array[{members}]", name, age, tags, name, age, tags, name)
    assert ours == theirs


@asked
@given(pairs=st.dictionaries(nasty, nasty | st.none()))
def test_any_hstore(oracle: Oracle, pairs: dict[str, str | None]) -> None:
    ours, theirs = oracle.ask("hstore(%s::text[], %s::text[])", list(pairs), list(pairs.values()))
    assert ours == theirs == pairs


@asked
@given(moment=st.datetimes(max_value=datetime(4700, 1, 1)), zone=st.integers(-12 * 60, 12 * 60), era=st.sampled_from(["", " BC"]))
def test_any_moment(oracle: Oracle, moment: datetime, zone: int, era: str) -> None:
    offset = f"{'-' if zone < 0 else '+'}{abs(zone) // 60:02}:{abs(zone) % 60:02}"
    for expression in (f"'{moment}{era}'::timestamp", f"'{moment}{offset}{era}'::timestamptz"):
        ours, theirs = oracle.ask(expression)
        assert ours == theirs
