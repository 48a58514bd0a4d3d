"""The commands as people run them: processes with arguments, files, exit codes and signals."""

import json
import os
import pty
import re
import stat
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import jwt
import psycopg
import pytest

from realtime_inspector.cli import COMMANDS
from realtime_inspector.cli.env_file import parse
from realtime_inspector.cli.tape import Tape

PROGRAM = (sys.executable, "-m", "realtime_inspector")
SECRET = "a secret that is long enough for HS256"


def run(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command with these arguments, in an environment without settings of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RTI_")}
    return subprocess.run([*PROGRAM, *arguments], env=kept | variables, capture_output=True, text=True, timeout=60, check=False)


def ok(*arguments: str | Path, **variables: str) -> str:
    """Its standard output; it must succeed."""
    done = run(*arguments, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(*arguments: str | Path, **variables: str) -> str:
    """What it says when it refuses: one or two sentences, not a traceback."""
    done = run(*arguments, **variables)
    assert done.returncode in {1, 2}, done.stdout
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return " ".join(done.stderr.split())


@pytest.fixture
def prepared(database: str, tmp_path: Path) -> Path:
    """The env file of a database that `init` prepared."""
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("create table public.tweets (id int primary key)")
    file = tmp_path / "shop.env"
    ok("init", "--database-url", database, "--env-file", file, "--with-supabase-roles", "--with-table", "public.tweets")
    return file


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_examples(command: str) -> None:
    text = ok(command, "--help")
    assert f"realtime-inspector {command}" in text
    assert max(map(len, text.splitlines())) <= 120


def test_help_imports_no_driver() -> None:
    program = (
        "import sys, realtime_inspector.cli as c; c.main(['--help'], standalone_mode=False); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stderr.split()}
    assert loaded.isdisjoint({"asyncpg", "psycopg", "starlette", "uvicorn", "websockets", "jwt", "asyncio"})
    assert all(command in done.stdout for command in COMMANDS)


def test_init_writes_settings_that_the_doctor_approves(database: str, prepared: Path) -> None:
    assert stat.S_IMODE(prepared.stat().st_mode) == 0o600
    settings = parse(prepared.read_text())
    assert set(settings) == {
        f"RTI_{name}"
        for name in (
            *("READER_URL", "EVALUATOR_URL", "JWT_SECRET", "ALLOWED_ROLES", "PRIVILEGED_ROLES", "SOURCE"),
            *("PUBLICATION", "SLOT"),
        )
    }
    assert urlsplit(settings["RTI_READER_URL"]).path == urlsplit(database).path
    report = ok("doctor", "--env-file", prepared)
    assert all(line.startswith("ok ") for line in report.splitlines())
    findings = json.loads(ok("doctor", "--env-file", prepared, "--json"))
    assert {finding["level"] for finding in findings} == {"ok"}
    assert settings["RTI_JWT_SECRET"] not in report


def test_init_again_keeps_the_file_as_it_is(database: str, prepared: Path) -> None:
    with prepared.open("a") as file:
        file.write("# mine\nRTI_PORT=4321\n")
    before = prepared.read_text()
    ok("init", "--database-url", database, "--env-file", prepared)
    assert prepared.read_text() == before


def test_init_can_say_what_it_would_do(database: str, tmp_path: Path) -> None:
    file = tmp_path / "shop.env"
    text = ok("init", "--env-file", file, "--with-supabase-roles", "--dry-run", DATABASE_URL=database)
    assert not file.exists()
    assert text.startswith("BEGIN;")
    assert text.endswith("COMMIT;\n")
    assert "publish_via_partition_root = true" in text
    with psycopg.connect(database, autocommit=True) as admin:
        assert admin.execute("select from pg_publication").fetchall() == []
        runnable = re.sub(r"CREATE ROLE \"(\w+)\"", r'CREATE ROLE "tried_\1"', text)
        with pytest.raises(psycopg.errors.RaiseException, match="so far it ran"):
            admin.execute((runnable.removesuffix("COMMIT;\n") + "do $$ begin raise 'so far it ran'; end $$;").encode())


def test_init_refuses_without_a_traceback(database: str, tmp_path: Path) -> None:
    file = tmp_path / "shop.env"
    nowhere = "postgresql://postgres:secret@127.0.0.1:1/postgres"
    assert "Cannot log in" in refused("init", "--database-url", nowhere, "--env-file", file)
    assert "Cannot log in" in refused("init", "--database-url", "nonsense", "--env-file", file)
    assert "--database-url" in refused("init", "--env-file", file)
    assert "cannot be written" in refused("init", "--database-url", database, "--env-file", tmp_path / "absent" / "shop.env")
    told = refused("init", "--database-url", database, "--env-file", file, "--allowed-roles", "nobody_knows")
    assert "nobody_knows does not exist" in told
    assert "--with-supabase-roles" in told
    assert not file.exists()


def test_the_doctor_fails_on_an_error_and_says_the_remedy(database: str, prepared: Path) -> None:
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("alter table public.tweets drop constraint tweets_pkey")
    done = run("doctor", "--env-file", prepared)
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if not line.startswith("ok ")]
    assert line.startswith("error")
    assert line.endswith("→ ALTER TABLE public.tweets REPLICA IDENTITY FULL;")


def test_the_doctor_reports_when_nobody_answers() -> None:
    nowhere = "postgresql://somebody:hunter22@127.0.0.1:1/shop"
    done = run("doctor", "--json", RTI_READER_URL=nowhere, RTI_EVALUATOR_URL=nowhere, RTI_JWT_SECRET=SECRET)
    assert done.returncode == 1
    assert [finding["level"] for finding in json.loads(done.stdout)] == ["error", "error", "ok"]
    assert "Traceback" not in done.stderr
    assert "hunter22" not in done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_a_token_says_what_was_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "shop.env"
    file.write_text(f"RTI_JWT_SECRET={SECRET}\n")
    extra = '{"app_metadata": {"role": "editor"}, "role": "service_role"}'
    minted = ok("token", "--role", "authenticated", "--sub", "ann", "--claims", extra, "--expires-in", "60", "--env-file", file)
    claims = jwt.decode(minted.strip(), SECRET, ["HS256"])
    assert claims.pop("exp") - claims.pop("iat") == 60
    assert claims == {"role": "authenticated", "sub": "ann", "app_metadata": {"role": "editor"}}
    named = ok("token", "--role", "anon", RTI_JWT_SECRET=SECRET, RTI_JWT_AUDIENCE="shop", RTI_JWT_ISSUER="https://shop.example")
    claims = jwt.decode(named.strip(), SECRET, ["HS256"], audience="shop", issuer="https://shop.example")
    assert claims["role"] == "anon"


def test_a_role_that_the_service_refuses_is_told(tmp_path: Path) -> None:
    done = run("token", "--role", "postgres", RTI_JWT_SECRET=SECRET)
    assert done.returncode == 0
    assert "RTI_ALLOWED_ROLES" in done.stderr


def test_mistakes_name_the_remedy(tmp_path: Path) -> None:
    assert "RTI_JWT_SECRET" in refused("token", "--role", "anon")
    assert "not JSON" in refused("token", "--role", "anon", "--claims", "{", RTI_JWT_SECRET=SECRET)
    assert "not a JSON object" in refused("token", "--role", "anon", "--claims", "[]", RTI_JWT_SECRET=SECRET)
    assert "--expires-in" in refused("token", "--role", "anon", "--expires-in", "0", RTI_JWT_SECRET=SECRET)
    assert "cannot be read" in refused("doctor", "--env-file", tmp_path / "absent")
    assert "cannot be read" in refused("doctor", "--config", tmp_path / "absent")
    (tmp_path / "bad.toml").write_text("port = ")
    assert "not valid TOML" in refused("doctor", "--config", tmp_path / "bad.toml")
    assert "port" in refused("doctor", RTI_PORT="a")
    assert "user:ID" in refused("tail", "--as", "somebody")
    assert "changes, broadcast, presence" in refused("tail", "--type", "everything")
    assert "RTI_JWT_SECRET" in refused("tail")
    assert "RTI_ALLOWED_ROLES" in refused("tail", "--as", "service", RTI_JWT_SECRET=SECRET, RTI_ALLOWED_ROLES="anon")
    assert "No such command" in refused("nonsense")


def test_flags_go_before_the_environment_before_the_env_file_before_toml(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(
        f'jwt_secret = "{SECRET}"\njwt_issuer = "toml"\njwt_audience = "toml"\nadmin_role = "toml"'
    )
    (tmp_path / "shop.env").write_text("RTI_JWT_ISSUER=file\nRTI_JWT_AUDIENCE=file\n")
    where = ("--config", tmp_path / "shop.toml", "--env-file", tmp_path / "shop.env")
    minted = ok("token", "--role", "toml", *where, RTI_JWT_ISSUER="environment")
    claims = jwt.decode(minted.strip(), SECRET, ["HS256"], audience="file")
    assert (claims["iss"], claims["role"]) == ("environment", "toml")


def on_a_terminal(*arguments: str | Path, **variables: str) -> str:
    """What the command writes to a terminal."""
    ours, its = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RTI_") and name != "NO_COLOR"}
    done = subprocess.run([*PROGRAM, *arguments], env=kept | variables, stdout=its, timeout=60, check=True)
    os.close(its)
    assert done.returncode == 0
    said = os.read(ours, 65_536).decode()
    os.close(ours)
    return said


def test_a_terminal_has_colours_unless_somebody_wants_none(tmp_path: Path) -> None:
    path = tmp_path / "tape"
    with path.open("w", encoding="utf-8") as file:
        tape = Tape(file, "room", {"anon": "anon", "service": "service_role"})
        row = {"type": "changes", "event": "INSERT", "schema": "public", "table": "tweets", "record": {"id": 1}, "event_id": "e"}
        tape.keep(datetime.now(), row, {"anon": False, "service": True})
    assert "\x1b[32mINSERT" in on_a_terminal("tail", "--replay", path, TERM="xterm")
    plain = on_a_terminal("tail", "--replay", path, TERM="xterm", NO_COLOR="1")
    assert "\x1b" not in plain
    assert plain.strip().endswith('INSERT     public.tweets  {"id":1}  \u2717 anon  \u2713 service')
    assert ok("tail", "--replay", path).strip() == plain.strip()
