"""Why an identity sees a row: the trace of real policies on a real Postgres, beside the row selected as that identity."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from realtime_inspector.errors import InvalidInput, NotFound, RealtimeError
from realtime_inspector.identity.tokens import canonical
from realtime_inspector.model import Change, Column, Identity, Operation, Position, Relation, ReplicaIdentity, Transaction
from realtime_inspector.pipeline.inquiry import Find, Inquirer
from realtime_inspector.pipeline.receivers import Receivers
from realtime_inspector.ports import Outlet
from realtime_inspector.server.explaining import explained
from realtime_inspector.settings import Settings
from realtime_inspector.visibility.asking import Candidate, Question
from realtime_inspector.visibility.index import Index
from tests.postgres.conftest import Engine

ANN, BOB = "aaaaaaaa-0000-4000-8000-000000000000", "bbbbbbbb-0000-4000-8000-000000000000"
SCHEMA = f"""
create table posts (id int primary key, owner uuid, tag text, n int, body text);
alter table posts enable row level security;
grant select on posts to anon, authenticated;
grant select (id, owner, tag) on posts to limited;
insert into posts values (1, '{ANN}', 'red', 1, 'x'), (2, '{BOB}', 'blue', 3, null), (3, null, null, null, null);
create table member (who uuid, tag text);
grant select on member to authenticated;
insert into member values ('{ANN}', 'blue');
create publication supabase_realtime for table posts;
"""


def identity(role: str = "authenticated", sub: str | None = ANN, **claims: Any) -> Identity:
    return Identity(role, canonical({"role": role, **({"sub": sub} if sub else {}), **claims}).decode())


async def nothing(_: str) -> tuple[Transaction, Change] | None:
    return None


class Asking:
    """The inquirer, and its answers as an admin gets them."""

    def __init__(self, engine: Engine, find: Find | None = None, **settings: Any) -> None:
        self.settings = Settings(
            reader_url=engine.reader,
            evaluator_url=engine.evaluator,
            allowed_roles=("anon", "authenticated", "limited", "service_role"),
            statement_timeout_ms=500,
            **settings,
        )
        index: Index[Outlet] = Index()
        self.inquirer = Inquirer(self.settings, find or nothing, Receivers.open(self.settings, index))

    async def why(self, key: str | None = "1", who: Identity | None = None, table: str = "posts", **more: Any) -> dict[str, Any]:
        named = {"key": {"id": key}} if key is not None else {}
        given = {"schema": "public", "table": table, **named, **more}
        return explained(await self.inquirer.why(Question(who or identity(), **given)))


@pytest.fixture
async def asking(engine: Engine) -> AsyncIterator[Asking]:
    engine.run(SCHEMA)
    made = Asking(engine)
    yield made
    await made.inquirer.close()


def policy(answer: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [each for each in answer["policies"] if each["name"] == name]
    return found


async def test_each_part_of_a_policy_is_told_with_what_stands_on_both_sides(engine: Engine, asking: Asking) -> None:
    engine.run("create policy own on posts for select to authenticated using (owner = auth.uid() and (n > 2 or tag = 'red'))")
    mine, other = await asking.why("1"), await asking.why("2")
    assert (mine["verdict"], other["verdict"]) == ("allowed", "denied")
    assert mine["agrees"] is other["agrees"] is True
    own = policy(other, "own")
    assert own["result"] is False
    assert own["leaves"][0] == {
        "expression": "owner = auth.uid()",
        "result": False,
        "left": BOB,
        "left_expression": "owner",
        "operator": "=",
        "right": ANN,
        "right_expression": "auth.uid()",
    }
    assert [leaf["result"] for leaf in own["leaves"]] == [False, True, False]
    assert [child["result"] for child in own["tree"]["children"]] == [False, True]
    assert other["sentence"].startswith("authenticated does not see public.posts (id=2): the policy “own” does not hold: owner =")


async def test_whatever_changes_is_in_the_next_answer(engine: Engine, asking: Asking) -> None:
    engine.run("create function mine(who uuid) returns bool language sql stable as 'select who = auth.uid()'")
    engine.run("create policy own on posts for select to authenticated using (mine(owner) and n < 5)")
    for _ in range(8):  # by now Postgres has settled on a plan
        assert (await asking.why())["verdict"] == "allowed"
    for change, verdict, name, using in (
        ("alter policy own on posts using (mine(owner) and n > 5)", "denied", "own", "(mine(owner) AND (n > 5))"),
        ("alter policy own on posts rename to owner", "denied", "owner", "(mine(owner) AND (n > 5))"),
        ("alter table posts rename n to number", "denied", "owner", "(mine(owner) AND (number > 5))"),
        ("alter policy owner on posts using (mine(owner))", "allowed", "owner", "mine(owner)"),
        (
            "create or replace function mine(who uuid) returns bool language sql stable as 'select false'",
            "denied",
            "owner",
            "mine(owner)",
        ),
        ("alter table posts disable row level security", "allowed", "owner", "mine(owner)"),
    ):
        engine.run(change)
        answer = await asking.why()
        assert (answer["verdict"], policy(answer, name)["expression"].replace("public.", "")) == (verdict, using), change
    engine.run("revoke select on posts from authenticated")
    assert (await asking.why())["verdict"] == "no_privilege"


async def test_every_restrictive_and_one_permissive_policy_have_to_hold(engine: Engine, asking: Asking) -> None:
    engine.run("create policy all_ on posts using (true); create policy small on posts as restrictive using (n < 3)")
    assert [(await asking.why(key))["verdict"] for key in "123"] == ["allowed", "denied", "denied"]
    answer = await asking.why("3")
    assert answer["agrees"] is True
    assert policy(answer, "small")["result"] is None  # NULL counts as false
    assert "restrictive policy “small” does not hold: n < 3 is NULL" in answer["sentence"]


async def test_a_policy_counts_for_those_who_have_the_privileges_of_its_roles(engine: Engine, asking: Asking) -> None:
    engine.run(
        "do $$ begin create role test_team nologin; exception when duplicate_object then null; end $$;"
        "do $$ begin create role test_heir nologin inherit in role test_team; "
        "create role test_loner nologin noinherit in role test_team; exception when duplicate_object then null; end $$;"
        "grant test_heir, test_loner to engine_evaluator; grant select on posts to test_heir, test_loner;"
        "create policy team on posts to test_team using (true);"
        "create policy writes on posts for insert to public with check (true)"
    )
    heir, loner = await asking.why(who=identity("test_heir")), await asking.why(who=identity("test_loner"))
    assert (heir["verdict"], loner["verdict"]) == ("allowed", "denied")
    assert heir["agrees"] is loner["agrees"] is True
    assert "does not inherit" in policy(loner, "team")["why_not"]
    assert policy(heir, "writes")["why_not"] == "it is for INSERT only"
    assert "no permissive policy applies" in loner["sentence"]


async def test_whoever_is_above_policies_is_told_why(engine: Engine, asking: Asking) -> None:
    engine.run(
        "do $$ begin create role test_owner nologin; exception when duplicate_object then null; end $$;"
        "grant test_owner to engine_evaluator; create policy never on posts using (false);"
        "grant usage, create on schema public to test_owner; alter table posts owner to test_owner;"
        "create table open_ (id int primary key); insert into open_ values (1); grant select on open_ to anon"
    )
    own = await asking.why(who=identity("test_owner"))
    assert (own["verdict"], own["bypass"]) == ("allowed", "owner")
    engine.run("alter table posts force row level security")
    forced = await asking.why(who=identity("test_owner"))
    assert (forced["verdict"], forced["bypass"]) == ("denied", None)
    service = await asking.why(who=identity("service_role"))
    assert (service["verdict"], service["bypass"]) == ("no_privilege", "bypassrls")  # it has no grant here
    off = await asking.why(who=identity("anon"), table="open_")
    assert (off["verdict"], off["bypass"]) == ("allowed", "rls_off")
    engine.run("alter table posts owner to current_user; revoke all on schema public from test_owner")


async def test_grants_are_told_column_by_column(engine: Engine, asking: Asking) -> None:
    engine.run("create policy all_ on posts using (n = 1)")
    limited = await asking.why(who=identity("limited"))
    assert limited["verdict"] == "allowed"  # a policy may use columns that the role cannot read
    assert limited["grants"] == {"schema_usage": True, "table": False, "columns_denied": ["n", "body"]}
    engine.run("revoke select on posts from anon")
    denied = await asking.why(who=identity("anon"))
    assert denied["verdict"] == "no_privilege"
    (granted,) = [step for step in denied["ladder"] if step["step"] == "granted"]
    assert granted["state"] == "failed"


async def test_an_error_is_one_policys_and_one_leafs_only(engine: Engine, asking: Asking) -> None:
    engine.run("create policy a on posts using (1 / (n - 1) > 0 or tag = 'red'); create policy b on posts using (tag = 'blue')")
    answer = await asking.why("1")
    assert (answer["verdict"], answer["agrees"]) == ("raised", True)
    assert policy(answer, "a")["result"]["sqlstate"] == "22012"
    assert [leaf["result"] for leaf in policy(answer, "a")["leaves"]][1] is True
    assert policy(answer, "b")["result"] is False
    assert "raising_order" in [each["code"] for each in answer["caveats"]]
    assert "raises 22012" in answer["sentence"]


async def test_a_policy_that_takes_too_long_is_told_as_such(engine: Engine, asking: Asking) -> None:
    engine.run("create policy sleeps on posts using (pg_sleep(30) is not null)")
    answer = await asking.why("1")
    assert answer["verdict"] == "raised"
    assert policy(answer, "sleeps")["result"]["sqlstate"] == "57014"
    assert (await asking.why("1", who=identity("anon")))["verdict"] == "raised"  # and the connection is as good as new


async def test_what_a_policy_does_to_role_claims_or_tables_stays_with_it(engine: Engine, asking: Asking) -> None:
    engine.run(
        "create function becomes() returns boolean language plpgsql as $$ begin "
        "perform set_config('request.jwt.claims', '{\"sub\": \"" + BOB + "\"}', true); perform set_config('role', 'anon', true); "
        "return true; end $$;"
        "create function writes() returns boolean language plpgsql as "
        "$$ begin insert into member values (null, 'x'); return true; end $$;"
        "create policy a on posts using (becomes() and false); create policy b on posts using (owner = auth.uid());"
        "create policy c on posts using (writes())"
    )
    mine, other = await asking.why("1"), await asking.why("2")
    assert (policy(mine, "b")["result"], policy(other, "b")["result"]) == (True, False)
    assert policy(mine, "c")["result"]["sqlstate"] == "25006"
    assert "read_only" in policy(mine, "c")["caveats"]
    assert engine.run("select count(*) from member") == [(1,)]


async def test_volatile_policies_whole_rows_and_system_columns_are_marked(engine: Engine, asking: Asking) -> None:
    engine.run(
        "create function whole(posts) returns boolean language sql immutable as 'select $1.n = 1';"
        "create policy v on posts using (random() > 2); create policy w on posts using (whole(posts));"
        "create policy s on posts using (tableoid = 'posts'::regclass and ctid is not null)"
    )
    answer = await asking.why("1")
    assert answer["agrees"] is True
    assert [policy(answer, name)["caveats"] for name in "vws"] == [["volatile"], ["system_columns"], ["system_columns"]]
    assert [policy(answer, name)["result"] for name in "ws"] == [True, True]


async def test_a_row_that_is_gone_is_asked_about_as_it_was(engine: Engine, asking: Asking) -> None:
    engine.run(
        "alter table posts add double int generated always as (n * 2) stored;"
        "create policy own on posts using (owner = auth.uid() and double > 2 "
        "and exists (select from member m where m.tag = posts.tag))"
    )
    assert (await asking.why("9"))["verdict"] == "gone"
    old = {"id": "9", "owner": ANN, "tag": "blue", "n": "5"}
    answer = await asking.why("9", old=old)
    assert (answer["verdict"], answer["source"], answer["agrees"]) == ("allowed", "tuple", None)
    assert {each["code"] for each in answer["caveats"]} == {"evaluated_now", "generated", "unknown_columns"}
    assert (await asking.why("9", old={**old, "n": "1"}))["verdict"] == "denied"
    both = await asking.why("1", old={**old, "owner": BOB})
    assert (both["verdict"], both["old"]["verdict"]) == ("denied", "denied")


async def test_what_would_be_with_a_policy_that_does_not_exist(engine: Engine, asking: Asking) -> None:
    engine.run("create policy own on posts using (owner = auth.uid())")
    with_it = await asking.why("2", candidate=Candidate("red", using="tag = 'blue'"))
    assert (with_it["verdict"], with_it["before"], with_it["agrees"]) == ("allowed", "denied", None)
    restrictive = await asking.why("1", candidate=Candidate("no", using="n > 1", permissive=False))
    assert (restrictive["verdict"], restrictive["before"]) == ("denied", "allowed")
    replaced = await asking.why("1", candidate=Candidate("own", using="n > 1"))
    assert replaced["verdict"] == "denied"
    others = await asking.why("2", candidate=Candidate("x", using="true", roles=("limited",)))
    assert others["verdict"] == "denied"
    assert engine.run("select polname from pg_policy") == [("own",)]


@pytest.mark.parametrize(
    "using",
    [
        "true); drop table posts; select (true",
        "true) from unnest(array[1]) as t; delete from posts where (true",
        "(select count(*) from posts_backup) > 0",
        "set_config('role', 'service_role', true) is not null",
        "pg_read_file('/etc/passwd') is not null",
        "(with gone as (delete from posts returning 1) select count(*) from gone) > 0",
        "true -- ",
        "true /* ",
        "E'\\'",
        "$1 is not null",
    ],
)
async def test_a_candidate_is_one_condition_asked_as_that_identity(engine: Engine, asking: Asking, using: str) -> None:
    engine.run("create policy own on posts using (owner = auth.uid())")
    try:
        answer = await asking.why("2", candidate=Candidate("evil", using=using))
    except InvalidInput:
        answer = {"verdict": "refused"}
    assert answer["verdict"] in ("refused", "denied", "raised")
    assert engine.run("select count(*) from posts") == [(3,)]
    assert (await asking.why("1"))["verdict"] == "allowed"


async def test_a_candidate_tells_no_value_that_the_role_may_not_read(engine: Engine, asking: Asking) -> None:
    engine.run(
        "update posts set body = 's3cret'; create policy all_ on posts using (true);"
        "create table hashes (id int primary key, hash text); alter table hashes enable row level security;"
        "insert into hashes values (1, 's3cret')"
    )
    with pytest.raises(InvalidInput, match="authenticated has no SELECT"):
        await asking.why(table="hashes", candidate=Candidate("peek", using="hash = 'x'"))
    assert "s3cret" not in str(await asking.why("1", who=identity("limited")))
    for using in ("body = 'x' or n = 1", "body = 'x'", "body::int = 1", "body::int = 1 or n = 2"):
        answer = await asking.why("1", who=identity("limited"), candidate=Candidate("peek", using=using, permissive=False))
        assert "s3cret" not in str(answer), using
        assert policy(answer, "peek")["asked"], using
    old = {"id": "1", "body": "s3cret"}  # what the asker says can be said
    answer = await asking.why("1", who=identity("limited"), old=old, candidate=Candidate("peek", using="body::int = 1"))
    assert "s3cret" not in str(answer)


async def test_the_script_shows_the_same_and_changes_nothing(engine: Engine, asking: Asking) -> None:
    engine.run('create policy "it\'s ""mine""" on posts using (owner = auth.uid() and body <> E\'\\\\\'\'\')')
    quoted = identity(name="it's \\ 'a'")
    answer = await asking.why("1", who=quoted)
    with psycopg.connect(engine.evaluator, autocommit=True) as connection:
        cursor = connection.execute(answer["sql"].encode())
        found = []
        while cursor.nextset():
            found.append(cursor.fetchall() if cursor.description else [])
    rows = [each for each in found if each]
    assert answer["verdict"] == "allowed"
    assert rows[1][0][0] == 1  # the row
    assert rows[2] == [(True,)]  # its policy


async def test_what_cannot_be_asked_is_refused_with_a_sentence(engine: Engine, asking: Asking) -> None:
    engine.run(
        "create table parts (id int primary key) partition by list (id);create table part_1 partition of parts for values in (1)"
    )
    for wrong in (
        {"table": "nothing"},
        {"table": "part_1"},
        {"who": identity("nobody_at_all")},
        {"key": None},
    ):
        with pytest.raises(InvalidInput):
            await asking.why(**wrong)
    with pytest.raises(RealtimeError):
        await asking.why(key="no number")
    with pytest.raises(NotFound):
        await asking.inquirer.why(Question(identity(), event_id="A" * 27))
    assert (await asking.why("1"))["verdict"] == "denied"


def updated(engine: Engine) -> tuple[Transaction, Change]:
    """An UPDATE of a post with its old row, in a transaction that also wrote a membership."""
    types = engine.run("select attname, atttypid::int8 from pg_attribute where attrelid = 'posts'::regclass and attnum > 0")
    columns = tuple(Column(str(name), int(str(oid)), is_key=True) for name, oid in types)
    posts = Relation(engine.oid("posts"), "public", "posts", ReplicaIdentity.FULL, columns)
    member = Relation(engine.oid("member"), "public", "member", ReplicaIdentity.DEFAULT, ())
    new = ("1", ANN, "red", "1", "x")
    change = Change(Position(7, 1), Operation.UPDATE, posts, new, ("1", BOB, "red", "1", "x"), old_is_full=True)
    return Transaction(None, 7, 0, (Change(Position(7, 0), Operation.INSERT, member, ()), change), 8), change


async def test_an_event_is_explained_with_the_row_before_it_and_what_else_its_transaction_changed(engine: Engine) -> None:
    engine.run(SCHEMA + "alter table posts replica identity full; alter publication supabase_realtime set (publish = 'insert');")
    engine.run("create policy own on posts using (owner = auth.uid() or tag in (select m.tag from member m))")
    asking = Asking(engine, find=lambda _: asyncio.sleep(0, updated(engine)))
    try:
        answer = explained(await asking.inquirer.why(Question(identity(), event_id="any")))
    finally:
        await asking.inquirer.close()
    assert (answer["verdict"], answer["agrees"], answer["operation"]) == ("allowed", True, "UPDATE")
    assert {each["code"]: each["text"].rpartition(": ")[2] for each in answer["caveats"]}["tables_changed"] == "public.member"
    assert answer["old"]["verdict"] == "denied"
    assert [leaf["result"] for leaf in answer["old"]["policies"][0]["leaves"]] == [False, False]
    assert {"evaluated_now", "tables_changed"} <= {each["code"] for each in answer["old"]["caveats"]}
    (published,) = [step for step in answer["ladder"] if step["step"] == "published"]
    assert (published["state"], published["fact"]) == ("failed", "the publication leaves out UPDATE")
