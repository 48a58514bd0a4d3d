"""Conditions as pg_get_expr and people write them, taken apart into leaves and their sides."""

import pytest

from realtime_inspector.errors import InvalidInput
from realtime_inspector.visibility.expressions import Sides, Tree, sides, single, tree, value_of


def shape(parts: Tree) -> object:
    """A tree as (kind, children), its leaves as texts."""
    return parts.text if parts.kind == "leaf" else (parts.kind, [shape(child) for child in parts.children])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", "true"),
        ("(owner = auth.uid())", "owner = auth.uid()"),
        ("((a = 1) OR ((b = 2) AND (NOT c)))", ("or", ["a = 1", ("and", ["b = 2", ("not", ["c"])])])),
        ("(((a)::text = 'x or y'::text) AND (\"and\" IS NULL))", ("and", ["(a)::text = 'x or y'::text", '"and" IS NULL'])),
        ("((a = 'it''s (or'::text) OR b)", ("or", ["a = 'it''s (or'::text", "b"])),
        ("((a = E'\\' or '::text) OR b)", ("or", ["a = E'\\' or '::text", "b"])),
        ("(a = $q$ ) or ( $q$ OR b)", ("or", ["a = $q$ ) or ( $q$", "b"])),
        (
            "(EXISTS ( SELECT 1\n   FROM m\n  WHERE ((m.a = t.b) AND m.c)))",
            "EXISTS ( SELECT 1\n   FROM m\n  WHERE ((m.a = t.b) AND m.c))",
        ),
        ("( SELECT (a AND b))", "(SELECT (a AND b))"),
        ("CASE WHEN a AND b THEN c ELSE (d OR e) END", "CASE WHEN a AND b THEN c ELSE (d OR e) END"),
        ("(CASE WHEN a THEN b ELSE c END OR d)", ("or", ["CASE WHEN a THEN b ELSE c END", "d"])),
        ("a between 1 and 3 and not b = 2", ("and", ["a between 1 and 3", ("not", ["b = 2"])])),
        ("a or b and c", ("or", ["a", ("and", ["b", "c"])])),
        ("(a) or (b)", ("or", ["a", "b"])),
        ("x is not null", "x is not null"),
        ("f(a AND b)", "f(a AND b)"),
        ("((ARRAY[(a AND b)])[1] OR c)", ("or", ["(ARRAY[(a AND b)])[1]", "c"])),
    ],
)
def test_only_what_joins_conditions_divides_them(text: str, expected: object) -> None:
    assert shape(tree(text)) == expected


@pytest.mark.parametrize(
    ("leaf", "expected"),
    [
        ("(owner = ( SELECT auth.uid() AS uid))", Sides("owner", "=", "( SELECT auth.uid() AS uid)")),
        ("(a OPERATOR(public.@>) b)", Sides("a", "OPERATOR(public.@>)", "b")),
        ("(tag = ANY (ARRAY['a = b'::text]))", Sides("tag", "= ANY", "(ARRAY['a = b'::text])")),
        ("(x IS NOT NULL)", Sides("x", "IS NOT NULL", None)),
        ("(x IS DISTINCT FROM y)", Sides("x", "IS DISTINCT FROM", "y")),
        ("x is distinct from true", Sides("x", "is distinct from", "true")),
        ("(id IN ( SELECT m.id\n FROM m))", Sides("id", "IN", "( SELECT m.id\n FROM m)")),
        ("x not like 'a%'", Sides("x", "not like", "'a%'")),
        ("b = c + 1", Sides("b", "=", "c + 1")),
        ("((a ->> 'b'::text) = 'c'::text)", Sides("(a ->> 'b'::text)", "=", "'c'::text")),
        ("f(posts.*)", None),
        ("(posts.* IS NOT NULL)", Sides("posts.*", "IS NOT NULL", None)),
        ("has_role('editor'::text)", None),
        ("true", None),
        ("(EXISTS ( SELECT 1 WHERE (a = b)))", None),
        ("CASE WHEN (a = b) THEN true ELSE false END", None),
        ("a between 1 and 3", None),
        ("(- a)", None),
        ("a + b - c", None),
        ("", None),
    ],
)
def test_a_leaf_has_the_operator_on_top_and_its_two_sides(leaf: str, expected: Sides | None) -> None:
    assert sides(leaf) == expected


def test_a_set_that_is_compared_with_is_shown_as_an_array() -> None:
    found = sides("(id IN ( SELECT m.id FROM m))")
    assert found is not None
    assert value_of(found) == ("id", "array( SELECT m.id FROM m)")
    scalar = sides("(id = ( SELECT m.id FROM m))")
    assert scalar is not None
    assert value_of(scalar) == ("id", "( SELECT m.id FROM m)")


@pytest.mark.parametrize(
    "text", ["owner = auth.uid()", "a = 'x; -- y'", "a = $$ ; $$", "x ? 'b'", "a[1] = 2", "a = E'\\';'", "a\nor b", "a = 1.5e3"]
)
def test_a_candidate_may_be_any_one_expression(text: str) -> None:
    assert single(f" {text} ") == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "  ", "a; drop table t", "true) or (true", "(a", "a)", "'x", '"x', "$$x", "e'\\'", "E'\\'", "$1", "a\\b"),
        *("(select true as →$x$ ) ; set role none -- $x$\n)", "(1 = 1a$x$ ) ; x -- $x$\n)", "e'a'\n'b\\' || ' ; x'"),
        *("(select true as a\u00a0$x$ ) ; set role none -- $x$\n)", "true --\r x"),
        *("set_config('role', a, true) is null", '"set_config"(a, b, c) = d', "exists (select from ts_stat('select ' || a))"),
        *("true -- x", "true /* x", "a +-- b", "a /* x */ = 1", "a\x00", "a" * 20_001),
    ],
)
def test_a_candidate_is_nothing_else(text: str) -> None:
    with pytest.raises(InvalidInput):
        single(text)
