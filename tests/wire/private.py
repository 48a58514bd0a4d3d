"""A whole service over a prepared database of its own, for tests of private channels and of what the database broadcasts."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

import psycopg

from realtime_inspector.postgres.setup import Options, prepare
from realtime_inspector.settings import load_settings
from tests.wire.service import SECRET, Client, Service, serving, token

ALICE = "00000000-0000-0000-0000-00000000000a"
BOB = "00000000-0000-0000-0000-00000000000b"
MEMBERS = f"""
create table public.members (room text, user_id uuid, writes boolean, primary key (room, user_id));
grant select on public.members to authenticated;
insert into public.members values ('room', '{ALICE}', true), ('room', '{BOB}', false);
create policy receive on realtime.messages for select to authenticated using (
  extension in ('broadcast', 'presence')
  and exists (select from public.members where room = (select realtime.topic()) and user_id = (select auth.uid())));
create policy send on realtime.messages for insert to authenticated with check (
  extension in ('broadcast', 'presence', 'persistence')
  and exists (select from public.members where room = (select realtime.topic()) and user_id = (select auth.uid()) and writes));
"""


@dataclass(frozen=True)
class World:
    """A service and its database, where everything commits at once."""

    service: Service
    database: str
    env: dict[str, str]

    def run(self, statements: str, *parameters: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database, autocommit=True) as connection:
            cursor = connection.execute(statements.encode(), parameters or None)
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []


def person(sub: str, seconds: float = 600, **claims: object) -> str:
    """The token of somebody who is logged in."""
    return token(seconds, role="authenticated", sub=sub, **claims)


@contextlib.asynccontextmanager
async def world(
    database: str, policies: str = MEMBERS, source: Literal["replication", "notify"] = "replication", **settings: Any
) -> AsyncIterator[World]:
    """`policies`: further statements before the service starts."""
    env = await prepared(database, policies, source)
    async with running(database, env, **settings) as made:
        yield made


async def prepared(
    database: str, policies: str = MEMBERS, source: Literal["replication", "notify"] = "replication"
) -> dict[str, str]:
    """The settings of a database that is ready."""
    env = (await prepare(database, Options(supabase_roles=True, source=source))).env
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(policies.encode())
    return env


@contextlib.asynccontextmanager
async def running(database: str, env: dict[str, str], **settings: Any) -> AsyncIterator[World]:
    """A service over it."""
    known = load_settings(env)
    given = {name: getattr(known, name) for name in ("reader_url", "evaluator_url", "slot", "source")}
    async with serving(**{**given, "jwt_secret": SECRET, **settings}) as service:
        yield World(service, database, env)


async def answer(member: Client, ref: str) -> tuple[str, dict[str, Any]]:
    """Status and response of a message; whatever comes before is dropped."""
    while True:
        _, answered, _, event, payload = await member.next()
        if event == "phx_reply" and answered == ref:
            return payload["status"], payload["response"]


async def enter(member: Client, topic: str = "realtime:room", **config: Any) -> tuple[str, dict[str, Any]]:
    """Joins a private channel; status and response."""
    ref = await member.send(topic, "phx_join", {"config": {"private": True, "presence": {"enabled": False}, **config}})
    return await answer(member, ref)


async def ask(member: Client, event: str, payload: object, topic: str = "realtime:room") -> tuple[str, dict[str, Any]]:
    """Sends something that is answered."""
    return await answer(member, await member.send(topic, event, payload))


def hello(number: object = 1) -> dict[str, Any]:
    return {"type": "broadcast", "event": "hello", "payload": {"number": number}}


def inner(payload: Any) -> dict[str, Any]:
    """What a broadcast carries, in either form."""
    if not isinstance(payload, bytes):
        return dict(payload["payload"])
    kind, topic, event, meta, is_json = payload[:5]
    assert (kind, is_json) == (4, 1)
    return dict(json.loads(payload[5 + topic + event + meta :]))


def meta(payload: Any) -> dict[str, Any]:
    """What the service says of a broadcast, in either form."""
    if not isinstance(payload, bytes):
        return dict(payload.get("meta", {}))
    _, topic, event, size, _ = payload[:5]
    start = 5 + topic + event
    return dict(json.loads(payload[start : start + size] or b"{}"))
