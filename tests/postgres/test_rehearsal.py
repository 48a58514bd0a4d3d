"""Candidates and the matrix, held against policies that are really created and statements that are really run, rolled back."""

from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg import sql

from realtime_inspector.model import Identity
from realtime_inspector.pipeline.rehearsal import Rehearsal
from realtime_inspector.settings import Settings
from realtime_inspector.visibility.asking import Candidate
from realtime_inspector.visibility.rehearsal import TEMPLATES, Template
from realtime_inspector.visibility.trace import COMMANDS
from tests.oracle.people import OWNERS
from tests.oracle.traces import ROLES, Gallery, people
from tests.postgres.conftest import Engine
from tests.postgres.test_inquiry import ANN, BOB, identity

MINE = """
create table notes (id int primary key, owner uuid, tag text, n int);
alter table notes enable row level security;
grant select, insert, update, delete on notes to authenticated; grant select on notes to anon;
"""
ROWS = f"insert into notes values (1, '{ANN}', 'red', 1), (2, '{BOB}', 'red', 2), (3, null, 'blue', null), (4, '{ANN}', null, 4)"
NOTES = ("public", "notes")


@pytest.fixture
async def rehearsal(engine: Engine) -> AsyncIterator[Rehearsal]:
    urls = {"reader_url": engine.reader, "evaluator_url": engine.evaluator}
    made = Rehearsal(Settings(**urls, allowed_roles=ROLES, search_path="public", statement_timeout_ms=1_000))
    yield made
    await made.close()


def become(connection: psycopg.Connection[tuple[object, ...]], who: Identity) -> None:
    connection.execute(sql.SQL("set local role {}").format(sql.Identifier(who.role)))
    connection.execute("select set_config('request.jwt.claims', %s, true)", [who.claims])


def counted(engine: Engine, table: str, who: Identity, policy: str = "") -> int | None:
    """How many rows a SELECT shows, with a policy that is created for it and rolled back; None if it raises."""
    with psycopg.connect(engine.admin, autocommit=True) as connection:
        try:
            with connection.transaction(force_rollback=True):
                connection.execute("set local search_path = public, pg_temp")
                connection.execute(policy.encode() or b"select")
                become(connection, who)
                found = connection.execute(sql.SQL("select count(*) from {}").format(sql.Identifier(table))).fetchone()
                return int(str(found[0])) if found else 0
        except psycopg.Error:
            return None


@pytest.mark.parametrize("seed", [11, 12, 13])
async def test_a_trial_says_what_creating_the_policy_would_do(engine: Engine, rehearsal: Rehearsal, seed: int) -> None:
    gallery = Gallery(engine, seed, tables=10, rows=6, odd=False)
    gallery.build()
    compared = 0
    for name in gallery.names:
        table = sql.Identifier(name).as_string(None)
        candidate = Candidate("tried", gallery.condition(table), command="SELECT", permissive=gallery.coin())
        whom = [each for each in people() if each.role in ("authenticated", "anon", "trace_heir")]
        trials, migration = await rehearsal.trial(("public", name), candidate, whom, 50)
        for who, trial in zip(whom, trials, strict=True):
            before, after = counted(engine, name, who), counted(engine, name, who, migration)
            if trial.error or trial.raising or None in (before, after):
                assert trial.raising or trial.error or "no uuid" in who.claims  # planning computes what a malformed claim raises
                continue
            compared += 1
            assert (trial.before, trial.after) == (before, after), (seed, name, who, candidate)
            assert trial.differs == 0
            assert len(trial.gained) - len(trial.lost) == trial.after - trial.before
    assert compared > 30
    assert engine.run("select count(*) from pg_policy where polname = 'tried'") == [(0,)]


async def test_rows_gained_and_lost_are_told_and_nothing_is_created(engine: Engine, rehearsal: Rehearsal) -> None:
    engine.run(MINE + ROWS + "; create policy own on notes using (owner = auth.uid())")
    red = Candidate("red", "tag = 'red'", command="SELECT", replaces="own")
    (ann, anon), text = await rehearsal.trial(NOTES, red, [identity(), identity("anon", None)], 50)
    assert (ann.before, ann.after, ann.sampled) == (2, 2, 4)
    assert ([row["id"] for row in ann.gained], [row["id"] for row in ann.lost]) == (["2"], ["4"])
    assert (anon.before, anon.after) == (0, 2)
    assert engine.run("select polname from pg_policy") == [("own",)]
    engine.run(text)
    assert engine.run("select polname from pg_policy") == [("red",)]


async def test_row_level_security_that_is_off_is_turned_on_by_the_migration(engine: Engine, rehearsal: Rehearsal) -> None:
    engine.run(MINE + ROWS + "; alter table notes disable row level security")
    (trial,), text = await rehearsal.trial(NOTES, Candidate("own", "owner = auth.uid()"), [identity()], 50)
    assert (trial.before, trial.after, len(trial.lost)) == (4, 2, 2)
    assert text.startswith('alter table "public"."notes" enable row level security;')


async def test_a_check_is_tried_on_proposed_rows_and_a_missing_grant_is_told(engine: Engine, rehearsal: Rehearsal) -> None:
    engine.run(MINE + ROWS)
    candidate = Candidate("adds", check="owner = auth.uid()", command="INSERT")
    (ann, anon), text = await rehearsal.trial(NOTES, candidate, [identity(), identity("anon", None)], 50)
    assert (ann.before, ann.after) == (0, 2)
    assert anon.error == "anon has no INSERT on the table"
    engine.run(text)


async def test_rows_are_shown_in_the_columns_that_the_role_may_read(engine: Engine, rehearsal: Rehearsal) -> None:
    engine.run(
        MINE + ROWS + "; grant select (id, tag) on notes to limited; revoke all on notes from anon; grant insert on notes to anon"
    )
    (trial,), _ = await rehearsal.trial(NOTES, Candidate("all", "true"), [identity("limited")], 50)
    assert [set(row) for row in trial.gained] == [{"id", "tag"}] * 4
    (trial,), _ = await rehearsal.trial(NOTES, Candidate("adds", check="true", command="INSERT"), [identity("anon")], 50)
    assert list(trial.gained) == [{}] * 4


async def test_the_matrix_says_what_statements_do(engine: Engine, rehearsal: Rehearsal) -> None:
    engine.run(
        MINE + ROWS + "; create policy reads on notes for select using (owner = auth.uid() or tag = 'red');"
        "create policy adds on notes for insert to authenticated with check (owner = auth.uid() and n < 4);"
        "create policy wide on notes for update to authenticated using (true) with check (n < 4);"
        "create policy gone on notes for delete to authenticated using (true);"
        "create policy few on notes as restrictive for delete using (n > 1)"
    )
    whom = [identity(), identity(sub=BOB), identity(sub=None), identity("anon", None)]
    rows = await rehearsal.matrix([NOTES], whom, 50)
    for who, row in zip(whom, rows, strict=True):
        for command in COMMANDS:
            cell = row.cells[command]
            assert (cell.visible, cell.state == "no_grant") == done(engine, who, command), (who, command)
    assert rows[0].cells["DELETE"].policies == ("few", "gone")
    assert [rows[0].cells[command].state for command in COMMANDS] == ["some"] * 4
    assert rows[0].cells["UPDATE"].visible == 2  # of four that its own policies would let it write, the others it cannot find


def done(engine: Engine, who: Identity, command: str) -> tuple[int, bool]:
    """On how many rows the statement succeeds, one at a time; whether the grant is missing."""
    statements = {
        "SELECT": "select from notes where id = %s",
        "INSERT": "insert into notes select id + 100, owner, tag, n from kept where id = %s",
        "UPDATE": "update notes set n = n where id = %s",
        "DELETE": "delete from notes where id = %s",
    }
    found, denied = 0, False
    with psycopg.connect(engine.admin, autocommit=True) as connection:
        connection.execute("create temp table kept as select * from notes; grant select on kept to public")
        for id_ in range(1, 5):
            try:
                with connection.transaction(force_rollback=True):
                    become(connection, who)
                    found += connection.execute(statements[command].encode(), [id_]).rowcount
            except psycopg.errors.InsufficientPrivilege as error:
                denied |= "permission denied" in str(error)
    return found, denied


async def test_empty_tables_bypasses_and_errors_have_states_of_their_own(engine: Engine, rehearsal: Rehearsal) -> None:
    engine.run(MINE + "create policy bad on notes using (1 / (n - 1) > 0)")
    (row,) = await rehearsal.matrix([NOTES], [identity()], 50)
    assert row.cells["SELECT"].state == "none"
    engine.run(ROWS)
    (row,) = await rehearsal.matrix([NOTES], [identity()], 50)
    assert row.cells["SELECT"].state == "raises"
    engine.run("alter table notes disable row level security")
    (row,) = await rehearsal.matrix([NOTES], [identity()], 50)
    assert {cell.state for cell in row.cells.values()} == {"all"}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.id)
async def test_every_template_runs_and_shows_each_what_it_promises(
    engine: Engine, rehearsal: Rehearsal, template: Template
) -> None:
    engine.run(
        "create function auth.jwt() returns jsonb stable language sql as "
        "$$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb $$;"
        "create table public.your_table (id int primary key, user_id uuid, tenant_id uuid, published boolean);"
        f"insert into your_table values (1, '{OWNERS[0]}', '{OWNERS[2]}', true), (2, '{OWNERS[1]}', '{OWNERS[3]}', false);"
        "grant select, insert, update, delete on your_table to authenticated; grant select on your_table to anon;"
    )
    more = {
        "roles_table": f"insert into user_roles values ('{OWNERS[0]}', 'admin'), ('{OWNERS[1]}', 'editor')",
        "tenant": f"insert into members values ('{OWNERS[2]}', '{OWNERS[0]}')",
    }
    engine.run(template.sql + more.get(template.id, ""))
    first = identity(sub=OWNERS[0], app_metadata={"role": "admin"})
    second = identity(sub=OWNERS[1], app_metadata={"role": "editor"})
    whom = [first, second, identity("anon", None)]
    rows = await rehearsal.matrix([("public", "your_table")], whom, 50)
    found = [(row.cells["SELECT"].visible, row.cells["DELETE"].visible) for row in rows]
    expected = {
        "owner": [(1, 1), (1, 1), (0, 0)],
        "role_by_claim": [(2, 2), (2, 0), (0, 0)],
        "roles_table": [(2, 2), (2, 0), (0, 0)],
        "published": [(1, 1), (2, 1), (1, 0)],
        "tenant": [(1, 1), (0, 0), (0, 0)],
    }
    assert found == expected[template.id]
