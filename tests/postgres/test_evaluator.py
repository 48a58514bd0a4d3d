"""Reader and evaluator on a real Postgres: who sees which rows of one snapshot, and what a policy cannot do."""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest

from bench.proxy import proxied
from realtime_inspector.errors import DatabaseUnavailable
from realtime_inspector.model import Identity
from realtime_inspector.postgres import evaluator as module
from realtime_inspector.postgres.evaluator import TIMED_OUT, Evaluator
from realtime_inspector.postgres.questions import Question, by_ctid, by_key, by_tuple, row_literal
from realtime_inspector.postgres.shapes import read_shapes
from realtime_inspector.postgres.snapshot import SnapshotReader, View, Wanted
from realtime_inspector.visibility.facts import Shape
from realtime_inspector.visibility.reads import ALL
from realtime_inspector.visibility.verdicts import Sight
from tests.postgres.conftest import Engine

pytestmark = pytest.mark.every_version

ALICE, BOB = (f"{n:08d}-0000-0000-0000-000000000000" for n in (1, 2))
NOTES = f"""
create table notes (id int primary key, owner uuid, body text, secret text);
alter table notes enable row level security;
create policy own on notes for select using (owner = (select auth.uid()));
grant select on notes to authenticated, service_role;
grant select (id, body) on notes to limited;
insert into notes values (1, '{ALICE}', 'of alice', 's1'), (2, '{BOB}', 'of bob', 's2'), (3, null, 'of nobody', 's3');
"""


def user(sub: str, role: str = "authenticated") -> Identity:
    return Identity(role, f'{{"role":"{role}","sub":"{UUID(sub)}"}}')


@pytest.fixture
async def reader(engine: Engine) -> AsyncIterator[SnapshotReader]:
    made = SnapshotReader(engine.reader, 2_000)
    yield made
    await made.close()


@pytest.fixture
async def evaluator(engine: Engine) -> AsyncIterator[Evaluator]:
    made = Evaluator(engine.evaluator, connections=2, statement_timeout_ms=300, search_path="public, extensions")
    yield made
    await made.close()


async def shape_of(engine: Engine, table: str) -> Shape:
    connection = await asyncpg.connect(engine.admin, server_settings={"search_path": ""})
    try:
        return (await read_shapes(connection, [engine.oid(table)]))[engine.oid(table)]
    finally:
        await connection.close()


async def see(
    engine: Engine,
    reader: SnapshotReader,
    evaluator: Evaluator,
    table: str,
    identities: Sequence[Identity],
    *keys: str,
    plain: bool = False,
) -> dict[Identity, Sight]:
    """Which of the rows with these keys each identity sees, as numbers of the keys."""
    shape = await shape_of(engine, table)
    async with reader.open([], [Wanted(shape, [(key,) for key in keys])], ["authenticated"]) as view:
        ctids = [view.relations[0].rows[place].ctid for place in sorted(view.relations[0].rows)]
        (answer,) = await evaluator.ask(view.snapshot, [Question(by_ctid(shape), ctids, identities, plain)])
    return answer


async def test_each_identity_sees_its_own_rows_though_the_policy_is_an_init_plan(
    engine: Engine, reader: SnapshotReader, evaluator: Evaluator
) -> None:
    engine.run(NOTES)
    answer = await see(engine, reader, evaluator, "notes", [user(ALICE), user(BOB)], "1", "2", "3")
    assert answer == {user(ALICE): Sight([0]), user(BOB): Sight([1])}


async def test_many_identities_are_divided_between_connections_and_none_is_mixed_up(
    engine: Engine, reader: SnapshotReader, evaluator: Evaluator
) -> None:
    engine.run(NOTES)
    many = [user(f"{n:08d}-0000-0000-0000-000000000000") for n in range(200)]
    answer = await see(engine, reader, evaluator, "notes", many, "1", "2", "3")
    assert answer == {many[1]: Sight([0]), many[2]: Sight([1])}


async def test_who_sees_everything_is_answered_without_a_list(
    engine: Engine, reader: SnapshotReader, evaluator: Evaluator
) -> None:
    engine.run(NOTES + "create policy open on notes for select using (true)")
    answer = await see(engine, reader, evaluator, "notes", [user(ALICE)], "1", "2", "3")
    assert answer == {user(ALICE): Sight(range(3))}


async def test_a_role_with_column_grants_is_asked_by_key(engine: Engine, reader: SnapshotReader, evaluator: Evaluator) -> None:
    engine.run(NOTES)
    shape = await shape_of(engine, "notes")
    async with reader.open([], [Wanted(shape, [("1",), ("2",)])], ["limited", "authenticated", "nobody_here"]) as view:
        access = view.access[shape.oid]
        question = Question(by_key(shape), ['["1"]', '["2"]'], [user(BOB, "limited")])
        (answer,) = await evaluator.ask(view.snapshot, [question])
    assert answer == {user(BOB, "limited"): Sight([1])}
    assert access["limited"].columns == {"id", "body"}
    assert access["authenticated"].columns is None
    assert "nobody_here" not in access


async def test_an_old_row_is_judged_by_the_policies_expression(
    engine: Engine, reader: SnapshotReader, evaluator: Evaluator
) -> None:
    engine.run(NOTES)
    shape = await shape_of(engine, "notes")
    literal = row_literal(["7", ALICE, 'quote " back \\ slash, (comma)', None])
    async with reader.open([], [], []) as view:
        question = Question(by_tuple(shape, "(owner = ( SELECT auth.uid() AS uid))"), [literal], [user(ALICE), user(BOB)])
        (answer,) = await evaluator.ask(view.snapshot, [question])
    assert answer == {user(ALICE): Sight(range(1))}


async def test_a_policy_that_raises_harms_only_its_own_identity(
    engine: Engine, reader: SnapshotReader, evaluator: Evaluator
) -> None:
    engine.run(
        NOTES
        + f"""
        create function touchy() returns boolean stable language plpgsql as $$ begin
          if auth.uid() = '{BOB}' then raise exception 'secret of another'; end if; return true; end $$;
        create policy touchy on notes as restrictive for select using (touchy());"""
    )
    answer = await see(engine, reader, evaluator, "notes", [user(ALICE), user(BOB)], "1", "2")
    assert answer == {user(ALICE): Sight([0]), user(BOB): Sight([], (1,), "P0001")}


async def test_a_row_on_which_a_policy_raises_does_not_hide_the_others(
    engine: Engine, reader: SnapshotReader, evaluator: Evaluator
) -> None:
    engine.run(NOTES + "create policy fragile on notes for select using (1 / (id - 2) <> 0)")
    answer = await see(engine, reader, evaluator, "notes", [user(ALICE), user(BOB)], "1", "2", "3")
    assert answer == {user(ALICE): Sight([0, 2], (1,), "22012"), user(BOB): Sight(range(3))}


async def test_a_policy_that_sleeps_is_withheld_and_the_others_are_answered(
    engine: Engine, reader: SnapshotReader, evaluator: Evaluator
) -> None:
    engine.run(
        NOTES
        + f"""
        create function sleepy() returns boolean volatile language plpgsql as $$ begin
          if auth.uid() = '{BOB}' then perform pg_sleep(5); end if; return true; end $$;
        create policy sleepy on notes as restrictive for select using (sleepy());"""
    )
    answer = await see(engine, reader, evaluator, "notes", [user(ALICE), user(BOB)], "1", "2")
    assert answer == {user(ALICE): Sight([0]), user(BOB): Sight(raised=range(2), error=TIMED_OUT)}


async def test_who_goes_on_sleeping_is_asked_less_and_less_often(
    engine: Engine, reader: SnapshotReader, evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As others wait each time. Whether he was asked is seen from a policy that no longer sleeps."""
    sleepy = """create or replace function sleepy() returns boolean volatile language plpgsql as $$ begin
        perform pg_sleep({}); return true; end $$;"""
    engine.run(NOTES + sleepy.format(0) + "create policy sleepy on notes as restrictive for select using (sleepy());")
    now = 1_000.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    story = []
    for seconds, asleep in [(0, 5), (29, 0), (2, 5), (58, 0), (3, 0), (0, 0)]:
        now += seconds
        engine.run(sleepy.format(asleep))
        answer = await see(engine, reader, evaluator, "notes", [user(ALICE)], "1")
        story.append(answer[user(ALICE)].error)
    assert story == [TIMED_OUT] * 4 + [None] * 2


@pytest.mark.parametrize(
    "deed",
    [
        "perform set_config('role', 'anon', true)",
        "perform set_config('role', 'none', true)",
        f"perform set_config('request.jwt.claims', '{{\"sub\":\"{ALICE}\"}}', true)",
        "perform set_config('row_security', 'off', true)",
        "insert into public.diary values (1)",
        "set local role postgres",
        "execute 'create or replace function pg_temp.mine() returns int language sql as ''select 1'''",
    ],
)
async def test_what_a_policy_does_to_the_connection_does_not_reach_the_next_identity(
    engine: Engine, reader: SnapshotReader, evaluator: Evaluator, deed: str
) -> None:
    engine.run(
        NOTES
        + f"""
        create table diary (n int); grant insert on diary to authenticated;
        create function deed() returns boolean volatile language plpgsql as $$ begin
          if auth.uid() = '00000003-0000-0000-0000-000000000000' then {deed}; end if; return true; end $$;
        create policy deed on notes as restrictive for select using (deed());"""
    )
    mallory = user("00000003-0000-0000-0000-000000000000")
    for identities in ([mallory, user(ALICE), user(BOB)], [user(BOB), mallory, user(ALICE)]):
        answer = await see(engine, reader, evaluator, "notes", identities, "1", "2")
        assert answer[user(ALICE)] == Sight([0])
        assert answer[user(BOB)] == Sight([1])
    assert engine.run("select count(*) from diary") == [(0,)]


async def test_the_reader_takes_one_snapshot_and_the_evaluator_shares_it(
    engine: Engine, reader: SnapshotReader, evaluator: Evaluator
) -> None:
    engine.run(NOTES)
    shape = await shape_of(engine, "notes")
    async with reader.open([], [Wanted(shape, [("1",)])], ["authenticated"]) as view:
        engine.run(f"update notes set owner = '{BOB}' where id = 1")
        (answer,) = await evaluator.ask(view.snapshot, [Question(by_ctid(shape), [_ctid(view)], [user(ALICE), user(BOB)])])
    assert answer == {user(ALICE): Sight(range(1))}


def _ctid(view: View) -> str:
    return view.relations[0].rows[0].ctid


async def test_rows_that_are_gone_are_absent_and_the_others_keep_their_places(engine: Engine, reader: SnapshotReader) -> None:
    engine.run(NOTES)
    shape = await shape_of(engine, "notes")
    async with reader.open([], [Wanted(shape, [("9",), ("2",), ("1",)])], []) as view:
        rows = view.relations[0].rows
    assert {place: row.values[0] for place, row in rows.items()} == {1: "2", 2: "1"}


async def test_claims_matter_unless_all_functions_are_immutable_built_ins(engine: Engine, reader: SnapshotReader) -> None:
    engine.run("""
        create function mislabelled() returns text immutable language sql
          as $$ select current_setting('request.jwt.claims', true) $$;
        create table plain (id int primary key, published boolean); alter table plain enable row level security;
        create policy p on plain using (published and id > 3);
        create table liar (id int primary key); alter table liar enable row level security;
        create policy p on liar using (mislabelled() is not null);
        create table joined (id int primary key); alter table joined enable row level security;
        create policy p on joined using (id in (select id from public.plain));
        create table naked (id int primary key);""")
    shapes = [await shape_of(engine, table) for table in ("plain", "liar", "joined", "naked")]
    async with reader.open([], [Wanted(shape, []) for shape in shapes], ["authenticated"]) as view:
        found = {shape.name: view.access[shape.oid]["authenticated"].claims for shape in shapes}
    assert found == {"plain": frozenset(), "liar": ALL, "joined": frozenset(), "naked": frozenset()}


async def test_names_of_any_kind_are_read(engine: Engine, reader: SnapshotReader, evaluator: Evaluator) -> None:
    engine.run(f"""
        create schema "Sché ma"; create table "Sché ma"."ta""ble %s 🐘" ("k %s" numeric primary key, "identity" text, t uuid);
        alter table "Sché ma"."ta""ble %s 🐘" enable row level security;
        create policy p on "Sché ma"."ta""ble %s 🐘" using (t = auth.uid());
        grant usage on schema "Sché ma" to authenticated; grant select on "Sché ma"."ta""ble %s 🐘" to authenticated;
        insert into "Sché ma"."ta""ble %s 🐘" values (1.50, 'x', '{ALICE}'), ('NaN', 'y', '{BOB}');""")
    answer = await see(engine, reader, evaluator, '"Sché ma"."ta""ble %s 🐘"', [user(ALICE), user(BOB)], "1.50", "NaN")
    assert answer == {user(ALICE): Sight([0]), user(BOB): Sight([1])}


def told(answer: dict[Identity, Sight]) -> dict[Identity, tuple[list[int], list[int], str | None]]:
    return {who: (list(sight.rows), list(sight.raised), sight.error) for who, sight in answer.items()}


RAISING = f"""
create policy fails on notes as restrictive for select
  using (case when auth.uid() in ('{BOB}', '{7:08d}-0000-0000-0000-000000000000') and id > 1 then 1 / (id - id) = 1
              else true end);
create policy published on notes for select using (body like 'of no%');
"""


@pytest.mark.parametrize("keys", [("1",), ("2",), ("3",), ("1", "2", "3")])
@pytest.mark.parametrize("policies", ["", RAISING, "create policy all_of_it on notes for select using (true)"])
async def test_plain_policies_are_asked_many_at_a_time_and_say_the_same(
    engine: Engine, reader: SnapshotReader, evaluator: Evaluator, policies: str, keys: tuple[str, ...]
) -> None:
    engine.run(NOTES + f"grant select on notes to anon; {policies}")
    roles = ("authenticated", "anon")
    many = [user(f"{n % 150:08d}-0000-0000-0000-000000000000", roles[n // 150]) for n in range(300)]
    one_by_one = told(await see(engine, reader, evaluator, "notes", many, *keys))
    assert told(await see(engine, reader, evaluator, "notes", many, *keys, plain=True)) == one_by_one
    assert one_by_one or (keys, policies) == (("3",), "")


async def test_one_of_many_who_takes_too_long_is_found_and_the_others_are_answered(
    engine: Engine, reader: SnapshotReader, evaluator: Evaluator
) -> None:
    sleeps = f"create policy slow on notes for select using (auth.uid() = '{BOB}' and pg_sleep(9) is not null)"
    engine.run(NOTES + sleeps)
    many = [user(f"{n:08d}-0000-0000-0000-000000000000") for n in range(50)]
    answer = await see(engine, reader, evaluator, "notes", many, "1", plain=True)
    assert told(answer) == {user(ALICE): ([0], [], None), user(BOB): ([], [0], TIMED_OUT)}


async def test_in_many_at_a_time_too_nobody_is_anybody_else(engine: Engine, reader: SnapshotReader, evaluator: Evaluator) -> None:
    """A role that the login may not become raises for its own identities alone."""
    engine.run(NOTES)
    many = [user(BOB), user(ALICE, "service_role"), user(ALICE), user(ALICE, "none")]
    answer = await see(engine, reader, evaluator, "notes", many, "1", plain=True)
    refused = {who: sight for who, sight in told(answer).items() if who != user(ALICE)}
    assert told(answer)[user(ALICE)] == ([0], [], None)
    assert {who.role: raised for who, (_, raised, _) in refused.items()} == {"service_role": [0], "none": [0]}


async def test_what_never_ends_costs_nobody_an_answer_who_is_asked_with_it(engine: Engine, reader: SnapshotReader) -> None:
    engine.run(
        NOTES
        + f"""create table trap (id int primary key); alter table trap enable row level security;
        grant select on trap to authenticated; insert into trap values (1);
        create function deed() returns boolean volatile language plpgsql as $$ begin
          while auth.uid() = '{BOB}' loop begin perform pg_sleep(1); exception when query_canceled then null; end; end loop;
          return true; end $$;
        create policy deed on trap using (deed());"""
    )
    notes, trap = await shape_of(engine, "notes"), await shape_of(engine, "trap")
    people = [user(BOB), user(ALICE)]
    for hurried in (True, False):
        asked = Evaluator(engine.evaluator, connections=1, statement_timeout_ms=300, search_path="public", hurried=hurried)
        async with reader.open([], [Wanted(notes, [("1",)]), Wanted(trap, [("1",)])], ["authenticated"]) as view:
            rows = [next(iter(relation.rows.values())).ctid for relation in view.relations]
            questions = [
                Question(by_ctid(shape), [row], people) for shape, row in zip((notes, trap, notes), (*rows, rows[0]), strict=True)
            ]
            before, hung, after = await asked.ask(view.snapshot, questions)
        await asked.close()
        assert told(before) == told(after) == {user(ALICE): ([0], [], None)}
        assert hung[user(BOB)].slow
        assert told(hung).get(user(ALICE)) == (([], [], None) if hurried else ([0], [], None))


async def test_whenever_the_time_limit_strikes_nobody_is_taken_for_one_who_sees_nothing(
    engine: Engine, reader: SnapshotReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also before the first one is asked, of whom there is no number yet."""
    engine.run(NOTES + "create policy all_read on notes for select using (true)")
    everybody = [user(f"{number:08d}-0000-0000-0000-000000000000") for number in range(1, 6)]
    struck = 0
    monkeypatch.setattr(module, "HURRY_MS", 1)
    for _ in range(100):
        hurried = Evaluator(
            engine.evaluator, connections=1, statement_timeout_ms=300, search_path="public, extensions", hurried=True
        )
        try:
            with suppress(DatabaseUnavailable):
                answer = await see(engine, reader, hurried, "notes", everybody, "1")
                struck += any(sight.late for sight in answer.values())
                assert set(answer) == set(everybody)
        finally:
            await hurried.close()
    assert struck


async def test_an_answer_that_the_network_lost_is_nobodys_fault(engine: Engine, reader: SnapshotReader) -> None:
    """Nobody is set aside, or withheld from, for it."""
    engine.run(NOTES)
    notes, parts = await shape_of(engine, "notes"), urlsplit(engine.evaluator)
    async with proxied(lambda: parts.port or 0) as network:
        url = parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{network.port}").geturl()
        asked = Evaluator(url, connections=1, statement_timeout_ms=300, search_path="public", hurried=True)
        async with reader.open([], [Wanted(notes, [("1",)])], ["authenticated"]) as view:
            question = Question(by_ctid(notes), [_ctid(view)], [user(ALICE)])
            assert told(*await asked.ask(view.snapshot, [question])) == {user(ALICE): ([0], [], None)}
            network.freeze()
            with pytest.raises(DatabaseUnavailable):
                await asked.ask(view.snapshot, [question])
            assert told(*await asked.ask(view.snapshot, [question])) == {user(ALICE): ([0], [], None)}
        await asked.close()
