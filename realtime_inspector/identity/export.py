"""Writes entries of the audit trail for people and programs: as JSON objects, and as CSV that no spreadsheet executes."""

from collections.abc import Iterable
from typing import Final

import orjson

from realtime_inspector.identity.chain import Entry, Finding

COLUMNS: Final = ("id", "at", "action", "admin_user_id", "session_id", "detail", "ip_address", "user_agent", "hash")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")
"""What spreadsheets take for a formula, or for the way to one, at the beginning of a cell (OWASP, CSV injection)."""


def fields(entry: Entry) -> dict[str, object]:
    """An entry as a JSON object."""
    return {**_texts(entry), "id": entry.id, "detail": orjson.loads(entry.detail)}


def ndjson(entries: Iterable[Entry]) -> str:
    """One JSON object a line."""
    return "".join(orjson.dumps(fields(entry)).decode() + "\n" for entry in entries)


def csv(entries: Iterable[Entry]) -> str:
    """One line each (RFC 4180), in the order of COLUMNS; NULL is empty."""
    return "".join(_line(["" if value is None else value for value in _texts(entry).values()]) for entry in entries)


def csv_head() -> str:
    """The first line."""
    return _line(COLUMNS)


def told(finding: Finding) -> dict[str, object]:
    """A finding as the interface and the command tell it."""
    if finding.flaw is None:
        return {"intact": True, "entries": finding.entries, "head": finding.head}
    broken = {"id": finding.flaw.id, "why": finding.flaw.why}
    return {"intact": False, "entries": finding.entries, "head": finding.head, "first_broken": broken}


def _texts(entry: Entry) -> dict[str, str | None]:
    values = (str(entry.id), f"{entry.at}Z", entry.action, entry.admin_user_id, entry.session_id, entry.detail)
    return dict(zip(COLUMNS, (*values, entry.ip_address, entry.user_agent, entry.hash.hex()), strict=True))


def _line(values: Iterable[str]) -> str:
    return ",".join(map(_cell, values)) + "\r\n"


def _cell(value: str) -> str:
    """Quoted always; what could be a formula is a text for every spreadsheet, by the apostrophe before it."""
    harmless = f"'{value}" if value.lstrip(" \ufeff").startswith(_FORMULA) else value
    return '"' + harmless.replace('"', '""') + '"'
