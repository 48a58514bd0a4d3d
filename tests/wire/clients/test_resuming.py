"""The official clients with our wrapper come back after a cut and receive what they missed; without it they go on as ever."""

import secrets
from typing import Any
from urllib.parse import urlsplit

import psycopg

from tests.wire.clients.cable import Cable
from tests.wire.clients.conftest import Connect, MakeTable
from tests.wire.clients.driver import Channel, Client, Driver
from tests.wire.demo import Demo

Admin = psycopg.Connection[Any]
MANY = 300


def write(admin: Admin, table: str, first: int, last: int) -> None:
    admin.execute(f"insert into {table} select generate_series(%s::int, %s::int)".encode(), [first, last])


def numbers(channel: Channel, count: int) -> list[int]:
    return [channel.next("change")["record"]["id"] for _ in range(count)]


def room(client: Client, table: str) -> Channel:
    return client.subscribe(f"room {secrets.token_hex(4)}", {"event": "*", "schema": "public", "table": table})


def test_what_was_missed_comes_once_and_in_order(
    connect: Connect, driver: Driver, admin: Admin, demo: Demo, make_table: MakeTable
) -> None:
    table, other = make_table("id int primary key"), make_table("id int primary key")
    with Cable(urlsplit(demo.url).port or 0) as cable:
        client = connect(driver, url=cable.url, resumes=True)
        channels = [room(client, table), room(client, table), room(client, other)]
        write(admin, table, 1, 3)
        assert [numbers(channel, 3) for channel in channels[:2]] == [[1, 2, 3]] * 2
        for begin in (4, 4 + MANY):
            cable.cut()
            write(admin, table, begin, begin + MANY - 1)
            assert [numbers(channel, MANY) for channel in channels[:2]] == [list(range(begin, begin + MANY))] * 2
            for channel in channels:
                channel.until("system", lambda told: told["message"] == "resumed")
        write(admin, table, 0, 0)
        write(admin, other, 0, 0)
        assert [numbers(channel, 1) for channel in channels] == [[0]] * 3
        assert all(channel.nothing_more("change") for channel in channels)
        client.close()


def test_a_channel_that_was_left_begins_anew(
    connect: Connect, driver: Driver, admin: Admin, demo: Demo, make_table: MakeTable
) -> None:
    table = make_table("id int primary key")
    client = connect(driver, resumes=True)
    first, witness = room(client, table), room(client, table)
    first.leave()
    write(admin, table, 1, 1)
    assert numbers(witness, 1) == [1]
    again = client.subscribe(first.name, {"event": "*", "schema": "public", "table": table})
    write(admin, table, 2, 2)
    assert numbers(again, 1) == [2]
