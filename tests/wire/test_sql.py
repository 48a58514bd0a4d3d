"""SQL as somebody over HTTP, on the demo: bound to a running impersonation, written down before it runs, and nothing else."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import orjson
import psycopg
import pytest

from tests.wire.demo import Demo
from tests.wire.test_examples import EXAMPLES, PATIENCE

START, SQL = "/api/v1/auth/impersonate", "/api/v1/sql"
DRAFTS = "[['draft']]"
SQL_ENTRIES = "select id from realtime_inspector.audit_log where session_id = %s and action = 'sql' order by id"
DENIED = "42501 new row violates row-level security policy for table"


@pytest.fixture
def http(demo: Demo) -> Iterator[httpx.Client]:
    """As the demo's admin; what was started is ended."""
    headers = {"authorization": f"Bearer {demo.told['admin_token']}", "content-type": "application/json"}
    with httpx.Client(base_url=demo.url, headers=headers, timeout=PATIENCE, trust_env=False) as client:
        yield client
        client.delete(START)


def become(http: httpx.Client, **wish: Any) -> str:
    answer = http.post(START, json={"reason": "ticket 42", "concurrent": True, **wish})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["session"]["id"])


def ask(http: httpx.Client, session: str, sql: str, **more: Any) -> Any:
    return http.post(SQL, json={"session_id": session, "sql": sql, **more})


def entries(admin: psycopg.Connection[Any], session: str | None) -> list[tuple[str, Any]]:
    rows = admin.execute("select action, detail from realtime_inspector.audit_log where session_id = %s order by id", [session])
    return [(action, detail) for action, detail in rows]


def test_roles_decide_as_the_tutorials_have_it(demo: Demo) -> None:
    """By a table and by the token; the viewer's insert is refused; a promotion counts at once, or with the next token."""
    variables = os.environ | {"RTI_URL": demo.url, "RTI_KEY": demo.told["admin_token"]}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "roles.py")], env=variables, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "carol articles reads ['archived'] ['draft'] ['published']",
        "carol notes reads ['draft'] ['published']",
        "dave articles reads ['archived'] ['draft'] ['published']",
        "dave notes reads ['draft'] ['published']",
        "vera articles reads ['published']",
        "vera notes reads ['published']",
        "bob articles reads",
        "bob notes reads",
        f"carol writes {DRAFTS}",
        f"carol writes {DRAFTS}",
        f"dave writes {DRAFTS}",
        f"dave writes {DRAFTS}",
        f'vera writes {DENIED} "articles"',
        f'vera writes {DENIED} "notes"',
        f'bob writes {DENIED} "articles"',
        f'bob writes {DENIED} "notes"',
        "promoted: articles [['1']]",
        "promoted: notes [['0']]",
        "with a new token: notes [['1']]",
    ]


def test_a_statement_is_written_down_before_it_runs(demo: Demo, http: httpx.Client, admin: psycopg.Connection[Any]) -> None:
    session = become(http, target_user_id=demo.person("alice").id)
    text = "select content from tweets order by id limit 1; select 1 as one, now() is null"
    answer = ask(http, session, text).json()
    assert answer["columns"] == [{"name": "one", "type": "integer"}, {"name": "?column?", "type": "boolean"}]
    assert (answer["rows"], answer["row_count"], answer["truncated"], answer["mode"]) == ([["1", "f"]], 1, False, "read")
    assert [each["rows"] for each in answer["results"]] == [[["Only I can read this."]], [["1", "f"]]]
    failed = ask(http, session, "select nothing from tweets")
    assert failed.status_code == 422
    assert failed.json() | {"hint": "", "docs": ""} == {
        "docs": "",
        "error": 'column "nothing" does not exist',
        "code": "STATEMENT_FAILED",
        "hint": "",
        "sqlstate": "42703",
        "position": 8,
        "detail": "",
    }
    (_, first), *outcomes = [entry for entry in entries(admin, session) if entry[0] != "sql"]
    assert first["type"] == "user"
    assert [detail.get("sql") for action, detail in entries(admin, session) if action == "sql"] == [
        text,
        "select nothing from tweets",
    ]
    numbers = [row[0] for row in admin.execute(SQL_ENTRIES, [session])]
    assert outcomes == [
        ("outcome", {"of": numbers[0], "commands": ["SELECT 1", "SELECT 1"], "rows": 2}),
        ("outcome", {"of": numbers[1], "code": "STATEMENT_FAILED", "sqlstate": "42703"}),
    ]
    listed = http.get("/api/v1/auth/impersonate/sessions?limit=1").json()["sessions"][0]
    assert (listed["id"], listed["queries"]) == (session, 2)


def test_without_the_trail_nothing_runs(demo: Demo, http: httpx.Client, admin: psycopg.Connection[Any]) -> None:
    session = become(http, target_user_id=demo.person("alice").id)
    with psycopg.connect(demo.database_url) as holder:
        holder.execute("lock table realtime_inspector.audit_head in access exclusive mode")
        answer = ask(http, session, "insert into tweets (content) values ('unrecorded')", mode="commit")
        assert (answer.status_code, answer.json()["code"]) == (503, "UnableToConnectToProject")
    assert admin.execute("select count(*) from tweets where content = 'unrecorded'").fetchone() == (0,)


def test_only_a_running_session_of_ones_own_counts(demo: Demo, http: httpx.Client, admin: psycopg.Connection[Any]) -> None:
    session = become(http, target_user_id=demo.person("alice").id)
    other = {"authorization": f"Bearer {demo.token(demo.person('alice'), 60, role='inspector_admin', sub='another admin')}"}
    crossed = http.post(SQL, json={"session_id": session, "sql": "select 1"}, headers=other)
    forged = ask(http, "00000000-0000-4000-8000-000000000000", "select 1")
    http.delete(START)
    ended = ask(http, session, "select 1")
    for answer in (crossed, forged, ended, ask(http, "' or true --", "select 1"), ask(http, "", "select 1")):
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert http.get(f"/api/v1/tables/public/tweets/rows?session_id={session}").status_code == 404
    refused = admin.execute(
        "select count(*) from realtime_inspector.audit_log where action = 'sql_refused' and detail ->> 'session' = %s", [session]
    )
    assert refused.fetchone() == (2,)


def test_a_session_that_ends_meanwhile_commits_nothing(demo: Demo, http: httpx.Client, admin: psycopg.Connection[Any]) -> None:
    session = become(http, target_user_id=demo.person("alice").id)
    text = "insert into tweets (content) values ('too late'); select pg_sleep(1)"
    running = (
        "select count(*) from pg_stat_activity where application_name = 'realtime_inspector console' and wait_event = 'PgSleep'"
    )
    with ThreadPoolExecutor() as threads:
        asked = threads.submit(ask, http, session, text, mode="commit")
        while admin.execute(running).fetchone() == (0,):
            assert not asked.done(), asked.result().text
        assert http.delete(START).status_code == 200
        answer = asked.result()
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert admin.execute("select count(*) from tweets where content = 'too late'").fetchone() == (0,)


def test_who_passes_by_policies_is_refused_with_a_remedy(http: httpx.Client) -> None:
    started = http.post("/api/v1/auth/impersonate/service", json={"reason": "ticket 42"}).json()
    answer = ask(http, started["session"]["id"], "select 1")
    assert (answer.status_code, answer.json()["code"]) == (403, "ACCESS_DENIED")
    assert "login of your own" in answer.json()["hint"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"sql": "commit"}, 400, "STATEMENT_REFUSED"),
        ({"sql": "select set_config('role', 'none', true)"}, 400, "STATEMENT_REFUSED"),
        ({"sql": ""}, 400, "STATEMENT_REFUSED"),
        ({"sql": "select 1", "mode": "superuser"}, 400, "INVALID_INPUT"),
        ({"sql": "select 1", "limit": -1}, 400, "INVALID_INPUT"),
        ({"sql": "select 1", "limit": 1001}, 400, "INVALID_INPUT"),
        ({"sql": "select 1", "role": "postgres"}, 400, "INVALID_INPUT"),
        ({"sql": 5}, 400, "INVALID_INPUT"),
    ],
)
def test_what_is_not_accepted_is_refused(demo: Demo, http: httpx.Client, body: Any, status: int, code: str) -> None:
    session = become(http, target_user_id=demo.person("alice").id)
    answer = http.post(SQL, content=orjson.dumps({"session_id": session, **body}))
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_table_is_looked_into(demo: Demo, http: httpx.Client, admin: psycopg.Connection[Any]) -> None:
    session = become(http, target_user_id=demo.person("alice").id)
    path = f"/api/v1/tables/public/tweets/rows?session_id={session}"
    answer = http.get(f"{path}&order=id.desc&limit=1").json()
    assert [column["name"] for column in answer["columns"]] == ["id", "user_id", "content", "created_at"]
    assert answer["rows"][0][1] == demo.person("alice").id
    looked, outcome = entries(admin, session)[-2:]
    assert (looked[0], outcome[0], outcome[1]["rows"]) == ("table", "outcome", 1)
    for wrong, status in (("&order=id", 400), ("&order=id.up", 400), ("&limit=x", 400), ("&order=nothing.asc", 422)):
        assert http.get(path + wrong).status_code == status
    assert http.get(f"/api/v1/tables/public/nothing/rows?session_id={session}").status_code == 404
