"""Turns decided changes into frames: each is built once and shared."""

from collections.abc import Sequence

from realtime_inspector.model import LEGACY, Change, Operation, Told
from realtime_inspector.pipeline.records import Records, columns_of, form_of
from realtime_inspector.postgres.snapshot import FetchedRelation
from realtime_inspector.protocol.changes import Names, change_frame, legacy_frame, verdict_frame
from realtime_inspector.protocol.positions import PositionTokens
from realtime_inspector.protocol.serializer import Serializer
from realtime_inspector.replication.values import TypeCatalog
from realtime_inspector.visibility.audience import AudienceKey
from realtime_inspector.visibility.decisions import Decision
from realtime_inspector.visibility.facts import Access
from realtime_inspector.visibility.subscription import Subscription
from realtime_inspector.visibility.verdicts import Evidence


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
        self._tokens = tokens
        self._records = Records(evidence, committed_at, fetched, types, record_bytes)
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
        columns, form = columns_of(access, subscriptions[0].binding.select), form_of(decision)
        cached = (decision.number, key.serializer, key.topic, ids, columns, form, more)
        frame = self._frames.get(cached)
        if frame is None:
            data, change = self._records.data(decision.number, columns, form), self._evidence.changes[decision.number]
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
