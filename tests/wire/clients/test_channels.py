"""Channels of a socket live and end apart from each other; what a client gets wrong is told and harms nobody."""

import json
from typing import Any

import psycopg
import pytest

from tests.wire.clients.conftest import Connect, MakeTable
from tests.wire.clients.driver import Channel, Driver

Admin = psycopg.Connection[Any]
COUNTRIES = {"event": "INSERT", "schema": "public", "table": "countries"}
LIVE = {"extension": "postgres_changes", "status": "ok", "message": "Subscribed to PostgreSQL"}
MISTAKES: dict[str, dict[str, object]] = {
    "Unable to subscribe to changes with given parameters.": {"table": "nowhere"},
    "invalid column for filter nothing": {"filter": "nothing=eq.1"},
    "Error parsing `filter` params: 'id=near.1'": {"filter": "id=near.1"},
    'invalid input syntax for type bigint: "one"': {"filter": "id=eq.one"},
    "operator like requires a text-compatible column type, got bigint": {"filter": "id=like.1%"},
    "`in` filter value must be wrapped by parentheses": {"filter": "id=in.1"},
    "invalid column for select nothing": {"select": ["nothing"]},
}


def add_country(admin: Admin, name: str) -> dict[str, Any]:
    (row,) = admin.execute("insert into countries (name) values (%s) returning to_json(countries)", [name])
    return dict(row[0])


def test_what_cannot_be_served_is_told_and_the_rest_is_served(connect: Connect, driver: Driver, admin: Admin) -> None:
    tweets: dict[str, object] = {"event": "*", "schema": "public", "table": "tweets"}
    client = connect(driver)
    neighbour = client.subscribe("room", COUNTRIES)
    wrong = {text: client.subscribe(text, COUNTRIES, tweets | mistake) for text, mistake in MISTAKES.items()}
    for text, channel in wrong.items():
        assert channel.next("system").items() >= {**LIVE, "channel": text}.items()
        assert _told(channel).startswith(text)
        if driver.is_python:
            channel.subscribed()  # it takes any such message for the end of the channel, and soon joins anew
    country = add_country(admin, "Mordor")
    for channel in (neighbour, *wrong.values()):
        assert channel.next("change")["record"] == country


def _told(channel: Channel) -> str:
    """The text of the next error message of the service."""
    if not channel.client.driver.is_python:
        message = channel.next("system")
    else:
        status = channel.next("status")
        assert status["status"] == "CHANNEL_ERROR"
        message = json.loads(status["error"])
    assert message.items() >= {"extension": "postgres_changes", "status": "error", "channel": channel.name}.items()
    return str(message["message"])


@pytest.mark.parametrize("name", ["room:1", "realtime", "Zimmer für zwei 🎈", "a b,c.d\"e'/?&#%", "x" * 240])
def test_a_channel_may_have_any_name(connect: Connect, driver: Driver, admin: Admin, name: str) -> None:
    channel = connect(driver).subscribe(name, COUNTRIES, config={"broadcast": {"self": True}})
    country = add_country(admin, "Oz")
    assert channel.next("change")["record"] == country
    assert channel.next("system")["channel"] == name


def test_channels_of_one_socket_are_apart(connect: Connect, driver: Driver, admin: Admin, make_table: MakeTable) -> None:
    client = connect(driver)
    one, other = make_table("id int primary key"), make_table("id int primary key")
    everything = client.subscribe("everything", {"event": "*", "schema": "public"})
    first = client.subscribe("first", {"event": "*", "schema": "public", "table": one})
    second = client.subscribe("second", {"event": "*", "schema": "public", "table": other, "filter": "id=gt.1"})
    admin.execute(f"insert into {one} values (1)".encode())
    admin.execute(f"insert into {other} values (1)".encode())
    admin.execute(f"insert into {other} values (2)".encode())
    assert _what(first) == (one, 1)
    assert _what(second) == (other, 2)
    assert [_what(everything) for _ in range(3)] == [(one, 1), (other, 1), (other, 2)]
    first.leave()
    assert first.next("status") == {"status": "CLOSED", "error": None}
    admin.execute(f"insert into {one} values (3)".encode())
    admin.execute(f"insert into {other} values (3)".encode())
    assert _what(everything) == (one, 3)
    assert _what(second) == (other, 3)
    again = client.subscribe("first", {"event": "*", "schema": "public", "table": one})
    admin.execute(f"insert into {one} values (4)".encode())
    assert _what(again) == (one, 4)
    assert _what(everything) == (other, 3)
    assert _what(everything) == (one, 4)
    assert first.nothing_more("change")


def test_a_table_that_is_published_later_is_served_from_then_on(
    connect: Connect, driver: Driver, admin: Admin, make_table: MakeTable
) -> None:
    channel = connect(driver).subscribe("room", {"event": "INSERT", "schema": "public"})
    admin.execute("create table public.unpublished (id int primary key); grant select on public.unpublished to anon")
    try:
        admin.execute("insert into unpublished values (1)")
        admin.execute("alter publication supabase_realtime add table public.unpublished")
        admin.execute("insert into unpublished values (2)")
        assert _what(channel) == ("unpublished", 2)
        admin.execute("alter publication supabase_realtime drop table public.unpublished")
        admin.execute("insert into unpublished values (3)")
        table = make_table("id int primary key")
        admin.execute(f"insert into {table} values (4)".encode())
        assert _what(channel) == (table, 4)
    finally:
        admin.execute("drop table public.unpublished")


def _what(channel: Channel) -> tuple[str, int]:
    change = channel.next("change")
    return change["table"], change["record"]["id"]


def test_a_wrong_key_is_refused(connect: Connect, driver: Driver) -> None:
    channel = connect(driver, key="nonsense").join("room")
    status = channel.next("status")
    assert status["status"] == "CHANNEL_ERROR"
    if driver.is_python:
        assert "HTTP 401" in status["error"]
