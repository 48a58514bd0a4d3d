import json

import msgspec
import pytest

from realtime_inspector.replication.values import BUILT_IN, Kind, PgType, TypeCatalog, build_catalog

MOOD, MONEYS, PERSON, EMPTY, PAIRS, PEOPLE, BOX = range(20_001, 20_008)
CATALOG = TypeCatalog(
    {
        kind.oid: kind
        for kind in (
            PgType(MOOD, "mood", Kind.ENUM),
            PgType(MONEYS, "prices", Kind.DOMAIN, element=1231),
            PgType(PERSON, "person", Kind.COMPOSITE, fields=(("name", 25), ("age", 23), ("tags", 1009))),
            PgType(EMPTY, "nothing", Kind.COMPOSITE),
            PgType(PAIRS, "hstore"),
            PgType(PEOPLE, "_person", Kind.ARRAY, element=PERSON),
        )
    }
)
OIDS = {kind.name: kind.oid for kind in BUILT_IN.values()} | {
    "mood": MOOD,
    "prices": MONEYS,
    "person": PERSON,
    "nothing": EMPTY,
    "hstore": PAIRS,
    "_person": PEOPLE,
    "never heard of": 4_000_000_000,
}


def encoded(name: str, text: str) -> str:
    return CATALOG.encoder(OIDS[name])(text).decode()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("bool", "t", "true"),
        ("bool", "f", "false"),
        ("int8", "-9223372036854775808", "-9223372036854775808"),
        ("int4", "0", "0"),
        ("int2", "7", "7"),
        ("numeric", "12.50", "12.50"),
        ("numeric", "0.000000000000000000001", "0.000000000000000000001"),
        ("numeric", "NaN", '"NaN"'),
        ("numeric", "-Infinity", '"-Infinity"'),
        ("float8", "1e+20", "1e+20"),
        ("float8", "-0", "-0"),
        ("float4", "Infinity", '"Infinity"'),
        ("text", 'a "quoted"\n\\ line\u2028\x01', None),
        ("bpchar", "ab   ", '"ab   "'),
        ("bit", "0101", '"0101"'),
        ("oid", "42", '"42"'),
        ("money", "$12.34", '"$12.34"'),
        ("uuid", "0e37df36-f698-11e6-8dd4-cb9ced3df976", '"0e37df36-f698-11e6-8dd4-cb9ced3df976"'),
        ("bytea", "\\x00ff", '"00ff"'),
        ("bytea", "\\x", '""'),
        ("date", "0044-03-15 BC", '"0044-03-15 BC"'),
        ("time", "04:05:06.789", '"04:05:06.789"'),
        ("interval", "1 year 2 mons -3 days +04:05:06", '"1 year 2 mons -3 days +04:05:06"'),
        ("timestamp", "2026-01-02 03:04:05.5", '"2026-01-02T03:04:05.5"'),
        ("timestamp", "0044-03-15 00:00:00 BC", '"0044-03-15T00:00:00 BC"'),
        ("timestamp", "infinity", '"infinity"'),
        ("timestamptz", "2026-01-02 01:04:05.678901+00", '"2026-01-02T01:04:05.678901+00:00"'),
        ("timestamptz", "0044-03-15 00:00:00+00 BC", '"0044-03-15T00:00:00+00:00 BC"'),
        ("timestamptz", "294276-12-31 23:59:59+00", '"294276-12-31T23:59:59+00:00"'),
        ("timestamptz", "-infinity", '"-infinity"'),
        ("jsonb", '{"a": [1, null, {"b": "é"}]}', '{"a": [1, null, {"b": "é"}]}'),
        ("json", ' { "a" :1,\n"a":2 } ', ' { "a" :1,\n"a":2 } '),
        ("json", "123456789012345678901234567890.10", "123456789012345678901234567890.10"),
        ("int4range", "[1,5)", '"[1,5)"'),
        ("int4multirange", "{[1,2),[5,7)}", '"{[1,2),[5,7)}"'),
        ("inet", "10.0.0.0/8", '"10.0.0.0/8"'),
        ("point", "(1,2)", '"(1,2)"'),
        ("xml", "<a>&amp;</a>", '"<a>&amp;</a>"'),
        ("mood", "so-so", '"so-so"'),
        ("never heard of", "{1,2}", '"{1,2}"'),
    ],
)
def test_a_value_becomes_json(name: str, text: str, expected: str | None) -> None:
    assert encoded(name, text) == (expected or json.dumps(text, ensure_ascii=False))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("_int4", "{}", "[]"),
        ("_int4", "{1,-2,NULL}", "[1,-2,null]"),
        ("_int4", "{{1,2},{3,NULL}}", "[[1,2],[3,null]]"),
        ("_int4", "[2:3]={5,6}", "[5,6]"),
        ("_int4", "[-1:0][3:3]={{5},{6}}", "[[5],[6]]"),
        ("_text", '{a,"b c",NULL,"NULL",null}', '["a","b c",null,"NULL","null"]'),
        ("_text", r'{"","\"","\\","a\\\"b","{","}",","}', r'["","\"","\\","a\\\"b","{","}",","]'),
        ("_text", '{"line\none"}', r'["line\none"]'),
        ("_text", "{{{a}},{{b}}}", '[[["a"]],[["b"]]]'),
        ("_bool", "{t,f,NULL}", "[true,false,null]"),
        ("_numeric", "{1.50,NaN}", '[1.50,"NaN"]'),
        ("_bytea", r'{"\\x01","\\x"}', '["01",""]'),
        ("_timestamptz", '{"2026-01-02 01:04:05+00",infinity}', '["2026-01-02T01:04:05+00:00","infinity"]'),
        ("_jsonb", r'{"{\"a\": [1, \"x\"]}",null,1}', '[{"a": [1, "x"]},null,1]'),
        ("_box", "{(1,1),(0,0);(2,2),(1,1);NULL}", '["(1,1),(0,0)","(2,2),(1,1)",null]'),
        ("_point", '{"(1,2)"}', '["(1,2)"]'),
        ("int2vector", "1 2 3", "[1,2,3]"),
        ("int2vector", "", "[]"),
        ("oidvector", "1 2", '["1","2"]'),
        ("_int2vector", '{"1 2","3"}', "[[1,2],[3]]"),
        ("prices", "{1.10,2.20}", "[1.10,2.20]"),
        ("person", "(Ann,41,)", '{"name":"Ann","age":41,"tags":null}'),
        ("person", "(,,)", '{"name":null,"age":null,"tags":null}'),
        ("person", r'("a ""b"" \\ (c), d",1,"{x,""y z""}")', r'{"name":"a \"b\" \\ (c), d","age":1,"tags":["x","y z"]}'),
        ("person", '("",1,{})', '{"name":"","age":1,"tags":[]}'),
        ("nothing", "()", "{}"),
        ("_person", '{"(Ann,41,)",NULL}', '[{"name":"Ann","age":41,"tags":null},null]'),
        ("hstore", "", "{}"),
        ("hstore", r'"a"=>"1", "b\"c"=>NULL, "d"=>"NULL\\"', r'{"a":"1","b\"c":null,"d":"NULL\\"}'),
    ],
)
def test_what_holds_other_values_becomes_json(name: str, text: str, expected: str) -> None:
    assert encoded(name, text) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bool", "true"),
        ("int4", "1_000"),
        ("int4", "١"),
        ("int4", ""),
        ("float8", "0x10"),
        ("numeric", "1."),
        ("numeric", "01"),
        ("json", ""),
        ("json", "{"),
        ("json", "NaN"),
        ("json", '"\n"'),
        ("json", "1 2"),
        ("json", "[" * 20_000 + "]" * 20_000),
        ("timestamp", "soon enough"),
        ("_int4", ""),
        ("_int4", "1,2"),
        ("_int4", "{1,2"),
        ("_int4", "{1,}"),
        ("_int4", "{,1}"),
        ("_int4", "{1}2"),
        ("_int4", "{{1}2}"),
        ("_int4", "{1{2}}"),
        ("_int4", "{1}}"),
        ("_int4", "{{1},}"),
        ("_int4", "[1:2]="),
        ("_text", '{"a}'),
        ("_text", '{"a"b}'),
        ("_text", "{a\\,b}"),
        ("_text", "{" * 20_000),
        ("person", ""),
        ("person", "()"),
        ("person", "(1,2)"),
        ("person", "(1,2,3,4)"),
        ("person", "(1,2,3"),
        ("person", "(1,2,3)x"),
        ("person", '("1,2,3)'),
        ("person", '(1"2",2,3)'),
        ("nothing", "(1)"),
        ("hstore", '"a"'),
        ("hstore", '"a"=>"1", '),
        ("hstore", '"a"=>"1" "b"=>"2"'),
        ("hstore", '"a"=>"1"\n'),
        ("hstore", "a=>1"),
    ],
)
def test_what_is_no_text_of_its_type_becomes_a_string(name: str, text: str) -> None:
    assert encoded(name, text) == json.dumps(text, ensure_ascii=False)


def test_surrogates_are_replaced_because_no_client_could_read_them() -> None:
    assert encoded("text", "a\ud800") == '"a?"'
    assert encoded("json", '"\ud800"') == r'"\"?\""'


def test_types_have_names() -> None:
    assert [CATALOG.name(oid) for oid in (20, 1009, MOOD, 4_000_000_000)] == ["int8", "_text", "mood", "unknown"]
    assert [CATALOG.knows(oid) for oid in (20, MOOD, 4_000_000_000)] == [True, True, False]
    assert CATALOG[MOOD] == PgType(MOOD, "mood", Kind.ENUM)


def test_an_encoder_is_made_once() -> None:
    assert CATALOG.encoder(1009) is CATALOG.encoder(1009)


def test_a_type_that_contains_itself_ends_in_strings() -> None:
    catalog = TypeCatalog({1: PgType(1, "a", Kind.COMPOSITE, fields=(("b", 2),)), 2: PgType(2, "b", Kind.DOMAIN, element=1)})
    assert catalog.encoder(1)("((1))") == b'"((1))"'
    assert catalog.encoder(1)('("(1)")') == b'{"b":"(1)"}'


def test_a_catalogue_is_built_from_rows() -> None:
    catalog = build_catalog([(MOOD, "mood", "enum", 0, ",", None, None), (PERSON, "p", "composite", 0, ",", ["name"], [25])])
    assert catalog[MOOD] == PgType(MOOD, "mood", Kind.ENUM)
    assert catalog[PERSON] == PgType(PERSON, "p", Kind.COMPOSITE, fields=(("name", 25),))
    assert catalog[25] == PgType(25, "text")


def test_rows_of_another_shape_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        build_catalog([(MOOD, "mood", "feeling", 0, ",", None, None)])
