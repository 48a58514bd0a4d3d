"""Gathers, for one batch of transactions, everything that the decisions need: one snapshot, one question per relation."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

from realtime_inspector.errors import DatabaseUnavailable
from realtime_inspector.model import Reason, Relation, Transaction
from realtime_inspector.pipeline.askers import owned_ids
from realtime_inspector.pipeline.asking import Asking, stored
from realtime_inspector.pipeline.columns import Keys, as_now, keys, none
from realtime_inspector.pipeline.pace import Pace
from realtime_inspector.pipeline.partitions import relations_of, under_roots
from realtime_inspector.pipeline.work import Gathered, LeftView, Work
from realtime_inspector.ports import Outlet
from realtime_inspector.postgres.catalog import Catalog
from realtime_inspector.postgres.evaluator import Evaluator
from realtime_inspector.postgres.snapshot import (
    FetchedRelation,
    RelationMoved,
    SnapshotReader,
    TookTooLong,
    View,
    Wanted,
)
from realtime_inspector.settings import Settings
from realtime_inspector.visibility.audience import Audience
from realtime_inspector.visibility.crowd import Crowd
from realtime_inspector.visibility.decisions import remembers
from realtime_inspector.visibility.facts import Kind, Shape
from realtime_inspector.visibility.filters import Condition
from realtime_inspector.visibility.reads import declarations
from realtime_inspector.visibility.verdicts import Evidence

FILTER_SECONDS = 2.0
"""Once a batch's filters took so long, those that are not decided count as failed: everybody else waits for them."""

WITHHELD_SECONDS = 60.0
"""So long nobody looks for rows of a table without a key again, after it took too long: everybody else waits for it."""


class Gatherer:
    """Asks reader, evaluator and catalogue, in that order, about a batch."""

    @classmethod
    def open(cls, settings: Settings, pace: Pace, *, hurried: bool = False) -> "Gatherer":
        """With connections of its own, made at the first question. `hurried`: nobody waits for policies that are slow."""
        timeout = settings.statement_timeout_ms
        return cls(
            SnapshotReader(settings.reader_url, timeout, declarations(settings.claims_read)),
            Evaluator(
                settings.evaluator_url,
                connections=settings.evaluator_connections if hurried else 1,
                statement_timeout_ms=timeout,
                search_path=settings.search_path,
                hurried=hurried,
            ),
            Catalog(settings.evaluator_url, statement_timeout_ms=timeout),
            pace,
            privileged=frozenset(settings.privileged_roles),
            deletes=settings.deletes,
            left_view=settings.left_view,
        )

    def __init__(
        self,
        reader: SnapshotReader,
        evaluator: Evaluator,
        catalog: Catalog,
        pace: Pace,
        *,
        privileged: frozenset[str],
        deletes: Literal["checked", "keys"],
        left_view: LeftView,
    ) -> None:
        self._reader = reader
        self._evaluator = evaluator
        self._catalog = catalog
        self._asking = Asking(evaluator, catalog, pace)
        self._privileged = privileged
        self._deletes = deletes
        self._slow: dict[int, float] = {}
        self._untold: set[int] = set()
        self._left_view = left_view

    async def close(self) -> None:
        """Ends all connections."""
        await self._reader.close()
        await self._evaluator.close()
        await self._catalog.close()

    async def under_roots(self, batch: Sequence[Transaction]) -> Sequence[Transaction]:
        """The batch with the changes of partitions as changes of their root. Raises DatabaseUnavailable."""
        relations = relations_of(batch)
        roots = await self._catalog.roots(relations)
        return under_roots(batch, {id(r): root for r, root in zip(relations, roots, strict=True) if root.relation is not r})

    async def gather(self, works: Sequence[Work], xids: Sequence[int], *, patient: bool) -> list[Gathered]:
        """The evidence for each work. Raises DatabaseUnavailable; the batch can then be gathered again from the start.

        `patient`: see Evaluator.ask.
        """
        for _ in range(2):
            try:
                return await self._gather(works, xids, patient=patient)
            except RelationMoved:
                self._catalog.forget()
        # One relation cannot be read as it is described: the others must not suffer for it.
        return [gathered for work in works for gathered in await self._gather_alone(work, xids, patient=patient)]

    async def _gather_alone(self, work: Work, xids: Sequence[int], *, patient: bool) -> list[Gathered]:
        """The evidence for one relation; no row for a transaction whose keys are none of the relation's any more."""
        for trusting in (True, False):
            with suppress(RelationMoved):
                return await self._gather([work], xids, patient=patient, trusting=trusting)
            self._catalog.forget()
            halves = work.halves()
            if halves:
                return [each for half in halves for each in await self._gather_alone(half, xids, patient=patient)]
        raise DatabaseUnavailable(f"{work.relation.schema}.{work.relation.name} keeps changing")

    async def _gather(
        self, works: Sequence[Work], xids: Sequence[int], *, patient: bool, trusting: bool = True
    ) -> list[Gathered]:
        while True:
            try:
                return await self._gather_once(works, xids, patient=patient, trusting=trusting)
            except TookTooLong as slow:
                self._slow[slow.oid] = asyncio.get_running_loop().time() + WITHHELD_SECONDS
                self._untold.add(slow.oid)

    async def _gather_once(self, works: Sequence[Work], xids: Sequence[int], *, patient: bool, trusting: bool) -> list[Gathered]:
        now = asyncio.get_running_loop().time()
        self._slow = {oid: until for oid, until in self._slow.items() if until > now}
        shapes = [shape or _vanished(w.relation) for shape, w in zip(await self._shapes(works), works, strict=True)]
        relations = [as_now(work.relation, shape) if trusting else None for work, shape in zip(works, shapes, strict=True)]
        works = [work.under(relation) for work, relation in zip(works, relations, strict=True)]
        sought = [
            None if relation is None else keys(relation, work.changes, shape)
            for relation, work, shape in zip(relations, works, shapes, strict=True)
        ]
        altered = [own is None and not shape.refusal for own, shape in zip(sought, shapes, strict=True)]
        keyed = [
            none(work.changes) if own is None or shape.oid in self._slow else own
            for work, shape, own in zip(works, shapes, sought, strict=True)
        ]
        types = self._catalog.types
        wanted = [Wanted(shape, own.distinct, own.content) for shape, own in zip(shapes, keyed, strict=True)]
        roles = sorted({role for work in works for role in work.roles})
        async with self._reader.open(xids, wanted, roles) as view:
            gathered = [
                Gathered(work, self._evidence(work, shape, own, view, fetched, gone), fetched, types, self._gap(shape, gone))
                for work, shape, own, fetched, gone in zip(works, shapes, keyed, view.relations, altered, strict=True)
            ]
            for each in gathered:
                each.work.narrow({} if each.gap else owned_ids(each.evidence, each.work.roles))
                each.work.alike = {crowd for crowd in each.work.touched.crowds if not each.gap and _is_open(crowd, each.evidence)}
            await self._asking.see(gathered, view.snapshot, patient)
        # Values are written as their types are at that moment, whatever the snapshot, and nothing locks a type.
        if not await self._catalog.types_hold({column.type_oid for shape in shapes for column in shape.columns}):
            raise RelationMoved("a composite type has other fields now")
        until = asyncio.get_running_loop().time() + FILTER_SECONDS
        for each in gathered:
            await self._filter(each, until)
        self._untold -= {each.evidence.shape.oid for each in gathered}
        return gathered

    def _types_hold(self, work: Work, shape: Shape) -> bool:
        """Whether the log's values of composite types are of the form that these types have now."""
        moved = self._catalog.moved
        composites = self._catalog.types.composites(column.type_oid for column in shape.columns) if moved else ()
        until = max((moved.get(oid, 0) for oid in composites), default=0)
        return all(change.position.commit_lsn > until for change in work.changes)

    def _gap(self, shape: Shape, altered: bool) -> Reason | None:
        if altered:
            return Reason.COLUMNS_CHANGED
        return Reason.LOOKUP_TOO_SLOW if shape.oid in self._untold else None

    async def _shapes(self, works: Sequence[Work]) -> list[Shape | None]:
        return await self._catalog.shapes([work.relation for work in works])

    def _evidence(self, work: Work, shape: Shape, own: Keys, view: View, fetched: FetchedRelation, altered: bool) -> Evidence:
        names = [name for name, _ in fetched.columns]
        rows = stored(fetched)
        numbers = {row.ctid: number for number, row in enumerate(rows)}
        found = {place: numbers[row.ctid] for place, row in fetched.rows.items()}
        return Evidence(
            shape=shape,
            changes=work.changes,
            rows=[None if place is None else found.get(place) for place in own.of_change],
            values=[dict(zip(names, row.values, strict=True)) for row in rows],
            access=view.access.get(shape.oid, {}),
            privileged=self._privileged,
            deletes=self._deletes,
            left_view=self._left_view,
            types_hold=self._types_hold(work, shape),
            altered=altered,
            too_slow=shape.oid in self._slow,
        )

    async def _filter(self, each: Gathered, until: float) -> None:
        """Asks Postgres about the conditions that texts cannot decide, once per distinct condition."""
        by_column: dict[str, tuple[list[Condition], dict[str, None]]] = {}
        for condition in _conditions(each.work):
            texts = each.evidence.undecided(condition)
            if texts:
                conditions, values = by_column.setdefault(condition.column, ([], {}))
                conditions.append(condition)
                values.update(dict.fromkeys(texts))
        satisfied: dict[tuple[str, Condition], frozenset[str] | None] = {}
        for name, (conditions, values) in by_column.items():
            column = each.evidence.shape.column(name)
            assert column is not None
            answers = await self._catalog.satisfied([(column, condition) for condition in conditions], list(values), until=until)
            satisfied.update({(name, condition): answer for condition, answer in answers.items()})
        each.evidence.satisfied = satisfied


def _is_open(crowd: Crowd[Audience[Outlet]], evidence: Evidence) -> bool:
    """Whether what its audiences receive follows from their role and subscriptions alone, and nobody needs to remember it."""
    standing = evidence.standing(crowd.role)
    return standing.refused is None and not standing.checked and not remembers(crowd.subscriptions, crowd.role, evidence)


def _conditions(work: Work) -> dict[Condition, None]:
    return dict.fromkeys(
        condition
        for audience in work.audiences
        for subscription in audience.concerning(work.relation)
        for condition in subscription.conditions
    )


def _vanished(relation: Relation) -> Shape:
    """What stands in for a relation that was dropped since: it has no key, so nothing of it is served."""
    return Shape(relation.oid, relation.schema, relation.name, Kind.TABLE, False, relation.replica_identity, (), (), ())
