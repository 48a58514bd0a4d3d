"""A random workload of commits, one after the other, and what plain SELECTs showed everybody after each of them."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import psycopg

from tests.oracle.people import GRANTED, OWNERS, PEOPLE, WATCHING
from tests.oracle.tables import POLICIES, RAISING, SCHEMA, Key, Table, definition, random_tables

Row = dict[str, Any]
Rows = dict[Key, Row]
VIEWS = Path(__file__).with_name("view.sql").read_text()
PEOPLE_JSON = orjson.dumps([{"name": name, "role": who.role, "claims": who.claims} for name, who in PEOPLE.items()]).decode()
ROWS = 16
"""About so many a table has."""
STEPS = {
    "insert": 24, "update": 28, "several": 8, "twice": 5, "key": 5, "delete": 10, "reborn": 3, "savepoint": 4,
    "truncate": 1, "member": 4, "held": 3, "policy": 3, "grant": 3, "security": 1,
}  # fmt: skip


@dataclass(frozen=True)
class View:
    """What one person sees of one table: rows by key, the keys of rows whose policies raise, and the columns that may be read.

    A person who may not read the key sees nothing.
    """

    rows: Rows
    raising: frozenset[Key]
    readable: frozenset[str]


Views = dict[tuple[str, str], View]
"""By person and table."""


@dataclass(frozen=True)
class Event:
    """A change of one row in the order of the log. `before`: who saw the row just before, and how."""

    number: int
    commit: int
    step: int
    table: str
    operation: str
    old_key: Key
    key: Key
    old: Row | None
    new: Row | None
    before: dict[str, Row | None]


@dataclass
class World:
    """`protected`: after each commit, the tables with row-level security. `begun`: the commit that is being made.

    By table, the commits that `turned` what its policies read, or `altered` themselves, those that `secured` it or did the
    opposite, and those that `emptied` it.
    """

    seed: int
    raising: bool = True
    tables: list[Table] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    views: list[Views] = field(default_factory=list)
    protected: list[frozenset[str]] = field(default_factory=list)
    turned: dict[str, set[int]] = field(default_factory=dict)
    altered: dict[str, set[int]] = field(default_factory=dict)
    secured: dict[str, set[int]] = field(default_factory=dict)
    emptied: dict[str, set[int]] = field(default_factory=dict)
    begun: int = 0

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self.tables = random_tables(self._chance)
        self.turned = {table.name: set() for table in self.tables}
        self.altered = {table.name: set() for table in self.tables}
        self.secured = {table.name: set() for table in self.tables}
        self.emptied = {table.name: set() for table in self.tables}

    def table(self, name: str) -> Table:
        """By its name."""
        return next(table for table in self.tables if table.name == name)

    @property
    def names(self) -> list[str]:
        return [table.name for table in self.tables]

    @property
    def schema(self) -> str:
        """The tables."""
        return VIEWS + SCHEMA + "".join(definition(self._chance, table, raising=self.raising) for table in self.tables)

    def writer(self, url: str) -> "Writer":
        """Who makes the commits."""
        return Writer(self, url, self._chance)


class Writer:
    """Makes the commits, with a connection of its own."""

    def __init__(self, world: World, url: str, chance: random.Random) -> None:
        self._world = world
        self._chance = chance
        self._connection = psycopg.connect(url, autocommit=True)
        self._step = 0
        self._touched: set[str] = set()
        self._disturbed: set[str] = set()
        self._changed: set[str] = set()
        world.views.append(self._see(world.names))
        world.protected.append(self._protected())

    def close(self) -> None:
        self._connection.close()

    def fill(self) -> None:
        """The first commit."""
        with self._transaction():
            self._step += 1
            for table in self._world.tables:
                self._insert(table, rows=ROWS // 2)

    def commit(self) -> None:
        """One of one to four steps."""
        with self._transaction():
            for _ in range(self._chance.choice((1, 1, 2, 4))):
                self._step += 1
                kind = self._chance.choices(list(STEPS), list(STEPS.values()))[0]
                getattr(self, f"_{kind}")(self._chance.choice(self._world.tables))

    def touch(self) -> None:
        """Updates every row, so that each client is told of each as the policies are by now."""
        for table in self._world.tables:
            with self._transaction():
                self._step += 1
                self._write(table, "UPDATE", "update {0} as r set n = n returning id, to_json(r)")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Around the steps of one commit: afterwards, everybody's view of what may have changed is taken."""
        world = self._world
        world.begun += 1
        for noted in (self._touched, self._disturbed, self._changed):
            noted.clear()
        with self._connection.transaction():
            yield
        world.views.append(world.views[-1] | (self._see(sorted(self._changed)) if self._changed else {}))
        world.protected.append(self._protected())

    # Steps.

    def _insert(self, table: Table, rows: int = 0) -> None:
        for _ in range(rows or self._chance.choice((1, 2, 4))):
            id_ = self._chance.randint(1, ROWS)
            values = [id_, self._chance.randint(1, ROWS), *self._values(table)]
            sql = (
                "insert into {0} as r (id, code, owner, tag, n, price, body) select %s, %s, %s, %s, %s, %s, %s "
                "where not exists (select from {0} where id = %s) on conflict do nothing returning id, to_json(r)"
            )
            self._write(table, "INSERT", sql, *values, id_)

    def _update(self, table: Table) -> None:
        values = self._values(table)
        if self._chance.random() < 0.3:  # large values stay as they are
            self._write(
                table, "UPDATE", "update {0} as r set n = %s where id = %s returning id, to_json(r)", values[2], self._some(table)
            )
            return
        sql = "update {0} as r set owner = %s, tag = %s, n = %s, price = %s, body = %s where id = %s returning id, to_json(r)"
        self._write(table, "UPDATE", sql, *values, self._some(table))

    def _several(self, table: Table) -> None:
        sql = "update {0} as r set n = (n + 1) %% 7, owner = %s where id %% 3 = %s returning id, to_json(r)"
        self._write(table, "UPDATE", sql, self._chance.choice([*OWNERS, None]), self._chance.randint(0, 2))

    def _twice(self, table: Table) -> None:
        id_ = self._some(table)
        for _ in range(2):
            sql = "update {0} as r set owner = %s, tag = %s, n = %s, price = %s, body = %s where id = %s returning id, to_json(r)"
            self._write(table, "UPDATE", sql, *self._values(table), id_)

    def _key(self, table: Table) -> None:
        id_ = self._some(table)
        column, by = self._chance.choice([("id", ROWS), ("code", ROWS)])
        guard = f"not exists (select from {table.name} o where o.{column} = r.{column} + {by})"
        sql = f"update {{0}} as r set {column} = {column} + {by} where id = %s and {guard} returning id, to_json(r)"
        with suppress(psycopg.errors.UniqueViolation), self._connection.transaction():
            self._write(table, "UPDATE", sql, id_, moved_by=by if column == "id" else 0)

    def _delete(self, table: Table) -> None:
        self._write(table, "DELETE", "delete from {0} as r where id = %s returning id, to_json(r)", self._some(table))

    def _reborn(self, table: Table) -> None:
        self._delete(table)
        self._insert(table, rows=4)

    def _savepoint(self, table: Table) -> None:
        events, touched = len(self._world.events), set(self._touched)
        with self._connection.transaction() as undone:
            self._insert(table)
            self._update(table)
            if self._chance.random() < 0.5:
                del self._world.events[events:]
                self._touched = touched
                raise psycopg.Rollback(undone)

    def _truncate(self, table: Table) -> None:
        if table.kind != "partitioned":
            self._connection.execute(f"truncate {table.name}".encode())
            self._changed.add(table.name)
            self._disturbed.add(table.name)
            self._world.emptied[table.name].add(self._world.begun)
            self._note(table, "TRUNCATE", None, None, {})

    def _member(self, _: Table) -> None:
        self._connection.execute("delete from member where random() < 0.5")
        self._connection.execute(
            "insert into member values (%s, %s)", [self._chance.choice(OWNERS), self._chance.choice(("red", "blue"))]
        )
        self._turn(self._world.names)

    def _held(self, _: Table) -> None:
        self._connection.execute("delete from held where random() < 0.5")
        self._connection.execute("insert into held values (%s, 'editor')", [self._chance.choice(OWNERS)])
        self._turn(self._world.names)

    def _policy(self, table: Table) -> None:
        expression = self._chance.choice([*POLICIES, *([RAISING] if self._world.raising else ())])
        self._connection.execute(f"alter policy p0 on {table.name} using ({expression.replace('TABLE', table.name)})".encode())
        self._turn([table.name])

    def _grant(self, table: Table) -> None:
        role = self._chance.choice(GRANTED)
        columns = self._chance.choice(("", "(price)", "(body)", "(n)", "(tag)") if role == "limited" else ("",))
        verb = self._chance.choice(("grant select{0} on {1} to {2}", "revoke select{0} on {1} from {2}"))
        self._connection.execute(verb.format(f" {columns}" if columns else "", table.name, role).encode())
        if role == "limited" and not columns:  # it never has the whole table for long
            again = (
                f"revoke select on {table.name} from limited; grant select (id, code, owner, tag, n) on {table.name} to limited"
            )
            self._connection.execute(again.encode())
        self._turn([table.name])

    def _security(self, table: Table) -> None:
        verb = self._chance.choice(("enable", "enable", "disable"))
        self._connection.execute(f"alter table {table.name} {verb} row level security".encode())
        self._world.secured[table.name].add(self._world.begun)
        self._turn([table.name])

    # What they are made of.

    def _values(self, table: Table) -> list[Any]:
        body = f"body {self._chance.random() * 10:.4f}" + (" and more" * 300 if table.stores_large else "")
        tag = self._chance.choice(("red", "red", "blue", "green"))
        price = self._chance.choice(("1.50", "1.5", "0.7", "12", None))
        n = self._chance.choice((None, *range(7)))
        return [self._chance.choice([*OWNERS, None]), tag, n, price, body]

    def _some(self, table: Table) -> int:
        """A row that is there, most of the time."""
        return self._chance.choice([0, *sorted(self._rows(table.name))])

    def _turn(self, tables: Sequence[str]) -> None:
        for table in tables:
            if len(tables) == 1:
                self._world.altered[table].add(self._world.begun)
            self._world.turned[table].add(self._world.begun)
            self._disturbed.add(table)
            self._changed.add(table)

    def _write(self, table: Table, operation: str, sql: str, *values: object, moved_by: int = 0) -> None:
        """Runs the statement and takes note of what it changed, in its order, and of who saw that before."""
        name = table.name
        olds = self._rows(name)
        seen = self._world.views[-1]
        if name in self._disturbed or name in self._touched:
            seen = self._see([name])
        for id_, row in self._connection.execute(sql.format(name).encode(), values or None).fetchall():
            old = None if operation == "INSERT" else olds[id_ - moved_by]
            before = {person: seen[person, name].rows.get(table.key_of(old)) for person in PEOPLE} if old else {}
            new = None if operation == "DELETE" else row
            if table.kind == "partitioned" and old and new and (old["tag"] == "red") != (new["tag"] == "red"):
                self._note(table, "DELETE", old, None, before)
                self._note(table, "INSERT", None, new, {})
            else:
                self._note(table, operation, old, new, before)
        self._touched.add(name)
        self._changed.add(name)

    def _rows(self, table: str) -> dict[int, Row]:
        return dict(self._connection.execute(f"select id, to_json(r) from {table} r".encode()).fetchall())

    def _note(self, table: Table, operation: str, old: Row | None, new: Row | None, before: dict[str, Row | None]) -> None:
        world = self._world
        keys = [() if row is None else table.key_of(row) for row in (old or new, new or old)]
        world.events.append(
            Event(len(world.events), world.begun, self._step, table.name, operation, keys[0], keys[1], old, new, before)
        )

    def _protected(self) -> frozenset[str]:
        found = self._connection.execute("select relname from pg_class where relrowsecurity")
        return frozenset(name for (name,) in found)

    def _see(self, tables: Sequence[str]) -> Views:
        query = "select person, relation, readable, visible, raising from oracle.view(%s, %s)"
        with self._connection.transaction(force_rollback=True):
            answers = self._connection.execute(query, [PEOPLE_JSON, list(tables)]).fetchall()
        keys: dict[tuple[str, int], Key] = {}
        found = {}
        for person, name, readable, visible, raising in answers:
            table = self._world.table(name)
            rows = {}
            if set(table.key) <= set(readable):
                rows = {table.key_of(row): row for row in orjson.loads(visible)}
            if person == WATCHING:
                keys.update({(name, row["id"]): key for key, row in rows.items()})
            raised = frozenset(keys[name, id_] for id_ in raising)
            found[person, name] = View(rows, raised, frozenset(readable))
        return found
