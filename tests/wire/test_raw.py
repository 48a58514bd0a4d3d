"""Frames as they are, where no official client can show them, in both serializers."""

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.wire.demo import Demo
from tests.wire.raw import VERSIONS, Message, Socket, opened

Admin = psycopg.Connection[Any]
TABLE = "wire_raw"
CHANGES = {"event": "*", "schema": "public", "table": TABLE}
TOPIC = "realtime:room"


@pytest.fixture(params=VERSIONS)
def socket(request: pytest.FixtureRequest, demo: Demo) -> Iterator[Socket]:
    with opened(demo.url, demo.anon_key, request.param) as made:
        yield made


@pytest.fixture(autouse=True)
def table(admin: Admin) -> Iterator[None]:
    with admin.transaction():
        admin.execute(f"create table public.{TABLE} (id bigint primary key, price numeric(10, 2))".encode())
        admin.execute(f"grant select on public.{TABLE} to anon".encode())
        admin.execute(f"alter publication supabase_realtime add table public.{TABLE}".encode())
    yield
    admin.execute(f"drop table public.{TABLE}".encode())


def insert(admin: Admin, number: int) -> None:
    admin.execute(f"insert into {TABLE} values ({number}, 12.50)".encode())


def changed(message: Message, topic: str = TOPIC, number: int | None = None) -> bool:
    """Whether it is a change on the topic, of this row if it is given."""
    if (message.topic, message.event) != (topic, "postgres_changes"):
        return False
    return number is None or message.payload["data"]["record"]["id"] == number


def rows_until(socket: Socket, number: int) -> list[int]:
    """The rows that come, up to this one."""
    messages = socket.until(lambda message: changed(message, number=number))
    return [message.payload["data"]["record"]["id"] for message in messages if changed(message)]


def test_numbers_keep_their_digits(socket: Socket, admin: Admin) -> None:
    socket.join(TOPIC, CHANGES)
    insert(admin, 9007199254740993)
    assert '"record":{"id":9007199254740993,"price":12.50}' in socket.until(changed)[-1].text


def test_a_second_join_of_a_topic_takes_the_place_of_the_first(socket: Socket, admin: Admin) -> None:
    """Without a phx_close, which would be the end of the Python client's channel."""
    first = socket.join(TOPIC, CHANGES)
    second = socket.send(TOPIC, "phx_join", {"config": {"postgres_changes": [CHANGES | {"event": "DELETE"}]}})
    before = socket.until(lambda message: message.ref == second)
    assert before[-1].payload["status"] == "ok"
    insert(admin, 1)
    admin.execute(f"delete from {TABLE}".encode())
    messages = before + socket.until(changed)
    assert messages[-1].payload["data"]["type"] == "DELETE"
    assert {message.event for message in messages} == {"system", "presence_state", "phx_reply", "postgres_changes"}
    assert not any(changed(message) for message in messages[:-1])
    assert first != second


def test_nothing_of_a_channel_comes_after_it_was_left(socket: Socket, admin: Admin) -> None:
    joined = socket.join(TOPIC, CHANGES)
    socket.join("realtime:other", CHANGES)
    left = socket.send(TOPIC, "phx_leave", {}, joined)
    assert socket.reply(left)["status"] == "ok"
    closing = socket.next()
    assert (closing.topic, closing.event, closing.ref) == (TOPIC, "phx_close", joined)
    insert(admin, 1)
    messages = socket.until(lambda message: changed(message, "realtime:other", 1))
    assert TOPIC not in {message.topic for message in messages}


def test_no_row_is_missed_by_joins_under_load(demo: Demo, admin: Admin) -> None:
    """Somebody writes all the time: whoever has its reply receives every row that is begun from then on, once and in order."""
    committed = 0
    enough = threading.Event()

    def write() -> None:
        nonlocal committed
        with psycopg.connect(demo.database_url, autocommit=True) as writer:
            for number in itertools.count(1):
                insert(writer, number)
                committed = number
                if enough.is_set():
                    return

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for attempt in range(20):
            with opened(demo.url, demo.anon_key, VERSIONS[attempt % 2]) as socket:
                socket.join(TOPIC, CHANGES)
                known = committed
                numbers = rows_until(socket, known + 20)
            assert numbers == list(range(numbers[0], known + 21))
            assert numbers[0] <= known + 2, "the row after the last known one may have been begun before the reply"
    finally:
        enough.set()
        thread.join()


@pytest.mark.parametrize("more", ["", ":id=gt.1"])
def test_a_join_without_config_hears_the_table_that_its_topic_names(socket: Socket, admin: Admin, more: str) -> None:
    topic = f"realtime:public:{TABLE}{more}"
    socket.send(topic, "phx_join", {})
    reply = socket.until(lambda message: message.event == "phx_reply")[-1]
    assert reply.payload["status"] == "ok"
    for number in (1, 2):
        insert(admin, number)
    heard = socket.until(lambda message: message.event == "INSERT" and message.payload["record"]["id"] == 2)
    admin.execute(f"delete from {TABLE} where id = 2")
    heard += socket.until(lambda message: message.event == "DELETE")
    changes = [(message.event, message.payload.get("record")) for message in heard if message.event in ("INSERT", "DELETE")]
    inserted = [("INSERT", {"id": number, "price": 12.5}) for number in ((2,) if more else (1, 2))]
    assert changes == [*inserted, ("DELETE", None)]
    assert heard[-1].payload.keys() >= {"schema", "table", "type", "commit_timestamp", "columns", "errors", "old_record"}
    assert heard[-1].topic == topic
