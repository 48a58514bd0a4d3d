"""The oracle: whatever policies, rows and identities, a subscriber receives what a plain SELECT under its identity shows.

Commits are made one after the other; after each, every identity's view of every table is read by SELECT. A delivered row
must equal the identity's view at some moment between its commit and its receipt; a row that stayed in view all that time
must have been delivered; nothing may come twice or out of order. Whoever was sent a row must be told when it is gone; others
may be told only with REPLICA IDENTITY FULL, if they saw the row before, and then must. That second half is not judged where
policies, memberships or the row itself changed between the view before a DELETE and its receipt: the policies are asked about
the old row as the world is at that moment.

With left_view = "delete" a client that keeps what it is told has, once every row was touched, what a SELECT shows.
"""

import asyncio
import random
from collections.abc import Callable
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
    old_id: int


@dataclass
class World:
    """The workload so far, and what everybody saw after each commit.

    `turned`: the commits that changed a policy or a membership, or one row twice. `full`: tables with REPLICA IDENTITY FULL.
    """

    events: list[Event] = field(default_factory=list)
    views: list[dict[str, View]] = field(default_factory=list)
    begun: int = 0
    policies: list[str] = field(default_factory=lambda: POLICIES)
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


Receipts = list[tuple[dict[str, Any], int]]
"""What a subscriber was sent, and how many commits had begun by then."""


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_subscribers_receive_what_select_shows(engine: Engine, start: Start, seed: int) -> None:
    """Half-way others join who share the audiences: what the first ones were sent says nothing about them."""
    chance = random.Random(seed)
    tables = [f"t{n}" for n in range(4)]
    world = World()
    service = await start(SCHEMA + "".join(_table(chance, table, world) for table in tables))
    first = {name: await _listen(service, world, who, tables) for name, who in IDENTITIES.items()}
    await _join_laggard(service, random.Random(seed), tables)
    await asyncio.to_thread(_work, engine, chance, world, tables, 60)
    late, joined = {name: await _listen(service, world, who, tables) for name, who in IDENTITIES.items()}, world.begun
    await asyncio.to_thread(_work, engine, chance, world, tables, 60)
    await service.settled()
    events = _numbered(first["service"], world)
    assert len(events) > 50
    judged = sum(_judge(name, received, events, first["service"], world) for name, received in first.items())
    assert judged == len(world.events) * len(IDENTITIES)
    after = {event_id: event for event_id, event in events.items() if event.commit > joined}
    assert sum(_judge(f"{name}, late", got, after, late["service"], world) for name, got in late.items()) == len(after) * len(
        late
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_clients_that_are_told_what_left_their_view_converge(engine: Engine, start: Start, seed: int) -> None:
    chance = random.Random(seed)
    tables = [f"t{n}" for n in range(4)]
    world = World(policies=[policy for policy in POLICIES if "1 /" not in policy])  # whose policy raises is told nothing
    service = await start(SCHEMA + "".join(_table(chance, table, world) for table in tables), left_view="delete")
    everything = await _listen(service, world, SERVICE, tables)
    received = {
        (name, text): await _listen(service, world, who, tables, filter=text)
        for name, who in IDENTITIES.items()
        for text in FILTERS
    }
    await _join_laggard(service, random.Random(seed), tables)
    await asyncio.to_thread(_work, engine, chance, world, tables, 120)
    await asyncio.to_thread(_touch, engine, world, tables)
    await service.settled()
    events = _numbered(everything, world)
    for (name, text), got in received.items():
        _judge_partings(f"{name} {text}", got, events, everything, world)
        view = {table: {id_: r for id_, r in rows.items() if FILTERS[text](r)} for table, rows in world.views[-1][name].items()}
        assert _folded(got, tables) == view, f"{name} {text}"


FILTERS: dict[str | None, Callable[[dict[str, Any]], bool]] = {
    None: lambda _: True,
    "tag=eq.red": lambda row: row["tag"] == "red",
    "tag=like.b%": lambda row: row["tag"] == "blue",
    "n=gt.2,id=lt.25": lambda row: row["n"] > 2 and row["id"] < 25,
}


def _folded(received: Receipts, tables: list[str]) -> dict[str, dict[int, dict[str, Any]]]:
    """What a client has that adds what comes and removes what goes."""
    kept: dict[str, dict[int, dict[str, Any]]] = {table: {} for table in tables}
    for payload, _ in received:
        data = payload.get("data")
        if data is not None and data["table"] in kept:
            kept[data["table"]].pop((data.get("old_record") or {}).get("id"), None)
            if data["type"] != "DELETE":
                kept[data["table"]][data["record"]["id"]] = data["record"]
    return kept


async def _listen(service: Service, world: World, who: Identity, tables: list[str], **binding: Any) -> Receipts:
    received: Receipts = []
    subscriber = await service.join(who, *tables, verdicts=who is SERVICE, **binding)
    subscriber.on_payload = lambda payload: received.append((payload, world.begun))
    return received


def _numbered(complete: Receipts, world: World) -> dict[str, Event]:
    """The events of the workload by their ids."""
    return {payload_id(p): event for (p, _), event in zip(complete, world.events, strict=True)}


async def _join_laggard(service: Service, chance: random.Random, tables: list[str]) -> None:
    authorized = await service.pipeline.authorize(SERVICE, [Binding(1, "*", "public", table) for table in tables])
    service.index.subscribe(Laggard(chance), "realtime:slow", "2.0.0", SERVICE, authorized, False)


def payload_id(payload: dict[str, Any]) -> str:
    return payload["event_id"] if "event_id" in payload else payload["verdict"]["event_id"]


def _judge(name: str, received: Receipts, events: dict[str, Event], complete: Receipts, world: World) -> int:
    """Holds what one identity received against what it could SELECT. Returns the number of events judged."""
    delivered = {payload_id(p): (p["data"], begun) for p, begun in received if "data" in p}
    order = list(events)
    places = [order.index(event_id) for event_id in (payload_id(p) for p, _ in received if "data" in p)]
    assert places == sorted(set(places)), f"{name}: out of order or twice"
    sent: set[tuple[str, int]] = set()
    who = name.partition(",")[0]
    for payload, begun in complete:
        event_id = payload_id(payload)
        event = events[event_id]
        seen = [world.views[m][who][event.table].get(event.id) for m in range(event.commit, begun + 1)]
        if event.operation == "DELETE":
            _judge_delete(name, event, event_id in delivered, sent, world, range(event.commit, begun + 1))
        elif event_id not in delivered and seen[0] is not None:
            assert any(row != seen[0] for row in seen), f"{name}: withheld {event} though it stayed in view"
        elif event_id in delivered:
            assert delivered[event_id][0]["record"] in seen, f"{name}: leaked {event}: {delivered[event_id][0]['record']}"
        if event.id != event.old_id or event.operation == "DELETE":
            sent.discard((event.table, event.old_id))
        if event_id in delivered and event.operation != "DELETE":
            sent.add((event.table, event.id))
    return len(complete)


def _judge_delete(name: str, event: Event, delivered: bool, sent: set[tuple[str, int]], world: World, between: range) -> None:
    who = name.partition(",")[0]
    if (event.table, event.id) in sent:
        assert delivered, f"{name}: was sent the row of {event} and is not told"
    elif who != "service" and event.table not in world.full:
        assert not delivered, f"{name}: leaked {event}"
    elif not world.turned.intersection(between):
        seen = event.id in world.views[event.commit - 1][who][event.table]
        assert seen == delivered, f"{name}: leaked or withheld {event}"


def _judge_partings(name: str, received: Receipts, events: dict[str, Event], complete: Receipts, world: World) -> None:
    """Whoever is told that a row is gone was sent it, or saw it before."""
    who = name.partition(" ")[0]
    begun = {payload_id(p): b for p, b in complete}
    told: dict[str, list[dict[str, Any]]] = {}
    for payload, _ in received:
        if "data" in payload:
            told.setdefault(payload_id(payload), []).append(payload["data"])
    sent: set[tuple[str, int]] = set()
    for event_id, event in events.items():
        for data in told.get(event_id, ()):
            if data["type"] == "DELETE" and (event.table, event.old_id) not in sent:
                assert event.table in world.full or who == "service", f"{name}: leaked {event}"
                if not world.turned.intersection(range(event.commit, begun[event_id] + 1)):
                    assert event.old_id in world.views[event.commit - 1][who][event.table], f"{name}: leaked {event}"
            if data["type"] == "DELETE":
                assert set(data["old_record"]) == {"id"} or event.operation == "DELETE", f"{name}: old values of {event}"
        if event.id != event.old_id or event.operation == "DELETE" or any(d["type"] == "DELETE" for d in told.get(event_id, ())):
            sent.discard((event.table, event.old_id))
        if any(data["type"] != "DELETE" for data in told.get(event_id, ())):
            sent.add((event.table, event.id))


def _table(chance: random.Random, table: str, world: World) -> str:
    permissive = chance.sample(world.policies, chance.randint(1, 2))
    restrictive = chance.sample(world.policies[:-1], chance.randint(0, 1))
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
        if not world.views:
            world.views.append(_views(connection, tables))
        for _ in range(commits):
            world.begun += 1
            with connection.transaction():
                for _ in range(chance.choice((1, 1, 2, 4))):
                    _step(connection, chance, world, chance.choice(tables))
            rows = [(event.table, event.id) for event in world.events if event.commit == world.begun]
            if len(set(rows)) < len(rows):
                world.turned.add(world.begun)
            world.views.append(_views(connection, tables))


def _touch(engine: Engine, world: World, tables: list[str]) -> None:
    """Updates every row, so that each client is told about each as the policies and memberships are by then."""
    with psycopg.connect(engine.admin, autocommit=True) as connection:
        world.begun += 1
        with connection.transaction():
            for table in tables:
                _note(connection, world, table, "UPDATE", f"update {table} set body = 'touched' returning id")
        world.views.append(_views(connection, tables))


def _views(connection: psycopg.Connection, tables: list[str]) -> dict[str, View]:
    return {name: _view(connection, who, tables) for name, who in IDENTITIES.items()}


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
            _note(connection, world, table, "UPDATE", sql, id_, id_ + 20, moved_by=20)
        case "delete":
            _note(connection, world, table, "DELETE", f"delete from {table} where id = %s returning id", id_)
        case "member":
            world.turned.add(world.begun)
            connection.execute("delete from member where random() < 0.5")
            connection.execute("insert into member values (%s, %s)", [chance.choice(OWNERS), tag])
        case "policy":
            world.turned.add(world.begun)
            expression = chance.choice(world.policies).replace("tables.", f"{table}.")
            connection.execute(f"alter policy p0 on {table} using ({expression})")


def _note(
    connection: psycopg.Connection, world: World, table: str, operation: str, sql: str, *values: object, moved_by: int = 0
) -> None:
    for (id_,) in connection.execute(sql, values).fetchall():
        world.events.append(Event(world.begun, table, id_, operation, id_ - moved_by))


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
