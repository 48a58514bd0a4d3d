"""Where faults happen: a Postgres, a service in its own process, networks, and a writer that knows what was committed."""

import asyncio
import json
import os
import random
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import LiteralString
from urllib.parse import urlsplit

import psycopg
from psycopg.rows import TupleRow

from bench.database import FOREVER, user
from bench.limits import VARIABLES
from bench.proxy import Proxy, proxied
from bench.returning import Returning
from realtime_inspector.identity.tokens import sign
from realtime_inspector.postgres.embedded import EmbeddedPostgres
from realtime_inspector.postgres.setup import Options, prepare
from realtime_inspector.settings import load_settings

RATE = 3_000
"""Changes per second that the writer commits at most."""
SIZES = (1, 1, 2, 5, 20, 100, 700)
"""Changes of a transaction; the largest ones come in pieces."""
SERVICE = "service_role"
AWAY_SECONDS = 1.5
"""In which the service writes its position down."""
TIMEOUT = "6s"
"""wal_sender_timeout, a tenth of the default: so long a dead network between service and Postgres may last."""
SCHEMA = """
create table faults (id bigint primary key, owner uuid, body text); alter table faults enable row level security;
create policy own on faults for select using (owner = auth.uid());
grant select on faults to authenticated, service_role;
alter publication supabase_realtime add table faults;
"""


@asynccontextmanager
async def staged(early: bool, choice: random.Random) -> AsyncIterator["Theatre"]:
    """Everything runs. `early`: the service has the planted bug."""
    async with EmbeddedPostgres(settings={"wal_sender_timeout": TIMEOUT}) as postgres:
        prepared = await prepare(postgres.url, Options(supabase_roles=True))
        async with await psycopg.AsyncConnection.connect(postgres.url, autocommit=True) as admin:
            await admin.execute(SCHEMA)
        with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
            free.close()
            async with proxied(lambda: postgres.port) as database, proxied(lambda: port) as network:
                service = Service(prepared.env, database.port, port, Path(folder) / "service.log", early)
                try:
                    await service.start()
                    secret = load_settings(prepared.env).jwt_secret
                    yield Theatre(postgres, service, {"database": database, "clients": network}, secret, choice)
                finally:
                    await service.kill()


class Service:
    """`realtime-inspector serve` in a process of its own, on the same port in each of its lives."""

    def __init__(self, env: dict[str, str], database: int, port: int, log: Path, early: bool) -> None:
        urls = {name: _rerouted(value, database) for name, value in env.items() if name.endswith("_URL")}
        self._variables = os.environ | env | urls | VARIABLES | {"RTI_LOG_LEVEL": "warning"}
        module = "bench.early" if early else "realtime_inspector"
        self._command = [sys.executable, "-m", module, "serve", "--port", str(port), "--ready-json"]
        self.log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns when it serves."""
        with self.log.open("ab") as log:
            pipe = asyncio.subprocess.PIPE
            self._process = await asyncio.create_subprocess_exec(*self._command, env=self._variables, stdout=pipe, stderr=log)
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the service ended: {self.log.read_text()[-2_000:]}")
        json.loads(line)

    async def kill(self) -> None:
        """As kill -9 does."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


class Theatre:
    """The stage of one run."""

    owners = (user(0), user(1), SERVICE)

    def __init__(
        self,
        postgres: EmbeddedPostgres,
        service: Service,
        networks: Mapping[str, Proxy],
        secret: str,
        choice: random.Random,
    ) -> None:
        self._postgres = postgres
        self._service = service
        self._networks = networks
        self._secret = secret
        self._choice = choice
        self._sizes = random.Random(choice.random())
        self.written = self.allowed = 0
        """Rows that were certainly committed; how many are to be written so far."""
        self.finished = False
        """Nothing more will be allowed."""

    def allow(self, rows: int) -> None:
        """The writer writes so many more, or a few more than that."""
        self.allowed = self.written + rows

    def client(self, owner: str, past: Callable[[str, str], str | None]) -> Returning:
        """A client of the service through the network that fails."""
        claims = {"role": SERVICE} if owner == SERVICE else {"role": "authenticated", "sub": owner}
        token = sign({**claims, "exp": FOREVER}, self._secret)
        port = self._networks["clients"].port
        return Returning(owner, f"ws://127.0.0.1:{port}/socket/websocket?vsn=2.0.0&apikey={token}", "faults", past)

    def last(self, owner: str) -> int:
        """The last row that was certainly committed and is theirs."""
        return next((n for n in range(self.written, 0, -1) if owner in (SERVICE, self.owners[n % 2])), 0)

    async def truth(self) -> dict[str, list[int]]:
        """What each of them can SELECT."""
        async with await psycopg.AsyncConnection.connect(self._postgres.url) as connection:
            rows = await (await connection.execute("select id, owner::text from faults order by id")).fetchall()
        return {owner: [number for number, whose in rows if owner in (SERVICE, whose)] for owner in self.owners}

    # The writer.

    async def write(self) -> None:
        """All rows that are allowed, in transactions of any size."""
        while not self.finished or self.written < self.allowed:
            with suppress(psycopg.OperationalError):
                async with await psycopg.AsyncConnection.connect(self._postgres.url, connect_timeout=5) as connection:
                    # Whether a COMMIT that was not answered took place is seen in the table.
                    (self.written,) = await _row(connection, "select coalesce(max(id), 0) from faults")
                    await self._write(connection)
            await asyncio.sleep(0.05)

    async def _write(self, connection: psycopg.AsyncConnection[TupleRow]) -> None:
        query = "insert into faults select n, (%s::text[])[n %% 2 + 1]::uuid, n from generate_series(%s::int, %s) n"
        while not self.finished or self.written < self.allowed:
            size = 0
            if self.written < self.allowed:
                size = self._sizes.choice(SIZES)
                await connection.execute(query, [list(self.owners[:2]), self.written + 1, self.written + size])
                await connection.commit()
                self.written += size
            await asyncio.sleep(max(size, 10) / RATE)

    # The faults. Each returns when what was broken works again.

    async def inflict(self, name: str) -> None:
        """One fault."""
        match name.split():
            case ["postgres"]:
                await self._crash()
            case ["service"]:
                await self._service.kill()
                await self._service.start()
            case ["service", "away"]:
                await self._restart_twice()
            case [leg, way]:
                await self._disturb(self._networks[leg], way)

    async def _crash(self) -> None:
        assert self._postgres.process is not None
        self._postgres.process.kill()
        await self._postgres.wait()
        await self._postgres.start()

    async def _restart_twice(self) -> None:
        """While all clients are away, and after changes went by without them."""
        clients = self._networks["clients"]
        clients.refuses = True
        clients.cut()
        await asyncio.sleep(AWAY_SECONDS)
        for _ in range(2):
            await self._service.kill()
            await self._service.start()
        clients.refuses = False

    async def _disturb(self, network: Proxy, way: str) -> None:
        seconds = self._choice.uniform(0.1, 2.0)
        match way:
            case "cut":
                network.cut()
            case "outage":
                network.refuses = True
                network.cut()
                await asyncio.sleep(seconds)
                network.refuses = False
            case "silence":
                network.freeze()
            case "delay":
                network.delay(seconds)
                await asyncio.sleep(seconds)
            case "trickle":
                network.trickle()


async def _row(connection: psycopg.AsyncConnection[TupleRow], query: LiteralString) -> TupleRow:
    row = await (await connection.execute(query)).fetchone()
    assert row is not None
    return row


def _rerouted(url: str, port: int) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition(":")[0] + f":{port}").geturl()
