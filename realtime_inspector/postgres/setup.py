"""Prepares a database for the service: logins, schema objects, publication, and the settings that follow from them.

Everything happens in one transaction: it is all there or nothing is. Roles belong to the whole cluster, and advisory locks to one
database only, so two setups in different databases are kept apart by Postgres' own conflicts: who meets one starts over and sees
what the other did. If the logins already serve another database, this one gets logins and a slot of its own, named with its oid;
so one database's passwords and memberships are never changed for the sake of another.
"""

import asyncio
import random
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import asyncpg
import msgspec

from realtime_inspector.doctor.checks import publication_findings
from realtime_inspector.doctor.facts import Publication, Table
from realtime_inspector.doctor.logins import EVALUATOR, READER, Role
from realtime_inspector.errors import DatabaseUnavailable, InvalidInput, SetupError
from realtime_inspector.postgres import scram, sql
from realtime_inspector.postgres.announced import Announcement, key_expression
from realtime_inspector.postgres.connect import Connection
from realtime_inspector.postgres.facts import read_announcing, read_publication, read_roles, read_tables
from realtime_inspector.postgres.messages import read_messages
from realtime_inspector.postgres.shapes import read_shapes
from realtime_inspector.postgres.sql import quote_identifier
from realtime_inspector.postgres.step import Step
from realtime_inspector.postgres.steps import SCHEMA, Goal, Login, steps
from realtime_inspector.settings import PREFIX, Settings, load_settings

OLDEST = 140_000
ATTEMPTS = 20


class _Overtaken(Exception):
    """Another database took the logins while we worked."""


CONFLICTS = (
    _Overtaken,
    asyncpg.UniqueViolationError,  # somebody else created it between our look and our step
    asyncpg.DuplicateObjectError,
    asyncpg.DuplicateSchemaError,
    asyncpg.DeadlockDetectedError,
    asyncpg.InternalServerError,  # XX000 "tuple concurrently updated": catalogs do not wait and look again as tables do
)
SUPABASE_ROLES = ("anon", "authenticated", "service_role")
REFUSED = (
    "Run init as a superuser or as the provider's administrator. Where you may not give REPLICATION or BYPASSRLS, let the "
    "provider create that login as --dry-run shows it, put its URL into the env file, and run init again: it uses what is there."
)


@dataclass(frozen=True, slots=True)
class Options:
    """What is wanted. `existing`: the RTI_* settings as they are now; roles that are None: as there, or the default.

    `tables`: to add to the publication, each with its schema, written as in SQL. `supabase_roles`: create those of anon,
    authenticated, service_role, authenticator, auth.uid(), auth.jwt() and auth.role() that are missing.
    """

    existing: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    allowed_roles: tuple[str, ...] | None = None
    privileged_roles: tuple[str, ...] | None = None
    tables: tuple[str, ...] = ()
    supabase_roles: bool = False
    source: Literal["replication", "notify"] | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """`env`: the settings as RTI_* variables; `statements`: what ran or would run, passwords masked; `warnings`: sentences."""

    env: dict[str, str]
    statements: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Here:
    """Where we are. `used_here`, `used_elsewhere`: the logins hold rights in this database, in another one of the cluster."""

    version: int
    version_text: str
    database: str
    database_oid: int
    admin: str
    used_here: bool
    used_elsewhere: bool

    @property
    def own(self) -> str:
        """The ending of the names that belong to this database alone."""
        return f"_{self.database_oid}"


@dataclass(frozen=True, slots=True)
class _Account:
    login: Login
    url: str
    warnings: tuple[str, ...]


async def prepare(admin_url: str, options: Options) -> Prepared:
    """Make the database at `admin_url` ready, or with `dry_run` say how. Raises SetupError, DatabaseUnavailable, InvalidInput."""
    settings = _settings(options)
    for attempt in range(1, ATTEMPTS + 1):
        connection = await _connect(admin_url)
        try:
            return await _prepare(connection, admin_url, options, settings)
        except CONFLICTS as error:
            conflict = str(error)
            await asyncio.sleep(random.uniform(0, 0.05 * attempt))
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise DatabaseUnavailable(f"The database failed meanwhile: {error}", hint="Run init again.") from error
        finally:
            await connection.close(timeout=10)
    raise SetupError(f"Somebody else keeps changing the same roles: {conflict}", hint="Run init again.")


async def _prepare(connection: Connection, admin_url: str, options: Options, settings: Settings) -> Prepared:
    async with connection.transaction(readonly=options.dry_run):
        # Nothing that users of this database may have planted in a schema is found by name while an administrator works.
        await connection.execute("set local search_path = ''; set local lock_timeout = '10s'")
        here = await _here(connection)
        roles = await _roles(connection, here, settings, options.supabase_roles)
        ending = here.own if READER + here.own in roles or (here.used_elsewhere and not here.used_here) else ""
        reader = await _account(admin_url, here.database, READER + ending, roles, settings.reader_url)
        evaluator = await _account(admin_url, here.database, EVALUATOR + ending, roles, settings.evaluator_url)
        publication = await read_publication(connection, settings.publication)
        added = _unpublished(publication, await _tables(connection, options.tables))
        served = (*(publication.tables if publication else ()), *added) if settings.source == "notify" else ()
        messages = await read_messages(connection)
        planned = tuple(
            steps(
                Goal(
                    version=here.version,
                    database=here.database,
                    reader=reader.login,
                    evaluator=evaluator.login,
                    assumable=tuple(role for role in settings.allowed_roles if role not in settings.privileged_roles),
                    supabase_roles=options.supabase_roles,
                    publication=settings.publication,
                    publication_exists=publication is not None,
                    unpublished=added,
                    source=settings.source,
                    announcing=await read_announcing(connection),
                    announced=await _announced(connection, served),
                    messages=messages,
                    allowed=settings.allowed_roles,
                )
            )
        )
        if not options.dry_run:
            await _run(connection, planned, here.admin)
            if not ending and not here.used_here and (await _here(connection)).used_elsewhere:
                # Whoever sets the same login's password waits for the other's commit, so by now we see what it did.
                raise _Overtaken("another database took the logins")
    slot = options.existing.get(f"{PREFIX}SLOT") or settings.slot + ending
    made = msgspec.structs.replace(settings, reader_url=reader.url, evaluator_url=evaluator.url, slot=slot)
    warnings = (
        *reader.warnings,
        *evaluator.warnings,
        *_publication_warnings(settings.publication, publication, added),
        *([f"{messages.objection}. {messages.REMEDY}"] if messages.objection else []),
    )
    return Prepared(_environment(made), tuple(map(str, planned)), warnings)


def _settings(options: Options) -> Settings:
    kept = load_settings(options.existing)
    allowed = kept.allowed_roles if options.allowed_roles is None else options.allowed_roles
    privileged = kept.privileged_roles if options.privileged_roles is None else options.privileged_roles
    return msgspec.structs.replace(
        kept,
        source=options.source or kept.source,
        allowed_roles=allowed,
        privileged_roles=tuple(role for role in privileged if role in allowed),
        jwt_secret=kept.jwt_secret or ("" if kept.jwks or kept.jwks_url else secrets.token_urlsafe(48)),
    )


def _environment(settings: Settings) -> dict[str, str]:
    named = {
        "READER_URL": settings.reader_url,
        "EVALUATOR_URL": settings.evaluator_url,
        "JWT_SECRET": settings.jwt_secret,
        "ALLOWED_ROLES": ",".join(settings.allowed_roles),
        "PRIVILEGED_ROLES": ",".join(settings.privileged_roles),
        "SOURCE": settings.source,
        "PUBLICATION": settings.publication,
        "SLOT": settings.slot,
    }
    return {PREFIX + name: value for name, value in named.items() if value}


async def _connect(url: str) -> Connection:
    try:
        return await asyncpg.connect(url, timeout=10)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise DatabaseUnavailable(f"Cannot log in to the database: {reason}", hint="Correct the database URL.") from error


async def _here(connection: Connection) -> _Here:
    rows = await connection.fetch(sql.load("surroundings"), [READER, EVALUATOR])
    here = msgspec.convert(dict(rows[0]), _Here)
    if here.version < OLDEST:
        raise SetupError(f"Postgres {here.version_text} is too old", hint="Upgrade to Postgres 14 or newer.")
    return here


async def _roles(connection: Connection, here: _Here, settings: Settings, supabase_roles: bool) -> dict[str, Role]:
    """The logins as far as they exist, and the allowed roles, each of which must be fit to be assumed."""
    logins = [name + ending for name in (READER, EVALUATOR) for ending in ("", here.own)]
    roles = await read_roles(connection, [*settings.allowed_roles, *logins])
    for name in settings.allowed_roles:
        role = roles.get(name)
        if role is None and not (supabase_roles and name in SUPABASE_ROLES):
            hint = "Add --with-supabase-roles to create anon, authenticated and service_role, or name your own: --allowed-roles."
            raise SetupError(f"The role {name} does not exist", hint=hint)
        if role is not None and role.superuser:
            raise SetupError(f"The role {name} is a superuser, which no token may name", hint="Leave it out of --allowed-roles.")
        if role is not None and role.bypassrls and name not in settings.privileged_roles:
            hint = "Name it in --privileged-roles as well if its tokens are in good hands, or leave it out of --allowed-roles."
            raise SetupError(f"The role {name} passes by row-level security", hint=hint)
    return roles


async def _account(admin_url: str, database: str, name: str, roles: Mapping[str, Role], known_url: str) -> _Account:
    """Keeps the password that the settings know for this login in this database, and finds out whether it has to be set."""
    known, role, warnings = urlsplit(known_url), roles.get(name), []
    password = unquote(known.password or "")
    if not password or (unquote(known.username or ""), unquote(known.path[1:])) != (name, database):
        password = secrets.token_urlsafe(32)
        if role is not None:
            warnings.append(f"{name} has a new password; whoever else logs in with it needs the new settings.")
    elif _place(known_url) != _place(admin_url):
        warnings.append(f"The address of {name} changed from {_place(known_url)} to {_place(admin_url)}.")
    url = _url(admin_url, name, password, database)
    works = role is not None and await _works(url)
    return _Account(Login(name, role, None if works else scram.verifier(password, secrets.token_bytes(16))), url, tuple(warnings))


async def _works(url: str) -> bool:
    try:
        connection = await asyncpg.connect(url, timeout=10)
    except asyncpg.InvalidAuthorizationSpecificationError:  # includes a wrong password
        return False
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise DatabaseUnavailable(f"Cannot try the login {urlsplit(url).username}: {error}", hint="Run init again.") from error
    await connection.close()
    return True


def _place(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _url(admin_url: str, user: str, password: str, database: str) -> str:
    """The administrator's address with another login; what else it says (sslmode, host of a socket) stays."""
    parts = urlsplit(admin_url)
    options = [(key, value) for key, value in parse_qsl(parts.query) if key not in {"user", "password", "dbname", "database"}]
    return parts._replace(
        netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{_place(admin_url)}",
        path="/" + quote(database, safe=""),
        query=urlencode(options, safe="/"),
    ).geturl()


async def _tables(connection: Connection, names: Sequence[str]) -> tuple[Table, ...]:
    oids = []
    for name in names:
        hint = "Write it as SQL does, with its schema: public.tweets."
        try:
            oid = await connection.fetchval("select to_regclass($1)::oid::int8", name)
        except asyncpg.PostgresError as error:
            raise InvalidInput(f"{name!r} is not the name of a table: {error}", hint=hint) from error
        if oid is None:
            raise InvalidInput(f"There is no table {name}", hint=hint)
        oids.append(oid)
    return await read_tables(connection, oids)


async def _announced(connection: Connection, served: Sequence[Table]) -> tuple[Announcement, ...]:
    """The triggers that these tables shall have. Without a key there is nothing to tell, and nothing is served."""
    shapes = await read_shapes(connection, [table.oid for table in served if table.schema != SCHEMA])
    keyed = ((table, shapes[table.oid]) for table in served if table.oid in shapes and shapes[table.oid].key)
    return tuple(Announcement(table.oid, table.sql, key_expression(shape.key)) for table, shape in keyed)


def _unpublished(publication: Publication | None, wanted: Sequence[Table]) -> tuple[Table, ...]:
    """Those not in the publication yet. Refuses what would break the application's own UPDATE and DELETE (or is no table)."""
    held = {table.oid for table in publication.tables} if publication else set()
    added = tuple(table for table in wanted if table.oid not in held and not (publication and publication.all_tables))
    for table in added:
        if table.kind not in {"r", "p"}:
            raise InvalidInput(f"{table} is not a table", hint="Only tables can be published; name those underneath.")
        if not table.identified:
            hint = f"Add a primary key, or run ALTER TABLE {table.sql} REPLICA IDENTITY FULL; and then init again."
            raise SetupError(f"{table} has no replica identity: published, its UPDATE and DELETE would fail", hint=hint)
    return added


def _publication_warnings(name: str, publication: Publication | None, added: Sequence[Table]) -> Iterator[str]:
    fresh = Publication(name, quote_identifier(name), all_tables=False, everything=True, tables=())
    result = replace(publication or fresh, tables=(*(publication or fresh).tables, *added))
    for finding in publication_findings(result):
        yield f"{finding.text}. {finding.remedy}"


async def _run(connection: Connection, planned: Sequence[Step], admin: str) -> None:
    for step in planned:
        try:
            await connection.execute(step.text)
        except CONFLICTS:
            raise
        except asyncpg.InsufficientPrivilegeError as error:
            raise SetupError(f"{admin} may not run `{step.headline}`: {error}", hint=REFUSED) from error
        except asyncpg.PostgresError as error:
            hint = "Nothing was changed. See with --dry-run what init runs."
            raise SetupError(f"Postgres refused `{step.headline}`: {error}", hint=hint) from error
