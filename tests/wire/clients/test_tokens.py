"""What a channel may see follows its token: from the first to the next one, until it expires."""

import json
from typing import Any

import psycopg
import pytest

from tests.wire.clients.conftest import Connect, Drivers
from tests.wire.clients.driver import KINDS, Channel, Driver
from tests.wire.demo import Demo

Admin = psycopg.Connection[Any]
TWEETS = {"event": "INSERT", "schema": "public", "table": "tweets"}
NOTES = {"event": "INSERT", "schema": "public", "table": "notes"}
COUNTRIES = {"event": "INSERT", "schema": "public", "table": "countries"}


def tweet(admin: Admin, demo: Demo, *names: str) -> None:
    """One tweet of each of them, in this order."""
    for name in names:
        admin.execute("insert into tweets (user_id, content) values (%s, %s)", [demo.person(name).id, f"by {name}"])


def ended(channel: Channel) -> str:
    """Why the service ended the channel; it must have said so."""
    if channel.client.driver.is_python:
        status = channel.next("status")
        assert status["status"] == "CHANNEL_ERROR"
        message = json.loads(status["error"])
    else:
        message = channel.until("system", lambda message: message["status"] == "error")[-1]
    assert message.items() >= {"extension": "system", "channel": channel.name}.items()
    assert channel.next("status") == {"status": "CLOSED", "error": None}
    return str(message["message"])


def test_changes_follow_the_new_token(connect: Connect, driver: Driver, demo: Demo, admin: Admin) -> None:
    alice, bob = demo.person("alice"), demo.person("bob")
    client = connect(driver, alice)
    channel = client.subscribe("room", TWEETS, NOTES)
    assert channel.next("system")["message"] == "Subscribed to PostgreSQL"
    tweet(admin, demo, "bob", "alice")
    assert channel.next("change")["record"]["content"] == "by alice"
    client.authenticate(bob.token)
    assert channel.next("system")["message"] == "Subscribed to PostgreSQL"
    tweet(admin, demo, "alice", "bob")
    assert channel.next("change")["record"]["content"] == "by bob"
    admin.execute("insert into notes (body) values ('too early')")
    tweet(admin, demo, "bob")  # what was decided before the next token is asked for
    assert channel.next("change")["record"]["content"] == "by bob"
    client.authenticate(demo.token(bob, app_metadata={"role": "editor"}))
    assert channel.next("system")["message"] == "Subscribed to PostgreSQL"
    admin.execute("insert into notes (body) values ('for editors')")
    assert channel.next("change")["record"]["body"] == "for editors"
    admin.execute("delete from notes where body in ('too early', 'for editors')")  # others count what the sample has


def test_a_channel_ends_with_its_token_unless_it_gets_a_new_one(
    connect: Connect, drivers: Drivers, demo: Demo, admin: Admin
) -> None:
    """All clients at once, because a token lives for whole seconds."""
    alice = demo.person("alice")
    for kind in KINDS:
        connect(drivers[kind]).subscribe("awake")
    short = demo.token(alice, 5)
    rash = {kind: connect(drivers[kind], key=short).join("rash", TWEETS) for kind in KINDS}
    careful_clients = {kind: connect(drivers[kind], key=short) for kind in KINDS}
    careful = {kind: client.join("careful", COUNTRIES) for kind, client in careful_clients.items()}
    for channel in (*rash.values(), *careful.values()):
        channel.subscribed()
    for kind, client in careful_clients.items():
        client.authenticate(alice.token)
        assert careful[kind].next("system")["message"] == "Subscribed to PostgreSQL"
        assert careful[kind].next("system")["message"] == "Subscribed to PostgreSQL"
    for channel in rash.values():
        assert ended(channel).startswith("Token has expired")
    admin.execute("insert into countries (name) values ('Shangri-La')")
    for channel in careful.values():
        assert channel.next("change")["record"]["name"] == "Shangri-La"
        assert channel.nothing_more("status")


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": 1_000_000_000}, "InvalidJWTToken: Token has expired"),
        ({"role": "postgres"}, "Unauthorized: "),
        ({"role": None}, "InvalidJWTToken: Fields `role` and `exp` are required in JWT"),
        (None, "MalformedJWT: The token provided is not a valid JWT"),
    ],
    ids=["expired", "superuser", "no role", "garbage"],
)
def test_a_join_with_a_bad_token_is_refused_with_a_reason(
    connect: Connect, driver: Driver, demo: Demo, claims: dict[str, object] | None, reason: str
) -> None:
    client = connect(driver)
    client.authenticate("garbage" if claims is None else demo.token(demo.person("alice"), **claims))
    status = client.join("room", TWEETS).next("status")
    assert status["status"] == "CHANNEL_ERROR"
    assert reason in status["error"]


def test_a_bad_new_token_ends_the_channel_and_no_other_socket(connect: Connect, driver: Driver, demo: Demo, admin: Admin) -> None:
    client, neighbour = connect(driver, demo.person("alice")), connect(driver, demo.person("alice"))
    channel, other = client.subscribe("room", TWEETS), neighbour.subscribe("room", TWEETS)
    client.authenticate(demo.token(demo.person("alice"), exp=1_000_000_000))
    assert ended(channel).startswith("Token has expired")
    tweet(admin, demo, "alice")
    assert other.next("change")["record"]["content"] == "by alice"
    assert channel.nothing_more("change")


def test_an_expired_key_is_refused(connect: Connect, driver: Driver, demo: Demo) -> None:
    channel = connect(driver, key=demo.token(demo.person("alice"), exp=1_000_000_000)).join("room")
    assert channel.next("status")["status"] == "CHANNEL_ERROR"
