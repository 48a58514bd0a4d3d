"""The oracle over real sockets: whatever happens to the sample application, each account receives what SELECT shows it.

Commits are made one after the other, none of them changes a row twice, and everybody has received one before the next is made, so
that what must come is known exactly: the rows in view afterwards, and of deleted rows those that were in view before, if the log
has them whole (tweets) or nobody has to be asked (service_role, and the table without row-level security).
"""

import random
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from tests.wire.demo import Demo, Person, Rows, select
from tests.wire.raw import VERSIONS, Socket, opened

Admin = psycopg.Connection[Any]
TABLES = ("tweets", "articles", "notes", "user_roles", "countries")
MARKER = "a marker"
COMMITS = 40
Views = dict[tuple[str, str], Rows]
"""What each person sees of each table."""


@dataclass(frozen=True)
class Change:
    """One row of one commit, in order."""

    operation: str
    table: str
    id: object


class Workload:
    """Random commits on the sample application."""

    def __init__(self, admin: Admin, people: list[str], seed: int) -> None:
        self._admin = admin
        self._people = people
        self._chance = random.Random(seed)
        self._touched: set[tuple[str, object]] = set()

    def commit(self) -> list[Change]:
        """Makes one; returns what it changed, in order."""
        self._touched.clear()
        with self._admin.transaction():
            return [change for _ in range(self._chance.choice((1, 1, 2, 5))) for change in self._step()]

    def _step(self) -> Iterator[Change]:
        table = self._chance.choice(TABLES)
        operation = self._chance.choice(("INSERT", "INSERT", "UPDATE", "UPDATE", "DELETE"))
        match operation:
            case "INSERT":
                columns = self._columns(table)
                places = ", ".join(["%s"] * len(columns))
                statement = f"insert into {table} ({', '.join(columns)}) values ({places}) on conflict do nothing"
                yield from self._execute(operation, table, statement, list(columns.values()))
            case "UPDATE":
                columns = self._columns(table)
                sets = ", ".join(f"{name} = %s" for name in columns)
                for id_ in self._some(table):
                    if not (table == "user_roles" and self._held(columns)):
                        statement = f"update {table} set {sets} where id = %s"
                        yield from self._execute(operation, table, statement, [*columns.values(), id_])
            case "DELETE":
                for id_ in self._some(table):
                    yield from self._execute(operation, table, f"delete from {table} where id = %s", [id_])

    def _execute(self, operation: str, table: str, statement: str, values: list[object]) -> Iterator[Change]:
        for (id_,) in self._admin.execute(f"{statement} returning id".encode(), values).fetchall():
            plain = id_ if isinstance(id_, int) else str(id_)
            self._touched.add((table, plain))
            yield Change(operation, table, plain)

    def _columns(self, table: str) -> dict[str, object]:
        """Values for a row."""
        who = self._chance.choice([*self._people, None])
        text = f"oracle: {self._chance.random()} é 😀"
        status = self._chance.choice(("draft", "published", "archived"))
        match table:
            case "tweets":
                return {"user_id": who, "content": text}
            case "articles":
                return {"author_id": who, "title": text, "status": status}
            case "notes":
                return {"author_id": who, "body": text, "status": status}
            case "user_roles":
                return {"user_id": who or self._people[0], "role": self._chance.choice(("admin", "editor", "viewer"))}
            case _:
                return {"name": text}

    def _some(self, table: str) -> list[object]:
        """A row or two that this commit has not touched."""
        where = f"where name <> '{MARKER}'" if table == "countries" else ""
        found = self._admin.execute(f"select id from {table} {where} order by id".encode()).fetchall()
        ids = [id_ if isinstance(id_, int) else str(id_) for (id_,) in found]
        free = [id_ for id_ in ids if (table, id_) not in self._touched]
        return self._chance.sample(free, min(len(free), self._chance.choice((1, 1, 2))))

    def _held(self, columns: Mapping[str, object]) -> bool:
        statement = "select from user_roles where user_id = %s and role = %s"
        return bool(self._admin.execute(statement, list(columns.values())).fetchall())


@pytest.fixture
def restored(admin: Admin) -> Iterator[None]:
    """Puts the sample application's rows back as they were."""
    for table in TABLES:
        admin.execute(f"create temporary table kept_{table} as table public.{table}".encode())
    yield
    for table in TABLES:
        admin.execute(f"delete from public.{table}".encode())
        admin.execute(f"insert into public.{table} select * from kept_{table}".encode())


@pytest.mark.parametrize("seed", [1, 2])
def test_each_account_receives_what_select_shows(demo: Demo, admin: Admin, restored: None, seed: int) -> None:
    people = demo.people()
    accounts = [person.id for person in people if "sub" in person.claims]
    workload = Workload(admin, accounts, seed)
    received = 0
    with ExitStack() as stack:
        sockets = _open(demo, people, stack)
        before = _views(admin, people)
        sent: set[tuple[str, str, object]] = set()
        for number in range(COMMITS):
            changes = workload.commit()
            after = _views(admin, people)
            (row,) = admin.execute("insert into countries (name) values (%s) returning id", [MARKER])
            for (name, vsn), socket in sockets.items():
                heard = _until(socket, row[0])
                expected = list(_expected(demo.person(name), changes, before, after, sent))
                assert heard == expected, f"{name} over {vsn}, commit {number}"
                received += len(heard)
            sent |= {(name, c.table, c.id) for name in {p.name for p in people} for c in changes if c.id in after[name, c.table]}
            before = after  # no commit touches a marker
    assert received > COMMITS * len(sockets) / 4, "the workload is not much of one"


def _open(demo: Demo, people: list[Person], stack: ExitStack) -> dict[tuple[str, str], Socket]:
    """Everybody's sockets, one for each serializer, joined to all tables."""
    sockets = {}
    for person in people:
        for vsn in VERSIONS:
            socket = stack.enter_context(opened(demo.url, person.token, vsn))
            socket.join("realtime:oracle", {"event": "*", "schema": "public"})
            sockets[person.name, vsn] = socket
    return sockets


def _views(admin: Admin, people: list[Person]) -> Views:
    return {(person.name, table): rows for person in people for table, rows in select(admin, person, *TABLES).items()}


def _until(socket: Socket, marker: int) -> list[tuple[str, str, object, object]]:
    """The changes that came before the marker."""

    def is_marker(data: Mapping[str, Any]) -> bool:
        return bool(data["table"] == "countries" and data.get("record", {}).get("id") == marker)

    messages = socket.until(lambda message: message.event == "postgres_changes" and is_marker(message.payload["data"]))
    changes = [message.payload["data"] for message in messages[:-1] if message.event == "postgres_changes"]
    return [(data["type"], data["table"], data.get("record"), data.get("old_record")) for data in changes]


def _expected(
    person: Person, changes: list[Change], before: Views, after: Views, sent: set[tuple[str, str, object]]
) -> Iterator[tuple[str, str, object, object]]:
    """`sent`: by person, table and id, the rows that they were sent before: of those they are told when they are gone."""
    for change in changes:
        old = before[person.name, change.table].get(change.id)
        new = after[person.name, change.table].get(change.id)
        shown = old if old and change.table == "tweets" else {"id": change.id}
        unasked = change.table in ("tweets", "countries") or person.privileged
        match change.operation:
            case "INSERT" if new:
                yield "INSERT", change.table, new, None
            case "UPDATE" if new:
                yield "UPDATE", change.table, new, shown
            case "DELETE" if old and unasked:
                yield "DELETE", change.table, None, shown
            case "DELETE" if (person.name, change.table, change.id) in sent:
                yield "DELETE", change.table, None, {"id": change.id}
