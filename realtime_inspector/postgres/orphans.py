"""Keeps the folders of private clusters, and removes what owners left behind that ended without a word.

Every cluster has one folder below one root folder per account. Its owner holds a lock on the file `owner` in it while it lives.
The kernel drops that lock however the owner ends, so "locked" means "alive", without process ids that may be another's by now.
A guard process per cluster waits for the lock; should the guard be killed too, the next start sweeps. Uses only the standard
library, because the guard runs this file alone.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PREFIX = "cluster-"
MODE = 0o711 if os.geteuid() == 0 else 0o700  # as root, Postgres runs as nobody and must pass through
ENDINGS = ((signal.SIGINT, 5.0), (signal.SIGQUIT, 2.0), (signal.SIGKILL, 2.0))  # fast, immediate, no choice; seconds to wait


@dataclass(frozen=True, slots=True)
class Lease:
    """One cluster's folder, held by this process."""

    folder: Path
    lock: int
    guard: subprocess.Popen[bytes]

    def release(self) -> None:
        """Remove the folder. Postgres must have ended."""
        self.guard.kill()
        self.guard.wait()
        with _exclusive(self.folder.parent):
            _remove(self.folder)
            os.close(self.lock)


def take(data: Path | None) -> Lease:
    """Sweep, then make a folder for a cluster whose data live at `data`, or in `data` inside the folder when None."""
    root = Path(tempfile.gettempdir()) / f"realtime-inspector-{os.geteuid()}"
    with _exclusive(root):
        _sweep(root)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
        folder.chmod(MODE)
        lock = os.open(folder / "owner", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(lock, os.fsencode(data or folder / "data"))
        fcntl.flock(lock, fcntl.LOCK_EX)
    guard = subprocess.Popen(
        [sys.executable, "-IS", __file__, folder],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    return Lease(folder, lock, guard)


def postmaster(data: Path) -> int | None:
    """The process that runs on `data`, or None."""
    pid = recorded(data)
    return pid if pid is not None and _runs(pid, data) else None


def recorded(data: Path) -> int | None:
    """The process that said it runs on `data`; it may have died, and its number may be another's."""
    try:
        return int((data / "postmaster.pid").read_text().split("\n")[0])
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


@contextlib.contextmanager
def _exclusive(root: Path) -> Iterator[None]:
    """One process at a time takes, releases and sweeps; the last one removes the empty root."""
    handle = _locked(root)
    try:
        yield
        with contextlib.suppress(OSError):
            root.rmdir()  # fails while it holds a cluster
    finally:
        os.close(handle)


def _locked(root: Path) -> int:
    while True:
        with contextlib.suppress(FileExistsError):
            root.mkdir(mode=0o700)
            root.chmod(MODE)
        # Only this account may write here, because what stands here is killed and removed.
        handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        if os.fstat(handle).st_uid != os.geteuid() or os.fstat(handle).st_mode & 0o022:
            raise PermissionError(f"{root} belongs to somebody else; remove it, or set TMPDIR to a folder of your own")
        fcntl.flock(handle, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(handle).st_ino == root.stat().st_ino:
                return handle
        os.close(handle)  # removed while we waited


def _sweep(root: Path) -> None:
    for folder in root.glob(f"{PREFIX}*"):
        if _abandoned(folder):
            _end(folder)
            _remove(folder)


def _abandoned(folder: Path) -> bool:
    try:
        with (folder / "owner").open("rb") as owner:
            fcntl.flock(owner, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared, so that guards and sweeps never look like owners
    except FileNotFoundError:
        return True  # its owner died while making it
    except BlockingIOError:
        return False
    return True


def _end(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        data = Path(os.fsdecode((folder / "owner").read_bytes()))
        if (pid := postmaster(data)) is not None:
            _stop(pid, data)


def _stop(pid: int, data: Path) -> None:
    for number, seconds in ENDINGS:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while _runs(pid, data):
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
        else:
            return


def _runs(pid: int, data: Path) -> bool:
    """Whether this process is a Postgres on `data`: a number alone proves nothing, it may have been given away."""
    if Path("/proc/self").exists():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")  # empty for one that only waits to be reaped
        except (FileNotFoundError, ProcessLookupError):
            return False
        return words[0].endswith(b"/postgres") and os.fsencode(data) in words
    told = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True).stdout
    return "postgres" in told and f"-D {data}" in told


def _remove(folder: Path) -> None:
    for _ in range(100):  # the last processes of a killed cluster may still write for a moment
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.02)
    shutil.rmtree(folder)


def _guard(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        with (folder / "owner").open("rb") as owner:
            fcntl.flock(owner, fcntl.LOCK_SH)  # waits until the owner is gone
        with _exclusive(folder.parent):
            _sweep(folder.parent)


if __name__ == "__main__":
    _guard(Path(sys.argv[1]))
