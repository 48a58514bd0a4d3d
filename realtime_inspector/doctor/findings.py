"""What a check says: whether something is in order, in one sentence, and what to do about it if not."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """`error`: the service cannot do its work, or not safely."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a report. `remedy`: SQL that can be run as it stands, a command, or a sentence; empty when all is well."""

    check: str
    level: Level
    text: str
    remedy: str = ""


def ok(check: str, text: str) -> Finding:
    """All is well."""
    return Finding(check, Level.OK, text)


def warning(check: str, text: str, remedy: str) -> Finding:
    """It works, but somebody will be surprised."""
    return Finding(check, Level.WARNING, text, remedy)


def error(check: str, text: str, remedy: str) -> Finding:
    """It does not work, or not safely."""
    return Finding(check, Level.ERROR, text, remedy)
