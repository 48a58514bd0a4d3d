"""Says each event of a channel in one line: for people, or as JSON for programs."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click
import orjson

COLOURS: Final = {"INSERT": "green", "UPDATE": "yellow", "DELETE": "red", "TRUNCATE": "red", "BROADCAST": "cyan"}
KINDS: Final = {
    "postgres_changes": "changes",
    "broadcast": "broadcast",
    "presence_state": "presence",
    "presence_diff": "presence",
}
"""The type to choose by with --type, for each event on the wire that is shown."""


def said(record: Mapping[str, Any], time: str) -> Iterator[str]:
    """The line that says one event; nothing for what is malformed."""
    match record:
        case {"type": "changes", "event": word, "schema": schema, "table": table}:
            where, what = f"{schema}.{table}", _change(record)
        case {"type": "broadcast", "event": what_event, "payload": content}:
            word, where, what = "BROADCAST", str(what_event), _json(content)
        case {"event": word, "key": key, "metas": metas}:
            word, where, what = str(word).upper(), str(key), _json(metas)
        case _:
            return
    label = click.style(f"{printable(str(word)):<9}", fg=COLOURS.get(str(word), "magenta"))
    yield f"{click.style(time, dim=True)}  {label}  {printable(where)}  {what}"


def program(record: Mapping[str, Any]) -> str:
    """The same as a JSON object for programs."""
    return _json(record)


def records(event: str, payload: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One object per change, broadcast, or presence that was there, came or went; nothing for what is malformed.

    Each has `type`: changes, broadcast or presence.
    """
    match event, payload:
        case "postgres_changes", {"data": {"type": str(operation), "schema": str(), "table": str()} as data}:
            named = {"event_id": payload["event_id"]} if "event_id" in payload else {}
            yield {**data, "type": "changes", "event": operation, **named}
        case "broadcast", {"event": name}:
            yield {"type": "broadcast", "event": name, "payload": payload.get("payload")}
        case "presence_state", _:
            yield from _presences("here", payload)
        case "presence_diff", {"joins": dict(joins), "leaves": dict(leaves)}:
            yield from _presences("joined", joins)
            yield from _presences("left", leaves)


def printable(text: str) -> str:
    """What came from strangers cannot move the cursor, recolour the screen or turn the direction of writing. JSON stays JSON."""
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    return re.sub("....", r"\\u\g<0>", letter.encode("utf-16-be", "surrogatepass").hex())


def _presences(event: str, keys: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for key, entry in keys.items():
        metas = entry.get("metas", []) if isinstance(entry, dict) else []
        yield {"type": "presence", "event": event, "key": key, "metas": metas}


def _change(record: Mapping[str, Any]) -> str:
    parts = [_json(record[name]) for name in ("record", "old_record") if record.get(name)]
    return " was ".join(parts) + "".join(f"  ({printable(str(error))})" for error in record.get("errors") or ())


def _json(value: object) -> str:
    return printable(orjson.dumps(value).decode())
