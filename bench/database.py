"""What the benches of changes share: the sample application on a private Postgres, its users, and the reference that polls it."""

import asyncio
import json
import os
import re
import subprocess
import sys
from argparse import Namespace
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psycopg

from bench.limits import VARIABLES
from bench.load import Process
from bench.report import Figure
from realtime_inspector.identity.tokens import canonical, sign
from realtime_inspector.model import Identity
from realtime_inspector.postgres import sample
from realtime_inspector.postgres.embedded import EmbeddedPostgres
from realtime_inspector.postgres.setup import Options, prepare
from realtime_inspector.settings import Settings, load_settings

FOREVER = 4_102_444_800
TABLES = {"tweets": "(user_id, content) values (%s, %s)", "countries": "(name) values (concat(%s::text, %s::text))"}
"""One with the policy that everybody sees their own rows, one without row-level security; and how owner and text go into them."""
REFERENCE = "a transaction per subscriber"
POLLED_REFERENCE = f"polling every 100 ms, {REFERENCE}"


@dataclass(frozen=True, slots=True)
class Database:
    """The superuser's URL, and how the service is set up for it."""

    url: str
    settings: Settings

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """As the superuser."""
        return psycopg.connect(self.url)

    def run(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """One statement as the superuser, in a transaction of its own."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []


@asynccontextmanager
async def sample_database() -> AsyncIterator[Database]:
    """A fresh one, gone at the end; without fsync, as all embedded clusters that do not last."""
    async with EmbeddedPostgres() as postgres:
        prepared = await prepare(postgres.url, Options(supabase_roles=True))
        await sample.install(postgres.url)
        yield Database(postgres.url, load_settings(prepared.env, {"log_level": "error"}))


def with_database(work: Callable[[Database, Namespace], list[Figure]], arguments: Namespace) -> list[Figure]:
    """What is found with a fresh database, in a thread of its own."""

    async def run() -> list[Figure]:
        async with sample_database() as database:
            return await asyncio.to_thread(work, database, arguments)

    return asyncio.run(run())


@contextmanager
def service(database: Database) -> Iterator[Process]:
    """`realtime-inspector serve` in a process of its own, until the block ends."""
    settings = database.settings
    variables = {f"RTI_{name.upper()}": _text(getattr(settings, name)) for name in settings.__struct_fields__}
    command = [sys.executable, "-m", "realtime_inspector", "serve", "--port", "0", "--ready-json"]
    child = subprocess.Popen(command, env=os.environ | variables | VARIABLES, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        told = json.loads(child.stdout.readline())
        yield Process(child.pid, int(told["url"].rpartition(":")[2]))
    finally:
        child.terminate()
        child.wait(10)
        if child.stdout is not None:
            child.stdout.close()


def _text(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


def user(number: int) -> str:
    """The id of a user of the benches."""
    return str(UUID(int=number + 1))


def identity(number: int) -> Identity:
    """A user as Postgres sees them."""
    claims = {"aud": "authenticated", "email": f"u{number}@example.com", "role": "authenticated", "sub": user(number)}
    return Identity("authenticated", canonical(claims).decode())


def token(number: int, secret: str) -> str:
    """A user's token."""
    return sign(json.loads(identity(number).claims) | {"exp": FOREVER}, secret)


def insert_tweets(database: Database, rows: int, owners: int) -> None:
    """In one transaction; each of the first users owns as many as the next one."""
    owner = "('00000000-0000-0000-0000-' || lpad(to_hex(n %% %s + 1), 12, '0'))::uuid"
    database.run(
        f"insert into public.tweets (user_id, content) select {owner}, 'bench ' || n from generate_series(1, %s) n", owners, rows
    )


def cpu_seconds(pids: Sequence[int]) -> float:
    """By the scheduler's own account; each process has one thread, as Postgres' backends have."""
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids) / 1e9


class OneByOne:
    """The reference: becomes each subscriber in a transaction of its own and selects the rows by key."""

    def __init__(self, database: Database, table: str, columns: str = "to_json(t)::text") -> None:
        self._connection = psycopg.connect(database.url, autocommit=True)
        self._select = f"select {columns} from public.{table} as t where t.id = any (%s)".encode()

    @property
    def pid(self) -> int:
        return self._connection.info.backend_pid

    def rows(self, subscriber: Identity, keys: Sequence[int]) -> list[str]:
        """Those of the rows that the subscriber sees."""
        with self._connection.transaction(force_rollback=True):
            claims = "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)"
            self._connection.execute(claims, [subscriber.role, subscriber.claims])
            return [row for (row,) in self._connection.execute(self._select, [list(keys)])]

    def close(self) -> None:
        self._connection.close()


class Polling(OneByOne):
    """The same, told by a slot what changed. It neither builds messages nor writes to sockets."""

    SLOT = "bench_polling"

    def __init__(self, database: Database, table: str) -> None:
        super().__init__(database, table)
        self._connection.execute("select pg_create_logical_replication_slot(%s, 'test_decoding')", [self.SLOT])
        self._change = re.compile(rf"table public\.{table}: INSERT: id\[bigint\]:(\d+)").match

    def poll(self) -> list[int]:
        """The ids of the rows that were inserted since the last time."""
        rows = self._connection.execute("select data from pg_logical_slot_get_changes(%s, null, null)", [self.SLOT])
        return [int(found[1]) for (data,) in rows if (found := self._change(data))]

    def close(self) -> None:
        """The slot goes too, or it would keep the log."""
        self._connection.execute("select pg_drop_replication_slot(%s)", [self.SLOT])
        super().close()
