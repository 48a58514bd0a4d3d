"""Whatever text arrives for whatever type, the result is one JSON value; what Postgres writes is read as it was meant."""

import json
from typing import NoReturn

from hypothesis import given
from hypothesis import strategies as st

from realtime_inspector.replication.values import BUILT_IN, Kind, PgType, TypeCatalog

NUMBERS, LINES, PERSON, PEOPLE, PAIRS = range(20_001, 20_006)
CATALOG = TypeCatalog(
    {
        kind.oid: kind
        for kind in (
            PgType(NUMBERS, "numbers", Kind.DOMAIN, element=1231),
            PgType(PERSON, "person", Kind.COMPOSITE, fields=(("name", 25), ("ages", 1007), ("facts", 3802))),
            PgType(PEOPLE, "_person", Kind.ARRAY, element=PERSON),
            PgType(PAIRS, "hstore"),
        )
    }
)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
syntax = st.text('{}[]()",;:=>\\ \n019.-+eENULLtfTinfx', max_size=40)
Nested = list["Nested"] | str | None


@given(st.sampled_from([*BUILT_IN, NUMBERS, PERSON, PEOPLE, PAIRS, 4_000_000_000]), st.text() | syntax)
def test_every_text_of_every_type_gives_one_json_value(oid: int, text: str) -> None:
    read(CATALOG.encoder(oid)(text))


@given(st.sampled_from([1007, 1009, 1020, 199, PERSON, PEOPLE, PAIRS]), syntax, st.sampled_from(["{}", "()", '""']))
def test_brackets_around_noise_do_not_help(oid: int, noise: str, brackets: str) -> None:
    read(CATALOG.encoder(oid)(brackets[0] + noise + brackets[1]))


@given(st.recursive(st.lists(texts | st.none()), st.lists, max_leaves=30))
def test_an_array_is_read_as_postgres_writes_it(values: list[Nested]) -> None:
    assert read(CATALOG.encoder(1009)(array(values))) == values


@given(texts | st.none(), st.lists(st.integers() | st.none()), st.none() | st.dictionaries(texts, texts | st.integers(0, 9)))
def test_a_composite_is_read_as_postgres_writes_it(name: str | None, ages: list[int | None], facts: object) -> None:
    written = composite(
        name,
        array([None if age is None else str(age) for age in ages]),
        None if facts is None else json.dumps(facts),
    )
    expected = {"name": name, "ages": ages, "facts": facts}
    assert read(CATALOG.encoder(PERSON)(written)) == expected
    assert read(CATALOG.encoder(PEOPLE)(array([written, None]))) == [expected, None]


@given(st.dictionaries(texts, texts | st.none()))
def test_an_hstore_is_read_as_postgres_writes_it(pairs: dict[str, str | None]) -> None:
    written = ", ".join(f"{quoted(key)}=>{'NULL' if value is None else quoted(value)}" for key, value in pairs.items())
    assert read(CATALOG.encoder(PAIRS)(written)) == pairs


def read(encoded: bytes) -> object:
    """The standard library's reader, without the words that it reads and JSON does not have."""
    return json.loads(encoded, parse_constant=refuse)


def refuse(word: str) -> NoReturn:
    raise AssertionError(word)


def array(values: list[Nested]) -> str:
    """As array_out does: quotes where they are needed, braces around each dimension."""
    return "{" + ",".join(array(value) if isinstance(value, list) else array_element(value) for value in values) + "}"


def array_element(value: str | None) -> str:
    if value is None:
        return "NULL"
    plain = value and value.upper() != "NULL" and not any(c in '{},"\\' or c.isspace() for c in value)
    return value if plain else quoted(value)


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def composite(*values: str | None) -> str:
    """As record_out does: doubles quotes and backslashes."""
    return "(" + ",".join(field(value) for value in values) + ")"


def field(value: str | None) -> str:
    if value is None:
        return ""
    plain = value and not any(c in '(),"\\' or c.isspace() for c in value)
    return value if plain else '"' + value.replace("\\", "\\\\").replace('"', '""') + '"'
