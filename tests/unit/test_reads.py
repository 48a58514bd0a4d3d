"""What functions such as auth.uid() read, by their text, and what the operator declares."""

import pytest

from realtime_inspector.errors import InvalidInput
from realtime_inspector.visibility.reads import ALL, body, declarations

CLAIMS = "current_setting('request.jwt.claims', true)"
SUB = frozenset({("sub",)})


@pytest.mark.parametrize(
    "text",
    [
        f"select ({CLAIMS}::json ->> 'sub')::uuid",
        f" SELECT (nullif({CLAIMS}, '')::jsonb ->> 'sub')::uuid ; ",
        f"select nullif({CLAIMS.replace('current', 'pg_catalog.current')}::json->>'sub','')::pg_catalog.uuid",
        "select coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''), "
        f"(nullif({CLAIMS}, '')::jsonb ->> 'sub'))::uuid",
        f"select ((select {CLAIMS})::jsonb #>> '{{sub}}')::uuid",
        "select current_setting('Request.JWT.Claims')::json ->> 'sub'",
    ],
)
def test_the_id_of_the_user(text: str) -> None:
    found = body(text)
    assert found is not None
    assert (found.paths, found.plain) == (SUB, True)


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        (f"select nullif({CLAIMS}, '')::jsonb", ALL),
        (f"select {CLAIMS}::jsonb -> 'app_metadata' ->> 'role'", frozenset({("app_metadata", "role")})),
        (f"select {CLAIMS}::jsonb #> '{{app_metadata,role}}'", frozenset({("app_metadata", "role")})),
        (f"select coalesce({CLAIMS}::json ->> 'a', {CLAIMS}::json ->> 'b')", frozenset({("a",), ("b",)})),
        (f"select nullif({CLAIMS}, '{{}}')::json ->> 'a'", ALL),
        (f"select nullif({CLAIMS}::json ->> 'a', 'x')::json ->> 'b'", frozenset({("a",)})),
        (f"select coalesce(current_setting('x.y', true), {CLAIMS}::json ->> 'a')::json ->> 'b'", frozenset({("a",)})),
        ("select current_setting('request.headers', true)::json ->> 'sub'", frozenset()),
    ],
)
def test_other_claims(text: str, paths: frozenset[tuple[str, ...]]) -> None:
    found = body(text)
    assert found is not None
    assert found.paths == paths


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"select {CLAIMS}::json ->> 'sub' from somewhere",
        f"select {CLAIMS}::json ->> 'sub' || {CLAIMS}",
        f"select {CLAIMS}::json ->> $1",
        f"select {CLAIMS}::json ->> 'su' 'b'",
        f"select {CLAIMS}::json ->> E'sub'",
        f"select {CLAIMS}::json ->> 's\\x75b'",
        f"select {CLAIMS}::json -- ->> 'sub'",
        f"select {CLAIMS}::json /**/ ->> 'sub'",
        f"select {CLAIMS}::public.json ->> 'sub'",
        f"select public.{CLAIMS}::json ->> 'sub'",
        f"select \"current_setting\"({CLAIMS[16:]}::json ->> 'sub'",
        f"select {CLAIMS}::json #>> '{{a,\"b\"}}'",
        f"select {CLAIMS}::json #>> '{{0}}'",
        f"select set_config('request.jwt.claims', '', true); select {CLAIMS}",
        f"select 1; select {CLAIMS}",
        f"begin return {CLAIMS}; end",
        "select auth.uid()",
        f"\N{KELVIN SIGN}elect {CLAIMS}",
        f"select\N{NO-BREAK SPACE}{CLAIMS}",
    ],
)
def test_whatever_else_a_body_does_is_not_understood(text: str) -> None:
    assert body(text) is None


def test_a_key_of_an_object_is_not_its_text() -> None:
    found = body(f"select ({CLAIMS}::jsonb -> 'sub')::text")
    assert found is not None
    assert not found.plain


def test_declared_functions() -> None:
    assert declarations(["app.has_role = sub + app_metadata.role", "app.today="]) == {
        "app.has_role": frozenset({("sub",), ("app_metadata", "role")}),
        "app.today": frozenset(),
    }


@pytest.mark.parametrize(
    "text", ["has_role=sub", "app.has_role", "app.=sub", "app.has_role=sub+", "app.has_role=a..b", "a.b.c=sub"]
)
def test_a_declaration_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="claims_read"):
        declarations([text])
