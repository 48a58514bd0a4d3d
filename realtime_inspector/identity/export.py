"""Writes entries of the audit trail for people and programs: as JSON objects, and as CSV that no spreadsheet executes."""

from collections.abc import Iterable
from typing import Any, Final, NotRequired, TypedDict

import orjson

from realtime_inspector.identity.chain import Entry, Finding

COLUMNS: Final = ("id", "at", "action", "admin_user_id", "session_id", "detail", "ip_address", "user_agent", "hash")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")
"""What spreadsheets take for a formula, or for the way to one, at the beginning of a cell (OWASP, CSV injection)."""


class EntryFields(TypedDict):
    """An entry of the trail. `hash`: over itself and the hash of the entry before it, hexadecimal."""

    id: int
    at: str
    action: str
    admin_user_id: str | None
    session_id: str | None
    detail: dict[str, Any]
    ip_address: str | None
    user_agent: str | None
    hash: str


class Broken(TypedDict):
    """The first entry that is not as it was written; `id`: null where none is left to name."""

    id: int | None
    why: str


class Verified(TypedDict):
    """`head`: the hash of the newest entry."""

    intact: bool
    entries: int
    head: str
    first_broken: NotRequired[Broken]


def fields(entry: Entry) -> EntryFields:
    """An entry as a JSON object."""
    return {
        "id": entry.id,
        "at": f"{entry.at}Z",
        "action": entry.action,
        "admin_user_id": entry.admin_user_id,
        "session_id": entry.session_id,
        "detail": orjson.loads(entry.detail),
        "ip_address": entry.ip_address,
        "user_agent": entry.user_agent,
        "hash": entry.hash.hex(),
    }


def ndjson(entries: Iterable[Entry]) -> str:
    """One JSON object a line."""
    return "".join(orjson.dumps(fields(entry)).decode() + "\n" for entry in entries)


def csv(entries: Iterable[Entry]) -> str:
    """One line each (RFC 4180), in the order of COLUMNS; NULL is empty."""
    return "".join(_line(_texts(entry)) for entry in entries)


def csv_head() -> str:
    """The first line."""
    return _line(COLUMNS)


def told(finding: Finding) -> Verified:
    """A finding as the interface and the command tell it."""
    if finding.flaw is None:
        return {"intact": True, "entries": finding.entries, "head": finding.head}
    broken: Broken = {"id": finding.flaw.id, "why": finding.flaw.why}
    return {"intact": False, "entries": finding.entries, "head": finding.head, "first_broken": broken}


def _texts(entry: Entry) -> Iterable[str]:
    written = {**fields(entry), "detail": entry.detail}
    return ("" if (value := written[name]) is None else str(value) for name in COLUMNS)


def _line(values: Iterable[str]) -> str:
    return ",".join(map(_cell, values)) + "\r\n"


def _cell(value: str) -> str:
    """Quoted always; what could be a formula is a text for every spreadsheet, by the apostrophe before it."""
    harmless = f"'{value}" if value.lstrip(" \ufeff").startswith(_FORMULA) else value
    return '"' + harmless.replace('"', '""') + '"'
