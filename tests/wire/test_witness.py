"""What was seen under an impersonation stands in the trail: channels before they are joined, rows once they were decided."""

import asyncio
from collections import Counter
from typing import Any

import asyncpg
import httpx
import orjson
import psycopg
from websockets.asyncio.client import ClientConnection, connect

from realtime_inspector.errors import DatabaseUnavailable
from realtime_inspector.hub import witness
from realtime_inspector.model import Binding, Identity, Token
from tests.wire.demo import Demo
from tests.wire.test_trail_api import START, address

PATIENCE = 30.0


async def started(demo: Demo, http: httpx.AsyncClient, name: str) -> Any:
    wish = {"target_user_id": demo.person(name).id, "reason": "ticket 42", "concurrent": True}
    return (await http.post(START, json=wish)).json()


def client(demo: Demo) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {demo.told['admin_token']}", "content-type": "application/json"}
    return httpx.AsyncClient(base_url=demo.url, headers=headers, trust_env=False)


async def join(socket: ClientConnection, topic: str, *tables: str) -> Any:
    bindings = [{"event": "*", "schema": "public", "table": table} for table in tables]
    await socket.send(orjson.dumps(["1", "1", topic, "phx_join", {"config": {"postgres_changes": bindings}}]).decode())
    async with asyncio.timeout(PATIENCE):
        while (message := orjson.loads(await socket.recv()))[3] != "phx_reply":
            pass
        return message[4]


async def entries(demo: Demo, session: str, action: str) -> list[dict[str, Any]]:
    trail = await asyncpg.connect(demo.database_url)
    try:
        query = "select detail::text from realtime_inspector.audit_log where session_id = $1 and action = $2 order by id"
        return [orjson.loads(record["detail"]) for record in await trail.fetch(query, session, action)]
    finally:
        await trail.close()


async def test_channels_and_rows_are_written_down(demo: Demo, admin: psycopg.Connection[Any]) -> None:
    alice, bob = demo.person("alice"), demo.person("bob")
    async with client(demo) as http:
        one = await started(demo, http, "alice")
        session = one["session"]["id"]
        async with connect(address(demo, one["access_token"]), proxy=None) as socket:
            assert (await join(socket, "realtime:seen", "tweets"))["status"] == "ok"
            assert (await join(socket, "realtime:talk"))["status"] == "ok"
            for author in (bob, alice, bob, bob):
                admin.execute("insert into tweets (user_id, content) values (%s, 'seen or not')", [author.id])
            async with asyncio.timeout(PATIENCE):
                while not (seen := await entries(demo, session, "seen")):  # noqa: ASYNC110 - the database tells nobody
                    await asyncio.sleep(0.2)
        assert {name: sum(each.get(name, 0) for each in seen) for name in ("delivered", "denied")} == {
            "delivered": 1,
            "denied": 3,
        }
        assert await entries(demo, session, "joined") == [
            {"topic": "realtime:seen", "private": False, "tables": ["public.tweets"]},
            {"topic": "realtime:talk", "private": False, "tables": []},
        ]
        listed = (await http.get(f"{START}/sessions?limit=200")).json()["sessions"]
        (mine,) = [each for each in listed if each["id"] == session]
        assert (mine["delivered"], mine["denied"]) == (1, 3)
        await http.delete(f"{START}?session_id={session}")


async def test_without_the_trail_no_table_is_joined(demo: Demo, admin: psycopg.Connection[Any]) -> None:
    async with client(demo) as http:
        one = await started(demo, http, "alice")
        async with connect(address(demo, one["access_token"]), proxy=None) as socket:
            with psycopg.connect(demo.database_url) as holder:
                holder.execute("lock table realtime_inspector.audit_head in access exclusive mode")
                reply = await join(socket, "realtime:unseen", "tweets")
            assert reply["status"] == "error"
            assert reply["response"]["code"] == "UnableToConnectToProject"
        await http.delete(START)


async def test_what_is_written_down_is_bounded() -> None:
    written: list[tuple[str, dict[str, object]]] = []
    failing = False

    async def record(action: str, _admin: str | None, detail: Any, *, session_id: str | None = None) -> int:
        if failing:
            raise DatabaseUnavailable
        written.append((action, detail))
        return len(written)

    seen: dict[str, Counter[str]] = {}
    noting = witness.Witness(record, seen)
    token = Token(Identity("anon", "{}"), 0.0, {}, "session", "ann")
    for _ in range(3):
        for number in range(witness.JOINS + 20):
            await noting.joined(token, f"realtime:{number}", False, (Binding(1, "*", "public", "tweets"),))
    assert len(written) == witness.JOINS + 1
    assert written[-1][1] == {"more": True}
    seen["session"] = Counter(delivered=2)
    failing = True
    await noting.flush()
    seen["session"]["delivered"] += 1
    failing = False
    await noting.flush()
    await noting.flush()
    assert written[-1] == ("seen", {"delivered": 3})
    assert len(written) == witness.JOINS + 2
