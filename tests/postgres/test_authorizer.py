"""Which joins for changes are accepted by a real catalogue, and with which words the others are refused."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from realtime_inspector.errors import DatabaseUnavailable
from realtime_inspector.model import Binding, Identity
from realtime_inspector.postgres.authorizer import Authorizer
from realtime_inspector.postgres.connect import connect
from realtime_inspector.postgres.matcher import satisfied
from realtime_inspector.postgres.shapes import read_shapes
from realtime_inspector.visibility.filters import Condition
from realtime_inspector.visibility.subscription import Authorized
from tests.postgres.conftest import Engine

pytestmark = pytest.mark.every_version
USER, LIMITED = Identity("authenticated", "{}"), Identity("limited", "{}")
TABLES = """
create type mood as enum ('calm', 'wild');
create table things (
  id int primary key, name text, price numeric, fine boolean, mood mood, doc json, at timestamptz, code char(4), hidden text
);
create table keyless (n int); create table unpublished (id int primary key); create view seen as select * from things;
create view seen_by_nobody as select * from things; create materialized view kept as select * from things;
create table parted (id int primary key) partition by range (id);
create table part_one partition of parted for values from (0) to (9);
grant select on things, keyless, unpublished, parted, seen, kept, part_one to authenticated;
grant select (id, name) on things to limited;
create publication supabase_realtime for table things, keyless, part_one with (publish_via_partition_root = false);
"""


@pytest.fixture
async def authorizer(engine: Engine) -> AsyncIterator[Authorizer]:
    engine.run(TABLES)
    made = Authorizer(engine.evaluator, publication="supabase_realtime", statement_timeout_ms=2_000)
    yield made
    await made.close()


async def ask(
    authorizer: Authorizer,
    identity: Identity = USER,
    table: str = "things",
    filter: str | None = None,
    select: tuple[str, ...] | None = None,
    schema: str = "public",
) -> Authorized:
    return await authorizer.authorize(identity, [Binding(1, "*", schema, table, filter, select)])


async def refusal(authorizer: Authorizer, identity: Identity = USER, **binding: object) -> str:
    outcome = await ask(authorizer, identity, **binding)  # type: ignore[arg-type]
    assert outcome.subscriptions == ()
    (problem,) = outcome.problems
    return problem.text


async def test_a_published_table_is_accepted_from_the_present_position_on(engine: Engine, authorizer: Authorizer) -> None:
    (row,) = engine.run("select (pg_current_wal_insert_lsn() - '0/0')::int8")
    outcome = await ask(authorizer)
    assert outcome.problems == ()
    assert outcome.after.commit_lsn >= int(str(row[0]))


@pytest.mark.parametrize(
    ("filter", "canonical", "exact"),
    [
        ("id=eq.007", "7", True),
        ("name=eq.x", "x", True),
        ("mood=eq.wild", "wild", True),
        ("fine=eq.yes", "t", True),
        ("at=eq.2026-01-02 03:04+02", "2026-01-02 01:04:00+00", True),
        ("price=gte.1.50", "1.50", False),
        ("code=eq.ab", "ab", False),
        ("name=like.a%", "a%", True),
        ("name=match.^a", "^a", True),
    ],
)
async def test_filter_values_are_made_canonical(authorizer: Authorizer, filter: str, canonical: str, exact: bool) -> None:
    (subscription,) = (await ask(authorizer, filter=filter)).subscriptions
    assert subscription.conditions[0].values == (canonical,)
    assert bool(subscription.exact_columns) is exact


@pytest.mark.parametrize(
    ("binding", "text"),
    [
        ({"table": "nowhere"}, "Unable to subscribe to changes with given parameters"),
        ({"table": "unpublished"}, "Unable to subscribe to changes with given parameters"),
        ({"table": "seen"}, "only tables can be published"),
        ({"table": "kept"}, "only tables can be published"),
        ({"table": "seen_by_nobody"}, "Unable to subscribe to changes with given parameters"),
        ({"table": "th\x00ings"}, "Unable to subscribe to changes with given parameters"),
        ({"table": "keyless"}, "no primary key"),
        ({"table": "part_one"}, "served through its root table only"),
        ({"filter": "nosuch=eq.1"}, "invalid column for filter nosuch"),
        ({"filter": "id=eq.seven"}, "invalid input syntax for type integer"),
        ({"filter": "id=like.7%"}, "operator like requires a text-compatible column type, got integer"),
        ({"filter": "name=match.("}, "invalid regular expression for match filter"),
        ({"filter": "name=is.true"}, "is true filter requires a boolean column, got text"),
        ({"filter": "doc=eq.{}"}, "cannot be compared"),
        ({"filter": "nonsense"}, "Error parsing `filter` params"),
        ({"select": ("id", "nosuch")}, "invalid column for select nosuch"),
        ({"table": "*", "select": ("id",)}, "Column selection is not supported for wildcard subscriptions"),
        ({"table": "*", "filter": "id=eq.1"}, "Filters are not supported for wildcard subscriptions"),
    ],
)
async def test_what_cannot_be_served_is_refused_in_words(authorizer: Authorizer, binding: dict[str, object], text: str) -> None:
    assert text in await refusal(authorizer, **binding)


async def test_a_column_that_the_role_may_not_read_is_as_good_as_none(authorizer: Authorizer) -> None:
    assert await refusal(authorizer, LIMITED, filter="hidden=eq.x") == "invalid column for filter hidden"
    assert await refusal(authorizer, LIMITED, select=("hidden",)) == "invalid column for select hidden"
    assert (await ask(authorizer, LIMITED, filter="name=eq.x", select=("name",))).problems == ()


async def test_a_role_that_does_not_exist_is_named(authorizer: Authorizer) -> None:
    assert await refusal(authorizer, Identity("ghost", "{}")) == 'role "ghost" does not exist'


async def test_one_wrong_binding_does_not_refuse_the_others(authorizer: Authorizer) -> None:
    wanted = [Binding(1, "*", "public", "things"), Binding(2, "*", "public", "nowhere"), Binding(3, "*", "public", "*")]
    outcome = await authorizer.authorize(USER, wanted)
    assert [s.binding.id for s in outcome.subscriptions] == [1, 3]
    assert len(outcome.problems) == 1


async def test_a_lost_connection_is_reported_and_made_again(engine: Engine, authorizer: Authorizer) -> None:
    await ask(authorizer)
    engine.run("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'realtime_inspector authorizer'")
    with pytest.raises(DatabaseUnavailable):
        await ask(authorizer)
    assert (await ask(authorizer)).problems == ()


async def test_conditions_are_compared_by_postgres_where_texts_cannot(engine: Engine, authorizer: Authorizer) -> None:
    connection = await connect(engine.evaluator, purpose="test", statement_timeout_ms=2_000)
    shape = (await read_shapes(connection, [engine.oid("things")]))[engine.oid("things")]
    columns = {column.name: column for column in shape.columns}

    async def those(column: str, condition: Condition, *values: str) -> frozenset[str] | None:
        return (await satisfied(connection, [(columns[column], condition)], values))[condition]

    assert await those("price", Condition("price", "eq", ("1.5",)), "1.50", "2") == {"1.50"}
    assert await those("price", Condition("price", "gt", ("1.5",), True), "1.50", "2", "NaN") == {"1.50"}
    assert await those("price", Condition("price", "in", ("1", "2")), "2.0", "3") == {"2.0"}
    assert await those("name", Condition("name", "ilike", ("A%",)), "abc", "b") == {"abc"}
    assert await those("name", Condition("name", "imatch", ("^A",)), "abc", "b") == {"abc"}
    assert await those("code", Condition("code", "eq", ("ab",)), "ab  ", "abc ") == {"ab  "}
    assert await those("name", Condition("name", "match", ("(",)), "a") is None
    await connection.close()


async def test_those_who_wait_for_the_same_answer_are_given_one(authorizer: Authorizer) -> None:
    """And it was asked after each of them came: whoever comes while it is asked waits for the next."""
    async with authorizer._turn:
        same = [asyncio.create_task(ask(authorizer, Identity("authenticated", f'{{"n":{n}}}'))) for n in range(20)]
        other, limited = asyncio.create_task(ask(authorizer, filter="id=eq.1")), asyncio.create_task(ask(authorizer, LIMITED))
        await asyncio.sleep(0)
        assert len(authorizer._waiting) == 3
        same.pop().cancel()
    answers = await asyncio.gather(*same)
    assert all(answer is answers[0] for answer in answers)
    assert await other is not answers[0]
    assert (await limited) is not answers[0]
    assert (await ask(authorizer)) is not answers[0]
    assert len(authorizer._waiting) == 0
