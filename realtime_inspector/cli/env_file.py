"""Reads and replaces the file of settings that `init` writes: NAME=value lines, for us, for Docker, and for systemd alike."""

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from realtime_inspector.errors import InvalidInput

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=(.*)", re.ASCII)


def parse(text: str) -> dict[str, str]:
    """The variables of such a file. Quotes around a whole value are taken off; other lines are passed over."""
    found = (_LINE.fullmatch(line) for line in text.splitlines())
    return {match[1]: _unquoted(match[2].strip()) for match in found if match}


def updated(text: str, values: Mapping[str, str]) -> str:
    """The text with these values: in place where the name stands, at the end where not; all else stays as it is."""
    left = dict(values)
    lines = []
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        name = match[1] if match else ""
        if name not in values:
            lines.append(line)
        elif name in left:  # and a second line with the same name goes away
            lines.append(f"{name}={left.pop(name)}")
    return "\n".join([*lines, *(f"{name}={value}" for name, value in left.items())]) + "\n"


def read(path: Path) -> str:
    """The file's text. Raises InvalidInput when it cannot be read."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        hint = "Name the file that `realtime-inspector init --env-file FILE` wrote."
        raise InvalidInput(f"The env file {path} cannot be read: {_reason(error)}", hint=hint) from error


@contextmanager
def replacing(path: Path) -> Iterator[Callable[[str], None]]:
    """Makes sure that the file can be replaced before work is done that must not be lost; gives the function that replaces it.

    The file is the old one or the new one, never half of one, and nobody else may read it.
    """
    target = path.resolve()  # a link stays a link
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # mode 0600
    except OSError as error:
        hint = "Name another file with --env-file."
        raise InvalidInput(f"The env file {path} cannot be written: {_reason(error)}", hint=hint) from error

    def write(text: str) -> None:
        with open(handle, "w", encoding="utf-8", closefd=False) as file:
            file.write(text)
            file.flush()
            os.fsync(handle)
        Path(name).replace(target)

    try:
        yield write
    finally:
        os.close(handle)
        Path(name).unlink(missing_ok=True)


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not UTF-8 text"


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
