"""Grouping on a real Postgres: what policies can depend on, and that one's answer is everybody's whose claims agree there.

The oracle asks every identity itself and compares: whatever the policies and the claims, asking fewer must answer the same.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg
import orjson
import pytest

from realtime_inspector.model import Identity
from realtime_inspector.pipeline.askers import about_rows
from realtime_inspector.postgres.evaluator import Evaluator
from realtime_inspector.postgres.questions import Question, by_ctid
from realtime_inspector.postgres.shapes import read_shapes
from realtime_inspector.postgres.snapshot import SnapshotReader, View, Wanted
from realtime_inspector.visibility.facts import Access, Shape
from realtime_inspector.visibility.reads import ALL, Path, declarations
from realtime_inspector.visibility.verdicts import BLIND, Evidence, Sight
from tests.postgres.conftest import Engine

pytestmark = pytest.mark.every_version

CLAIMS = "current_setting('request.jwt.claims', true)"
SCHEMA = f"""
create extension if not exists citext;
create schema extensions; create type kind as enum ('a', 'b'); create type pair as (x int, y int);
create domain positive as int check (value > coalesce(({CLAIMS}::json ->> 'least')::int, 0)); create domain name_ as text;
create table member (who uuid, tag text); create table hidden (who uuid, tag text); alter table hidden enable row level security;
create policy p on hidden using ({CLAIMS}::json ->> 'org' = tag);
create table nested (n int); alter table nested enable row level security;
create policy p on nested using (exists (select from hidden where tag = 'x'));
create view seen with (security_barrier) as select * from member where who = auth.uid();
grant select on member, hidden, nested, seen to authenticated;
create function auth.jwt() returns jsonb stable language sql as $$ select nullif({CLAIMS}, '')::jsonb $$;
create function auth.role() returns text stable language sql as $$ select {CLAIMS}::json ->> 'role' $$;
create function auth.uid(int) returns uuid stable language sql as $$ select ({CLAIMS}::json ->> 'other')::uuid $$;
create function renamed() returns text stable language sql as $$ select {CLAIMS}::jsonb ->> 'org' $$;
create function set_otherwise() returns text stable set request.jwt.claims = '' language sql as $$ select {CLAIMS} $$;
create function in_plpgsql() returns text stable language plpgsql as $$ begin return {CLAIMS}::json ->> 'sub'; end $$;
create function liar() returns text immutable language sql as $$ select {CLAIMS}::json ->> 'tag' $$;
create function through() returns text stable language sql as $$ select liar() $$;
create function is_member(wanted text) returns boolean stable security definer set search_path = '' language sql as
  $$ select exists (select from public.member where who = auth.uid() and tag = wanted) $$;
create function same(text, text) returns boolean immutable language sql as $$ select $1 = $2 and {CLAIMS} ~ 'x' $$;
create operator === (leftarg = text, rightarg = text, function = same);
"""
SUB, ORG, TAG = (frozenset({(name,)}) for name in ("sub", "org", "tag"))
READ: dict[str, frozenset[Path]] = {
    "owner = auth.uid()": SUB,
    "(select auth.uid()) = owner and n > 3": SUB,
    "exists (select from member m where m.who = auth.uid() and m.tag = t.tag)": SUB,
    "owner in (select who from member)": frozenset(),
    "exists (with x as (select tag from member union select tag from t group by 1) select from x where tag = renamed())": ORG,
    f"{CLAIMS}::json ->> 'org' = tag": ORG,
    f"{CLAIMS}::jsonb #>> '{{app_metadata,role}}' = 'admin'": frozenset({("app_metadata", "role")}),
    "auth.jwt() -> 'app_metadata' ->> 'role' = tag or owner = auth.uid()": SUB | {("app_metadata", "role")},
    "jsonb_extract_path_text(auth.jwt(), variadic '{a,b}') = tag": frozenset({("a", "b")}),
    "jsonb_extract_path_text(auth.jwt(), 'a', tag) = tag": ALL,
    "auth.jwt() ->> tag = 'x'": ALL,
    "auth.jwt() ? 'org'": ALL,
    "auth.jwt() -> 'tags' ? tag": frozenset({("tags",)}),
    "tag = any (array(select jsonb_array_elements_text(auth.jwt() -> 'tags')))": frozenset({("tags",)}),
    "(auth.jwt() ->> 'tags')::jsonb ->> 'x' = tag": frozenset({("tags", "x")}),
    "coalesce(auth.jwt() ->> 'org', auth.jwt() ->> 'tag') = tag": ORG | TAG,
    "coalesce(auth.jwt() -> 'org', '{}'::jsonb) ->> 'x' = tag": ORG,
    f"nullif({CLAIMS}, '{{}}')::json ->> 'org' = tag": ALL,
    f"(coalesce({CLAIMS}, '{{}}')::json ->> 'org') = tag": ORG,
    "case when n > 2 then auth.role() = tag else false end": frozenset({("role",)}),
    "renamed() = tag": ORG,
    "tag = any (array[auth.role(), renamed()])": ORG | {("role",)},
    "current_user = 'authenticated' and session_user <> 'x' and current_role::text = 'authenticated'": frozenset(),
    "current_setting('request.headers', true) is null": frozenset(),
    "current_setting('REQUEST.jwt.CLAIMS', true) is null": ALL,
    "current_setting(tag, true) is null": ALL,
    "now() > at and at + interval '1 day' > current_timestamp and date_trunc('day', at) is not null": frozenset(),
    "kind = 'a' and name_ = 'x' and kinds = '{a}'": frozenset(),
    "exists (select from hidden)": ORG,
    "exists (select from nested)": ORG,
    "exists (select from seen)": ALL,
    "exists (select from pg_settings where setting ~ 'x')": ALL,
    "exists (select from generate_series(1, n) g where g = 2)": frozenset(),
    "exists (select from auth.role() r where r = tag)": frozenset({("role",)}),
    "random() > 0.5": ALL,
    "auth.uid(1) = owner": ALL,
    "set_otherwise() is not null": ALL,
    "in_plpgsql() = tag": ALL,
    "liar() = tag": TAG,
    "through() = tag": ALL,
    "is_member(tag)": ALL,
    "tag === 'x'": ALL,
    "n::positive > 0": ALL,
    "pair is not distinct from row(1, 2)::pair": ALL,
    "row(n, tag) < row(1, 'x')": ALL,
    "t.* is not null": ALL,
    "email = 'x@example.com'": ALL,
    "query_to_xml(tag, true, true, '') is null": ALL,
    "true": frozenset(),
}
"""What each expression reads of the claims; ALL for those of which it cannot be known, or is not."""
COLUMNS = """
  id int primary key, owner uuid, tag text, n int, at timestamptz, kind kind, kinds kind[], name_ name_, pair pair, email citext,
  posix text collate "POSIX"
"""


@pytest.fixture
async def reader(engine: Engine) -> Any:
    made = SnapshotReader(engine.reader, 2_000)
    yield made
    await made.close()


@pytest.fixture
async def evaluator(engine: Engine) -> Any:
    made = Evaluator(engine.evaluator, connections=2, statement_timeout_ms=2_000, search_path="public, extensions")
    yield made
    await made.close()


async def shapes_of(engine: Engine, tables: Sequence[str]) -> list[Shape]:
    connection = await asyncpg.connect(engine.admin, server_settings={"search_path": ""})
    try:
        found = await read_shapes(connection, [engine.oid(table) for table in tables])
        return [found[engine.oid(table)] for table in tables]
    finally:
        await connection.close()


def table(name: str, *policies: str) -> str:
    made = [f"create policy p{n} on {name} {policy};" for n, policy in enumerate(policies)]
    head = (
        f"create table {name} ({COLUMNS}); alter table {name} enable row level security; grant select on {name} to authenticated;"
    )
    return head + re.sub(r"\bt\b(?=[. ])", name, "".join(made))


async def accesses(engine: Engine, reader: SnapshotReader, tables: Sequence[str]) -> list[Access]:
    shapes = await shapes_of(engine, tables)
    async with reader.open([], [Wanted(shape, []) for shape in shapes], ["authenticated"]) as view:
        return [view.access[shape.oid]["authenticated"] for shape in shapes]


async def test_what_policies_can_depend_on(engine: Engine, reader: SnapshotReader) -> None:
    names = [f"t{n}" for n in range(len(READ))]
    engine.run(SCHEMA + "".join(table(name, f"for select using ({policy})") for name, policy in zip(names, READ, strict=True)))
    found = [access.claims for access in await accesses(engine, reader, names)]
    assert dict(zip(READ, found, strict=True)) == READ


OWNERS = {
    "owner = auth.uid()": {"owner"},
    "(select auth.uid()) = owner and is_member(tag)": {"owner"},
    "n > 3 and (owner = auth.uid() or tag = auth.uid()::text)": {"owner", "tag"},
    "name_ = auth.jwt() ->> 'sub'": {"name_"},
    "owner = auth.uid() or n = 3": None,
    "owner is not distinct from auth.uid()": None,
    "owner = coalesce(auth.uid(), '00000001-0000-0000-0000-000000000000')": None,
    "tag = (auth.jwt() -> 'sub')::text": None,
    "tag = auth.jwt() ->> 'org'": None,
    "not owner = auth.uid()": None,
    "owner = auth.uid(1)": None,
    "exists (select from member where who = auth.uid())": None,
    "posix = auth.uid()::text": None,
}
"""The columns of which one must be the claim `sub`; None where rows are visible otherwise."""


async def test_whose_rows_policies_show(engine: Engine, reader: SnapshotReader) -> None:
    names = [f"t{n}" for n in range(len(OWNERS))]
    tables = [
        table(name, f"using ({policy})", "as restrictive using (random() > 2)")
        for name, policy in zip(names, OWNERS, strict=True)
    ]
    engine.run(SCHEMA + "".join(tables) + table("nobody") + table("others", "to anon using (true)"))
    found = [access.owners for access in await accesses(engine, reader, [*names, "nobody", "others"])]
    assert dict(zip(OWNERS, found, strict=False)) == OWNERS
    assert found[-2:] == [frozenset(), frozenset()]


async def test_policies_that_only_check_what_is_written_show_nothing(engine: Engine, reader: SnapshotReader) -> None:
    engine.run(SCHEMA + table("t", "with check (owner = auth.uid())"))
    assert [(access.claims, access.owners) for access in await accesses(engine, reader, ["t"])] == [(frozenset(), frozenset())]


async def test_an_expression_without_end_depends_on_everything(engine: Engine, reader: SnapshotReader) -> None:
    engine.run(SCHEMA + table("t", f"using ({'not (' * 900}owner = auth.uid(){')' * 900})"))
    assert [(access.claims, access.owners) for access in await accesses(engine, reader, ["t"])] == [(ALL, None)]


@pytest.mark.parametrize(
    "shadow",
    [
        "create function public.current_setting(text) returns text language sql as 'select null::text'",
        "create function public.f(json, json) returns text language sql as 'select null::text';"
        "create operator public.->> (leftarg = json, rightarg = json, function = public.f)",
        "create domain extensions.uuid as text",
        "create function public.f(text) returns uuid language sql as 'select null::uuid';"
        "create cast (text as uuid) with function public.f(text)",
    ],
)
async def test_bodies_are_not_believed_where_something_stands_in_for_their_words(
    engine: Engine, reader: SnapshotReader, shadow: str
) -> None:
    engine.run(SCHEMA + table("t", "using (owner = auth.uid())"))
    assert [access.claims for access in await accesses(engine, reader, ["t"])] == [SUB]
    engine.run(shadow)
    assert [(access.claims, access.owners) for access in await accesses(engine, reader, ["t"])] == [(ALL, None)]


async def test_every_change_of_a_policy_or_function_is_noticed(engine: Engine, reader: SnapshotReader) -> None:
    engine.run(SCHEMA + table("t", "using (exists (select from hidden) and auth.role() = 'x')"))
    function = "create or replace function auth.role() returns text stable language sql as"
    changes = {
        f"{function} $$ select {CLAIMS}::json ->> 'tag' $$": ORG | TAG,
        "alter policy p on hidden using (auth.jwt() ->> 'sub' = tag)": SUB | TAG,
        "create policy q on hidden to anon using (auth.jwt() ->> 'org' = tag)": SUB | TAG,
        "grant anon to authenticated": SUB | TAG | ORG,
        "revoke anon from authenticated": SUB | TAG,
        "alter function auth.role() set request.jwt.claims = ''": ALL,
    }
    (before,) = await accesses(engine, reader, ["t"])
    for change, claims in changes.items():
        engine.run(change)
        (access,) = await accesses(engine, reader, ["t"])
        assert access.claims == claims, change
        assert (access.version == before.version) == ("to anon" in change), change
        before = access


async def test_the_operator_says_what_a_function_reads(engine: Engine) -> None:
    engine.run(SCHEMA + table("t", "using (is_member(tag) and in_plpgsql() = tag)"))
    for texts, claims in (
        (["public.is_member=sub"], ALL),
        (["public.is_member=sub", "public.in_plpgsql=a.b+c"], {("sub",), ("a", "b"), ("c",)}),
    ):
        reader = SnapshotReader(engine.reader, 2_000, declarations(texts))
        (access,) = await accesses(engine, reader, ["t"])
        assert access.claims == claims
        await reader.close()


# The oracle.

IDS = [f"{n:08d}-0000-0000-0000-00000000000a" for n in (1, 2, 3)]
KNOWN = [policy for policy, claims in READ.items() if claims != ALL and policy != "liar() = tag"]
UNSURE = ("random", "pg_settings", "auth.uid(1)", "through", "positive")
OPAQUE = [policy for policy, claims in READ.items() if claims == ALL and not any(word in policy for word in UNSURE)]
COMBINED = [
    "({0}) and ({1})",
    "({0}) or ({1})",
    "not ({0})",
    "case when {0} then {1} else {2} end",
    "({0}) is distinct from ({1})",
    "{0}",
]


def expression(chance: random.Random, depth: int = 2) -> str:
    if depth == 0:
        return chance.choice(OPAQUE if chance.random() < 0.05 else KNOWN)
    return chance.choice(COMBINED).format(*(expression(chance, depth - 1) for _ in range(3)))


def identity(chance: random.Random, number: int) -> Identity:
    """Few values of each claim, so that many agree in some of them."""
    values: dict[str, list[Any]] = {
        "sub": [*IDS, *IDS, IDS[2].upper(), None],
        "org": ["x", "y", {"x": "x"}],
        "tag": ["x", "y"],
        "tags": [["x"], [], {"x": "x"}, "x"],
        "role": ["authenticated", "x"],
        "app_metadata": [{"role": "admin"}, {"role": "x", "more": number}, None],
        "other": [*IDS],
    }
    claims = {name: chance.choice(choices) for name, choices in values.items() if chance.random() < 0.9}
    return Identity("authenticated", orjson.dumps({**claims, "iat": number}, option=orjson.OPT_SORT_KEYS).decode())


def rows(chance: random.Random, name: str) -> str:
    made = []
    for n in range(6):
        owner, tag = chance.choice([*IDS, None]), chance.choice([None, "x", "y", IDS[0]])
        texts = ["null" if text is None else f"'{text}'" for text in (owner, tag)]
        made.append(
            f"({n}, {', '.join(texts)}, {chance.randint(1, 5)}, '2020-01-01', 'a', '{{a}}', 'x', row(1, 2), 'x@example.com')"
        )
    return f"insert into {name} values {', '.join(made)};"


async def asked(
    evaluator: Evaluator, view: View, questions: Sequence[tuple[Question, Mapping[Identity, Sequence[Identity]]]]
) -> dict[Identity, Sight]:
    answers = await evaluator.ask(view.snapshot, [question for question, _ in questions])
    return {
        member: sight
        for answer, (_, groups) in zip(answers, questions, strict=True)
        for one, sight in answer.items()
        for member in groups[one]
    }


@dataclass
class Comparison:
    """How many were asked, of how many; and who was given another answer than their own."""

    asked: int = 0
    identities: int = 0
    wrong: list[tuple[str, Identity]] = field(default_factory=list)


async def compare(
    engine: Engine,
    reader: SnapshotReader,
    evaluator: Evaluator,
    tables: Sequence[str],
    identities: Sequence[Identity],
    changed: Mapping[str, Any],
) -> Comparison:
    """`changed`: what is taken to hold of the policies instead of what was derived."""
    result = Comparison()
    shapes = await shapes_of(engine, tables)
    wanted = [Wanted(shape, [(str(n),) for n in range(6)]) for shape in shapes]
    async with reader.open([], wanted, ["authenticated"]) as view:
        for shape, fetched in zip(shapes, view.relations, strict=True):
            access = {role: replace(found, **changed) for role, found in view.access[shape.oid].items()}
            stored = [fetched.rows[place] for place in sorted(fetched.rows)]
            values = [dict(zip([name for name, _ in fetched.columns], row.values, strict=True)) for row in stored]
            ctids = [row.ctid for row in stored]
            questions = about_rows(Evidence(shape, (), values=values, access=access), identities, ctids)
            each = Question(by_ctid(shape, folds=access["authenticated"].folds), ctids, identities)
            grouped = await asked(evaluator, view, questions)
            alone = await asked(evaluator, view, [(each, {one: [one] for one in identities})])
            result.wrong += [
                (shape.name, i) for i in identities if list(grouped.get(i, BLIND).rows) != list(alone.get(i, BLIND).rows)
            ]
            result.asked += sum(len(question.identities) for question, _ in questions)
            result.identities += len(identities)
    return result


@pytest.mark.parametrize("seed", [1, 2])
async def test_asking_few_answers_what_asking_everybody_does(
    engine: Engine, reader: SnapshotReader, evaluator: Evaluator, seed: int
) -> None:
    chance = random.Random(seed)
    names = [f"t{n}" for n in range(24)]
    made = [
        table(name, *(f"{kind} using ({expression(chance)})" for kind in chance.choice([["", ""], [""], ["", "as restrictive"]])))
        for name in names
    ]
    made += [table("own", "using (owner = auth.uid() or auth.uid()::text = tag)", "as restrictive using (n > 2)")]
    filled = f"""
        insert into member values ('{IDS[0]}', 'x'), ('{IDS[1]}', 'y'); insert into hidden values ('{IDS[0]}', 'x');
        insert into nested values (1);"""
    engine.run(SCHEMA + "".join(made) + filled + "".join(rows(chance, name) for name in [*names, "own"]))
    identities = list(dict.fromkeys(identity(chance, n) for n in range(40)))
    found = await compare(engine, reader, evaluator, [*names, "own"], identities, {})
    assert found.wrong == []
    assert found.asked < 0.8 * found.identities
    own = await compare(engine, reader, evaluator, ["own"], identities, {})
    assert own.asked < 20


@pytest.mark.parametrize(
    "policy", ["owner = auth.uid()", "auth.jwt() ->> 'org' = tag", "exists (select from hidden)", "auth.role() = tag"]
)
async def test_a_claim_that_is_left_out_would_be_noticed(
    engine: Engine, reader: SnapshotReader, evaluator: Evaluator, policy: str
) -> None:
    """What the oracle is worth."""
    chance = random.Random(3)
    engine.run(SCHEMA + table("t", f"using ({policy})") + f"insert into hidden values ('{IDS[0]}', 'x');" + rows(chance, "t"))
    identities = [identity(chance, n) for n in range(40)]
    found = await compare(engine, reader, evaluator, ["t"], identities, {"claims": frozenset(), "owners": None})
    assert len(found.wrong) > 5
