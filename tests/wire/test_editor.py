"""The policy editor over HTTP, against a whole service; the assistant against a server that speaks the protocol of OpenAI."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from tests.wire.assistant import ANSWER, Stub, assisting
from tests.wire.contract import assert_described
from tests.wire.demo import Demo
from tests.wire.test_why import as_, ask

SECRET = "a row that must stay in the database"


def look(demo: Demo, path: str) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {demo.told['admin_token']}"}
    response = httpx.get(f"{demo.url}/api/v1/{path}", headers=headers)
    assert response.status_code == 200, response.text
    assert_described(response)
    return dict(response.json())


def test_policies_are_listed_by_table(demo: Demo) -> None:
    tables = {table["name"]: table for table in look(demo, "policies")["tables"]}
    (own,) = tables["tweets"]["policies"]
    assert (own["name"], own["kind"], own["command"], own["roles"]) == ("own tweets", "permissive", "ALL", ["authenticated"])
    assert "auth.uid()" in own["using"]
    assert tables["countries"]["rls"] is False
    assert {template["id"] for template in look(demo, "policies/templates")["templates"]} >= {"owner", "tenant"}


def test_a_policy_is_tried_for_several_people_before_it_exists(demo: Demo, admin: psycopg.Connection[Any]) -> None:
    alice, bob = demo.person("alice"), demo.person("bob")
    admin.execute("insert into tweets (user_id, content) values (%s, 'tried')", [alice.id])
    policy = {"name": "tried", "command": "SELECT", "roles": ["authenticated"], "using": "content = 'tried'"}
    body = {"schema": "public", "table": "tweets", "policy": policy, "identities": [as_(alice), as_(bob)], "limit": 200}
    answer = ask(demo, "policies/try", body)
    of_alice, of_bob = answer["identities"]
    assert of_alice["gained"] == []
    assert {row["content"] for row in of_bob["gained"]} == {"tried"}
    assert of_bob["after"] - of_bob["before"] == len(of_bob["gained"])
    assert answer["migration"].startswith(
        'create policy "tried" on "public"."tweets" as permissive for select to "authenticated"'
    )
    assert admin.execute("select count(*) from pg_policy where polname = 'tried'").fetchone() == (0,)
    ask(demo, "policies/try", body | {"policy": policy | {"using": "true); drop table tweets; --"}}, 400)
    ask(demo, "policies/try", body | {"identities": [{"role": "postgres"}]}, 403)
    ask(demo, "policies/try", body | {"limit": 1_000}, 400)


def test_a_policy_stands_in_the_trail_with_its_text_before_it_is_tried(demo: Demo) -> None:
    policy = {"name": "tried", "using": "content = 'tried'", "check": "true"}
    body = {"schema": "public", "table": "nowhere", "policy": policy, "identities": [{"role": "anon"}]}
    ask(demo, "policies/try", body, 400)
    last = look(demo, "audit?action=policy_tried&limit=1")["entries"][0]["detail"]
    assert last == {"table": "public.nowhere", "policy": "tried", "using": "content = 'tried'", "check": "true", "as": ["anon"]}
    row = {"schema": "public", "table": "nowhere", "key": {"id": "1"}, "role": "anon"}
    ask(demo, "why", {**row, "what_if": {"policy": {"using": "1 = 2"}}}, 400)
    last = look(demo, "audit?action=policy_tried&limit=1")["entries"][0]["detail"]
    assert last == {"table": "public.nowhere", "policy": "candidate", "using": "1 = 2", "check": None, "as": ["anon"]}


def test_the_matrix_has_every_role_and_table_and_the_sessions_that_are_named(demo: Demo) -> None:
    bob = demo.person("bob")
    session = ask(demo, "auth/impersonate", {"target_user_id": bob.id, "reason": "for the matrix"})["session"]["id"]
    rows = ask(demo, "policies/matrix", {"tables": ["public.countries", "public.tweets"], "session_ids": [session]})["rows"]
    cells = {(row["table"], row["identity"]): row["cells"] for row in rows}
    assert cells["public.countries", "anon"]["select"]["state"] == "all"
    assert cells["public.tweets", "anon"]["select"]["state"] in ("none", "no_grant")
    assert cells["public.tweets", f"authenticated {bob.id}"]["select"]["policies"] == ["own tweets"]
    assert {row["table"] for row in ask(demo, "policies/matrix", {})["rows"]} >= {"public.articles", "public.notes"}


@pytest.mark.parametrize(
    "path", ["policies/try", "policies/matrix", "policies/assist", "policies", "policies/templates", "lints"]
)
def test_only_admins_see_the_editor(demo: Demo, path: str) -> None:
    headers = {"authorization": f"Bearer {demo.person('alice').token}"}
    method = "GET" if path in ("policies", "policies/templates", "lints") else "POST"
    response = httpx.request(method, f"{demo.url}/api/v1/{path}", headers=headers, json={} if method == "POST" else None)
    assert response.status_code == 403


def test_without_settings_there_is_no_assistant(demo: Demo) -> None:
    answer = ask(demo, "policies/assist", {"prompt": "only owners", "schema": "public", "table": "tweets"}, 404)
    assert answer["code"] == "ASSISTANT_OFF"
    assert "RTI_ASSISTANT_URL" in answer["hint"]


def test_lints_of_the_sample_application(demo: Demo) -> None:
    findings = look(demo, "lints")["findings"]
    assert {(each["name"], each["object"]["name"]) for each in findings if each["level"] == "error"} == {
        ("rls_disabled", "countries")
    }


@pytest.fixture(scope="module")
def assisted() -> Iterator[tuple[Demo, Stub]]:
    """A demo with an assistant, and a secret in one of its rows."""
    with assisting() as (told, stub):
        demo = Demo(told)
        with psycopg.connect(demo.database_url, autocommit=True) as connection:
            connection.execute("insert into public.countries (id, name) values (99, %s)", [SECRET])
        yield demo, stub


WISH = {"prompt": "only owners see their tweets", "schema": "public", "table": "tweets"}


def test_the_assistant_is_told_the_schema_and_no_row(assisted: tuple[Demo, Stub]) -> None:
    demo, stub = assisted
    stub.content, stub.status = ANSWER, 200
    answer = ask(demo, "policies/assist", WISH)
    assert answer["sql"] == "create policy own on tweets using (user_id = (select auth.uid()));"
    assert answer["explanation"].endswith("Only owners see their rows.")
    path, key, body = stub.sent[-1]
    assert (path, key) == ("/v1/chat/completions", "Bearer the key")
    said = json.loads(body)
    assert said["model"] == "m"
    asked = said["messages"][-1]["content"]
    assert "only owners see their tweets" in asked
    assert '"user_id":"uuid"' in asked
    assert "own tweets" in asked
    with psycopg.connect(demo.database_url) as connection:
        texts = connection.execute(
            "select content from tweets union select email from auth.users union select name from countries"
        )
        values = [value for (value,) in texts if value and len(value) > 3]
    assert SECRET in values
    assert [value for value in values if value in body] == []
    assert all(user["id"] not in body for user in demo.told["users"])
    assert look(demo, "audit?action=assisted&limit=1")["entries"][0]["detail"]["prompt"] == WISH["prompt"]


@pytest.mark.parametrize(("content", "status"), [("no SQL at all", 200), (None, 200), (ANSWER, 500), ("x" * 300_000, 200)])
def test_an_assistant_that_fails_is_told_as_such(assisted: tuple[Demo, Stub], content: object, status: int) -> None:
    demo, stub = assisted
    stub.content, stub.status = content, status
    assert ask(demo, "policies/assist", WISH, 502)["code"] == "ASSISTANT_FAILED"
