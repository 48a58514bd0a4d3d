"""The sample application of the demo: its tables, its accounts, and a little life in it."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import asyncpg
import orjson

from realtime_inspector.postgres import sql
from realtime_inspector.postgres.connect import Connection

PAUSE: Final = (0.2, 0.8)
"""Seconds between two changes, at least and at most."""
MARK: Final = "demo: "
"""How the texts of the activity begin; it never touches a row that does not begin so."""
KEPT: Final = 20
"""Rows of its own that the activity leaves in each table."""
PHRASES: Final = (
    "the kettle is on",
    "rain again, and nobody minds",
    "half of it was tests",
    "the cat sits on the keyboard",
    "lunch is a meeting with soup",
    "three commits before noon",
    "the map was right after all",
    "one more cup, then the review",
)
PLACES: Final = ("Atlantis", "Freedonia", "Lilliput", "Ruritania")


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who can log in to the sample application. `role`: the application's role, not the database's."""

    id: str
    name: str
    role: Literal["admin", "editor", "viewer"] | None = None

    @property
    def email(self) -> str:
        return f"{self.name}@example.com"

    @property
    def app_metadata(self) -> dict[str, str]:
        """What the application knows about the account, and the account cannot change."""
        return {"provider": "email"} | ({"role": self.role} if self.role else {})

    @property
    def claims(self) -> dict[str, object]:
        """What its token says, but for the dates."""
        return {
            "sub": self.id,
            "role": "authenticated",
            "aud": "authenticated",
            "email": self.email,
            "app_metadata": self.app_metadata,
        }


ACCOUNTS: Final = (
    Account("a11ce000-0000-4000-8000-000000000001", "alice"),
    Account("b0b00000-0000-4000-8000-000000000002", "bob"),
    Account("ca201000-0000-4000-8000-000000000003", "carol", "admin"),
    Account("da4e0000-0000-4000-8000-000000000004", "dave", "editor"),
    Account("5e2a0000-0000-4000-8000-000000000005", "vera", "viewer"),
)


async def install(admin_url: str) -> None:
    """Make the tables, accounts and first rows, unless they are there; the database is prepared with Supabase's roles."""
    connection = await asyncpg.connect(admin_url)
    try:
        async with connection.transaction():
            if await connection.fetchval("select to_regclass('public.tweets') is not null"):
                return
            await connection.execute(sql.load("demo_schema"))
            await connection.executemany(
                "insert into auth.users (id, email, raw_app_meta_data) values ($1, $2, $3)",
                [(account.id, account.email, orjson.dumps(account.app_metadata).decode()) for account in ACCOUNTS],
            )
            await connection.execute(sql.load("demo_data"))
    finally:
        await connection.close()


async def stir(url: Callable[[], str]) -> None:
    """Changes something a few times a second, as the accounts do, until cancelled; waits while Postgres is away."""
    while True:
        try:
            connection = await asyncpg.connect(url(), timeout=10)
            try:
                while True:
                    await act(connection, random.choices(ACTS, [known.weight for known in ACTS])[0])
                    await asyncio.sleep(random.uniform(*PAUSE))
            finally:
                connection.terminate()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
            await asyncio.sleep(1)


@dataclass(frozen=True, slots=True)
class Act:
    """Something that one of the accounts does now and then, or, without any, a job with the service role. $1: what it says."""

    weight: int
    names: tuple[str, ...]
    statement: str
    words: tuple[str, ...] = PHRASES


def _change(table: str, column: str, assignment: str, condition: str = "true") -> str:
    """One row among those of the activity that the account may see."""
    picked = f"select id from public.{table} where {column} like '{MARK}%' and {condition} order by random() limit 1"
    return f"update public.{table} set {assignment} where id = ({picked})"


def _tidy(table: str, column: str, order: str) -> str:
    mine = f"{column} like '{MARK}%'"
    kept = f"select id from public.{table} where {mine} order by {order} desc limit {KEPT}"
    return f"delete from public.{table} where {mine} and id not in ({kept})"


_ALL: Final = tuple(account.name for account in ACCOUNTS)
_CLAIMS: Final = {account.name: orjson.dumps(account.claims).decode() for account in ACCOUNTS}
ACTS: Final = (
    Act(8, _ALL, "insert into public.tweets (content) values ($1)"),
    Act(4, _ALL, _change("tweets", "content", "content = $1")),
    Act(3, (), _tidy("tweets", "content", "id")),
    Act(3, ("dave",), "insert into public.articles (title, content) values ($1, 'As told by the demo.')"),
    Act(3, ("dave",), _change("articles", "title", "status = 'published'", "status = 'draft' and author_id = auth.uid()")),
    Act(2, ("carol",), _change("articles", "title", "status = 'archived'", "status = 'published'")),
    Act(2, ("carol",), _tidy("articles", "title", "created_at")),
    Act(3, ("dave",), "insert into public.notes (body) values ($1)"),
    Act(3, ("dave",), _change("notes", "body", "status = 'published'", "status = 'draft' and author_id = auth.uid()")),
    Act(2, ("carol",), _change("notes", "body", "body = $1")),
    Act(2, ("carol",), _tidy("notes", "body", "id")),
    Act(1, (), "insert into public.countries (name) values ($1)", PLACES),
    Act(1, (), _tidy("countries", "name", "id")),
)


async def act(connection: Connection, what: Act) -> None:
    """Do it as somebody who may: under the same policies that the subscribers meet."""
    name = random.choice(what.names) if what.names else ""
    role, claims = ("authenticated", _CLAIMS[name]) if name else ("service_role", '{"role": "service_role"}')
    async with connection.transaction():
        await connection.execute("select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)", role, claims)
        says = [MARK + random.choice(what.words)] if "$1" in what.statement else []
        await connection.execute(what.statement, *says)
