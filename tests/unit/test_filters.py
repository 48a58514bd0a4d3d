"""The filter language: what is accepted, what is refused in which words, and what texts alone decide."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_inspector.visibility.filters import Comparable, Condition, InvalidFilter, describe, matches, parse_filter

EXACT, NUMBER, OPAQUE = Comparable(True, False), Comparable(True, True), Comparable(False, False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, ()),
        ("  ", ()),
        ("id=eq.1", (Condition("id", "eq", ("1",)),)),
        ("body=eq.a=b.c", (Condition("body", "eq", ("a=b.c",)),)),
        ("body=eq.", (Condition("body", "eq", ("",)),)),
        ("id=not.gt.5", (Condition("id", "gt", ("5",), True),)),
        ("id=eq.1,name=eq.x", (Condition("id", "eq", ("1",)), Condition("name", "eq", ("x",)))),
        ("id=in.(1, 2,3)", (Condition("id", "in", ("1", "2", "3")),)),
        ('name=in.("a,b",c)', (Condition("name", "in", ("a,b", "c")),)),
        ('name=eq."a,b",id=eq.1', (Condition("name", "eq", ("a,b",)), Condition("id", "eq", ("1",)))),
        (r'name=eq."say \"hi\" \\"', (Condition("name", "eq", (r'say "hi" \ '.rstrip(" "),)),)),
        ('name=eq."open', (Condition("name", "eq", ('"open',)),)),
        ("at=is.NULL", (Condition("at", "is", ("null",)),)),
        ("name=match.^a(b|c)$", (Condition("name", "match", ("^a(b|c)$",)),)),
        ("point=eq.(1,2)", (Condition("point", "eq", ("(1,2)",)),)),
    ],
)
def test_filters_are_parsed(text: str | None, expected: tuple[Condition, ...]) -> None:
    assert parse_filter(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("foo", "Error parsing `filter` params"),
        ("id=near.1", "Error parsing `filter` params"),
        ("id=eq.1,", "filter must not contain empty segments"),
        (",id=eq.1", "filter must not contain empty segments"),
        ("id=in.1,2", "must be wrapped by parentheses"),
        ("id=in.(" + ",".join("1" * 101) + ")", "too many values for `in` filter. Maximum 100"),
        ("at=is.soon", "must be null, true, false or unknown"),
        ("id=eq.\x00", "must not contain NUL"),
    ],
)
def test_wrong_filters_are_refused_in_words(text: str, message: str) -> None:
    with pytest.raises(InvalidFilter, match=message.replace("(", r"\(").replace(")", r"\)")) as refusal:
        parse_filter(text)
    assert refusal.value.problem.hint


@given(st.text())
def test_no_text_crashes_the_parser(text: str) -> None:
    try:
        conditions = parse_filter(text)
    except InvalidFilter:
        return
    assert all(condition.column and condition.values for condition in conditions)


def test_a_condition_can_say_itself() -> None:
    assert describe(Condition("id", "in", ("1", "2"), True)) == "id=not.in.(1,2)"
    assert describe(Condition("id", "eq", ("1",))) == "id=eq.1"


@pytest.mark.parametrize("operator", ["eq", "neq", "lt", "lte", "gt", "gte", "in", "like", "ilike", "match", "imatch"])
@pytest.mark.parametrize("negated", [False, True])
def test_null_satisfies_nothing(operator: str, negated: bool) -> None:
    assert matches(Condition("c", operator, ("1",), negated), None, EXACT) is False


@pytest.mark.parametrize(
    ("condition", "value", "comparable", "expected"),
    [
        (Condition("c", "is", ("null",)), None, OPAQUE, True),
        (Condition("c", "is", ("null",), True), None, OPAQUE, False),
        (Condition("c", "is", ("null",), True), "x", OPAQUE, True),
        (Condition("c", "is", ("true",)), "t", OPAQUE, True),
        (Condition("c", "is", ("false",)), "t", OPAQUE, False),
        (Condition("c", "is", ("unknown",)), None, OPAQUE, True),
        (Condition("c", "isdistinct", ("x",)), None, EXACT, True),
        (Condition("c", "isdistinct", ("x",), True), None, EXACT, False),
        (Condition("c", "isdistinct", ("x",)), "x", EXACT, False),
        (Condition("c", "eq", ("x",)), "x", EXACT, True),
        (Condition("c", "eq", ("x",), True), "x", EXACT, False),
        (Condition("c", "neq", ("x",)), "y", EXACT, True),
        (Condition("c", "in", ("x", "y")), "y", EXACT, True),
        (Condition("c", "in", ("x", "y"), True), "z", EXACT, True),
        (Condition("c", "eq", ("1.0",)), "1.00", OPAQUE, None),
        (Condition("c", "gt", ("9",)), "10", NUMBER, True),
        (Condition("c", "lte", ("9",)), "-10", NUMBER, True),
        (Condition("c", "gt", ("9",)), "b", EXACT, None),
        (Condition("c", "like", ("a%",)), "abc", EXACT, None),
    ],
)
def test_texts_decide_what_they_can(
    condition: Condition, value: str | None, comparable: Comparable, expected: bool | None
) -> None:
    assert matches(condition, value, comparable) is expected
