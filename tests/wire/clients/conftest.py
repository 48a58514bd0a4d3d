"""Gives tests the official clients: each driver runs once in a test process, each socket is closed with its test."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.wire.clients.driver import KINDS, Client, Driver, Kind
from tests.wire.demo import Demo, Person

Connect = Callable[..., Client]
MakeTable = Callable[..., str]
NUMBERS = itertools.count(1)


class Drivers(dict[Kind, Driver]):
    """Drivers that start when they are asked for."""

    def __missing__(self, kind: Kind) -> Driver:
        self[kind] = Driver(kind)
        return self[kind]


@pytest.fixture(scope="session")
def drivers() -> Iterator[Drivers]:
    """Every official client by its name."""
    started = Drivers()
    yield started
    for driver in started.values():
        assert driver.stop() == 0


@pytest.fixture(params=KINDS)
def driver(request: pytest.FixtureRequest, drivers: Drivers) -> Driver:
    """Each official client in turn."""
    return drivers[request.param]


@pytest.fixture
def connect(demo: Demo, drivers: Drivers) -> Iterator[Connect]:
    """Opens sockets of people: connect(driver, person); all are closed at the end, and no frame may have been thrown away."""
    opened: list[Client] = []

    def open_socket(driver: Driver, person: Person | None = None, **more: Any) -> Client:
        token = None if person is None or person.token == demo.anon_key else person.token
        opened.append(driver.open(more.pop("url", demo.url), more.pop("key", demo.anon_key), token, **more))
        return opened[-1]

    yield open_socket
    for client in opened:
        client.close()
    for driver in drivers.values():
        assert driver.complaints == []


@pytest.fixture
def make_table(admin: psycopg.Connection[Any]) -> Iterator[MakeTable]:
    """make_table(columns): a published table without row-level security that everybody may read; returns its name."""
    made: list[str] = []

    def make(columns: str, *, full: bool = False) -> str:
        name = f"wire_{next(NUMBERS)}"
        made.append(name)
        with admin.transaction():
            admin.execute(f"create table public.{name} ({columns})".encode())
            admin.execute(f"alter table public.{name} replica identity {'full' if full else 'default'}".encode())
            admin.execute(f"grant select on public.{name} to anon, authenticated, service_role".encode())
            admin.execute(f"alter publication supabase_realtime add table public.{name}".encode())
        return name

    yield make
    for name in made:
        admin.execute(f"drop table public.{name}".encode())
