"""Says what an event is to each live channel: the engine's own decision, taken anew from the index and what is stored now."""

from collections.abc import Callable, Mapping, Sequence

import orjson

from realtime_inspector.model import Change, Identity, Reason, Relation, Transaction, Verdict
from realtime_inspector.pipeline.evidence import Gatherer
from realtime_inspector.pipeline.pace import Pace
from realtime_inspector.pipeline.work import Gathered, Work
from realtime_inspector.ports import Outlet
from realtime_inspector.postgres.catalog import Catalog
from realtime_inspector.postgres.evaluator import Evaluator
from realtime_inspector.postgres.snapshot import SnapshotReader
from realtime_inspector.settings import Settings
from realtime_inspector.visibility.asking import Receiver
from realtime_inspector.visibility.audience import Audience
from realtime_inspector.visibility.crowd import Touched
from realtime_inspector.visibility.decisions import decide
from realtime_inspector.visibility.explanation import Live
from realtime_inspector.visibility.facts import Shape
from realtime_inspector.visibility.index import Index
from realtime_inspector.visibility.reads import declarations

NOT_ASKED = Verdict(Reason.FILTERED, "its subscriptions do not ask for such events")
UNKNOWN = "what was sent before is not kept after a deletion; sockets that had been sent the row were told"
Names = Callable[[], Mapping[Outlet, str]]
"""The name of each live connection."""


class Receivers:
    """Takes decisions about one event with connections of its own."""

    @classmethod
    def open(cls, settings: Settings, index: Index[Outlet]) -> "Receivers":
        """With connections as the river has them, which are made at the first question."""
        timeout, url = settings.statement_timeout_ms, settings.evaluator_url
        reader = SnapshotReader(settings.reader_url, timeout, declarations(settings.claims_read))
        evaluator = Evaluator(url, connections=1, statement_timeout_ms=timeout, search_path=settings.search_path)
        catalog = Catalog(url, statement_timeout_ms=timeout)
        gatherer = Gatherer(
            reader,
            evaluator,
            catalog,
            Pace(),
            privileged=frozenset(settings.privileged_roles),
            deletes=settings.deletes,
            left_view=settings.left_view,
        )
        return cls(gatherer, index)

    def __init__(self, gatherer: Gatherer, index: Index[Outlet]) -> None:
        self._gatherer = gatherer
        self._index = index
        self.names: Names = dict
        """Tells what connections are called; whoever has them sets it."""

    async def close(self) -> None:
        """Ends all connections."""
        await self._gatherer.close()

    async def of(self, transaction: Transaction, change: Change, relation: Relation) -> list[Receiver]:
        """One for each channel that names the table, by connection."""
        audiences = self._audiences((relation.schema, relation.name))
        verdicts = await self._verdicts(transaction, change, audiences)
        names = self.names()
        found = []
        for audience in audiences:
            verdict = verdicts.get(audience, NOT_ASKED)
            for outlet, after in (*audience.members.items(), *audience.joining.items()):
                key = audience.key
                since = after < change.position
                reason, detail = (verdict.reason.value, verdict.detail) if since else ("not_joined", "joined after the event")
                subject = str(orjson.loads(key.identity.claims).get("sub") or "")
                name = names.get(outlet, "")
                found.append(Receiver(name, key.topic, key.identity, subject, reason, detail, since))
        return sorted(found, key=lambda each: (each.connection, each.topic))

    async def live(self, identity: Identity, event: tuple[Transaction, Change] | None, shape: Shape) -> Live:
        """What sockets of this identity there are, and what the event is to them."""
        own = [audience for audience in self._audiences() if _same(audience.key.identity, identity)]
        table = (shape.schema, shape.name)
        naming = [a for a in self._audiences(table) if a in own]
        topics = tuple(dict.fromkeys(audience.key.topic for audience in naming))
        elsewhere = tuple(dict.fromkeys(a.key.topic for a in own if a not in naming))
        if event is None or not naming:
            return Live(topics, elsewhere)
        transaction, change = event
        verdicts = await self._verdicts(transaction, change, naming)
        joined = [after for a in naming for after in (*a.members.values(), *a.joining.values())]
        later = all(after >= change.position for after in joined)
        best = sorted(verdicts.values(), key=lambda verdict: verdict.reason is not Reason.DELIVERED)
        return Live(topics, elsewhere, best[0] if best else NOT_ASKED, later)

    def _audiences(self, table: tuple[str, str] | None = None) -> list[Audience[Outlet]]:
        parts = (self._index, self._index.behind, self._index.aside)
        return [audience for part in parts if part is not None for audience in part.audiences(table)]

    async def _verdicts(
        self, transaction: Transaction, change: Change, audiences: Sequence[Audience[Outlet]]
    ) -> dict[Audience[Outlet], Verdict]:
        """Nothing for those whose subscriptions do not ask for such an event."""
        if not audiences:
            return {}
        work = Work(change.relation, Touched(dict.fromkeys(audiences)), [change], [transaction.committed_at])
        gathered = await self._gatherer.gather([work], [], patient=False)
        found: dict[Audience[Outlet], Verdict] = {}
        for each in gathered:
            for audience in audiences:
                verdict = _verdict(each, audience)
                if verdict is not None:
                    found[audience] = verdict
        return found


def _verdict(each: Gathered, audience: Audience[Outlet]) -> Verdict | None:
    subscriptions = audience.concerning(each.work.relation)
    decided = [d.verdict for d in decide(subscriptions, audience.key.identity, each.evidence, explain=True)]
    verdict = next((v for v in decided if v.reason is Reason.DELIVERED), decided[0] if decided else None)
    if verdict is not None and verdict.reason is Reason.OLD_ROW_UNKNOWN and not verdict.detail:
        return Verdict(verdict.reason, UNKNOWN)
    return verdict


def _same(one: Identity, other: Identity) -> bool:
    """The same person in the same role; tokens of one session differ in when they were made."""
    if one.role != other.role:
        return False
    subjects = [orjson.loads(identity.claims).get("sub") for identity in (one, other)]
    return bool(subjects[0] == subjects[1])
