"""Turns decided changes into frames: each row is encoded once per set of columns, each frame built once and shared."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from realtime_inspector.model import LEGACY, UNCHANGED, Change, Operation, Reason, Told, Value
from realtime_inspector.postgres.snapshot import FetchedRelation
from realtime_inspector.protocol.changes import Names, change_frame, encode_data, legacy_frame, verdict_frame
from realtime_inspector.protocol.positions import PositionTokens
from realtime_inspector.protocol.serializer import Serializer
from realtime_inspector.replication.values import TypeCatalog
from realtime_inspector.visibility.audience import AudienceKey
from realtime_inspector.visibility.decisions import Decision
from realtime_inspector.visibility.facts import Access
from realtime_inspector.visibility.subscription import Subscription
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


class Rendering:
    """The frames of one relation's changes in one batch."""

    def __init__(
        self,
        evidence: Evidence,
        committed_at: Sequence[int],
        fetched: FetchedRelation,
        types: TypeCatalog,
        tokens: PositionTokens,
        record_bytes: int,
    ) -> None:
        self._evidence = evidence
        self._committed_at = committed_at
        self._types = types
        self._tokens = tokens
        self._record_bytes = record_bytes
        columns = fetched.columns or tuple((c.name, c.type_oid) for c in evidence.shape.columns)
        self._columns = [self._column(name, type_oid) for name, type_oid in columns]
        self._data: dict[tuple[int, Columns, Form], bytes] = {}
        self._frames: dict[tuple[object, ...], bytes] = {}

    def frames(self, key: AudienceKey, access: Access | None, decision: Decision, *, more: bool = False) -> list[bytes]:
        """What the audience is sent for a decision: a frame per selection of columns, or why there is none.

        `more`: it is sent something else about the same event afterwards.
        """
        explains = Told(key.verdicts).of(decision.verdict.reason)
        told = [self._verdict(key, decision, more)] if explains else []
        if not decision.subscriptions:
            return told
        if len(decision.subscriptions) == 1:
            return [self._change(key, access, decision, decision.subscriptions, more or explains), *told]
        selections: dict[tuple[str, ...] | None, list[Subscription]] = {}
        for subscription in decision.subscriptions:
            selections.setdefault(subscription.binding.select, []).append(subscription)
        *groups, last = selections.values()
        changes = [self._change(key, access, decision, group, True) for group in groups]
        return [*changes, self._change(key, access, decision, last, more or explains), *told]

    def _change(
        self, key: AudienceKey, access: Access | None, decision: Decision, subscriptions: Sequence[Subscription], more: bool
    ) -> bytes:
        ids = tuple(dict.fromkeys([subscription.binding.id for subscription in subscriptions]))
        columns: Columns = (access.columns if access else frozenset(), subscriptions[0].binding.select)
        form = (decision.verdict.reason is Reason.LEFT_VIEW, decision.old_visible, decision.old_key)
        cached = (decision.number, key.serializer, key.topic, ids, columns, form, more)
        frame = self._frames.get(cached)
        if frame is None:
            data, change = self._encoded(decision.number, columns, form), self._evidence.changes[decision.number]
            serializer = Serializer(key.serializer)
            if ids == (LEGACY,):
                frame = legacy_frame(serializer, key.topic, Operation.DELETE if form[0] else change.operation, data)
            else:
                frame = change_frame(serializer, key.topic, ids, data, self._names(change, more))
            self._frames[cached] = frame
        return frame

    def _verdict(self, key: AudienceKey, decision: Decision, more: bool) -> bytes:
        change = self._evidence.changes[decision.number]
        return verdict_frame(
            Serializer(key.serializer),
            key.topic,
            self._names(change, more),
            change.operation,
            self._evidence.shape.schema,
            self._evidence.shape.name,
            self._committed_at[decision.number],
            decision.verdict,
        )

    def _names(self, change: Change, more: bool) -> Names:
        position = change.position
        return Names(self._tokens.event_id(position), self._tokens.commit_id(position.commit_lsn), more)

    def _encoded(self, number: int, columns: Columns, form: Form) -> bytes:
        cached = (number, columns, form)
        data = self._data.get(cached)
        if data is None:
            data = self._data[cached] = self._encode(number, columns, form)
        return data

    def _encode(self, number: int, columns: Columns, form: Form) -> bytes:
        change = self._evidence.changes[number]
        shown = [column for column in self._columns if self._shows(columns, column.name)]
        left, *_ = form
        row = None if left else self._evidence.rows[number]
        record = None if row is None else _json(shown, self._evidence.values[row])
        old_record = self._old_record(change, shown, form)
        errors = None
        if len(record or b"") + len(old_record or b"") > self._record_bytes:
            errors = [TOO_LARGE]
            record = None if row is None else _json(shown, self._evidence.values[row], SMALL_VALUE)
            old_record = self._old_record(change, shown, form, SMALL_VALUE)
        return encode_data(
            Operation.DELETE if left else change.operation,
            self._evidence.shape.schema,
            self._evidence.shape.name,
            self._committed_at[number],
            [(column.name, column.type_name) for column in shown],
            record,
            old_record,
            errors,
        )

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
