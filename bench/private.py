"""Private channels: how many joins a second their policies let through, and how long a message of the database takes."""

import argparse
import select
import socket
import time
from collections.abc import Callable, Sequence

import orjson
from msgspec.structs import replace

from bench.database import Database, cpu_seconds, service, token, user, with_database
from bench.load import masked, open_socket, prepare_all
from bench.report import Figure, percentile
from bench.subscribers import Subscribers

PATIENCE = 60.0
ROUNDS, ROUND_SECONDS, SETTLE_SECONDS = 2, 10, 3.0
"""Of asking again; together too short for a socket that answers no ping to be closed."""
REPLY = b'"phx_reply"'
POLICIES = """
create table public.members (room text, user_id uuid, primary key (room, user_id));
grant select on public.members to authenticated;
create policy receive on realtime.messages for select to authenticated using (
  extension in ('broadcast', 'presence')
  and exists (select from public.members where room = (select realtime.topic()) and user_id = (select auth.uid())))
"""
SEND = "select realtime.send('{}', 'bench', 'room-0')"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sockets", type=int, default=100)
    parser.add_argument("--channels", type=int, default=10, help="that each socket joins")
    parser.add_argument("--messages", type=int, default=300)


def measure(arguments: argparse.Namespace) -> list[Figure]:
    prepare_all(2 * arguments.sockets)
    return with_database(_all, arguments)


def _all(database: Database, arguments: argparse.Namespace) -> list[Figure]:
    database.run(POLICIES)
    rooms = [f"room-{number}" for number in range(arguments.channels)]
    people = [user(number) for number in range(arguments.sockets)]
    database.run("insert into members select room, who from unnest(%s::text[]) room, unnest(%s::uuid[]) who", rooms, people)
    tokens = [token(number, database.settings.jwt_secret) for number in range(arguments.sockets)]
    with service(database) as process:

        def joined(tokens: Sequence[str], *, private: bool) -> float:
            sockets = [_opened(process.port, each) for each in tokens]
            try:
                return _joins_per_second(sockets, rooms, private=private)
            finally:
                for each in sockets:
                    each.close()

        joined(tokens[:1], private=True)  # makes the connections to Postgres
        public, own, same = (
            joined(tokens, private=False),
            joined(tokens, private=True),
            joined(tokens[:1] * len(tokens), private=True),
        )
        sent, changed = _latencies(database, process.port, arguments.messages)
    asked = _asked_again(database, tokens, rooms)
    what = f"private channels, {len(tokens)} sockets × {len(rooms)}"
    return [
        Figure(f"{what}: joins, an identity for each socket", "/s", own, public, "public channels", more=True),
        Figure(f"{what}: joins, all of one identity", "/s", same, public, "public channels", more=True),
        Figure(
            "realtime.send, commit to arrival, p50", "ms", percentile(sent, 50), percentile(changed, 50), "a change of a table"
        ),
        Figure(
            "realtime.send, commit to arrival, p99", "ms", percentile(sent, 99), percentile(changed, 99), "a change of a table"
        ),
        Figure("asking again about 1,000 private channels every 60 s", "% of a core", asked * 1e5 / 60, 1, "goal", 1),
    ]


def _asked_again(database: Database, tokens: Sequence[str], rooms: Sequence[str]) -> float:
    """Processor seconds, of the service and of Postgres, for each time that one channel is asked again what it may receive."""
    used = []
    for every in (0, ROUND_SECONDS):
        settings = replace(database.settings, recheck_seconds=every)
        with service(Database(database.url, settings)) as process:
            sockets = [_opened(process.port, each) for each in tokens]
            _joins_per_second(sockets, rooms, private=True)
            time.sleep(SETTLE_SECONDS)
            query = "select pid from pg_stat_activity where application_name = 'realtime_inspector permissions'"
            pids = [int(str(pid)) for (pid,) in database.run(query)]
            before = process.cpu_seconds + cpu_seconds(pids)
            time.sleep(ROUNDS * ROUND_SECONDS)
            used.append(process.cpu_seconds + cpu_seconds(pids) - before)
            for each in sockets:
                each.close()
    return (used[1] - used[0]) / (ROUNDS * len(tokens) * len(rooms))


def _opened(port: int, access_token: str) -> socket.socket:
    return open_socket(port, f"/socket/websocket?vsn=2.0.0&apikey={access_token}", None)


def _joins_per_second(sockets: Sequence[socket.socket], rooms: Sequence[str], *, private: bool) -> float:
    """All sockets join all rooms at once."""
    poll, by_number, missing = select.epoll(), {each.fileno(): each for each in sockets}, len(sockets) * len(rooms)
    for each in sockets:
        poll.register(each.fileno(), select.EPOLLIN)
    joins = b"".join(_join(str(number), room, private=private) for number, room in enumerate(rooms, 1))
    began = time.perf_counter()
    for each in sockets:
        each.sendall(joins)
    while missing > 0:
        assert time.perf_counter() - began < PATIENCE, f"{missing} joins were not answered"
        for number, _ in poll.poll(1):
            received = by_number[number].recv(1 << 18)
            assert received, "the service closed a socket"
            assert b'"error"' not in received, received[:300]
            missing -= received.count(REPLY)
    return len(sockets) * len(rooms) / (time.perf_counter() - began)


def _join(ref: str, room: str, *, private: bool) -> bytes:
    config = {"private": private, "presence": {"enabled": False}}
    return masked(orjson.dumps([ref, ref, f"realtime:{room}", "phx_join", {"config": config}]))


def _latencies(database: Database, port: int, messages: int) -> tuple[list[float], list[float]]:
    """Milliseconds from commit to arrival of messages and of changes, in turn, one at a time."""
    listener = _opened(port, token(0, database.settings.jwt_secret))
    witness = Subscribers(port, database, "countries", [0])
    listener.setblocking(True)
    listener.settimeout(PATIENCE)
    listener.sendall(_join("1", "room-0", private=True))
    assert REPLY in listener.recv(1 << 16)

    def heard() -> float:
        while b"bench" not in listener.recv(1 << 16):
            pass
        return time.perf_counter()

    def changed() -> float:
        witness.await_changes(1)
        return witness.arrivals[-1][0]

    try:
        insert = "insert into public.countries (name) values ('bench')"
        taken = [(_taken(database, SEND, heard), _taken(database, insert, changed)) for _ in range(messages)]
    finally:
        witness.close()
        listener.close()
    sent, changes = zip(*taken[len(taken) // 10 :], strict=True)
    return list(sent), list(changes)


def _taken(database: Database, statement: str, arrived: Callable[[], float]) -> float:
    with database.connect() as writer:
        writer.autocommit = True
        writer.execute(statement.encode())
        committed = time.perf_counter()
        return (arrived() - committed) * 1e3
