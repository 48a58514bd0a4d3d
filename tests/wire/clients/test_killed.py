"""The service is killed and comes back: the official clients return by themselves, and hear once what was sent meanwhile."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.wire.clients.conftest import Drivers
from tests.wire.clients.driver import KINDS
from tests.wire.private import ALICE, BOB, person, prepared
from tests.wire.service import SECRET

SEND = "select realtime.send(jsonb_build_object('n', n), 'hello', 'room', %s) from generate_series(%s::int, %s::int) n"
MARKED = "select commit_lsn, place from realtime_inspector.broadcast_marks"
PRIVATE = {"private": True, "broadcast": {"ack": True, "self": False}}
PRESENT = {"presence": {"key": "me", "enabled": True}}


@contextmanager
def serving(env: dict[str, str], port: int) -> Iterator[subprocess.Popen[str]]:
    """`serve` in a process of its own, killed at the end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RTI_")}
    command = [sys.executable, "-m", "realtime_inspector", "serve", "--port", str(port), "--ready-json"]
    # clients wait longer and longer before they try again, and on a busy machine their last return is late
    variables = kept | env | {"RTI_JWT_SECRET": SECRET, "RTI_LOG_LEVEL": "warning", "RTI_ARREARS_SECONDS": "300"}
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["ready"]
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.usefixtures("drivers")
def test_clients_return_and_hear_once_what_was_sent_meanwhile(database: str, drivers: Drivers) -> None:
    env, port = asyncio.run(prepared(database)), free_port()
    clients, rooms, halls = [], {}, {}
    with serving(env, port), psycopg.connect(database, autocommit=True) as sql:
        for kind in KINDS:
            clients.append(drivers[kind].open(f"http://127.0.0.1:{port}", person(BOB), person(BOB), patient=True))
            rooms[kind] = clients[-1].subscribe("room", config=PRIVATE)
            clients.append(drivers[kind].open(f"http://127.0.0.1:{port}", person(ALICE), person(ALICE), patient=True))
            halls[kind] = clients[-1].join("hall", config=PRESENT, presence=True)
            halls[kind].subscribed()
        before = sql.execute(MARKED).fetchone()
        sql.execute(SEND, [True, 1, 5])
        for room in rooms.values():
            assert [room.next("broadcast")["payload"]["n"] for _ in range(5)] == [1, 2, 3, 4, 5]
        while sql.execute(MARKED).fetchone() == before:  # what is not yet written down when it is killed may come again
            time.sleep(0.01)
    with psycopg.connect(database, autocommit=True) as sql:
        sql.execute(SEND, [True, 6, 9])
        with serving(env, port):
            for channel in (*rooms.values(), *halls.values()):
                channel.until("status", lambda told: told["status"] == "SUBSCRIBED")
            sql.execute(SEND, [True, 10, 10])
            for room in rooms.values():
                assert [room.next("broadcast")["payload"]["n"] for _ in range(5)] == [6, 7, 8, 9, 10]
                assert room.nothing_more("broadcast")
            for client in clients:
                client.close()
