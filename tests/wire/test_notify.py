"""The whole service on a database whose log holds nothing: changes come from triggers, by way of a socket."""

from collections.abc import AsyncIterator

import httpx
import psycopg
import pytest

from realtime_inspector.app import AT_MOST_ONCE
from realtime_inspector.doctor.checks import check
from realtime_inspector.doctor.findings import Level
from realtime_inspector.postgres.embedded import EmbeddedPostgres
from realtime_inspector.postgres.facts import collect
from realtime_inspector.postgres.setup import Options, prepare
from realtime_inspector.settings import Settings, load_settings
from tests.wire.service import Client, Service, client, serving, token

WITHOUT_REPLICATION = {"wal_level": "minimal", "max_wal_senders": "0", "max_replication_slots": "0"}
SCHEMA = """
create table public.orders (id int primary key, owner text); grant select on public.orders to authenticated;
alter table public.orders enable row level security;
create policy own on public.orders for select using (owner = auth.uid()::text);
"""
ALICE = "a11ce000-0000-4000-8000-000000000001"


@pytest.fixture
async def database() -> AsyncIterator[tuple[str, Settings]]:
    """A superuser's URL and the settings that `init --source notify` makes, in a cluster of its own."""
    async with EmbeddedPostgres(settings=WITHOUT_REPLICATION) as postgres:
        await prepare(postgres.url, Options(supabase_roles=True, source="notify"))
        run(postgres.url, SCHEMA)
        made = await prepare(postgres.url, Options(supabase_roles=True, source="notify", tables=("public.orders",)))
        yield postgres.url, load_settings(made.env)


def run(url: str, statements: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statements.encode())
        while cursor.nextset():
            pass
        return cursor.fetchall() if cursor.description else []


async def joined(service: Service, settings: Settings, one: Client) -> None:
    """Joins for the orders; changes flow when this returns."""
    changes = [{"event": "*", "schema": "public", "table": "orders"}]
    await one.send("realtime:room", "phx_join", {"config": {"postgres_changes": changes, "presence": {"enabled": False}}})
    assert (await one.event())[1]["status"] == "ok"
    assert (await one.event())[1]["status"] == "ok"


async def test_changes_flow_without_replication_and_a_cut_is_told(database: tuple[str, Settings]) -> None:
    url, settings = database
    assert [finding for finding in check(await collect(settings)) if finding.level is Level.ERROR] == []
    assert run(url, "select rolreplication from pg_roles where rolname = 'realtime_inspector_reader'") == [(False,)]
    given = {name: getattr(settings, name) for name in ("source", "reader_url", "evaluator_url")}
    async with serving(**given) as service:
        key = token(role="authenticated", sub=ALICE)
        async with client(service, key=key) as alice:
            await joined(service, settings, alice)
            run(url, f"insert into public.orders values (1, '{ALICE}'), (2, 'somebody else'), (3, '{ALICE}')")
            received = [(await alice.event())[1]["data"]["record"]["id"] for _ in range(2)]
            assert received == [1, 3]
            run(url, "select pg_terminate_backend(pid) from pg_stat_activity where application_name like '%listener'")
            name, told = await alice.event()
            assert (name, told["status"], told["gap"]["reason"]) == ("system", "ok", "listen_reconnect")
            run(url, f"insert into public.orders values (4, '{ALICE}')")
            assert (await alice.event())[1]["data"]["record"]["id"] == 4
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(f"{service.url}/readyz")).json() == {
                "ready": True,
                "reasons": [],
                "notes": [AT_MOST_ONCE],
            }
