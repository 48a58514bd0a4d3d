"""Random DDL among random writes, with subscribers whose every value must be of the column that it is shown under.

A value tells its column by what it was born as, and its row: the text `c7:row:…`, the number 7000001, the field `a2:row:…`.
Each DDL makes another version of the world; what is received must fit one of those between the commit and the receipt.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import psycopg

from realtime_inspector.model import Identity
from tests.postgres.river import SERVICE, Service, Subscriber

FIRST_ID = 900_000_000
UNIT = 1_000_000
LEAVES = 2
PREPARATION = """
create type mood as enum ('fine'); create type spot as (a1 text, a2 text);
create role storm; grant storm to engine_evaluator; grant usage on schema public to limited, storm;
"""
Pace = Callable[[], Awaitable[None]]
CLEANING = "drop owned by storm; drop role storm"


@dataclass
class Table:
    """`columns`: by name, what each was born as; `types`: by birth; `granted`: to the role `limited`, None for all of them."""

    birth: int
    name: str
    columns: dict[str, str]
    types: dict[str, str]
    granted: set[str] | None = None
    keyed: bool = True
    published: bool = True
    partitioned: bool = False

    def name_of(self, birth: str) -> str:
        return next(name for name, own in self.columns.items() if own == birth)


@dataclass
class World:
    """The tables, and the fields of the composite type by name."""

    tables: dict[int, Table] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=lambda: {"a1": "a1", "a2": "a2"})
    role: bool = True


@dataclass
class Write:
    """A change that was committed. `since`: the version at its commit."""

    table: int
    since: int


class Storm:
    """Makes writes and DDL, one after the other, and judges what arrives meanwhile."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = World()
        self.versions: list[World] = []
        self.faults: list[str] = []
        self.made: Counter[str] = Counter()
        self.expected = self.answered = self.unpublished = 0
        self._rows: dict[int, list[int]] = defaultdict(list)
        self._numbers, self._births = iter(range(1, UNIT)), iter(range(1, FIRST_ID // UNIT))
        self._writes: dict[tuple[int, str], list[Write]] = defaultdict(list)

    async def prepare(self, connection: psycopg.AsyncConnection[Any]) -> None:
        await connection.execute(PREPARATION.encode())
        for partitioned in (False, False, False, True):
            await self._create(connection, partitioned)

    async def run(self, connection: psycopg.AsyncConnection[Any], ddl: int, writes: int, pace: Pace) -> None:
        """`ddl` statements among `writes`; every third of them in the transaction of a write. `pace`: waits between writes."""
        kinds = [getattr(self, name) for name in dir(self) if name.startswith("ddl_")]
        when = sorted(self.random.sample(range(writes), ddl))
        for number in range(writes):
            if when and when[0] == number:
                when.pop(0)
                kind = self.random.choice(kinds)
                if number % 3 or kind == self.ddl_swap_tables:
                    await self._change(connection, kind)
                else:
                    await connection.execute(b"begin")
                    await self.write(connection)
                    await self._change(connection, kind)
                    await connection.execute(b"commit")
            await self.write(connection)
            await pace()

    async def _change(self, connection: psycopg.AsyncConnection[Any], kind: Callable[[World, Table], str]) -> None:
        """The new version is known before the statement runs: it may be received before that returns."""
        world = deepcopy(self.world)
        statement = kind(world, self.random.choice(list(world.tables.values())))
        if not statement:
            return
        self.versions.append(world)
        while True:
            try:
                await connection.execute(statement.encode())
                break
            except psycopg.errors.DeadlockDetected:
                assert kind == self.ddl_swap_tables  # it holds one table while it waits for the other, and so does the service
        self.world = world
        self.made[kind.__name__.removeprefix("ddl_")] += 1

    async def _create(self, connection: psycopg.AsyncConnection[Any], partitioned: bool) -> None:
        world = deepcopy(self.world)
        statement = self._created(world, partitioned)
        self.versions.append(world)
        await connection.execute(statement.encode())
        self.world = world

    def _created(self, world: World, partitioned: bool) -> str:
        birth = next(self._births)
        table = Table(birth, f"t{birth}", {}, {}, partitioned=partitioned)
        world.tables[birth] = table
        for kind in ("id", "text", "int", "spot", "text"):
            own = "id" if kind == "id" else f"c{next(self._births)}"
            table.columns[own], table.types[own] = own, "int" if kind == "id" else kind
        columns = ", ".join(f"{name} {table.types[own]}" for name, own in table.columns.items())
        made = f"create table {table.name} ({columns}, primary key (id))" + (" partition by hash (id)" if partitioned else "")
        made += "".join(
            f"; create table t{birth}_{n} partition of {table.name} for values with (modulus 2, remainder {n})"
            f"; alter table t{birth}_{n} replica identity full"
            for n in range(LEAVES if partitioned else 0)
        )
        return f"""{made}; grant select on {table.name} to service_role, limited; alter table {table.name} replica identity full;
            alter publication supabase_realtime add table {table.name}"""

    # Writes.

    async def write(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """One row of a random table is inserted, updated or deleted."""
        table = self.random.choice(list(self.world.tables.values()))
        rows = self._rows[table.birth]
        operation = self.random.choice(("INSERT", "INSERT", "UPDATE", "DELETE")) if rows else "INSERT"
        number = next(self._numbers)
        births = [birth for birth in table.columns.values() if birth != "id"]
        if operation == "INSERT":
            row = FIRST_ID + number
            values = ", ".join([str(row), *(self._value(table, birth, row, number) for birth in births)])
            names = ", ".join(table.name_of(birth) for birth in ("id", *births))
            statement = f"insert into {table.name} ({names}) values ({values})"
            rows.append(row)
        else:
            place = self.random.randrange(len(rows))
            row = rows[place]
            where = f"where {table.name_of('id')} = {row}"
            sets = ", ".join(f"{table.name_of(birth)} = {self._value(table, birth, row, number)}" for birth in births)
            statement = (
                f"update {table.name} set {sets} {where}" if operation == "UPDATE" else f"delete from {table.name} {where}"
            )
            if operation == "DELETE":
                rows[place] = rows[-1]
                rows.pop()
        self._writes[row, operation].append(Write(table.birth, len(self.versions) - 1))
        self.expected += table.published
        self.unpublished += not table.published
        await connection.execute(statement.encode())

    def _value(self, table: Table, birth: str, row: int, number: int) -> str:
        kind = table.types[birth]
        if kind == "spot":
            return f"row({', '.join(repr(f'{field}:{row}:{number}') for field in self.world.fields.values())})::spot"
        if kind in ("text", "varchar"):
            return f"'{birth}:{row}:{number}'"
        return str(int(birth[1:]) * UNIT + number)

    # DDL: each changes the world that it is given and returns the statements, or nothing where it makes no sense.

    def ddl_add_column(self, _world: World, table: Table) -> str:
        birth = f"c{next(self._births)}"
        table.columns[birth], table.types[birth] = birth, self.random.choice(("text", "int", "spot"))
        default = {"text": f"default '{birth}:0:0'", "int": f"default {int(birth[1:]) * UNIT}", "spot": ""}[table.types[birth]]
        return f"alter table {table.name} add column {birth} {table.types[birth]} {default}"

    def ddl_drop_column(self, _world: World, table: Table) -> str:
        names = [name for name, birth in table.columns.items() if birth != "id"]
        if len(names) < 2:
            return ""
        name = self.random.choice(names)
        if table.granted is not None:
            table.granted.discard(table.columns[name])
        del table.columns[name]
        return f"alter table {table.name} drop column {name}"

    def ddl_rename_column(self, _world: World, table: Table) -> str:
        name, new = self.random.choice(list(table.columns)), f"n{next(self._numbers)}"
        table.columns = {new if own == name else own: birth for own, birth in table.columns.items()}
        return f"alter table {table.name} rename {name} to {new}"

    def ddl_swap_columns(self, _world: World, table: Table) -> str:
        one, two = self.random.sample(list(table.columns), 2)
        swapped = {one: two, two: one}
        table.columns = {swapped.get(name, name): birth for name, birth in table.columns.items()}
        renames = [f"alter table {table.name} rename {old} to {new}" for old, new in ((one, "x"), (two, one), ("x", two))]
        return "; ".join(renames)

    def ddl_change_type(self, _world: World, table: Table) -> str:
        others = {"text": "varchar", "varchar": "text", "int": "bigint", "bigint": "numeric", "numeric": "bigint"}
        births = [birth for birth in table.columns.values() if table.types[birth] in others and birth != "id"]
        if not births:
            return ""
        birth = self.random.choice(births)
        table.types[birth] = others[table.types[birth]]
        return f"alter table {table.name} alter {table.name_of(birth)} type {table.types[birth]}"

    def ddl_rename_table(self, _world: World, table: Table) -> str:
        old, table.name = table.name, f"r{next(self._numbers)}"
        return f"alter table {old} rename to {table.name}"

    def ddl_swap_tables(self, world: World, table: Table) -> str:
        other = self.random.choice([each for each in world.tables.values() if each is not table])
        one, two = table.name, other.name
        table.name, other.name = two, one
        return "; ".join(f"alter table {old} rename to {new}" for old, new in ((one, "x"), (two, one), ("x", two)))

    def ddl_replace_table(self, world: World, table: Table) -> str:
        del world.tables[table.birth]
        return f"drop table {table.name}; {self._created(world, table.partitioned)}"

    def ddl_replica_identity(self, _world: World, table: Table) -> str:
        kind = self.random.choice(("default", "full")) if table.keyed and not table.partitioned else "full"
        return f"alter table {table.name} replica identity {kind}"

    def ddl_key(self, _world: World, table: Table) -> str:
        if table.partitioned:
            return ""
        table.keyed = not table.keyed
        change = f"add constraint key{next(self._numbers)} primary key ({table.name_of('id')})"
        if table.keyed:
            return f"alter table {table.name} {change}"
        drop = f"""do $$ declare k text; begin
            select conname into k from pg_constraint where conrelid = '{table.name}'::regclass and contype = 'p';
            execute format('alter table {table.name} drop constraint %I', k); end $$"""
        return f"alter table {table.name} replica identity full; {drop}"

    def ddl_policies(self, _world: World, table: Table) -> str:
        name = next(self._numbers)
        rule = self.random.choice(("true", "false", f"{table.name_of('id')} % 2 = 0"))
        text = f"create policy p{name} on {table.name} using ({rule})"
        return f"alter table {table.name} {self.random.choice(('enable', 'disable'))} row level security; {text}"

    def ddl_grants(self, _world: World, table: Table) -> str:
        revoked = (
            f"revoke select on {table.name} from limited; revoke select ({', '.join(table.columns)}) on {table.name} from limited"
        )
        births = self.random.sample(list(table.columns.values()), self.random.randint(0, len(table.columns)))
        table.granted = None if len(births) == len(table.columns) else set(births)
        if table.granted is None:
            return f"{revoked}; grant select on {table.name} to limited"
        names = ", ".join(table.name_of(birth) for birth in births)
        return f"{revoked}; grant select ({names}) on {table.name} to limited" if names else revoked

    def ddl_composite(self, world: World, _table: Table) -> str:
        new = f"a{next(self._numbers)}"
        name = self.random.choice(list(world.fields))
        act = self.random.choice(("add", "rename", "drop"))
        if act == "add" and len(world.fields) < 6:
            world.fields[new] = new
            return f"alter type spot add attribute {new} text"
        if act == "drop" and len(world.fields) > 1:
            del world.fields[name]
            return f"alter type spot drop attribute {name}"
        world.fields = {new if own == name else own: birth for own, birth in world.fields.items()}
        return f"alter type spot rename attribute {name} to {new}"

    def ddl_enum(self, _world: World, _table: Table) -> str:
        return f"alter type mood add value 'm{next(self._numbers)}'"

    def ddl_role(self, world: World, _table: Table) -> str:
        world.role = not world.role
        if not world.role:
            return CLEANING
        granted = "grant usage on schema public to storm; grant select on all tables in schema public to storm"
        return f"create role storm; grant storm to engine_evaluator; {granted}"

    def ddl_publication(self, _world: World, table: Table) -> str:
        table.published = not table.published
        return f"alter publication supabase_realtime {'add' if table.published else 'drop'} table {table.name}"

    def ddl_truncate(self, _world: World, table: Table) -> str:
        self._rows[table.birth].clear()
        self.expected += table.published * (LEAVES if table.partitioned else 1)
        return f"truncate {table.name}"

    # Judging.

    def judge(self, subscriber: Subscriber, who: str) -> None:
        """From now on, everything that the subscriber receives is looked at; faults are noted."""
        seen: Counter[tuple[int, str]] = Counter()

        def look(payload: dict[str, Any]) -> None:
            told = payload.get("data") or payload.get("verdict")
            if told is None or told["table"] == "marker":
                return
            self.answered += who == "boss"
            data = payload.get("data")
            if data is None:
                return
            record, old = data.get("record") or {}, data.get("old_record") or {}
            found = re.search(r":(9\d{8}):", f"{record}{old}")
            number = next((value for value in {**old, **record}.values() if isinstance(value, int) and value > FIRST_ID), 0)
            key = (int(found.group(1)) if found else number, data["type"])
            writes = self._writes[key]
            if writes:
                write = writes[min(seen[key], len(writes) - 1)]
                seen[key] += 1
                for shown in (record, old):
                    if not any(_fits(shown, version, write.table, who == "limited") for version in self.versions[write.since :]):
                        self.faults.append(f"{who} {key} {data['table']} {shown}")
            elif record or old:
                self.faults.append(f"{who} {key} {data['table']} of no row: {record} {old}")

        subscriber.on_payload = look


async def storm_over(service: Service, storm: Storm, ddl: int, writes: int, ahead: int) -> dict[str, Subscriber]:
    """Lets the storm rage over a running service, never more than `ahead` changes before it, until all are answered.

    Gives the subscribers: one that may read everything and is told verdicts, one of a role whose grants change, one of a role
    that comes and goes.
    """
    identities = {"boss": SERVICE, "limited": Identity("limited", "{}"), "storm": Identity("storm", "{}")}
    found = {name: await service.join(who, "*", verdicts=name == "boss") for name, who in identities.items()}
    for name, subscriber in found.items():
        storm.judge(subscriber, name)

    async def pace() -> None:
        await found["boss"].hears(lambda: storm.expected - storm.answered <= ahead)

    async with await psycopg.AsyncConnection.connect(service.engine.admin, autocommit=True) as connection:
        try:
            await storm.prepare(connection)
            await storm.run(connection, ddl, writes, pace)
            await service.settled()
        finally:
            if storm.world.role:
                await connection.execute(CLEANING)
    return found


def _fits(record: dict[str, Any], version: World, birth: int, limited: bool) -> bool:
    table = version.tables.get(birth)
    if table is None:
        return not record
    for name, value in record.items():
        own = table.columns.get(name)
        if own is None or (limited and table.granted is not None and own not in table.granted):
            return False
        if not _born(value, own, version):
            return False
    return True


def _born(value: Any, birth: str, version: World) -> bool:
    """Whether a value is of the column that was born so, and its fields under their names."""
    if value is None:
        return True
    if isinstance(value, dict):
        return all(text is None or text.split(":")[0] == version.fields.get(name) for name, text in value.items())
    if isinstance(value, str):
        return value.split(":")[0] == birth
    return FIRST_ID <= value < 2 * FIRST_ID if birth == "id" else int(value) // UNIT == int(birth[1:])
