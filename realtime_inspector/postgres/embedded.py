"""Starts a private Postgres for demo and tests, and ends it again so that no process and no folder stays behind.

It listens on 127.0.0.1 only, asks everyone for a SCRAM password, and runs as `nobody` when we are root, because Postgres refuses
to run as root. It is our direct child, not pg_ctl's: pg_ctl would hand our pipes on to it. What survives a killed parent is
swept up by `orphans`.
"""

import asyncio
import contextlib
import json
import math
import os
import pwd
import random
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Self

from realtime_inspector.postgres import binaries, orphans
from realtime_inspector.postgres.binaries import EmbeddedPostgresError

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError"]

PORTS = range(20_000, 32_768)  # below the ports that systems hand out to outgoing connections
START_SECONDS = 60.0
PATIENCE = 2.0  # seconds for a former life of the same cluster to let go of its port
ENDINGS = ((signal.SIGINT, 1.2), (signal.SIGQUIT, 0.5), (signal.SIGKILL, 0.5))  # fast, immediate, no choice; seconds to wait
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_replication_slots": "64",
    "max_wal_senders": "64",
    "log_min_messages": "log",  # errors that clients make are told to them, and would fill the log
}
FLEETING = {"fsync": "off", "full_page_writes": "off"}  # not synchronous_commit: the stream is sent only what was flushed


class EmbeddedPostgres:
    """One private cluster: `async with EmbeddedPostgres() as postgres: connect(postgres.url)`.

    Without `data_dir` it lives in a temporary folder and is gone at the end. With it, data, password and port stay there and
    survive a kill of either process. `bin_dir` names the programs (see `binaries.choose`), `settings` adds to postgresql.conf.
    No event loop is kept: each method may run in another one. Raises EmbeddedPostgresError with the end of the server's log.
    """

    def __init__(
        self, data_dir: Path | None = None, *, bin_dir: Path | None = None, settings: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.password = secrets.token_urlsafe(24)
        self._home = data_dir.absolute() if data_dir else None
        self._bin = binaries.choose(bin_dir)
        self.version = binaries.version(self._bin)
        self._settings = {**SETTINGS, **({} if data_dir else FLEETING), **settings}
        self._lease: orphans.Lease | None = None

    @property
    def url(self) -> str:
        """The superuser's URL of the database `postgres`."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/postgres"

    @property
    def data(self) -> Path:
        """Postgres' own data folder; known once started."""
        return self._folder / "data"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start, or start again after it died; data and password stay, the port too unless somebody else took it."""
        if self.process is not None and self.process.poll() is None:
            return
        try:
            if self._lease is None:
                self._lease = await asyncio.to_thread(orphans.take, self._home / "data" if self._home else None)
            await self._prepare()
            await self._launch()
            self._save()
        except OSError as error:
            await self.stop()
            raise EmbeddedPostgresError(f"Postgres could not be started: {error}") from error
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End Postgres, within 3 seconds, and remove what is temporary; harmless when it does not run."""
        for number, seconds in ENDINGS:
            if self.process is not None and self.process.poll() is None:
                self.process.send_signal(number)
                await self._ended(time.monotonic() + seconds)
        self.process = None
        if self._lease is not None:
            lease, self._lease = self._lease, None
            await asyncio.to_thread(lease.release)

    async def wait(self) -> int:
        """Return Postgres' exit status when it has ended, for whatever reason; 0 when it does not run."""
        await self._ended(math.inf)
        return self.process.returncode if self.process else 0

    @property
    def _folder(self) -> Path:
        if self._home is not None:
            return self._home
        if self._lease is None:
            raise EmbeddedPostgresError("Postgres does not run", hint="Call start() first.")
        return self._lease.folder

    async def _prepare(self) -> None:
        """Make the data folder once, whole or not at all; check the one that is there."""
        if self._home is not None:
            self._home.mkdir(parents=True, exist_ok=True)
            self._load()
        if _account() is not None:
            self._bin = binaries.for_everyone(self._bin)
            if not binaries.reachable(self._folder):
                raise EmbeddedPostgresError(
                    f"The account nobody cannot reach {self._folder}",
                    hint="Choose a folder that everyone may pass to, or do not run as root.",
                )
        if self.data.exists():
            self._inspect()
        else:
            await self._initialise()

    def _inspect(self) -> None:
        held = (self.data / "PG_VERSION").read_text().strip()
        if held != str(binaries.major(self.version)):
            hint = f"Name the programs of Postgres {held} in RTI_POSTGRES_BIN, or choose another folder."
            raise EmbeddedPostgresError(
                f"{self.data} was made by Postgres {held}, the programs here are {self.version}", hint=hint
            )
        if (pid := orphans.postmaster(self.data)) is not None:
            raise EmbeddedPostgresError(
                f"{self.data} is in use by process {pid}", hint="Stop that process, or choose another folder."
            )
        if (pid := orphans.recorded(self.data)) is not None and _alive(pid):
            # The number now belongs to a stranger, so the server is long gone; Postgres would take it for alive.
            (self.data / "postmaster.pid").unlink()

    async def _initialise(self) -> None:
        half, password = self._folder / "data.half", self._folder / "password"
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(mode=0o700)
        password.touch(mode=0o600)
        password.write_text(self.password)
        if (account := _account()) is not None:
            for path in (half, password):
                os.chown(path, account.pw_uid, account.pw_gid)
        words: list[str | Path] = [
            self._bin / "initdb",
            "-D",
            half,
            "-U",
            "postgres",
            "--encoding=UTF8",
            "--locale=C",
            "--auth=scram-sha-256",
        ]
        words += [f"--pwfile={password}", "--no-instructions", *([] if self._home else ["--no-sync"])]
        self.process = self._spawn(words)
        await self._ended(time.monotonic() + START_SECONDS)
        if self.process.poll() != 0:
            raise self._failure("initdb failed")
        password.unlink()
        half.rename(self.data)

    async def _launch(self) -> None:
        began = time.monotonic()
        patience = PATIENCE if self.port else 0.0
        self.port = self.port or random.choice(PORTS)
        while True:
            words: list[str | Path] = [self._bin / "postgres", "-D", self.data, "-p", str(self.port)]
            self.process = self._spawn([*words, *(f"--{name}={value}" for name, value in self._settings.items())])
            while self.process.poll() is None and time.monotonic() < began + START_SECONDS:
                if self._ready():
                    return
                await asyncio.sleep(0.01)
            elapsed, log = time.monotonic() - began, self._log()
            taken = "Address already in use" in log
            dying = "is still in use" in log  # the shared memory of a former life, until its last process has noticed
            if elapsed > START_SECONDS or not (taken or dying):
                raise self._failure("Postgres did not start")
            if taken and elapsed > patience:
                self.port = random.choice(PORTS)
            await asyncio.sleep(0.05)

    def _ready(self) -> bool:
        """As pg_ctl knows it: the eighth line of postmaster.pid (LOCK_FILE_LINE_PM_STATUS, src/include/utils/pidfile.h)."""
        assert self.process is not None
        with contextlib.suppress(FileNotFoundError):
            lines = (self.data / "postmaster.pid").read_text().split("\n")
            return lines[0] == str(self.process.pid) and len(lines) > 7 and lines[7].strip() == "ready"
        return False

    def _spawn(self, words: Sequence[str | Path]) -> subprocess.Popen[bytes]:
        account = _account()
        environment = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}  # our own may hold secrets, or settings for other servers
        environment |= {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
        with (self._folder / "postgres.log").open("wb") as log:
            return subprocess.Popen(
                words,
                cwd=self._folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
                start_new_session=True,  # Ctrl-C in a terminal is for us; we end Postgres last
            )

    async def _ended(self, deadline: float) -> None:
        # Asked again and again, because a thread that waits for the process could not be cancelled.
        while self.process is not None and self.process.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    def _log(self) -> str:
        return (self._folder / "postgres.log").read_text(errors="replace")

    def _failure(self, what: str) -> EmbeddedPostgresError:
        tail = "\n".join(self._log().splitlines()[-15:])
        return EmbeddedPostgresError(f"{what} ({self._bin}, {self.version}). The end of its log:\n{tail}")

    def _load(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            kept = json.loads((self._folder / "postgres.json").read_text())
            self.password, self.port = kept["password"], kept["port"]
            return
        self._save()

    def _save(self) -> None:
        if self._home is None:
            return
        fresh = self._home / "postgres.json.new"
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps({"password": self.password, "port": self.port}))
        fresh.replace(self._home / "postgres.json")


def _account() -> pwd.struct_passwd | None:
    """Who Postgres runs as when we are root; None: as we are."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedPostgresError(
            "Postgres refuses to run as root, and there is no account nobody", hint="Run as an ordinary user."
        ) from None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
