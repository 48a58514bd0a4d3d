"""The records of one relation's changes in one batch as JSON: each row is encoded once per set of columns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from realtime_inspector.model import UNCHANGED, Change, Operation, Reason, Value
from realtime_inspector.postgres.snapshot import FetchedRelation
from realtime_inspector.protocol.changes import encode_data
from realtime_inspector.replication.values import TypeCatalog
from realtime_inspector.visibility.decisions import Decision
from realtime_inspector.visibility.facts import Access
from realtime_inspector.visibility.verdicts import Evidence, old_values

TOO_LARGE = "Error 413: Payload Too Large"
SMALL_VALUE = 64
"""Bytes of text that a value may have to stay in a record that as a whole is too large (Realtime protocol, section 6)."""

Columns = tuple[frozenset[str] | None, tuple[str, ...] | None]
"""What limits the columns: those that the role may read, and those that the client selected."""
Form = tuple[bool, bool, bool]
"""What becomes of the old row: the change is told as a DELETE because the row left; all of it is shown; the key it had is."""


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    type_name: str
    prefix: bytes
    encode: Callable[[str], bytes]


def columns_of(access: Access | None, select: tuple[str, ...] | None) -> Columns:
    """What a role with this access is shown by a subscription with this selection."""
    return (access.columns if access else frozenset(), select)


def form_of(decision: Decision) -> Form:
    """What a decision says about the old row."""
    return (decision.verdict.reason is Reason.LEFT_VIEW, decision.old_visible, decision.old_key)


class Records:
    """`record_bytes`: how many the new and the old row may have together with every value in them."""

    def __init__(
        self, evidence: Evidence, committed_at: Sequence[int], fetched: FetchedRelation, types: TypeCatalog, record_bytes: int
    ) -> None:
        self._evidence = evidence
        self._committed_at = committed_at
        self._types = types
        self._record_bytes = record_bytes
        columns = fetched.columns or tuple((c.name, c.type_oid) for c in evidence.shape.columns)
        self._columns = [self._column(name, type_oid) for name, type_oid in columns]
        self._data: dict[tuple[int, Columns, Form], bytes] = {}

    def data(self, number: int, columns: Columns, form: Form) -> bytes:
        """The `data` of a change's frame."""
        cached = (number, columns, form)
        data = self._data.get(cached)
        if data is None:
            data = self._data[cached] = self._encode(number, columns, form)
        return data

    def size(self, access: Access | None, decision: Decision) -> int:
        """Bytes of the largest records that a decision sends, with every value in them; 0 where it sends none."""
        selections = {subscription.binding.select for subscription in decision.subscriptions}
        sizes = (self._rows(decision.number, columns_of(access, each), form_of(decision)) for each in selections)
        return max((sum(len(record or b"") for record in records) for _, *records in sizes), default=0)

    def _encode(self, number: int, columns: Columns, form: Form) -> bytes:
        shown, record, old_record = self._rows(number, columns, form)
        errors = None
        if len(record or b"") + len(old_record or b"") > self._record_bytes:
            errors = [TOO_LARGE]
            _, record, old_record = self._rows(number, columns, form, SMALL_VALUE)
        return encode_data(
            Operation.DELETE if form[0] else self._evidence.changes[number].operation,
            self._evidence.shape.schema,
            self._evidence.shape.name,
            self._committed_at[number],
            [(column.name, column.type_name) for column in shown],
            record,
            old_record,
            errors,
        )

    def _rows(
        self, number: int, columns: Columns, form: Form, limit: int = 0
    ) -> tuple[Sequence[_Column], bytes | None, bytes | None]:
        """The columns that are shown, and the new and the old row in them; with a limit, without longer values."""
        shown = [column for column in self._columns if self._shows(columns, column.name)]
        left, *_ = form
        row = None if left else self._evidence.rows[number]
        record = None if row is None else _json(shown, self._evidence.values[row], limit)
        return shown, record, self._old_record(self._evidence.changes[number], shown, form, limit)

    def _old_record(self, change: Change, shown: Sequence[_Column], form: Form, limit: int = 0) -> bytes | None:
        if change.operation is Operation.INSERT:
            return None
        left, old_visible, old_key = form
        values = old_values(change, self._evidence.shape.key, everything=old_visible)
        if change.new is not None and not (left or old_visible or old_key) and self._evidence.deletes == "checked":
            # The key that a row had before may belong to what was hidden then.
            now = dict(zip([column.name for column in change.relation.columns], change.new, strict=True))
            values = {name: value for name, value in values.items() if now[name] in (value, UNCHANGED)}
        return _json(shown, values, limit)

    def _shows(self, columns: Columns, name: str) -> bool:
        """Readable and, where the client selected columns, selected or part of the key."""
        readable, selected = columns
        if readable is not None and name not in readable:
            return False
        return selected is None or name in selected or name in self._evidence.shape.key

    def _column(self, name: str, type_oid: int) -> _Column:
        """The result of a query names a domain's base type; the catalogue names the domain, as the protocol does."""
        known = self._evidence.shape.column(name)
        type_name = known.type_name if known is not None else self._types.name(type_oid)
        return _Column(name, type_name, orjson.dumps(name) + b":", self._types.encoder(type_oid))


def _json(columns: Sequence[_Column], values: Mapping[str, Value], limit: int = 0) -> bytes:
    """A JSON object of the columns that have a value; with a limit, without values of more characters than that."""
    parts = []
    for column in columns:
        value = values.get(column.name, UNCHANGED)
        if value is UNCHANGED or (limit and value is not None and len(value) > limit):
            continue
        parts.append(column.prefix + (b"null" if value is None else column.encode(value)))
    return b"{" + b",".join(parts) + b"}"
