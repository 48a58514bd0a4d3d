"""Gathers, for one batch of transactions, everything that the decisions need: one snapshot, one question per relation."""

import asyncio
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

from realtime_inspector.errors import DatabaseUnavailable
from realtime_inspector.model import Change, Identity, Operation, Reason, Relation, Transaction
from realtime_inspector.pipeline.askers import Askers, about_rows, askers, candidates, checked, old_texts, owned_ids
from realtime_inspector.pipeline.columns import Keys, as_now, keys, none, under
from realtime_inspector.pipeline.partitions import relations_of, under_roots
from realtime_inspector.ports import Outlet
from realtime_inspector.postgres.catalog import Catalog
from realtime_inspector.postgres.evaluator import Evaluator
from realtime_inspector.postgres.questions import Question, by_tuple, row_literal
from realtime_inspector.postgres.snapshot import (
    FetchedRelation,
    FetchedRow,
    RelationMoved,
    SnapshotReader,
    TookTooLong,
    View,
    Wanted,
)
from realtime_inspector.replication.values import TypeCatalog
from realtime_inspector.visibility.crowd import Crowd, Touched
from realtime_inspector.visibility.decisions import remembers
from realtime_inspector.visibility.facts import Kind, Shape
from realtime_inspector.visibility.filters import Condition
from realtime_inspector.visibility.index import Audience, Index
from realtime_inspector.visibility.memory import Memory
from realtime_inspector.visibility.subscription import Subscription
from realtime_inspector.visibility.verdicts import Evidence, Sight

FILTER_SECONDS = 2.0
"""Once a batch's filters took so long, those that are not decided count as failed: everybody else waits for them."""

WITHHELD_SECONDS = 60.0
"""So long nobody looks for rows of a table without a key again, after it took too long: everybody else waits for it."""
LeftView = Literal["ignore", "delete"]
PARTINGS: dict[LeftView, frozenset[Operation]] = {
    "ignore": frozenset([Operation.DELETE]),
    "delete": frozenset([Operation.DELETE, Operation.UPDATE]),
}
"""The changes of which those are told who were sent the row before."""


@dataclass(slots=True)
class Work:
    """The changes of one relation in a batch, and whom they may concern.

    `audiences`: those whose rows they can be; `hidden`: role, subscriptions and number of the sockets that this leaves out,
    because they see none of the rows. `alike`: crowds in which claims make no difference.
    """

    relation: Relation
    touched: Touched[Audience[Outlet]] = field(default_factory=Touched)
    changes: list[Change] = field(default_factory=list)
    committed_at: list[int] = field(default_factory=list)
    audiences: Sequence[Audience[Outlet]] = ()
    identities: Sequence[Identity] = ()
    hidden: Sequence[tuple[str, Sequence[Subscription], int]] = ()
    alike: AbstractSet[Crowd[Audience[Outlet]]] = frozenset()

    @property
    def roles(self) -> set[str]:
        """Whose rights must be known."""
        return {crowd.role for crowd in self.touched.crowds} | {audience.key.identity.role for audience in self.touched.named}

    def concerns_somebody(self) -> bool:
        """Whether anybody waits for the last change, or an earlier one."""
        return any(audience.waits_for(self.changes[-1].position) for audience in self.touched)

    def narrow(self, owned: Mapping[str, AbstractSet[str | None]]) -> None:
        """Leaves out who owns none of this. `owned`: by role, where only owners see rows."""
        found, last = self.touched.owning(owned), self.changes[-1].position
        self.hidden = [
            (crowd.role, crowd.subscriptions, crowd.sockets - sum(a.sockets for a in found if crowd in a.crowds))
            for crowd in self.touched.crowds
            if crowd.role in owned
        ]
        self.audiences = [audience for audience in found if audience.waits_for(last)]
        self.identities = list(dict.fromkeys([audience.key.identity for audience in self.audiences]))

    def under(self, relation: Relation | None) -> "Work":
        """The same under present names of columns; with none of the old values where these are not known."""
        if relation is self.relation:
            return self
        return replace(self, relation=relation or self.relation, changes=under(self.changes, relation))

    def halves(self) -> list["Work"]:
        """The same in two, between transactions; nothing where there is but one."""
        commits = [change.position.commit_lsn for change in self.changes]
        cuts = [place for place, (before, after) in enumerate(pairwise(commits), 1) if before != after]
        if not cuts:
            return []
        cut = cuts[len(cuts) // 2]
        parts = (slice(cut), slice(cut, None))
        return [replace(self, changes=self.changes[part], committed_at=self.committed_at[part]) for part in parts]


@dataclass(frozen=True, slots=True)
class Gathered:
    """A work with its evidence, the rows as they were fetched, and the types as they were then.

    `gap`: changes are lost from here on, and why.
    """

    work: Work
    evidence: Evidence
    fetched: FetchedRelation
    types: TypeCatalog
    gap: Reason | None = None


def plan(
    transactions: Sequence[Transaction], index: Index[Outlet], memory: Memory[Audience[Outlet]], left_view: LeftView
) -> list[Work]:
    """What there is to do, by relation as the stream described it; relations that nobody asked for are left out."""
    index.change_over(transactions[0].before)
    works: dict[int, Work] = {}
    unnamed: set[int] = set()
    for transaction in transactions:
        for change in transaction.changes:
            identity = id(change.relation)  # one object per Relation message; hashing its columns would cost more than all else
            if identity in unnamed:
                continue
            work = works.get(identity)
            if work is None:
                if not index.names(change.relation):
                    unnamed.add(identity)
                    memory.forget_table(change.relation.oid)
                    continue
                work = works[identity] = Work(change.relation)
            work.changes.append(change)
            work.committed_at.append(transaction.committed_at)
    for work in works.values():
        work.touched = index.touched(work.changes, before=left_view == "delete")
        # Filters by value do not find those who were sent a row that does not pass them any more, nor does the owner's id.
        work.touched.add(memory.concerned(work.changes, PARTINGS[left_view]))
        work.touched.add(a for a in memory.concerned(work.changes, frozenset(Operation)) if a.crowds)
        if not work.concerns_somebody():
            memory.pass_by(work.changes)
    return [work for work in works.values() if work.concerns_somebody()]


class Gatherer:
    """Asks reader, evaluator and catalogue, in that order, about a batch."""

    def __init__(
        self,
        reader: SnapshotReader,
        evaluator: Evaluator,
        catalog: Catalog,
        *,
        privileged: frozenset[str],
        deletes: Literal["checked", "keys"],
        left_view: LeftView,
    ) -> None:
        self._reader = reader
        self._evaluator = evaluator
        self._catalog = catalog
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
            if await self._see(gathered, view.snapshot, patient):
                await self._check_versions(gathered)
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
        stored = _stored(fetched)
        numbers = {row.ctid: number for number, row in enumerate(stored)}
        found = {place: numbers[row.ctid] for place, row in fetched.rows.items()}
        return Evidence(
            shape=shape,
            changes=work.changes,
            rows=[None if place is None else found.get(place) for place in own.of_change],
            values=[dict(zip(names, row.values, strict=True)) for row in stored],
            access=view.access.get(shape.oid, {}),
            privileged=self._privileged,
            deletes=self._deletes,
            left_view=self._left_view,
            types_hold=self._types_hold(work, shape),
            altered=altered,
            too_slow=shape.oid in self._slow,
        )

    async def _see(self, gathered: Sequence[Gathered], snapshot: str, patient: bool) -> bool:
        """Asks the evaluator everything about the batch at once and puts the answers into the evidence.

        Returns whether one identity's answer was given to others.
        """
        questions: list[Question] = []
        owners: list[tuple[Evidence, Askers, list[int] | None]] = []
        for each in gathered:
            ctids = [row.ctid for row in _stored(each.fetched)]
            for question, asked in about_rows(each.evidence, each.work.identities, ctids):
                questions.append(question)
                owners.append((each.evidence, asked, None))
            for question, asked, places in await self._about_old_rows(each):
                questions.append(question)
                owners.append((each.evidence, asked, places))
        if not questions:
            return False
        answers = await self._evaluator.ask(snapshot, questions, patient=patient)
        for (evidence, asked, numbers), answer in zip(owners, answers, strict=True):
            for identity, sight in answer.items():
                found = sight if numbers is None else _renumbered(sight, numbers)
                sights = evidence.sights if numbers is None else evidence.old_sights
                sights.update(dict.fromkeys(asked[identity], found))
        return any(len(group) > 1 for _, asked, _ in owners for group in asked.values())

    async def _check_versions(self, gathered: Sequence[Gathered]) -> None:
        """Policies and functions run as they are when they are asked, whatever the snapshot: Postgres itself reads the catalogue
        as of now (src/backend/utils/cache/catcache.c). Who was asked for whom must therefore hold afterwards as well.
        """
        before = {(each.evidence.shape.oid, role): a.version for each in gathered for role, a in each.evidence.access.items()}
        now = await self._catalog.versions({oid for oid, _ in before}, {role for _, role in before})
        if any(now.get(key, "") != version for key, version in before.items()):
            raise DatabaseUnavailable("a policy, or a function that it calls, changed while it was asked")

    async def _about_old_rows(self, each: Gathered) -> list[tuple[Question, Askers, list[int]]]:
        """Questions about rows as they were, which only REPLICA IDENTITY FULL tells in full."""
        evidence = each.evidence
        numbers = [number for number, change in enumerate(evidence.changes) if change.old_is_full and change.old is not None]
        identities = checked(each.work.identities, evidence)
        if not numbers or not identities or evidence.shape.refusal:
            return []
        logged = {column.name for column in each.work.relation.columns}
        if not evidence.types_hold or any(column.name not in logged for column in evidence.shape.columns):
            refusal = "the log lacks columns of the old row (generated, not published, or changed since)"
            evidence.old_refused = dict.fromkeys((identity.role for identity in identities), refusal)
            return []
        policies = await self._catalog.old_row_policies(evidence.shape, {identity.role for identity in identities})
        evidence.old_refused = {role: policy.refusal for role, policy in policies.items() if policy.expression is None}
        evidence.old_timeless = frozenset(role for role, policy in policies.items() if policy.timeless)
        literals = [_literal(evidence.shape, evidence.changes[number]) for number in numbers]
        old = [old_texts(evidence.changes[number]) for number in numbers]
        questions = []
        for role, policy in policies.items():
            may_own = candidates([i for i in identities if i.role == role], evidence.access, old)
            asked = askers(may_own, evidence.access)
            if asked and policy.expression is not None:
                function = by_tuple(evidence.shape, policy.expression, folds=evidence.access[role].folds)
                questions.append((Question(function, literals, list(asked)), asked, numbers))
        return questions

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


def _stored(fetched: FetchedRelation) -> list[FetchedRow]:
    """The distinct rows: equal keys may be spelled differently, such as 1.0 and 1.00, and then find the same one."""
    return list({row.ctid: row for _, row in sorted(fetched.rows.items())}.values())


def _renumbered(sight: Sight, numbers: Sequence[int]) -> Sight:
    return Sight([numbers[row] for row in sight.rows], [numbers[row] for row in sight.raised], sight.error, sight.error_id)


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


def _literal(shape: Shape, change: Change) -> str:
    values = old_texts(change)
    return row_literal([values[column.name] for column in shape.columns])


def _vanished(relation: Relation) -> Shape:
    """What stands in for a relation that was dropped since: it has no key, so nothing of it is served."""
    return Shape(relation.oid, relation.schema, relation.name, Kind.TABLE, False, relation.replica_identity, (), (), ())
