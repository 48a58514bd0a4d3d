"""The doctor on real databases: healthy after `init`, and every planted fault is found."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import msgspec
import psycopg
import pytest

from realtime_inspector.doctor.checks import check
from realtime_inspector.doctor.findings import Finding, Level
from realtime_inspector.postgres import sample
from realtime_inspector.postgres.embedded import EmbeddedPostgres
from realtime_inspector.postgres.facts import collect
from realtime_inspector.postgres.setup import Options, prepare
from realtime_inspector.settings import Settings, load_settings


@dataclass(frozen=True)
class Site:
    """A prepared database and the settings of a service on it."""

    admin: str
    settings: Settings

    def run(self, statement: str) -> None:
        """Runs one statement as the superuser; {reader}, {evaluator} and {database} stand for their names."""
        names = {
            "reader": urlsplit(self.settings.reader_url).username,
            "evaluator": urlsplit(self.settings.evaluator_url).username,
            "database": urlsplit(self.admin).path[1:],
        }
        with psycopg.connect(self.admin, autocommit=True) as connection:
            connection.execute(statement.format(**names).encode())

    def but(self, **changes: Any) -> "Site":
        return Site(self.admin, msgspec.structs.replace(self.settings, **changes))

    async def faults(self) -> list[Finding]:
        return [finding for finding in check(await collect(self.settings)) if finding.level is not Level.OK]


@pytest.fixture
async def site(database: str) -> Site:
    prepared = await prepare(database, Options(supabase_roles=True))
    await sample.install(database)
    return Site(database, load_settings(prepared.env))


@pytest.mark.every_version
async def test_a_prepared_database_is_healthy(site: Site) -> None:
    assert await site.faults() == []


@pytest.mark.parametrize(
    ("statement", "where", "level", "words"),
    [
        ("drop publication supabase_realtime", "publication", "error", "There is no publication"),
        ("alter publication supabase_realtime set (publish = 'insert')", "publication", "warning", "operations"),
        ("alter table public.notes drop constraint notes_pkey", "tables", "error", "UPDATE and DELETE on public.notes fail"),
        ("alter table public.tweets drop constraint tweets_pkey", "tables", "warning", "public.tweets has no primary key"),
        ("alter table public.articles replica identity nothing", "tables", "error", "public.articles"),
        ("alter role {reader} nobypassrls", "reader", "error", "BYPASSRLS"),
        ("alter role {reader} noreplication", "reader", "error", "REPLICATION"),
        ("revoke pg_read_all_data from {reader}", "reader", "error", "pg_read_all_data"),
        ("alter role {evaluator} superuser", "evaluator", "error", "NOSUPERUSER"),
        ("alter role {evaluator} bypassrls", "evaluator", "error", "NOBYPASSRLS"),
        ("alter role {evaluator} inherit", "evaluator", "error", "NOINHERIT"),
        ("grant service_role to {evaluator}", "evaluator", "error", "service_role"),
        ("revoke authenticated from {evaluator}", "evaluator", "error", "not a member of authenticated"),
        ("grant create on schema public to authenticated", "search_path", "warning", "authenticated"),
        ("drop table realtime_inspector.audit_log cascade", "schema", "error", "audit_log"),
        ("drop table realtime_inspector.slots", "schema", "error", "slots"),
        ("revoke update on realtime_inspector.slots from {reader}", "schema", "error", "slots"),
        ("revoke execute on all functions in schema realtime_inspector from {reader}", "schema", "error", "start_impersonation"),
        ("drop schema realtime_inspector cascade", "schema", "error", "impersonation_sessions"),
        ("select pg_create_logical_replication_slot('realtime_inspector', 'test_decoding')", "slot", "error", "test_decoding"),
    ],
)
async def test_a_planted_fault_is_found(site: Site, statement: str, where: str, level: str, words: str) -> None:
    site.run(statement)
    faults = await site.but(slot="realtime_inspector").faults()
    assert (where, level) in {(fault.check, fault.level) for fault in faults}
    assert any(words in fault.text + fault.remedy for fault in faults)
    assert {fault.check for fault in faults} == {where}


@pytest.mark.every_version
async def test_every_remedy_of_the_logins_heals(site: Site) -> None:
    """The SQL before the first semicolon can be run as it stands."""
    site.run("alter role {evaluator} superuser inherit createrole")
    site.run("grant service_role to {evaluator}")
    site.run("revoke anon from {evaluator}")
    site.run("alter role {reader} nobypassrls noreplication createdb")
    site.run("revoke pg_read_all_data from {reader}")
    site.run("alter table public.notes replica identity nothing")
    site.run("alter publication supabase_realtime set (publish = 'insert')")
    site.run("grant create on schema public to anon")
    faults = await site.faults()
    assert {fault.check for fault in faults} >= {"evaluator", "reader", "tables", "publication", "search_path"}
    for fault in faults:
        if fault.remedy.startswith(("ALTER", "GRANT", "REVOKE")):
            site.run(fault.remedy.split(";")[0])
    assert await site.faults() == []


async def test_temporary_objects_may_be_forbidden(site: Site) -> None:
    site.run("revoke temporary on database {database} from public, {evaluator}")
    (fault,) = await site.faults()
    site.run(fault.remedy)
    assert await site.faults() == []


async def test_a_way_around_through_another_role_is_found(site: Site) -> None:
    tenant, service = f"tenant_{secrets.token_hex(4)}", f"backdoor_{secrets.token_hex(4)}"
    site.run(f"create role {service} bypassrls")
    site.run(f"create role {tenant} in role {service}")
    site.run(f"grant {tenant} to {{evaluator}}")
    faults = await site.but(allowed_roles=("anon", "authenticated", tenant)).faults()
    assert any(fault.check == "evaluator" and service in fault.text for fault in faults)


async def test_logins_that_do_not_work_are_told(site: Site) -> None:
    wrong = site.settings.reader_url.replace(":", ":not-", 2).replace(":not-//", "://")
    assert [fault.check for fault in await site.but(reader_url=wrong).faults()] == ["reader"]
    nobody = "postgresql://nobody:secret@127.0.0.1:1/nowhere"
    faults = await site.but(reader_url=nobody, evaluator_url=nobody).faults()
    assert [(fault.check, fault.level) for fault in faults] == [("reader", "error"), ("evaluator", "error")]
    faults = await site.but(reader_url="", evaluator_url="not a url").faults()
    assert [(fault.check, fault.level) for fault in faults] == [("reader", "error"), ("evaluator", "error")]


async def test_a_pooler_is_noticed(site: Site) -> None:
    async with pooler(site.admin) as through:
        faults = await site.but(
            reader_url=through(site.settings.reader_url), evaluator_url=through(site.settings.evaluator_url)
        ).faults()
    assert [(fault.check, fault.level) for fault in faults] == [("reader", "error"), ("evaluator", "error")]
    assert all("pooler" in fault.text for fault in faults)


async def test_a_server_that_keeps_no_logical_log_is_told() -> None:
    meagre = {"wal_level": "replica", "max_replication_slots": "1", "max_wal_senders": "1"}
    async with EmbeddedPostgres(settings=meagre) as cluster:
        made = await prepare(cluster.url, Options(supabase_roles=True))
        await sample.install(cluster.url)
        site = Site(cluster.url, load_settings(made.env))
        site.run("select pg_create_physical_replication_slot('taken')")
        found = {fault.check: fault.remedy for fault in await site.faults()}
    assert set(found) == {"wal_level", "slots"}
    assert "max_replication_slots = 11" in found["slots"]


@asynccontextmanager
async def pooler(url: str) -> AsyncIterator[Callable[[str], str]]:
    """What a pooler does to a session: it passes on everything, but the key for cancelling is its own."""
    target = urlsplit(url)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, key: bytes) -> None:
        while data := await source.read(65536):
            place = data.find(key) if key else -1
            if place >= 0:
                data = data[: place + len(key)] + b"\x7f\xff\xff\xff" + data[place + len(key) + 4 :]
            sink.write(data)
        sink.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, sink = await asyncio.open_connection(target.hostname, target.port)
        # BackendKeyData: 'K', its length (12), process, secret.
        await asyncio.gather(pump(reader, sink, b""), pump(upstream, writer, b"K\x00\x00\x00\x0c"), return_exceptions=True)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]

        def through(login: str) -> str:
            parts = urlsplit(login)
            place = f"{quote(unquote(parts.username or ''))}:{quote(unquote(parts.password or ''))}@127.0.0.1:{port}"
            return parts._replace(netloc=place).geturl()

        yield through
