"""The filter language: what is accepted, what is refused in which words, and what texts alone decide."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_inspector.visibility.filters import (
    MAX_CONDITIONS,
    MAX_DEPTH,
    Comparable,
    Condition,
    Group,
    InvalidFilter,
    describe,
    matches,
    parse_filter,
)

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
    assert parse_filter(text) == Group("and", expected)


A, B, C = Condition("a", "eq", ("1",)), Condition("b", "gt", ("2",)), Condition("c", "is", ("null",))
NOT_A, NOT_B = (Condition(each.column, each.operator, each.values, True) for each in (A, B))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("or=(a.eq.1,b.gt.2)", (Group("or", (A, B)),)),
        (" or=( a.eq.1 , b.gt.2 ) ", (Group("or", (A, Condition("b", "gt", ("2",)))),)),
        ("and=(a.eq.1,b.gt.2)", (Group("and", (A, B)),)),
        ("not.or=(a.eq.1,b.gt.2)", (Group("and", (NOT_A, NOT_B)),)),
        ("not.and=(a.eq.1,b.not.gt.2)", (Group("or", (NOT_A, B)),)),
        ("c=is.null,or=(a.eq.1,and(b.gt.2,c.is.null))", (C, Group("or", (A, Group("and", (B, C)))))),
        ("or=(c.is.null,not.and(a.eq.1,not.or(b.not.gt.2)))", (Group("or", (C, Group("or", (NOT_A, Group("or", (NOT_B,)))))),)),
        (
            'or=("a.b".eq."x,)y",c.in.(1,"2,3"))',
            (Group("or", (Condition("a.b", "eq", ("x,)y",)), Condition("c", "in", ("1", "2,3")))),),
        ),
        ('or=("say \\"hi\\"".eq.1)', (Group("or", (Condition('say "hi"', "eq", ("1",)),)),)),
        ("or=eq.5", (Condition("or", "eq", ("5",)),)),
        ("or=(or.eq.5)", (Group("or", (Condition("or", "eq", ("5",)),)),)),
    ],
)
def test_groups_are_parsed_and_negations_carried_down(text: str, parts: tuple[Condition | Group, ...]) -> None:
    assert parse_filter(text).parts == parts


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
        ("or=()", "filter must not contain empty segments"),
        ("or=(a.eq.1,)", "filter must not contain empty segments"),
        ("or=(a=eq.1)", "Error parsing `filter` params"),
        ("or=(a.near.1)", "Error parsing `filter` params"),
        ("or=(a.eq.1", "Error parsing `filter` params"),
        ("or(a.eq.1)", "Error parsing `filter` params"),
        ("a=eq.1,or(a.eq.1)", "Error parsing `filter` params"),
        ("or=(a.in.1)", "must be wrapped by parentheses"),
        ("or=" + "(or" * MAX_DEPTH + "(a.eq.1)" + ")" * MAX_DEPTH, "nested too deep"),
        ("or=(" + ",".join(["a.eq.1"] * (MAX_CONDITIONS + 1)) + ")", "too many conditions in a filter. Maximum 100"),
        (",".join(["a=eq.1"] * (MAX_CONDITIONS + 1)), "too many conditions in a filter. Maximum 100"),
    ],
)
def test_wrong_filters_are_refused_in_words(text: str, message: str) -> None:
    with pytest.raises(InvalidFilter, match=message.replace("(", r"\(").replace(")", r"\)")) as refusal:
        parse_filter(text)
    assert refusal.value.problem.hint


@given(st.text())
def test_no_text_crashes_the_parser(text: str) -> None:
    try:
        conditions = parse_filter(text).conditions
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
