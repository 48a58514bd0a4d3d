"""The search language of the page, for what `tail` shows: words, "phrases", /patterns/, field:value and -not; all must hold."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from realtime_inspector.errors import InvalidInput

FIELDS: Final = ("table", "schema", "op", "kind", "key", "user", "verdict", "reason", "policy", "new", "old")
"""What may stand before a colon; `new` and `old` with a column: new.status:ready.

`reason` and `policy` are known of what the page has recorded; a token that tail makes is not told them.
"""
_OF_RECEIPT: Final = ("user", "verdict", "reason", "policy")
_TERM: Final = re.compile(r'(-?)(?:([a-z_]+(?:\.[^\s:"]+)?):)?("(?:[^"\\]|\\.)*"?|/(?:[^/\\]|\\.)+/i?|[^\s]+)', re.IGNORECASE)

Record = Mapping[str, Any]
Receipts = Mapping[str, bool]
"""Of each identity that looks, whether it received the event."""
Search = Callable[[Record, Receipts], bool]
_Matches = Callable[[str], bool]
_Receipt = Callable[[Record, str, bool], bool]
"""Of an event, an identity and whether that one received it."""


def parse(text: str) -> Search:
    """The search that the text stands for. Raises InvalidInput for what is none."""
    tests: list[Search] = []
    together: list[_Receipt] = []
    for negation, field, value in _TERM.findall(text.strip()):
        name, _, column = field.lower().partition(".")
        if name not in FIELDS:
            tests.append(_turned(negation, _anywhere(_matcher(f"{field}:{value}" if field else value))))
        elif name in _OF_RECEIPT:
            receipt = _of_receipt(name, _matcher(value))
            if negation:
                tests.append(_turned(negation, _some([receipt])))
            else:
                together.append(receipt)
        else:
            tests.append(_turned(negation, _of_record(name, column, _exactly(value) if name == "key" else _matcher(value))))
    if together:
        tests.append(_some(together))
    return lambda record, receipts: all(test(record, receipts) for test in tests)


def _turned(negation: str, test: Search) -> Search:
    return (lambda record, receipts: not test(record, receipts)) if negation else test


def _some(together: list[_Receipt]) -> Search:
    """All of them hold of one and the same identity."""
    return lambda record, receipts: any(all(test(record, who, got) for test in together) for who, got in receipts.items())


def _of_receipt(name: str, matches: _Matches) -> _Receipt:
    match name:
        case "user":
            return lambda _, who, _got: matches(who)
        case "verdict":
            return lambda _, _who, got: matches("delivered" if got else "denied")
        case "reason":
            return lambda record, who, got: matches(_verdict(record, who, "reason") or ("delivered" if got else ""))
        case _:
            return lambda record, who, _: bool(detail := _verdict(record, who, "detail")) and matches(detail)


def _verdict(record: Record, who: str, field: str) -> str:
    return str(record.get("verdicts", {}).get(who, {}).get(field, ""))


def _of_record(name: str, column: str, matches: _Matches) -> Search:
    if name in ("new", "old"):
        if not column:
            raise InvalidInput(f"{name}: needs a column", hint=f"Write {name}.status:ready.")
        side = "record" if name == "new" else "old_record"

        def of_column(record: Record, _: Receipts) -> bool:
            row = {key.lower(): value for key, value in (record.get(side) or {}).items()}
            return column in row and matches(_text(row[column]))

        return of_column
    if name == "key":
        return lambda record, _: matches(_key(record))
    place = {"op": "event", "kind": "type"}.get(name, name)
    return lambda record, _: matches(str(record.get(place, "")))


def _anywhere(matches: _Matches) -> Search:
    return lambda record, _: matches(orjson.dumps(record).decode())


def _matcher(value: str) -> _Matches:
    pattern = re.fullmatch(r"/(.+)/(i?)", value, re.DOTALL)
    if pattern is None:
        plain = _plain(value).lower()
        return lambda text: plain in text.lower()
    try:
        own = re.compile(pattern[1], re.IGNORECASE if pattern[2] else 0)
    except re.error as error:
        raise InvalidInput(
            f"/{pattern[1]}/ is not a valid pattern: {error}", hint="Correct it, or search for plain text."
        ) from error
    return lambda text: own.search(text) is not None


def _plain(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:].removesuffix('"')) if value.startswith('"') else value


def _exactly(value: str) -> _Matches:
    return _matcher(value) if value.startswith("/") else _plain(value).__eq__


def _key(record: Record) -> str:
    """The wire does not say which columns are the key: `id`, else the first one."""
    row = record.get("record") or record.get("old_record") or {}
    return _text(row.get("id", next(iter(row.values()), "")))


def _text(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
