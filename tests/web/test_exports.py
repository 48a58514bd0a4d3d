"""What is taken along from a message runs where it is taken to: tests pass, programs hear what they say they hear."""

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import expect

from tests.provision import javascript_clients, node, python_client
from tests.web.inspector import Demo, Inspector

AWKWARD = """it's "quoted" \\ with \n two lines, 100% and 🚲"""


@pytest.fixture
def orders(database: psycopg.Connection[Any], demo: Demo) -> Iterator[str]:
    """A table whose names have to be quoted, with keys beyond what a double holds; it raises for bob and is closed to anon."""
    bob = demo.user("bob")
    database.execute(
        f"""
        create function alarm() returns boolean language plpgsql as
          $$ begin if auth.uid() = '{bob}' then raise 'not for bob'; end if; return false; end $$;
        create table "Order's" ("user" uuid, id bigint primary key, "select" text);
        alter table "Order's" replica identity full;
        alter table "Order's" enable row level security;
        create policy own on "Order's" to authenticated using (auth.uid() = "user");
        create policy broken on "Order's" to authenticated using (alarm());
        grant select on "Order's" to authenticated;
        alter publication supabase_realtime add table "Order's";
    """.encode()
    )
    yield "Order's"
    database.execute("""drop table "Order's"; drop function alarm""")


def export(inspector: Inspector, form: str, folder: Path) -> Path:
    """Saves the open message in a form."""
    inspector.detail.get_by_role("tab", name="Copy as").click()
    inspector.detail.get_by_role("radio", name=form, exact=True).check(force=True)
    with inspector.page.expect_download() as saved:
        inspector.detail.get_by_role("button", name="Save").click()
    path = folder / saved.value.suggested_filename
    saved.value.save_as(path)
    return path


def run_pytest(path: Path, demo: Demo) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DATABASE_URL": demo.database_url}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(path.parent), str(path)]
    return subprocess.run(command, env=environment, cwd=path.parent, capture_output=True, text=True, check=False)


def compared(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    """alice, bob and anon next to each other, and a row of alice's opened."""
    inspector.watch("alice", "bob", "anon")
    inspector.compare()
    database.execute("insert into tweets (user_id, content) values (%s, %s)", [inspector.demo.user("alice"), AWKWARD])
    row = inspector.row("INSERT", "tweets", "quoted")
    expect(row.locator(".mark[data-v=denied]")).to_have_count(2)
    row.click()


def test_a_message_becomes_a_pytest_file_that_passes(
    inspector: Inspector, database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    compared(inspector, database)
    path = export(inspector, "pytest", tmp_path)
    database.execute("delete from tweets")  # the test brings its row along
    ran = run_pytest(path, inspector.demo)
    assert ran.returncode == 0, path.read_text() + ran.stdout
    assert "3 passed" in ran.stdout
    assert database.execute("select count(*) from tweets").fetchone() == (0,)


def test_the_pytest_file_fails_when_the_policies_change(
    inspector: Inspector, database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    compared(inspector, database)
    path = export(inspector, "pytest", tmp_path)
    database.execute("create policy everybody on tweets for select using (true)")
    try:
        ran = run_pytest(path, inspector.demo)
    finally:
        database.execute("drop policy everybody on tweets")
    assert ran.returncode == 1
    assert "2 failed, 1 passed" in ran.stdout


def test_names_and_numbers_that_need_care_are_taken_along_whole(
    inspector: Inspector, database: psycopg.Connection[Any], orders: str, tmp_path: Path
) -> None:
    inspector.watch("alice", "bob", "anon")
    inspector.compare()
    insert = """insert into "Order's" values (%s, 9007199254740993, 'x')"""
    database.execute(insert.encode(), [inspector.demo.user("alice")])
    row = inspector.row("INSERT", orders, "9007199254740993")
    expect(row.locator(".mark[data-v=raised]")).to_have_count(1)
    expect(row.locator(".mark[data-v=denied]")).to_have_count(1)
    row.click()
    ran = run_pytest(path := export(inspector, "pytest", tmp_path), inspector.demo)
    assert ran.returncode == 0, path.read_text() + ran.stdout
    assert "InsufficientPrivilege" in path.read_text()
    results = run_pgtap(export(inspector, "pgTAP", tmp_path), inspector.demo)
    assert [line.split(" - ")[0] for line in results if "ok" in line] == ["ok 1", "ok 2", "ok 3"], results


def test_a_message_becomes_a_pgtap_file_that_passes(
    inspector: Inspector, database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    compared(inspector, database)
    path = export(inspector, "pgTAP", tmp_path)
    results = run_pgtap(path, inspector.demo)
    assert [line for line in results if line.startswith(("1..", "ok", "not"))] == [
        "1..3",
        "ok 1 - alice sees it",
        "ok 2 - bob does not see it",
        "ok 3 - anon does not see it",
    ], path.read_text()


def run_pgtap(path: Path, demo: Demo) -> list[str]:
    """What the file prints, line by line, with the real pgTAP."""
    archive = javascript_clients() / "node_modules/@electric-sql/pglite-pgtap/dist/pgtap.tar.gz"
    with tarfile.open(archive) as files:
        member = files.extractfile("share/postgresql/extension/pgtap--1.3.5.sql")
        assert member is not None
        pgtap = "\n".join(line for line in member.read().decode().splitlines() if not line.startswith("\\"))
    with psycopg.connect(demo.database_url, autocommit=True) as connection:
        connection.execute(
            "create schema if not exists pgtap; grant usage on schema pgtap to public; set search_path = pgtap, public"
        )
        connection.execute(pgtap.encode())
        try:
            return lines_of(connection, path.read_text())
        finally:
            connection.execute("drop schema pgtap cascade")


def lines_of(connection: psycopg.Connection[Any], script: str) -> list[str]:
    cursor = connection.execute(script.encode())
    lines: list[str] = []
    while True:
        if cursor.description is not None:
            lines += [line for (text,) in cursor.fetchall() for line in str(text).splitlines()]
        if not cursor.nextset():
            return lines


def test_a_trace_becomes_a_test_that_passes_where_nobody_received_the_row(
    inspector: Inspector, database: psycopg.Connection[Any], demo: Demo, tmp_path: Path
) -> None:
    inspector.watch("bob")
    insert = "insert into tweets (user_id, content) values (%s, %s)"
    database.execute(insert, [demo.user("alice"), AWKWARD])
    inspector.row("INSERT", "tweets", "hidden by row policies").click()
    inspector.page.keyboard.press("w")
    inspector.detail.get_by_role("button", name="As a test").click()
    expect(inspector.detail.get_by_role("radio", name="pytest")).to_be_checked()
    path = export(inspector, "pytest", tmp_path)
    database.execute("delete from tweets")
    ran = run_pytest(path, demo)
    assert ran.returncode == 0, path.read_text() + ran.stdout
    assert "2 passed" in ran.stdout
    results = run_pgtap(export(inspector, "pgTAP", tmp_path), demo)
    assert [line for line in results if "ok" in line] == ["ok 1 - the row is there", "ok 2 - bob does not see it"]
    path.write_text(path.read_text().replace(AWKWARD.split()[0], "other").replace(demo.user("alice"), demo.user("bob")))
    ran = run_pytest(path, demo)
    assert "1 failed, 1 passed" in ran.stdout, path.read_text()  # bob sees his own


def test_a_row_that_nobody_received_cannot_be_tested(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    inspector.watch("bob")
    database.execute("insert into tweets (user_id, content) values (%s, 'hidden')", [inspector.demo.user("alice")])
    inspector.row("INSERT", "tweets", "hidden by row policies").click()
    inspector.detail.get_by_role("tab", name="Copy as").click()
    inspector.detail.get_by_role("radio", name="pytest").check(force=True)
    expect(inspector.detail).to_contain_text("Nobody who looks received this row")
    expect(inspector.detail.get_by_role("button", name="Save")).to_have_count(0)


@pytest.mark.parametrize("form", ["Python", "supabase-js"])
def test_the_program_for_a_change_hears_the_next_one(
    inspector: Inspector, database: psycopg.Connection[Any], tmp_path: Path, form: str
) -> None:
    inspector.watch("alice")
    insert = "insert into tweets (user_id, content) values (%s, 'before') returning id"
    key = database.execute(insert, [inspector.demo.user("alice")]).fetchone()
    inspector.row("INSERT", "tweets", "before").click()
    inspector.detail.get_by_role("tab", name="Copy as").click()
    inspector.detail.get_by_role("radio", name=form).check(force=True)
    code = inspector.detail.locator(".copy-as .code").inner_text()
    if form == "Python":
        path, program = tmp_path / "hear.py", python_client()
    else:
        path, program = javascript_clients() / "hear-export.mjs", node()
        transport = "process.env.TOKEN, { realtime: { transport: (await import('ws')).default } })"  # for Node below 22
        code = code.replace("process.env.TOKEN)", transport)
    path.write_text(code)
    environment = {**os.environ, "TOKEN": token_of(inspector, "alice"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [program, path], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        try:
            assert running.stdout is not None
            wait_for(running.stdout, "SUBSCRIBED")
            database.execute("update tweets set content = 'heard by a program' where id = %s", key)
            wait_for(running.stdout, "heard by a program")
        finally:
            running.kill()
            path.unlink()


def token_of(inspector: Inspector, name: str) -> str:
    """The token of a view: what somebody with a token of their own would put there."""
    kept = inspector.page.evaluate("JSON.parse(sessionStorage.getItem('inspector.identities'))")
    return str(next(one["access"] for one in kept if one["name"] == name))


def wait_for(output: Any, text: str) -> None:
    read = []
    for line in output:
        read.append(line)
        if text in line:
            return
    pytest.fail(f"{text!r} never came:\n{''.join(read)}")
