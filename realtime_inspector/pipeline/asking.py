"""Asks about a batch who may see what, all at once, and puts the answers into the evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from realtime_inspector.errors import DatabaseUnavailable
from realtime_inspector.model import Change, Identity
from realtime_inspector.pipeline.askers import Askers, about_rows, askers, candidates, checked, old_texts
from realtime_inspector.pipeline.pace import WAITS, Asked, Pace
from realtime_inspector.pipeline.work import Gathered
from realtime_inspector.postgres.catalog import Catalog
from realtime_inspector.postgres.evaluator import Evaluator
from realtime_inspector.postgres.questions import Question, by_tuple, row_literal
from realtime_inspector.postgres.snapshot import FetchedRelation, FetchedRow
from realtime_inspector.visibility.claims import part
from realtime_inspector.visibility.facts import Shape
from realtime_inspector.visibility.verdicts import BLIND, Sight


@dataclass(frozen=True, slots=True)
class _Call:
    """A question, for whom each answer holds, and which changes its rows are; None: it is about the stored rows."""

    each: Gathered
    question: Question
    asked: Askers
    places: Sequence[int] | None = None

    def name(self, asker: Identity) -> Asked:
        """What can be slow."""
        claims = self.each.evidence.access[asker.role].claims
        return self.question.function.name, asker.role, part(asker.claims, claims)


class Asking:
    """Evaluator and catalogue; `pace`: whose answers are not waited for, where the evaluator is hurried."""

    def __init__(self, evaluator: Evaluator, catalog: Catalog, pace: Pace) -> None:
        self._evaluator = evaluator
        self._catalog = catalog
        self._pace = pace

    async def see(self, gathered: Sequence[Gathered], snapshot: str, patient: bool) -> None:
        """Everything in one round trip. Raises DatabaseUnavailable when the batch has to be asked about again."""
        calls: list[_Call] = []
        for each in gathered:
            each.work.late = set()
            ctids = [row.ctid for row in stored(each.fetched)]
            calls += [_Call(each, question, asked) for question, asked in about_rows(each.evidence, each.work.identities, ctids)]
            calls += [_Call(each, question, asked, places) for question, asked, places in await self._about_old_rows(each)]
        if self._evaluator.hurried:
            calls = [awake for call in calls if (awake := self._awake(call)) is not None]
        if not calls:
            return
        answers = await self._evaluator.ask(snapshot, [call.question for call in calls], patient=patient)
        for call, answer in zip(calls, answers, strict=True):
            self._take(call, answer)
        if any(len(group) > 1 for call in calls for group in call.asked.values()):
            await self._check_versions(gathered)

    def _awake(self, call: "_Call") -> "_Call | None":
        """Without those who are known to be slow, or may be: nobody waits for them."""
        if self._pace.knows_none:
            return call
        slow = [asker for asker in call.question.identities if self._pace.is_slow(call.name(asker))]
        if not slow:
            return call
        for asker in slow:
            call.each.work.late.update(call.asked[asker])
        rest = [asker for asker in call.question.identities if asker not in slow]
        return replace(call, question=replace(call.question, identities=rest)) if rest else None

    def _take(self, call: "_Call", answer: Mapping[Identity, Sight]) -> None:
        evidence = call.each.evidence
        sights = evidence.sights if call.places is None else evidence.old_sights
        for asker, sight in answer.items():
            group = call.asked[asker]
            if sight.late:
                call.each.work.late.update(group)
            else:
                sights.update(dict.fromkeys(group, sight if call.places is None else _renumbered(sight, call.places)))
            if sight.slow:
                waits = (WAITS if sight.endless else 1) if self._evaluator.hurried else 0
                self._pace.note(call.name(asker), group, slow=True, waits=waits)
        if not self._evaluator.hurried:  # only who is asked there is known to be quick again
            for asker in call.question.identities:
                if not answer.get(asker, BLIND).slow:
                    self._pace.note(call.name(asker), call.asked[asker], slow=False)

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


def stored(fetched: FetchedRelation) -> list[FetchedRow]:
    """The distinct rows: equal keys may be spelled differently, such as 1.0 and 1.00, and then find the same one."""
    return list({row.ctid: row for _, row in sorted(fetched.rows.items())}.values())


def _renumbered(sight: Sight, numbers: Sequence[int]) -> Sight:
    return Sight([numbers[row] for row in sight.rows], [numbers[row] for row in sight.raised], sight.error, sight.error_id)


def _literal(shape: Shape, change: Change) -> str:
    values = old_texts(change)
    return row_literal([values[column.name] for column in shape.columns])
