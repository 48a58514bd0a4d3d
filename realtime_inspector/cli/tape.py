"""Writes what `tail` saw as a recording that the page opens as well, and reads those of both: a line of JSON for each receipt.

The first line says what the file is and who looked; every other one has the time (ms since 1970), the letter of who received it
and the frame, as it comes with serializer 2.0.0. See web/model/recording.js.
"""

import base64
import string
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

import orjson

from realtime_inspector.cli.lines import records
from realtime_inspector.errors import InvalidInput
from realtime_inspector.server.client import Arrival, arrival

HEADER: Final = {"format": "realtime-inspector recording", "version": 1}
MOST: Final = len(string.ascii_uppercase)
"""Identities: each has a letter."""
HINT: Final = "Name a file that the page, or `realtime-inspector tail --record FILE`, has saved."


class Tape:
    """A recording that is written. `names`: of those who look, and their roles. Raises InvalidInput for too many."""

    def __init__(self, file: TextIO, channel: str, names: Mapping[str, str]) -> None:
        if len(names) > MOST:
            raise InvalidInput(f"A recording has at most {MOST} identities")
        self._file = file
        self._topic = f"realtime:{channel}"
        self._letters = dict(zip(names, string.ascii_uppercase, strict=False))
        identities = [
            {"letter": self._letters[name], "name": name, "kind": name.partition(":")[0], "role": role}
            for name, role in names.items()
        ]
        head = {"saved_at": datetime.now(UTC).isoformat(), "identities": identities, "masked": [], "tables": []}
        self._write({**HEADER, **head})

    def keep(self, at: datetime, record: Mapping[str, Any], receipts: Mapping[str, bool]) -> None:
        """One event, for each who received it or was told why not."""
        event, payload = _message(record)
        frame = orjson.dumps([None, None, self._topic, event, payload]).decode()
        for name, verdict in record.get("verdicts", {}).items():
            self._line(at, name, _verdict(self._topic, record, verdict))
        for name in (name for name, got in receipts.items() if got):
            self._line(at, name, frame)

    def _line(self, at: datetime, name: str, frame: str) -> None:
        self._write({"at": int(at.timestamp() * 1_000), "who": self._letters[name], "frame": frame})

    def _write(self, value: object) -> None:
        self._file.write(orjson.dumps(value).decode() + "\n")
        self._file.flush()


def play(path: Path) -> Iterator[tuple[datetime, dict[str, Any], dict[str, bool]]]:
    """Time, event and receipts, as they were kept; gaps and what else the page keeps are left out.

    `verdicts` of a change: `reason` and `detail` by identity, where the page was told why somebody did not receive it.
    What is the same for all (it has no `event_id`) is told once, as the first received it. Raises InvalidInput for what is no
    recording.
    """
    try:
        lines = path.read_bytes().splitlines()
        head = orjson.loads(lines[0] if lines else b"null")
        if not isinstance(head, dict) or any(head.get(name) != value for name, value in HEADER.items()):
            raise InvalidInput(f"{path} is no recording of this version", hint=HINT)
        names = {str(one["letter"]): str(one["name"]) for one in head["identities"]}
        yield from _told([orjson.loads(line) for line in lines[1:]], names)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{path} cannot be read as a recording: {error}", hint=HINT) from error


def _told(lines: Sequence[Any], names: Mapping[str, str]) -> Iterator[tuple[datetime, dict[str, Any], dict[str, bool]]]:
    found: dict[str, tuple[datetime, dict[str, Any], dict[str, bool]]] = {}
    for number, line in enumerate(lines):
        arrived = _arrival(line)
        if arrived is None or line["who"] not in names:
            continue
        at, name = datetime.fromtimestamp(line["at"] / 1_000), names[line["who"]]
        for place, (record, verdict) in enumerate(_events(arrived)):
            key = record.get("event_id") or f"{number} {place}"
            if "event_id" not in record and len(names) > 1 and name != next(iter(names.values())):
                continue
            everybody = names.values() if "event_id" in record else [name]
            _, known, receipts = found.setdefault(key, (at, record, dict.fromkeys(everybody, False)))
            known.update({**record, **known})  # a verdict tells of the event without its row
            if verdict is None:
                receipts[name] = True
            else:
                known["verdicts"] = {**known.get("verdicts", {}), name: verdict}
    yield from found.values()


def _events(arrived: Arrival) -> Iterator[tuple[dict[str, Any], dict[str, str] | None]]:
    """Each event, or what was told of one that was not received."""
    match arrived.event, arrived.payload:
        case "system", {"verdict": {"event_id": str(number), "type": operation, "schema": str(), "table": str()} as verdict}:
            named = {name: verdict[name] for name in ("schema", "table", "commit_timestamp") if name in verdict}
            told = {name: str(verdict.get(name, "")) for name in ("reason", "detail")}
            yield {**named, "type": "changes", "event": operation, "event_id": number}, told
        case _:
            for record in records(arrived.event, arrived.payload):
                yield record, None


def _arrival(line: Mapping[str, Any]) -> Arrival | None:
    if "binary" in line:
        return arrival(base64.b64decode(line["binary"]))
    return arrival(line["frame"]) if "frame" in line else None


def _verdict(topic: str, record: Mapping[str, Any], verdict: Mapping[str, str]) -> str:
    """What is told to somebody who does not receive the event."""
    named = {name: record[name] for name in ("event_id", "schema", "table", "commit_timestamp") if name in record}
    told = {"status": "ok", "verdict": {**named, "type": record["event"], **verdict}}
    return orjson.dumps([None, None, topic, "system", told]).decode()


def _message(record: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """What came, from what `records` made of it."""
    match record:
        case {"type": "changes", "event": operation}:
            named = {"event_id": record["event_id"]} if "event_id" in record else {}
            data = {name: value for name, value in record.items() if name not in ("type", "event", "event_id", "verdicts")}
            return "postgres_changes", {"ids": [], "data": {**data, "type": operation}, **named}
        case {"type": "broadcast", "event": name}:
            return "broadcast", {"type": "broadcast", "event": name, "payload": record.get("payload")}
        case {"event": what, "key": key, "metas": metas}:
            one = {key: {"metas": metas}}
            if what == "here":
                return "presence_state", one
            return "presence_diff", {"joins": one, "leaves": {}} if what == "joined" else {"joins": {}, "leaves": one}
    raise AssertionError(record)
