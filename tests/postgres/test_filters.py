"""Random filters with groups, held against a WHERE clause that was written beside them."""

import random
from collections.abc import AsyncIterator, Mapping

import pytest

from realtime_inspector.model import Binding, Identity
from realtime_inspector.postgres.authorizer import Authorizer
from realtime_inspector.postgres.connect import connect
from realtime_inspector.postgres.matcher import satisfied
from realtime_inspector.postgres.shapes import read_shapes
from realtime_inspector.visibility.filters import Condition, matches
from tests.postgres.conftest import Engine

ROWS = 60
FILTERS = 150
SETUP = """
create table t (id int primary key, n int, word text, flag boolean, price numeric(6, 2));
grant select on t to authenticated;
insert into t select i, nullif(i %% 7, 3), nullif(chr(97 + i %% 5) || ', (x)', 'c, (x)'), nullif(i %% 3, 2)::boolean,
  nullif(i %% 4, 1) * 1.50 from generate_series(1, {rows}) i;
create publication supabase_realtime for table t;
"""
SQL = {"eq": "=", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "isdistinct": "is distinct from"}
Pair = tuple[str, str]
"""A filter's text and the SQL that means the same."""


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def condition(chance: random.Random, *, grouped: bool) -> Pair:
    column = chance.choice(("n", "word", "flag", "price"))
    value = {
        "n": str(chance.randrange(7)),
        "word": f"{chance.choice('abcde')}, (x)",
        "flag": chance.choice(("true", "false")),
        "price": chance.choice(("0", "3.0", "4.50")),
    }[column]
    negated = chance.random() < 0.3
    match chance.randrange(4):
        case 0:
            operator, text, sql = "is", "null", f"{column} is null"
        case 1 if column == "word":
            operator, text, sql = "like", f"{value[0]}%", f"{column} like {quoted(value[0] + '%')}"
        case 2 if column == "n":
            operator, text, sql = "in", f"({value},6)", f"{column} in ({value}, 6)"
        case _:
            operator = chance.choice(tuple(SQL))
            text, sql = f'"{value}"', f"{column} {SQL[operator]} {quoted(value)}"
    filtered = f"{column}{'.' if grouped else '='}{'not.' if negated else ''}{operator}.{text}"
    return filtered, f"(not {sql})" if negated else f"({sql})"


def part(chance: random.Random, depth: int) -> Pair:
    if depth == 3 or chance.random() < 0.5:
        return condition(chance, grouped=depth > 0)
    kind, negation = chance.choice(("and", "or")), chance.choice(("", "not."))
    members = [part(chance, depth + 1) for _ in range(chance.randint(1, 3))]
    text = f"{negation}{kind}{'' if depth else '='}({','.join(text for text, _ in members)})"
    sql = f" {kind} ".join(sql for _, sql in members)
    return text, f"(not ({sql}))" if negation else f"({sql})"


@pytest.fixture
async def authorizer(engine: Engine) -> AsyncIterator[Authorizer]:
    engine.run(SETUP.replace("%%", "%").format(rows=ROWS))
    made = Authorizer(engine.evaluator, publication="supabase_realtime", statement_timeout_ms=5_000)
    yield made
    await made.close()


async def test_groups_hold_where_sql_says_true(engine: Engine, authorizer: Authorizer) -> None:
    chance = random.Random(12)
    names = ("n", "word", "flag", "price")
    rows: list[Mapping[str, str | None]] = [
        dict(zip(("id", *names), row, strict=True))  # type: ignore[arg-type]
        for row in engine.run("select id::text, n::text, word, flag::text, price::text from t")
    ]
    (oid,) = engine.run("select 't'::regclass::oid::int")[0]
    connection = await connect(engine.evaluator, purpose="test", statement_timeout_ms=5_000)
    shape = (await read_shapes(connection, [int(str(oid))]))[int(str(oid))]

    async def holds(each: Condition, row: Mapping[str, str | None]) -> bool:
        column, text = shape.column(each.column), row[each.column]
        assert column is not None
        text = text[0] if text is not None and each.column == "flag" else text
        told = matches(each, text, column.comparable)
        if told is None:
            assert text is not None
            answer = (await satisfied(connection, [(column, each)], [text]))[each]
            assert answer is not None
            told = text in answer
        return told

    several = 0
    for _ in range(FILTERS):
        pairs = [part(chance, 0) for _ in range(chance.randint(1, 2))]
        text, sql = ",".join(text for text, _ in pairs), " and ".join(sql for _, sql in pairs)
        outcome = await authorizer.authorize(Identity("authenticated", "{}"), [Binding(1, "*", "public", "t", text)])
        assert outcome.problems == (), text
        (subscription,) = outcome.subscriptions
        ours = set()
        for row in rows:
            said = {each: await holds(each, row) for each in subscription.conditions}
            if subscription.holds(said.__getitem__):
                ours.add(row["id"])
        theirs = {str(id_) for (id_,) in engine.run(f"select id from t where {sql}")}
        assert ours == theirs, (text, sql)
        several += 0 < len(ours) < ROWS
    await connection.close()
    assert several > FILTERS / 4, "most filters let through everything or nothing, so little was compared"
