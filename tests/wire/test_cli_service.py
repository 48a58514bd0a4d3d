"""The commands that run: demo and serve from start to signal, and tail against them."""

import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import IO, Any

import httpx
import jwt
import psycopg
import pytest
from websockets.sync.client import connect

PROGRAM = (sys.executable, "-m", "realtime_inspector")
PATIENCE = 30.0
STUBBORN = """
import asyncio
from realtime_inspector.cli.running import run

async def work(stop):
    print('begun', flush=True)
    await asyncio.Event().wait()

run(work, grace={grace})
"""


class Running:
    """A command that runs, and the lines that it says."""

    def __init__(self, *arguments: str | Path, **variables: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RTI_")}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([*PROGRAM, *arguments], env=kept | variables, stdout=pipe, stderr=pipe, text=True)
        self.said = self._lines(self.process.stdout)
        self.told = self._lines(self.process.stderr)

    @staticmethod
    def _lines(stream: IO[str] | None) -> "queue.Queue[str | None]":
        assert stream is not None
        lines: queue.Queue[str | None] = queue.Queue()

        def read() -> None:
            with stream:
                for line in stream:
                    lines.put(line.rstrip("\n"))
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        return lines

    def line(self) -> str:
        """The next line on standard output."""
        line = self.said.get(timeout=PATIENCE)
        assert line is not None, f"it ended: {self.rest(self.told)}"
        return line

    def wait_for(self, words: str) -> str:
        """The next line on standard error that has these words."""
        while (line := self.told.get(timeout=PATIENCE)) is not None:
            if words in line:
                return line
        pytest.fail(f"it ended before it said {words!r}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status after the signal."""
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE)

    @staticmethod
    def rest(lines: "queue.Queue[str | None]") -> list[str]:
        """What was said until the end."""
        return list(iter(lambda: lines.get(timeout=PATIENCE), None))


@contextmanager
def running(*arguments: str | Path, **variables: str) -> Iterator[Running]:
    """The command, ended at the end whatever happens."""
    command = Running(*arguments, **variables)
    try:
        yield command
    finally:
        if command.process.poll() is None:
            command.process.terminate()
            try:
                command.process.wait(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                command.process.kill()
        command.process.wait()


def execute(url: str, statement: str, *parameters: object) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode(), parameters)


@pytest.fixture(scope="module")
def demo() -> Iterator[dict[str, Any]]:
    """What a demo without activity says when it is ready."""
    with running("demo", "--no-activity", "--port", "0", "--ready-json") as command:
        yield json.loads(command.line())


def account(demo: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [user for user in demo["users"] if user["email"] == f"{name}@example.com"]
    return dict(found)


def tweet(demo: dict[str, Any], name: str, content: str) -> None:
    execute(
        demo["database_url"], "insert into public.tweets (user_id, content) values (%s, %s)", account(demo, name)["id"], content
    )


def test_the_demo_says_everything_that_was_promised(demo: dict[str, Any]) -> None:
    assert set(demo) == {
        *("ready", "url", "websocket_url", "inspector_url", "pid"),
        *("database_url", "jwt_secret", "anon_key", "service_role_key", "admin_token", "users"),
    }
    assert demo["ready"] is True
    assert demo["websocket_url"] == demo["url"].replace("http", "ws", 1) + "/socket"
    assert demo["inspector_url"] == f"{demo['url']}/inspector/#token={demo['admin_token']}"
    keys = {"anon_key": "anon", "service_role_key": "service_role", "admin_token": "inspector_admin"}
    for name, role in keys.items():
        assert jwt.decode(demo[name], demo["jwt_secret"], ["HS256"])["role"] == role
    assert [(user["email"], user["role"]) for user in demo["users"]] == [
        ("alice@example.com", None),
        ("bob@example.com", None),
        ("carol@example.com", "admin"),
        ("dave@example.com", "editor"),
        ("vera@example.com", "viewer"),
    ]
    for user in demo["users"]:
        claims = jwt.decode(user["access_token"], demo["jwt_secret"], ["HS256"], audience="authenticated")
        assert (claims["sub"], claims["role"], claims["app_metadata"].get("role")) == (user["id"], "authenticated", user["role"])
    assert httpx.get(f"{demo['url']}/readyz").status_code == 200
    assert httpx.get(f"{demo['url']}/inspector/").status_code == 200


def test_tail_shows_what_an_account_would_receive(demo: dict[str, Any]) -> None:
    alice = account(demo, "alice")["id"]
    where = ("--table", "tweets", "--json", "--url", demo["url"])
    key = {"RTI_JWT_SECRET": demo["jwt_secret"]}
    with (
        running("tail", *where, "--as", f"user:{alice}", **key) as as_alice,
        running("tail", *where, "--as", "service", **key) as as_service,
        running("tail", *where, "--as", "anon", **key) as as_anon,
    ):
        for command in (as_alice, as_service, as_anon):
            command.wait_for("Listening")
        tweet(demo, "bob", "hidden from Alice")
        tweet(demo, "alice", "for Alice")
        assert json.loads(as_alice.line())["record"]["content"] == "for Alice"
        assert [json.loads(as_service.line())["record"]["content"] for _ in range(2)] == ["hidden from Alice", "for Alice"]
        for command in (as_alice, as_service, as_anon):
            assert command.stop(signal.SIGINT) == 0
            assert command.rest(command.said) == []


def test_tail_says_it_in_words(demo: dict[str, Any]) -> None:
    with running("tail", "--as", "service", "--url", demo["url"], RTI_JWT_SECRET=demo["jwt_secret"]) as command:
        command.wait_for("Listening to tail as service_role")
        execute(demo["database_url"], "insert into public.countries (id, name) values (4711, 'Utopia')")
        assert command.line().endswith('INSERT     public.countries  {"id":4711,"name":"Utopia"}')
        execute(demo["database_url"], "delete from public.countries where id = 4711")
        assert 'DELETE     public.countries  {"id":4711' in command.line()


def test_tail_compares_identities_says_why_records_and_replays(demo: dict[str, Any], tmp_path: Path) -> None:
    alice, bob, tape = f"user:{account(demo, 'alice')['id']}", f"user:{account(demo, 'bob')['id']}", str(tmp_path / "tape")
    identities = ("--as", "service", "--as", alice, "--as", bob)
    where = ("--table", "tweets", "--url", demo["url"], "--search", "new.content:compared -skipped")
    with running("tail", *identities, *where, "--why", "--record", tape, RTI_JWT_SECRET=demo["jwt_secret"]) as command:
        told = " ".join(command.wait_for("Listening to tail as") for _ in range(3))  # in whichever order they are let in
        assert all(f"Listening to tail as {who}" in told for who in ("service_role", alice[5:], bob[5:]))
        tweet(demo, "alice", "compared and skipped")
        tweet(demo, "alice", "compared")
        line = command.line()
        assert line.endswith(f"  \u2713 service  \u2713 {alice}  \u2717 {bob}")
        assert '"content":"compared"' in line
        assert "\x1b" not in line
        assert command.line().startswith(f"    {bob}: ")
        assert command.stop(signal.SIGINT) == 0
    with running("tail", "--replay", tape, "--search", "verdict:denied", "--json") as command:
        kept = json.loads(command.line())
        assert (kept["record"]["content"], kept["receipts"]) == ("compared", {"service": True, alice: True, bob: False})
    with running("tail", "--replay", tape, "--search", "op:delete") as command:
        assert command.rest(command.said) == []
    (tmp_path / "other").write_text("{}")
    with running("tail", "--replay", str(tmp_path / "other")) as command:
        command.wait_for("is no recording")


def test_tail_carries_further_claims(demo: dict[str, Any]) -> None:
    editor = ("--as", f"user:{account(demo, 'dave')['id']}", "--claims", '{"app_metadata": {"role": "editor"}}')
    with running(
        "tail", *editor, "--table", "notes", "--json", "--url", demo["url"], RTI_JWT_SECRET=demo["jwt_secret"]
    ) as command:
        command.wait_for("Listening")
        execute(demo["database_url"], "insert into public.notes (body) values ('for editors')")
        assert json.loads(command.line())["record"]["body"] == "for editors"


def test_tail_shows_broadcast_and_presence(demo: dict[str, Any]) -> None:
    where = ("room:1", "--type", "broadcast,presence", "--json", "--url", demo["url"])
    topic, config = "realtime:room:1", {"presence": {"key": "ann", "enabled": True}}
    with running("tail", *where, RTI_JWT_SECRET=demo["jwt_secret"]) as command:
        command.wait_for("Listening")
        address = f"{demo['websocket_url']}/websocket?vsn=2.0.0&apikey={demo['anon_key']}"
        with connect(address) as ann:
            ann.send(json.dumps(["1", "1", topic, "phx_join", {"config": config}]))
            while json.loads(ann.recv(timeout=PATIENCE))[3] != "phx_reply":
                continue
            track = {"type": "presence", "event": "track", "payload": {"mood": "fine"}}
            ann.send(json.dumps(["1", "2", topic, "presence", track]))
            joined = json.loads(command.line())
            assert (joined["type"], joined["event"], joined["key"]) == ("presence", "joined", "ann")
            assert joined["metas"][0]["mood"] == "fine"
            wave = {"type": "broadcast", "event": "wave", "payload": {"as": "text"}}
            ann.send(json.dumps(["1", "3", topic, "broadcast", wave]))
            assert json.loads(command.line()) == wave
            for encoding, payload, shown in ((1, b'{"as": "json"}', {"as": "json"}), (0, b"\x00\xff", {"bytes": "00ff"})):
                header = bytes([3, 1, 1, len(topic), 4, 0, encoding])
                ann.send(header + b"14" + topic.encode() + b"wave" + payload)
                assert json.loads(command.line()) == wave | {"payload": shown}
        left = json.loads(command.line())
        assert (left["event"], left["key"]) == ("left", "ann")


def test_tail_is_turned_away_with_a_wrong_key(demo: dict[str, Any]) -> None:
    with running("tail", "--url", demo["url"], RTI_JWT_SECRET="another secret that is long enough") as command:
        assert command.process.wait(timeout=PATIENCE) == 1
        told = " ".join(command.rest(command.told))
    assert "refused" in told
    assert "Traceback" not in told


def test_the_demo_greets_people_and_moves() -> None:
    with running("demo", "--port", "0") as command:
        lines = list(takewhile(lambda line: "Ctrl-C" not in line, iter(command.line, None)))
        text = "\n".join(lines)
        assert "/inspector/#token=" in text
        assert all(name in text for name in ("alice", "bob", "carol (admin)", "dave (editor)", "vera (viewer)"))
        (database,) = [line.split()[-1] for line in lines if line.strip().startswith("Database")]
        with psycopg.connect(database, autocommit=True) as connection:
            moved = "select count(*) from public.tweets where content like 'demo: %'"
            deadline = threading.Event()
            while connection.execute(moved).fetchone() == (0,):
                deadline.wait(0.05)
        assert command.stop(signal.SIGINT) == 0


@pytest.mark.parametrize(("grace", "signals"), [(0.0, 1), (3600.0, 2)])
def test_work_that_does_not_end_is_cancelled_in_time_or_by_a_second_signal(grace: float, signals: int) -> None:
    program = [sys.executable, "-c", STUBBORN.format(grace=grace)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        for _ in range(signals):
            process.send_signal(signal.SIGINT)
            threading.Event().wait(0.2)
        assert process.communicate(timeout=PATIENCE) == ("", "")
        assert process.returncode == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def site(database: str, tmp_path: Path) -> tuple[str, Path]:
    """A prepared database with one table, and the env file of a service on it."""
    file = tmp_path / "shop.env"
    execute(database, "create table public.orders (id int primary key)")
    with running(
        "init", "--database-url", database, "--env-file", file, "--with-supabase-roles", "--with-table", "public.orders"
    ) as command:
        assert command.process.wait(timeout=PATIENCE) == 0
    execute(database, "grant select on public.orders to anon, service_role")
    return database, file


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_says_when_it_is_ready_and_ends_when_told(site: tuple[str, Path], number: signal.Signals) -> None:
    _, file = site
    with running("serve", "--env-file", file, "--port", "0", "--ready-json") as command:
        ready = json.loads(command.line())
        assert set(ready) == {"ready", "url", "websocket_url", "inspector_url", "pid"}
        assert ready["pid"] == command.process.pid
        assert ready["inspector_url"] == f"{ready['url']}/inspector/"
        assert httpx.get(f"{ready['url']}/healthz").status_code == 200
        assert command.stop(number) == 0
        assert command.rest(command.said) == []
        assert not any("Traceback" in line for line in command.rest(command.told))


def test_tail_comes_back_after_the_service_did(site: tuple[str, Path]) -> None:
    database, file = site
    port = str(free_port())
    serve = ("serve", "--env-file", file, "--port", port, "--ready-json")
    url = f"http://127.0.0.1:{port}"
    with running("tail", "--table", "orders", "--json", "--url", url, "--env-file", file) as tail:
        assert "Trying again" in tail.wait_for("Cut off")
        with running(*serve) as service:
            service.line()
            tail.wait_for("Listening")
            execute(database, "insert into public.orders values (1)")
            assert json.loads(tail.line())["record"] == {"id": 1}
            service.process.kill()
        tail.wait_for("Cut off")
        with running(*serve) as service:
            service.line()
            tail.wait_for("Listening")
            execute(database, "insert into public.orders values (2)")
            assert json.loads(tail.line())["record"] == {"id": 2}


def test_serve_refuses_without_a_traceback() -> None:
    with running("serve", "--port", "0", "--ready-json") as command:
        assert command.process.wait(timeout=PATIENCE) == 1
        told = " ".join(command.rest(command.told))
        assert "Traceback" not in told
        assert "RTI_JWT_SECRET" in told
        assert command.rest(command.said) == []


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every account may pass through, because Postgres runs as nobody when we are root."""
    path = Path(tempfile.mkdtemp(prefix="demo-"))
    path.chmod(0o755)
    yield path / "demo"
    shutil.rmtree(path)


def test_a_demo_with_a_folder_survives_every_kill(folder: Path) -> None:
    arguments = ("demo", "--no-activity", "--port", "0", "--ready-json", "--data-dir", folder)
    constant = ("database_url", "jwt_secret", "anon_key", "service_role_key", "admin_token", "users")
    with running(*arguments) as command:
        first = json.loads(command.line())
        execute(first["database_url"], "insert into public.countries (name) values ('Narnia')")
        slots = names(first["database_url"], "select slot_name from pg_replication_slots")
        command.process.kill()
    with running(*arguments) as command:
        second = json.loads(command.line())
        assert {key: second[key] for key in constant} == {key: first[key] for key in constant}
        postmaster = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)
        command.wait_for("started again")
        assert "Narnia" in names_when_up(first["database_url"], "select name from public.countries")
        os.kill(int((folder / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        command.process.kill()
    with running(*arguments) as command:
        third = json.loads(command.line())
        assert {key: third[key] for key in constant} == {key: first[key] for key in constant}
        assert "Narnia" in names(third["database_url"], "select name from public.countries")
        assert names(third["database_url"], "select slot_name from pg_replication_slots") == slots
        assert command.stop() == 0


def names(url: str, query: str) -> list[str]:
    with psycopg.connect(url, autocommit=True) as connection:
        return [row[0] for row in connection.execute(query.encode()).fetchall()]


def names_when_up(url: str, query: str) -> list[str]:
    pause = threading.Event()
    for _ in range(100):
        try:
            return names(url, query)
        except psycopg.OperationalError:
            pause.wait(0.1)
    return names(url, query)


def test_lint_ends_with_an_error_until_its_remedy_is_run(site: tuple[str, Path]) -> None:
    database, file = site
    with running("lint", "--env-file", file, "--json") as command:
        assert command.process.wait(timeout=PATIENCE) == 1
        (found,) = json.loads(command.line())["findings"]
    assert (found["name"], found["level"], found["object"]["name"]) == ("rls_disabled", "error", "orders")
    with running("lint", "--env-file", file, "--severity", "rls_disabled=warning") as command:
        assert command.process.wait(timeout=PATIENCE) == 0
        assert command.line().startswith("warning  rls_disabled  public.orders: anon may read every row")
    execute(database, found["remedy_sql"])
    with running("lint", "--env-file", file) as command:
        assert command.process.wait(timeout=PATIENCE) == 0
        assert {line.split()[0] for line in command.rest(command.said) if not line.startswith(" ")} == {"info"}
