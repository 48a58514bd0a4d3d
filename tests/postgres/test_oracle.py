"""The oracle: whatever policies, rows and identities, a subscriber receives what a plain SELECT under its identity shows.

Commits are made one after the other; after each, every identity's view of every table is read by SELECT. A delivered row
must equal the identity's view at some moment between its commit and its receipt; a row that stayed in view all that time
must have been delivered; nothing may come twice or out of order; a DELETE may only reach who saw the row before it, and with
REPLICA IDENTITY FULL must. Where policies, memberships or the row itself changed between the view before a DELETE and its
receipt, the DELETE is not judged: the policies are asked about the old row as the world is at that moment.
"""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

import orjson
import psycopg
import pytest

from realtime_inspector.model import Binding, Identity
from realtime_inspector.pipeline.delivery import LAGGING_BYTES
from tests.postgres.conftest import Engine
from tests.postgres.river import ANON, SERVICE, Service, Start, start

__all__ = ["start"]

OWNERS = [f"{n:08d}-0000-0000-0000-000000000000" for n in (1, 2, 3)]


def identity(number: int, **claims: Any) -> Identity:
    return Identity("authenticated", orjson.dumps({"role": "authenticated", "sub": OWNERS[number], **claims}).decode())


IDENTITIES = {
    "alice": identity(0, tags=["red"]),
    "bob": identity(1, tags=["red", "blue"], app_metadata={"role": "admin"}),
    "carol": identity(2, tags=[]),
    "anon": ANON,
    "service": SERVICE,
}
POLICIES = [
    "owner = (select auth.uid())",
    "(current_setting('request.jwt.claims', true)::jsonb #>> '{app_metadata,role}') = 'admin' or owner = auth.uid()",
    "(current_setting('request.jwt.claims', true)::jsonb -> 'tags') ? tag",
    "exists (select from member m where m.who = auth.uid() and m.tag = tables.tag)",
    "is_member(tag)",
    "n % 2 = 0",
    "1 / (n - 3) is not null and owner = auth.uid()",
    "true",
    "false",
]
SCHEMA = """
create table member (who uuid, tag text); grant select on member to authenticated, anon;
create function is_member(wanted text) returns boolean stable security definer set search_path = '' language sql as
  $$ select exists (select from public.member where who = auth.uid() and tag = wanted) $$;
create publication supabase_realtime;
"""
COLUMNS = ("id", "owner", "tag", "n", "body")
View = dict[str, dict[int, dict[str, Any]]]
"""Of one identity after one commit: by table and id, the visible rows."""


@dataclass
class Event:
    """One row change of the workload: the number of its commit, and whose view it concerned."""

    commit: int
    table: str
    id: int
    operation: str


@dataclass
class World:
    """The workload so far, and what everybody saw after each commit.

    `turned`: the commits that changed a policy or a membership, or one row twice. `full`: tables with REPLICA IDENTITY FULL.
    """

    events: list[Event] = field(default_factory=list)
    views: list[dict[str, View]] = field(default_factory=list)
    begun: int = 0
    turned: set[int] = field(default_factory=set)
    full: set[str] = field(default_factory=set)


class Laggard:
    """A socket that is full now and then: the river waits a moment for it, so that checks run late by a random time."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def send(self, frames: bytes) -> None:
        pass

    @property
    def queued_bytes(self) -> int:
        return LAGGING_BYTES * 2 if self.chance.random() < 0.2 else 0

    async def drained(self) -> None:
        await asyncio.sleep(self.chance.random() * 0.05)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_subscribers_receive_what_select_shows(engine: Engine, start: Start, seed: int) -> None:
    chance = random.Random(seed)
    tables = [f"t{n}" for n in range(4)]
    service = await start(SCHEMA + "".join(_table(chance, table) for table in tables))
    world = World()
    receipts: dict[str, list[tuple[dict[str, Any], int]]] = {name: [] for name in IDENTITIES}
    for name, who in IDENTITIES.items():
        subscriber = await service.join(who, *tables, verdicts=who is SERVICE)
        subscriber.on_payload = lambda payload, name=name: receipts[name].append((payload, world.begun))
    await _join_laggard(service, random.Random(seed), tables)
    await asyncio.to_thread(_work, engine, chance, world, tables, 120)
    await service.settled()
    assert len(world.events) == len(receipts["service"]) > 50
    commits = {payload_id(p): event for (p, _), event in zip(receipts["service"], world.events, strict=True)}
    judged = sum(_judge(name, received, commits, receipts["service"], world) for name, received in receipts.items())
    assert judged == len(world.events) * len(IDENTITIES)


async def _join_laggard(service: Service, chance: random.Random, tables: list[str]) -> None:
    authorized = await service.pipeline.authorize(SERVICE, [Binding(1, "*", "public", table) for table in tables])
    service.index.subscribe(Laggard(chance), "realtime:slow", "2.0.0", SERVICE, authorized, False)


def payload_id(payload: dict[str, Any]) -> str:
    return payload["event_id"] if "event_id" in payload else payload["verdict"]["event_id"]


def _judge(
    name: str,
    received: list[tuple[dict[str, Any], int]],
    events: dict[str, Event],
    complete: list[tuple[dict[str, Any], int]],
    world: World,
) -> int:
    """Holds what one identity received against what it could SELECT. Returns the number of events judged."""
    delivered = {payload_id(p): (p["data"], begun) for p, begun in received if "data" in p}
    order = list(events)
    places = [order.index(event_id) for event_id in (payload_id(p) for p, _ in received if "data" in p)]
    assert places == sorted(set(places)), f"{name}: out of order or twice"
    for payload, begun in complete:
        event_id = payload_id(payload)
        event = events[event_id]
        seen = [world.views[m][name][event.table].get(event.id) for m in range(event.commit, begun + 1)]
        if event.operation == "DELETE":
            _judge_delete(name, event, event_id in delivered, world, range(event.commit, begun + 1))
        elif event_id not in delivered and seen[0] is not None:
            assert any(row != seen[0] for row in seen), f"{name}: withheld {event} though it stayed in view"
        elif event_id in delivered:
            assert delivered[event_id][0]["record"] in seen, f"{name}: leaked {event}: {delivered[event_id][0]['record']}"
    return len(complete)


def _judge_delete(name: str, event: Event, delivered: bool, world: World, between: range) -> None:
    if world.turned.intersection(between):
        return
    seen = event.id in world.views[event.commit - 1][name][event.table]
    assert seen or not delivered, f"{name}: leaked {event}"
    assert delivered or not seen or event.table not in world.full, f"{name}: withheld {event}"


def _table(chance: random.Random, table: str) -> str:
    permissive = chance.sample(POLICIES, chance.randint(1, 2))
    restrictive = chance.sample(POLICIES[:-1], chance.randint(0, 1))
    made = [
        f"create policy p{n} on {table} for select using ({p.replace('tables.', table + '.')});" for n, p in enumerate(permissive)
    ]
    made += [
        f"create policy r{n} on {table} as restrictive for select using ({p.replace('tables.', table + '.')});"
        for n, p in enumerate(restrictive)
    ]
    return f"""
        create table {table} (id int primary key, owner uuid, tag text, n int, body text);
        alter table {table} enable row level security; {"".join(made)}
        grant select on {table} to authenticated, anon, service_role;
        {f"alter table {table} replica identity full;" if chance.random() < 0.5 else ""}
        alter publication supabase_realtime add table {table};"""


def _work(engine: Engine, chance: random.Random, world: World, tables: list[str], commits: int) -> None:
    with psycopg.connect(engine.admin, autocommit=True) as connection:
        full = connection.execute("select relname from pg_class where relreplident = 'f'").fetchall()
        world.full.update(name for (name,) in full)
        world.views.append({name: _view(connection, who, tables) for name, who in IDENTITIES.items()})
        for _ in range(commits):
            world.begun += 1
            with connection.transaction():
                for _ in range(chance.choice((1, 1, 2, 4))):
                    _step(connection, chance, world, chance.choice(tables))
            rows = [(event.table, event.id) for event in world.events if event.commit == world.begun]
            if len(set(rows)) < len(rows):
                world.turned.add(world.begun)
            world.views.append({name: _view(connection, who, tables) for name, who in IDENTITIES.items()})


def _step(connection: psycopg.Connection, chance: random.Random, world: World, table: str) -> None:
    owner, tag, n, id_ = (
        chance.choice([*OWNERS, None]),
        chance.choice(["red", "blue"]),
        chance.randint(0, 6),
        chance.randint(1, 12),
    )
    body = f"body {chance.random()}"
    match chance.choice(["insert", "insert", "insert", "update", "update", "update", "delete", "key", "member", "policy"]):
        case "insert":
            sql = f"insert into {table} values (%s, %s, %s, %s, %s) on conflict do nothing returning id"
            _note(connection, world, table, "INSERT", sql, id_, owner, tag, n, body)
        case "update":
            sql = f"update {table} set owner = %s, tag = %s, n = %s, body = %s where id = %s returning id"
            _note(connection, world, table, "UPDATE", sql, owner, tag, n, body, id_)
        case "key":
            sql = f"update {table} set id = id + 20 where id = %s and not exists (select from {table} where id = %s) returning id"
            _note(connection, world, table, "UPDATE", sql, id_, id_ + 20)
        case "delete":
            _note(connection, world, table, "DELETE", f"delete from {table} where id = %s returning id", id_)
        case "member":
            world.turned.add(world.begun)
            connection.execute("delete from member where random() < 0.5")
            connection.execute("insert into member values (%s, %s)", [chance.choice(OWNERS), tag])
        case "policy":
            world.turned.add(world.begun)
            expression = chance.choice(POLICIES).replace("tables.", f"{table}.")
            connection.execute(f"alter policy p0 on {table} using ({expression})")


def _note(connection: psycopg.Connection, world: World, table: str, operation: str, sql: str, *values: object) -> None:
    for (id_,) in connection.execute(sql, values).fetchall():
        world.events.append(Event(world.begun, table, id_, operation))


def _view(connection: psycopg.Connection, who: Identity, tables: list[str]) -> View:
    """What a plain SELECT shows this identity now; a policy that raises shows nothing."""
    claims = [who.role, who.claims]
    view: View = {}
    for table in tables:
        with connection.transaction(force_rollback=True):
            ids = [id_ for (id_,) in connection.execute(f"select id from {table} order by id")]
            connection.execute("select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)", claims)
            view[table] = _rows(connection, table, ids)
    return view


def _rows(connection: psycopg.Connection, table: str, ids: list[int]) -> dict[int, dict[str, Any]]:
    """The visible rows among these; where a policy raises, each row is asked for alone."""
    try:
        with connection.transaction():
            found = connection.execute(f"select id, to_json(t) from {table} t where id = any (%s)", [ids]).fetchall()
            return dict(found)
    except psycopg.Error:
        return {} if len(ids) == 1 else {id_: row for one in ids for id_, row in _rows(connection, table, [one]).items()}
