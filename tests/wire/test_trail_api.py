"""The trail over REST and on the command line, who is connected, and endings that another process made."""

import asyncio
import csv
import io
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import orjson
import pytest
from websockets.asyncio.client import connect

from realtime_inspector.identity.chain import Entry
from realtime_inspector.identity.export import COLUMNS
from realtime_inspector.identity.export import csv as written
from tests.wire.demo import Demo
from tests.wire.test_admin_api import ANON, START, WISH, Service, pool, refused, token

__all__ = ["pool"]
AUDIT, EXPORT, VERIFY = "/api/v1/audit", "/api/v1/audit/export", "/api/v1/audit/verify"
CONNECTIONS = "/api/v1/connections"
CONNECTION: dict[str, object] = {
    "id": "p-1",
    "peer": "10.0.0.1",
    "role": "anon",
    "subject": None,
    "vsn": "2.0.0",
    "opened_at": 1.5,
    "topics": ["realtime:a"],
    "sent": 1,
    "sent_bytes": 2,
    "dropped": 0,
    "queued_bytes": 0,
    "impersonation": None,
}


@pytest.fixture
async def service(pool: Any) -> AsyncIterator[Service]:
    made = Service(pool)
    async with made.client:
        yield made


async def test_the_trail_is_read_with_filters(service: Service) -> None:
    first = await service.start()
    await service.start(ANON, {"reason": "ticket 43"}, bearer=token(sub="bea"))
    await service.ask("DELETE", START)
    answer = (await service.ask("GET", AUDIT)).json()
    assert [entry["action"] for entry in answer["entries"]] == ["stopped", "started", "started"]
    assert answer["entries"][2].keys() == set(COLUMNS)
    assert answer["entries"][2]["detail"]["reason"] == "ticket 42"
    assert answer["entries"][2]["at"].endswith("Z")
    assert (answer["total"], answer["limit"], answer["offset"]) == (3, 50, 0)
    for query, total in (
        ("action=started", 2),
        ("admin_user_id=bea", 1),
        (f"session_id={first['session']['id']}", 2),
        ("since=2020-01-01", 3),
        ("since=2999-01-01T00:00:00Z", 0),
        ("until=2020-01-01T00:00:00%2B02:00", 0),
        (f"action=stopped&admin_user_id=ann&session_id={first['session']['id']}&since=2020-01-01&until=2999-01-01", 1),
    ):
        assert (await service.ask("GET", f"{AUDIT}?{query}")).json()["total"] == total, query
    for wrong in ("session_id=x", "since=yesterday", "limit=-1", "action=%00"):
        assert refused(await service.ask("GET", f"{AUDIT}?{wrong}"), 400, "INVALID_INPUT")


async def test_the_trail_is_taken_away_and_that_is_written_down(service: Service) -> None:
    await service.start(json={**WISH, "reason": '=HYPERLINK("http://evil") and more'})
    as_csv = await service.ask("GET", f"{EXPORT}?format=csv")
    assert as_csv.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    head, *rows = csv.reader(io.StringIO(as_csv.text, newline=""))
    assert (tuple(head), [row[2] for row in rows]) == (COLUMNS, ["started", "export"])
    lines = (await service.ask("GET", EXPORT)).text.splitlines()
    assert [orjson.loads(line)["action"] for line in lines] == ["started", "export", "export"]
    assert refused(await service.ask("GET", f"{EXPORT}?format=xlsx"), 400, "INVALID_INPUT")


@pytest.mark.parametrize("begin", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "  =1", "\ufeff=1", "|calc", "%0A"])
def test_no_cell_is_a_formula(begin: str) -> None:
    line = written([Entry(1, begin, begin, begin, begin, "{}", begin, f'{begin}"', b"h")])
    (cells,) = csv.reader(io.StringIO(line, newline=""))
    assert [cell[0] for cell in cells if begin in cell] == ["'"] * 6
    assert cells[7] == f"'{begin}\""


async def test_the_trail_is_verified(service: Service, database: str) -> None:
    await service.start()
    found = (await service.ask("GET", VERIFY)).json()
    assert (found["intact"], found["entries"]) == (True, 1)
    assert (await service.ask("GET", f"{VERIFY}?kept={found['head']}")).json()["intact"] is True
    assert (await service.ask("GET", f"{VERIFY}?kept={'ab' * 32}")).json()["first_broken"]["id"] is None
    superuser = await asyncpg.connect(database)
    await superuser.execute("alter table realtime_inspector.audit_log disable trigger user")
    await superuser.execute("update realtime_inspector.audit_log set admin_user_id = 'eve'")
    await superuser.close()
    broken = (await service.ask("GET", VERIFY)).json()
    assert (broken["intact"], broken["first_broken"]["id"]) == (False, 1)


async def test_who_is_connected_is_shown_and_ended_with_a_note(service: Service) -> None:
    service.connections = [CONNECTION]
    for _ in range(3):
        assert (await service.ask("GET", CONNECTIONS)).json() == {"connections": service.connections}
    assert refused(await service.ask("DELETE", f"{CONNECTIONS}/p-2"), 404, "NOT_FOUND")
    await service.ask("DELETE", f"{CONNECTIONS}/p-1")
    assert service.disconnected == ["p-1"]
    log = [(entry["action"], orjson.loads(entry["detail"])) for entry in await service.log()]
    assert log == [
        ("connections", {"shown": 1}),
        ("disconnect", {"connection": "p-1", "peer": "10.0.0.1", "role": "anon", "subject": None}),
    ]


async def test_nobody_is_shown_while_that_cannot_be_written_down(service: Service, database: str) -> None:
    service.connections = [CONNECTION]
    superuser = await asyncpg.connect(database)
    await superuser.execute("revoke execute on all functions in schema realtime_inspector from test_admin_reader")
    answers = await asyncio.gather(*(service.ask("GET", CONNECTIONS) for _ in range(3)))
    answers.append(await service.ask("GET", CONNECTIONS))
    assert [answer.status_code for answer in answers] == [503] * 4
    await superuser.execute("grant execute on all functions in schema realtime_inspector to test_admin_reader")
    await superuser.close()
    for _ in range(2):
        assert (await service.ask("GET", CONNECTIONS)).status_code == 200
    assert [entry["action"] for entry in await service.log()] == ["connections"]


# On the running service.


def address(demo: Demo, key: str) -> str:
    return f"{demo.url.replace('http', 'ws', 1)}/socket/websocket?vsn=2.0.0&apikey={key}"


async def test_a_live_socket_is_listed_and_ended(demo: Demo) -> None:
    alice = demo.person("alice")
    headers = {"authorization": f"Bearer {demo.told['admin_token']}", "content-type": "application/json"}
    async with (
        httpx.AsyncClient(base_url=demo.url, headers=headers, trust_env=False) as http,
        connect(address(demo, demo.anon_key), proxy=None) as socket,
    ):
        join = ["1", "1", "realtime:listed", "phx_join", {"config": {}, "access_token": alice.token}]
        await socket.send(orjson.dumps(join).decode())
        await socket.recv()
        listed = (await http.get(CONNECTIONS)).json()["connections"]
        (mine,) = [each for each in listed if each["topics"] == ["realtime:listed"]]
        assert (mine["role"], mine["subject"], mine["peer"]) == ("authenticated", alice.id, "127.0.0.1")
        assert mine["sent"] >= 1
        assert mine["sent_bytes"] > 20
        assert (mine["dropped"], mine["impersonation"]) == (0, None)
        assert (await http.delete(f"{CONNECTIONS}/{mine['id']}")).json() == {"success": True}
        await socket.wait_closed()
        assert socket.close_code == 4002
        assert mine["id"] not in [each["id"] for each in (await http.get(CONNECTIONS)).json()["connections"]]


async def test_what_another_process_ends_is_closed_here(demo: Demo) -> None:
    """Ended in the trail alone, as by any other process of the service."""
    headers = {"authorization": f"Bearer {demo.told['admin_token']}", "content-type": "application/json"}
    async with httpx.AsyncClient(base_url=demo.url, headers=headers, trust_env=False) as http:
        wish = {"target_user_id": demo.person("alice").id, "reason": "ticket 42", "concurrent": True}
        started = (await http.post(START, json=wish)).json()
        async with connect(address(demo, started["access_token"]), proxy=None) as socket:
            elsewhere = await asyncpg.connect(demo.database_url)
            session = started["session"]
            await elsewhere.execute(
                "select realtime_inspector.end_impersonation($1, $2, 'stopped', null, null)",
                session["admin_user_id"],
                session["id"],
            )
            await elsewhere.close()
            await socket.wait_closed()
            assert (socket.close_code, socket.close_reason) == (4001, "the impersonation has ended")
        assert (
            await http.get("/api/v1/admin/me", headers={"authorization": f"Bearer {started['access_token']}"})
        ).status_code == 401


def command(demo: Demo, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "RTI_READER_URL": demo.database_url, "RTI_JWT_SECRET": str(demo.told["jwt_secret"])}
    line = [sys.executable, "-m", "realtime_inspector", *arguments]
    return subprocess.run(line, env=variables, input=given, capture_output=True, text=True, timeout=60, check=False)


def test_the_trail_on_the_command_line(demo: Demo) -> None:
    intact = command(demo, "audit", "verify", "--json")
    assert (intact.returncode, intact.stderr) == (0, "")
    told = orjson.loads(intact.stdout)
    assert told["intact"] is True
    assert told["head"] in command(demo, "audit", "verify", "--kept", told["head"]).stdout
    lost = command(demo, "audit", "verify", "--kept", "ab" * 32)
    assert lost.returncode == 1
    assert "written anew" in lost.stdout
    exported = command(demo, "audit", "export", "--format", "csv", "--until", "2020-01-01")
    assert (exported.returncode, exported.stdout.splitlines()) == (0, [",".join(f'"{name}"' for name in COLUMNS)])
    lines = command(demo, "audit", "export").stdout.split("\n")  # JSON escapes this, and nothing else that separates lines
    assert all(orjson.loads(line)["hash"] for line in lines if line)


def test_admins_on_the_command_line(demo: Demo) -> None:
    made = command(demo, "admin", "password", "Ann@Example.com", given="correct horse battery\n")
    assert made.returncode == 0
    assert made.stdout.startswith("ann@example.com=scrypt:")
    assert command(demo, "admin", "password", "ann@example.com", given="short\n").returncode == 1
    revoked = command(demo, "admin", "revoke", "Mallory", "--reason", "left the company")
    assert revoked.stdout == "mallory was revoked; 0 running impersonations ended.\n"
    assert command(demo, "admin", "revoke", "mallory", "--reason", " ").returncode == 1
    assert command(demo, "admin", "reinstate", "mallory", "--reason", "came back").stdout == "mallory was reinstated.\n"
    assert '"admin_revoked"' in command(demo, "audit", "export", "--action", "admin_revoked").stdout
