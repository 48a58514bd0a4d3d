"""Collects what `doctor` judges; reads only, and goes on where a part cannot be had."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import unquote, urlsplit

import asyncpg
import msgspec
import orjson
import psycopg

from realtime_inspector.doctor.facts import Announcing, Facts, Login, PathSchema, Publication, Server, Slot, Table, Wanted
from realtime_inspector.doctor.logins import Role
from realtime_inspector.errors import DatabaseUnavailable
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.announced import ROW_TRIGGER, TABLE_TRIGGER, Announcement, read_silence
from realtime_inspector.postgres.connect import Connection
from realtime_inspector.postgres.messages import read_messages
from realtime_inspector.settings import Settings

PATIENCE = 10.0  # seconds for a login, and for any one question


async def collect(settings: Settings) -> Facts:
    """The facts of the database that these settings name; that nobody can log in is one of them.

    Raises DatabaseUnavailable when a question fails after that.
    """
    try:
        async with _entered(settings.reader_url) as reader, _entered(settings.evaluator_url) as evaluator:
            facts = Facts(
                _wanted(settings),
                await _reader(reader, settings.reader_url, replicates=settings.source == "replication"),
                await _evaluator(evaluator, settings.evaluator_url),
            )
            connection = evaluator if isinstance(reader, str) else reader
            return facts if isinstance(connection, str) else await _database(connection, facts, settings)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise DatabaseUnavailable(f"The database failed meanwhile: {error}", hint="Run doctor again.") from error


async def read_roles(connection: Connection, names: Iterable[str]) -> dict[str, Role]:
    """Those of the named roles that exist."""
    rows = await connection.fetch(sql.load("roles"), list(names))
    return {row["name"]: msgspec.convert(dict(row) | {"memberships": orjson.loads(row["memberships"])}, Role) for row in rows}


async def read_tables(connection: Connection, oids: Iterable[int]) -> tuple[Table, ...]:
    """Those of the relations that exist, by name."""
    return tuple(msgspec.convert(dict(row), Table) for row in await connection.fetch(sql.load("tables"), list(oids)))


async def read_publication(connection: Connection, name: str) -> Publication | None:
    """The publication of that name with its tables."""
    row = await connection.fetchrow(sql.load("publication"), name)
    if row is None:
        return None
    return msgspec.convert(dict(row) | {"tables": await read_tables(connection, row["tables"])}, Publication)


async def read_announcing(connection: Connection) -> tuple[Announcement, ...]:
    """The tables that have triggers of ours."""
    rows = await connection.fetch(sql.load("announcing"), ROW_TRIGGER, TABLE_TRIGGER)
    return tuple(Announcement(**row) for row in rows)


def _wanted(settings: Settings) -> Wanted:
    return Wanted(
        slot=settings.slot,
        publication=settings.publication,
        allowed_roles=settings.allowed_roles,
        privileged_roles=settings.privileged_roles,
        secret=settings.jwt_secret,
        other_keys=bool(settings.jwks or settings.jwks_url),
        source=settings.source,
    )


@asynccontextmanager
async def _entered(url: str) -> AsyncIterator[Connection | str]:
    """A connection, or a text that says why there is none. Behind a pooler prepared statements may be another's: none here."""
    if not url:
        yield "no URL is configured"
        return
    try:
        connection = await asyncpg.connect(
            url, timeout=PATIENCE, command_timeout=PATIENCE, statement_cache_size=0, server_settings={"search_path": ""}
        )
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        yield str(error) or type(error).__name__
        return
    try:
        yield connection
    finally:
        await connection.close()


async def _reader(entry: Connection | str, url: str, *, replicates: bool) -> Login:
    login = await _login(entry, url)
    return login if isinstance(entry, str) or not replicates else replace(login, replication_error=await _replication_error(url))


async def _evaluator(entry: Connection | str, url: str) -> Login:
    login = await _login(entry, url)
    if isinstance(entry, str):
        return login
    return replace(login, temporary=await entry.fetchval("select has_database_privilege(current_database(), 'TEMPORARY')"))


async def _login(entry: Connection | str, url: str) -> Login:
    if isinstance(entry, str):
        return Login(_user(url), error=entry)
    name = await entry.fetchval("select session_user::text")
    reached = await entry.fetch(sql.load("reach"), name)
    return Login(
        name,
        role=(await read_roles(entry, [name]))[name],
        # A pooler gives its clients keys of its own for cancelling, so the process that they name is not the one that answers.
        pooled=await entry.fetchval("select pg_backend_pid()") != entry.get_server_pid(),
        reaches=tuple(row["name"] for row in reached),
    )


def _user(url: str) -> str:
    try:
        return unquote(urlsplit(url).username or "")
    except ValueError:
        return ""


async def _replication_error(url: str) -> str:
    try:
        # `database` asks for logical replication (https://www.postgresql.org/docs/current/protocol-replication.html).
        replica = await psycopg.AsyncConnection.connect(
            url, replication="database", autocommit=True, connect_timeout=int(PATIENCE)
        )
    except psycopg.Error as error:
        return str(error)
    async with replica:
        await replica.execute("IDENTIFY_SYSTEM")
    return ""


async def _database(connection: Connection, facts: Facts, settings: Settings) -> Facts:
    server = msgspec.convert(dict((await connection.fetch(sql.load("server")))[0]), Server)
    slot = await connection.fetchrow(sql.load("slot"), settings.slot)
    roles = await read_roles(connection, settings.allowed_roles)
    assumable = [name for name in roles if name not in settings.privileged_roles]
    path = await connection.fetch(sql.load("search_path"), _schemas(settings.search_path), assumable)
    missing = await connection.fetch(sql.load("missing_objects"), facts.reader.name) if facts.reader.role else []
    publication = await read_publication(connection, settings.publication)
    return replace(
        facts,
        server=server,
        slot=msgspec.convert(dict(slot), Slot) if slot else None,
        publication=publication,
        announcing=await _announcing(connection, settings.publication) if publication and settings.source == "notify" else None,
        roles=tuple(roles.values()),
        search_path=tuple(msgspec.convert(dict(row), PathSchema) for row in path),
        missing_objects=tuple(row["missing"] for row in missing),
        messages=await read_messages(connection),
    )


async def _announcing(connection: Connection, publication: str) -> Announcing:
    silence = await read_silence(connection, publication)
    return Announcing(await read_tables(connection, silence.tables), silence.queue_usage)


def _schemas(search_path: str) -> list[str]:
    return [part.strip().strip('"') for part in search_path.split(",") if part.strip()]
