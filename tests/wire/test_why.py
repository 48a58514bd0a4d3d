"""Why and who over HTTP and in the terminal, against a whole service: events that real sockets did and did not receive."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.wire.contract import assert_described
from tests.wire.demo import Demo, Person

PATIENCE = 30.0


class Listening:
    """A socket of somebody's that asks for tweets."""

    def __init__(self, connection: ClientConnection, topic: str, table: str, filter_: str | None) -> None:
        self.connection = connection
        wanted = {"event": "*", "schema": "public", "table": table} | ({"filter": filter_} if filter_ else {})
        config = {"postgres_changes": [wanted], "presence": {"enabled": False}}
        connection.send(json.dumps(["1", "1", topic, "phx_join", {"config": config}]))
        self.until("system")

    def until(self, event: str) -> Any:
        while True:
            *_, name, payload = json.loads(self.connection.recv(timeout=PATIENCE))
            if name == event:
                return payload


@contextmanager
def listening(
    demo: Demo,
    person: Person,
    topic: str = "realtime:why",
    filter_: str | None = None,
    table: str = "tweets",
    *,
    reads: bool = True,
) -> Iterator[Listening]:
    """`reads`: or else almost nothing is taken from the network once it has joined."""
    address = f"{demo.told['websocket_url']}/websocket?vsn=2.0.0&apikey={person.token}"
    raw = socket.socket()
    if not reads:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    parts = urlsplit(address)
    raw.connect((parts.hostname, parts.port))
    with connect(address, sock=raw, max_queue=16 if reads else 1, close_timeout=None if reads else 0) as connection:
        yield Listening(connection, topic, table, filter_)


def ask(demo: Demo, path: str, body: dict[str, Any], status: int = 200, bearer: str | None = None) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {bearer or demo.told['admin_token']}"}
    response = httpx.post(f"{demo.url}/api/v1/{path}", json=body, headers=headers)
    assert response.status_code == status, response.text
    assert_described(response)
    return dict(response.json())


def steps(answer: dict[str, Any]) -> dict[str, str]:
    return {step["step"]: step["state"] for step in answer["ladder"]}


def fact(answer: dict[str, Any], name: str) -> str:
    return next(str(step["fact"]) for step in answer["ladder"] if step["step"] == name)


def as_(person: Person) -> dict[str, Any]:
    return {"role": person.claims["role"], "claims": person.claims}


def test_who_received_an_event_and_why_the_others_did_not(demo: Demo, admin: psycopg.Connection[Any]) -> None:
    alice, bob, service = (demo.person(name) for name in ("alice", "bob", "service"))
    with ExitStack() as stack:
        enter = stack.enter_context
        mine, _, everything = (enter(listening(demo, person)) for person in (alice, bob, service))
        enter(listening(demo, alice, "realtime:filtered", "content=eq.other"))
        admin.execute("insert into tweets (user_id, content) values (%s, 'why')", [alice.id])
        event = mine.until("postgres_changes")["event_id"]
        assert everything.until("postgres_changes")["event_id"] == event
        enter(listening(demo, service, "realtime:late"))

        answer = ask(demo, "who", {"event_id": event})
        reasons = {(each["subject"], each["topic"]): each["reason"] for each in answer["subscribers"]}
        assert reasons == {
            (alice.id, "realtime:why"): "delivered",
            (alice.id, "realtime:filtered"): "filtered",
            (bob.id, "realtime:why"): "hidden_by_policy",
            ("", "realtime:why"): "delivered",
            ("", "realtime:late"): "not_joined",
        }
        assert (answer["delivered"], answer["withheld"], answer["evaluated"]) == (2, 3, "kept")
        assert all(each["connection"] for each in answer["subscribers"])

        of_alice = ask(demo, "why", {"event_id": event, **as_(alice)})
        assert (of_alice["verdict"], of_alice["agrees"], of_alice["operation"]) == ("allowed", True, "INSERT")
        assert {name for name, state in steps(of_alice).items() if state != "passed"} == {"acknowledged"}
        of_bob = ask(demo, "why", {"event_id": event, **as_(bob)})
        assert (of_bob["verdict"], of_bob["agrees"]) == ("denied", True)
        assert steps(of_bob)["policies"] == steps(of_bob)["sent"] == "failed"
        of_service = ask(demo, "why", {"event_id": event, **as_(service)})
        assert (of_service["verdict"], of_service["bypass"]) == ("allowed", "bypassrls")


def test_a_record_that_is_too_large_is_told_at_the_step_of_size(demo: Demo, admin: psycopg.Connection[Any]) -> None:
    alice = demo.person("alice")
    with listening(demo, alice) as mine:
        for characters in (100, 1_200_000):
            admin.execute("insert into tweets (user_id, content) values (%s, repeat('x', %s))", [alice.id, characters])
        small, large = (mine.until("postgres_changes") for _ in range(2))
        facts = [fact(ask(demo, "why", {"event_id": event["event_id"], **as_(alice)}), "size") for event in (small, large)]
    assert "content" not in large["data"]["record"]
    assert facts[0].endswith("of 1048576 that a record may have")
    assert "1048576 that a record may have: its longer values were left out" in facts[1]
    assert int(facts[1].split()[0]) > 1_200_000


def test_a_socket_that_is_not_read_is_told_at_the_step_of_the_queue(demo: Demo, admin: psycopg.Connection[Any]) -> None:
    bob, service = demo.person("bob"), demo.person("service")
    told: list[str] = []
    with listening(demo, service) as everything, listening(demo, bob, reads=False):
        while "closed" not in (told[-1] if told else ""):
            admin.execute("insert into tweets (user_id, content) values (%s, repeat('x', 500000))", [bob.id])
            event = everything.until("postgres_changes")["event_id"]
            answer = ask(demo, "why", {"event_id": event, **as_(bob)})
            told.append(fact(answer, "queue"))
    assert told[0].startswith("nothing waits")  # the network takes some
    assert any("bytes wait for the socket, which reads slowly" in each for each in told)
    assert "did not read what it was sent and was closed" in told[-1]
    assert (steps(answer)["subscribed"], steps(answer)["queue"]) == ("skipped", "failed")


def test_the_deletion_of_a_row_is_explained_by_the_row_as_it_was(demo: Demo, admin: psycopg.Connection[Any]) -> None:
    alice, bob = demo.person("alice"), demo.person("bob")
    with listening(demo, alice) as mine:
        admin.execute("insert into tweets (user_id, content) values (%s, 'soon gone')", [alice.id])
        mine.until("postgres_changes")
        admin.execute("delete from tweets where content = 'soon gone'")
        event = mine.until("postgres_changes")["event_id"]
    answers = [ask(demo, "why", {"event_id": event, **as_(person)}) for person in (alice, bob)]
    assert [answer["verdict"] for answer in answers] == ["allowed", "denied"]
    assert {answer["source"] for answer in answers} == {"tuple"}
    assert answers[0]["old"]["verdict"] == "allowed"


def test_who_was_told_of_a_deletion_is_known_whatever_the_log_has(demo: Demo, admin: psycopg.Connection[Any]) -> None:
    carol, vera = demo.person("carol"), demo.person("vera")
    with ExitStack() as stack:
        sockets = [stack.enter_context(listening(demo, who, "realtime:notes", table="notes")) for who in (carol, vera)]
        admin.execute("insert into notes (body, status) values ('for carol', 'draft')")
        admin.execute("insert into notes (body, status) values ('for all', 'published')")
        for socket in sockets:
            while socket.until("postgres_changes")["data"]["record"]["body"] != "for all":
                continue
        admin.execute("delete from notes where body like 'for %'")
        events = [sockets[0].until("postgres_changes") for _ in range(2)]
        found = [ask(demo, "who", {"event_id": event["event_id"]}) for event in events]
    told = {each["delivered"]: {one["subject"]: one["reason"] for one in each["subscribers"]} for each in found}
    assert told[1] == {carol.id: "delivered", vera.id: "old_row_unknown"}
    assert told[2] == {carol.id: "delivered", vera.id: "delivered"}
    assert {each["evaluated"] for each in found} == {"kept"}


def test_a_running_impersonation_can_be_asked_about_and_what_if(demo: Demo, admin: psycopg.Connection[Any]) -> None:
    bob = demo.person("bob")
    admin.execute("insert into tweets (id, user_id, content) values (70001, %s, 'what if')", [bob.id])
    started = ask(demo, "auth/impersonate", {"target_user_id": bob.id, "reason": "to see why"})
    row = {"schema": "public", "table": "tweets", "key": {"id": "70001"}, "session_id": started["session"]["id"]}
    assert ask(demo, "why", row)["verdict"] == "allowed"
    headers = {"authorization": f"Bearer {demo.told['admin_token']}"}
    where = f"{demo.url}/api/v1/audit?action=trace&session_id={row['session_id']}"
    (entry,) = httpx.get(where, headers=headers).json()["entries"]
    assert entry["detail"]["table"] == "public.tweets"
    assert entry["detail"]["verdict"] == "allowed"
    other = ask(demo, "why", row | {"what_if": {"claims": demo.person("alice").claims}})
    assert other["verdict"] == "denied"
    assert ask(demo, "why", row | {"what_if": {"role": "anon"}})["verdict"] == "denied"
    open_ = {"policy": {"name": "open", "command": "SELECT", "using": "content = 'what if'"}}
    assert ask(demo, "why", row | {"what_if": {"role": "anon", **open_}})["verdict"] == "allowed"
    refused = [
        ask(demo, "why", row | {"what_if": {"role": "postgres"}}, status=403),
        ask(demo, "why", row | {"session_id": "00000000-0000-4000-8000-000000000000"}, status=404),
        ask(demo, "why", row | {"what_if": {"policy": {"using": "true; drop table tweets"}}}, status=400),
        ask(demo, "why", {"event_id": "A" * 27, "session_id": row["session_id"]}, status=404),
    ]
    entries = httpx.get(f"{demo.url}/api/v1/audit?action=trace&limit=4", headers=headers).json()["entries"]
    assert [entry["detail"]["error"] for entry in reversed(entries)] == [each["code"] for each in refused]
    assert entries[0]["detail"]["event_id"] == "A" * 27
    ask(demo, "who", {"event_id": "A" * 27}, status=404)
    (entry,) = httpx.get(f"{demo.url}/api/v1/audit?action=who&limit=1", headers=headers).json()["entries"]
    assert (entry["detail"]["event_id"], entry["detail"]["error"]) == ("A" * 27, refused[-1]["code"])


@pytest.mark.parametrize("name", ["anon", "alice", "service"])
def test_only_admins_may_ask(demo: Demo, name: str) -> None:
    bearer = demo.person(name).token
    ask(demo, "why", {"schema": "public", "table": "tweets", "key": {"id": "1"}, "role": "anon"}, 403, bearer)
    ask(demo, "who", {"event_id": "A" * 27}, 403, bearer)


def test_why_in_the_terminal(demo: Demo, admin: psycopg.Connection[Any]) -> None:
    alice, bob = demo.person("alice"), demo.person("bob")
    admin.execute("insert into tweets (id, user_id, content) values (70002, %s, 'in the terminal')", [alice.id])

    def why(*arguments: str) -> str:
        command = [sys.executable, "-m", "realtime_inspector", "why", "--url", demo.url, *arguments]
        variables = {"RTI_JWT_SECRET": str(demo.told["jwt_secret"]), "PATH": ""}
        return subprocess.run(command, env=variables, check=True, capture_output=True, text=True).stdout

    row = ("--table", "tweets", "--key", "id=70002", "--as", f"user:{bob.id}")
    told = why(*row)
    assert told.startswith("authenticated does not see public.tweets (id=70002): the policy “own tweets” does not hold")
    assert "✗ policies" in told
    assert f"[{bob.id} = {alice.id}]" in told
    assert json.loads(why(*row, "--using", "true", "--json"))["verdict"] == "allowed"
