"""Writes what `tail` saw to a file, one JSON object a line, and reads it back."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TextIO

import orjson

from realtime_inspector.errors import InvalidInput

HEADER: Final = {"format": "realtime-inspector tail", "version": 1}


def begin(file: TextIO, channel: str, names: list[str]) -> None:
    """The first line says what the others are."""
    _write(file, {**HEADER, "channel": channel, "identities": names})


def keep(file: TextIO, at: str, record: Mapping[str, Any], receipts: Mapping[str, bool]) -> None:
    """One event, and who received it."""
    _write(file, {"at": at, "record": record, "receipts": receipts})


def play(path: Path) -> Iterator[tuple[str, dict[str, Any], dict[str, bool]]]:
    """Time, event and receipts, as they were kept. Raises InvalidInput for what is no recording."""
    hint = "Name a file that `realtime-inspector tail --record FILE` wrote."
    try:
        with path.open(encoding="utf-8") as file:
            head = orjson.loads(file.readline() or "null")
            if not isinstance(head, dict) or any(head.get(name) != value for name, value in HEADER.items()):
                raise InvalidInput(f"{path} is no recording of this version", hint=hint)
            for line in file:
                entry = orjson.loads(line)
                yield str(entry["at"]), dict(entry["record"]), {str(who): bool(got) for who, got in entry["receipts"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{path} cannot be read as a recording: {error}", hint=hint) from error


def _write(file: TextIO, value: object) -> None:
    file.write(orjson.dumps(value).decode() + "\n")
    file.flush()
