"""Finds out why an identity sees a row or an event, or does not: the row selected as that identity, and a trace of its policies.

Both in one snapshot, so that where they differ it is for a reason that can be named. Its connections are its own: the river never
waits for somebody's question.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from realtime_inspector.errors import DatabaseUnavailable, InvalidInput, NotFound
from realtime_inspector.model import UNCHANGED, Change, Identity, Operation, Relation, ReplicaIdentity, Transaction
from realtime_inspector.pipeline.askers import about_rows
from realtime_inspector.pipeline.columns import as_now, keys
from realtime_inspector.pipeline.receivers import Receivers
from realtime_inspector.postgres.catalog import Catalog
from realtime_inspector.postgres.evaluator import Evaluator
from realtime_inspector.postgres.questions import row_literal
from realtime_inspector.postgres.reproduction import reproduction
from realtime_inspector.postgres.snapshot import FetchedRow, RelationMoved, SnapshotReader, TookTooLong, View, Wanted
from realtime_inspector.postgres.tracer import Inquiry, Tracer, Tracing, Tuple
from realtime_inspector.settings import Settings
from realtime_inspector.visibility import caveats
from realtime_inspector.visibility.asking import Candidate, Question, Receiver
from realtime_inspector.visibility.explanation import Explanation, Judged, Publishing, judged, selected
from realtime_inspector.visibility.facts import Shape
from realtime_inspector.visibility.trace import Circumstances, PolicyFacts, Raised, Sighted, begun, combine, untold
from realtime_inspector.visibility.verdicts import Evidence

Texts = Mapping[str, str | None]
Find = Callable[[str], Awaitable[tuple[Transaction, Change] | None]]
"""Gives an event of the recent past by its id."""


@dataclass(frozen=True, slots=True)
class _Subject:
    """The row in question. `wanted`: how to find it; `old`: as it was, by column; `changed`: tables of its transaction."""

    shape: Shape
    publishing: Publishing
    wanted: Wanted
    operation: Operation | None = None
    old: Texts | None = None
    changed: tuple[str, ...] = ()
    extra: tuple[caveats.Caveat, ...] = ()
    event: tuple[Transaction, Change] | None = None

    @property
    def key(self) -> Texts:
        """What tells the row from others, as far as it is known."""
        names = self.shape.key or self.wanted.content
        if self.wanted.keys:
            return dict(zip(names, self.wanted.keys[0], strict=True))
        return {name: self.old[name] for name in names if name in self.old} if self.old else {}


class Inquirer:
    """Answers one question at a time."""

    def __init__(self, settings: Settings, find: Find, receivers: Receivers) -> None:
        timeout, url = settings.statement_timeout_ms, settings.evaluator_url
        self._settings = settings
        self._find = find
        self._receivers = receivers
        self._reader = SnapshotReader(settings.reader_url, timeout)
        self._evaluator = Evaluator(url, connections=1, statement_timeout_ms=timeout, search_path=settings.search_path)
        self._tracer = Tracer(url, statement_timeout_ms=timeout, search_path=settings.search_path)
        self._catalog = Catalog(url, statement_timeout_ms=timeout)
        self._turn = asyncio.Lock()
        self._relations: dict[tuple[int, str, str], Relation] = {}

    async def close(self) -> None:
        """Ends all connections."""
        for part in (self._reader, self._evaluator, self._tracer, self._catalog, self._receivers):
            await part.close()

    async def why(self, question: Question) -> Explanation:
        """Raises NotFound for an event that is not known any more, InvalidInput for a table or role that does not exist."""
        async with self._turn:
            for _ in range(2):
                subject = await self._subject(question)
                try:
                    return await self._explain(question, subject)
                except RelationMoved:
                    self._catalog.forget()
                except TookTooLong as error:
                    raise DatabaseUnavailable("Finding the row takes too long; the table has no primary key") from error
        raise DatabaseUnavailable("The table keeps changing", hint="Ask again.")

    async def who(self, event_id: str) -> list[Receiver]:
        """What the event is to each live channel that asks for its table. Raises NotFound."""
        _, change = transaction_and_change = await self._event(event_id)
        async with self._turn:
            return await self._receivers.of(*transaction_and_change, change.relation)

    async def _event(self, event_id: str) -> tuple[Transaction, Change]:
        found = await self._find(event_id)
        if found is None:
            hint = "Name its table and key instead, or keep more with RTI_RESUME_SECONDS and RTI_RESUME_BYTES."
            raise NotFound("This event is not in the recent past (any more)", hint=hint)
        return found

    async def _subject(self, question: Question) -> _Subject:
        if question.event_id is None:
            return await self._by_key(question)
        transaction, change = event = await self._event(question.event_id)
        shape = await self._shape(change.relation)
        named = await self._catalog.named(shape.schema, shape.name, self._settings.publication)
        publishing = named[1] if named else Publishing(published=False)
        relation = as_now(change.relation, shape)
        found = keys(relation, [change], shape) if relation else None
        if relation is None or found is None:
            raise InvalidInput("The table was altered since, so that the log's columns cannot be told apart")
        wanted = Wanted(shape, found.distinct, found.content)
        old, extra = _old_of(change, relation, question.old)
        changed = tuple(dict.fromkeys(f"{c.relation.schema}.{c.relation.name}" for c in transaction.changes))
        return _Subject(shape, publishing, wanted, change.operation, old, changed, extra, event)

    async def _by_key(self, question: Question) -> _Subject:
        found = await self._catalog.named(question.schema, question.table, self._settings.publication)
        if found is None:
            raise InvalidInput(f"There is no table {question.schema}.{question.table}")
        oid, publishing = found
        named = (oid, question.schema, question.table)
        relation = self._relations.setdefault(named, Relation(*named, ReplicaIdentity.DEFAULT, ()))
        shape = await self._shape(relation)
        names = shape.key or tuple(question.key)
        if unknown := [name for name in question.key if shape.column(name) is None]:
            raise InvalidInput(f"There is no column {unknown[0]!r}")
        if question.key and set(names) != set(question.key):
            raise InvalidInput(f"The key of this table is {', '.join(names)}")
        if not question.key and question.old is None:
            raise InvalidInput("Neither event_id nor key is given", hint=f"Name the row by {', '.join(names) or 'its columns'}.")
        wanted = Wanted(shape, [tuple(question.key[name] for name in names)] if question.key else [], () if shape.key else names)
        return _Subject(shape, publishing, wanted, question.operation, question.old)

    async def _shape(self, relation: Relation) -> Shape:
        (shape,) = await self._catalog.shapes([relation])
        if shape is None or not shape.columns:
            raise InvalidInput("The table does not exist any more")
        if shape.is_partition:
            raise InvalidInput("This is a partition", hint="Its policies count for nothing: name the root table.")
        return shape

    async def _explain(self, question: Question, subject: _Subject) -> Explanation:
        identity, shape = question.identity, subject.shape
        async with self._reader.open([], [subject.wanted], [identity.role]) as view:
            stored = next(iter(view.relations[0].rows.values()), None)
            names = [name for name, _ in view.relations[0].columns]
            rows = [dict(zip(names, stored.values, strict=True))] if stored else []
            evidence = evidence_of(shape, view, rows, frozenset(self._settings.privileged_roles))
            circumstances = (await self._reader.circumstances(shape.oid, [identity.role])).get(identity.role)
            if circumstances is None:
                raise InvalidInput(f"The role {identity.role!r} does not exist")
            async with self._tracer.within(view.snapshot) as tracing:
                standing = evidence.standing(identity.role)
                policies = await _policies(tracing, question, circumstances)
                candidate = question.candidate.name if question.candidate else None
                asking = _Asking(tracing, identity, shape, circumstances, policies, candidate)
                new = old = seen = None
                if stored is not None:
                    selecting = asyncio.ensure_future(self._selected(view.snapshot, evidence, identity, stored))
                    row = tuple_of(shape, evidence.values[0], stored)
                    try:
                        new = await asking.about(row, selecting, subject.changed, question.candidate)
                    finally:
                        seen = await selecting
                if subject.old is not None:
                    whole = await asking.completed(subject.old)
                    old = await asking.about(tuple_of(shape, whole), None, subject.changed, None)
        live = await self._receivers.live(identity, subject.event, subject.shape)
        values = evidence.values[0] if stored else subject.old
        literal = row_literal([circumstances.shown(values).get(c.name) for c in shape.columns]) if values else ""
        known = caveats.of_old_row(circumstances, subject.old) if subject.old is not None else ()
        return Explanation(
            schema=shape.schema,
            table=shape.name,
            key=subject.key,
            operation=subject.operation,
            identity=identity,
            circumstances=circumstances,
            publishing=subject.publishing,
            refused=standing.refused.detail if standing.refused else "",
            new=new,
            old=old,
            live=live,
            sql=reproduction(identity, shape, self._settings.search_path, subject.key, (new or old or _NONE).policies, literal),
            event_id=question.event_id,
            extra=(*subject.extra, *known),
            before=seen if question.candidate else None,
            row=dict(values) if values and not circumstances.columns_denied else None,
        )

    async def _selected(self, snapshot: str, evidence: Evidence, identity: Identity, stored: FetchedRow) -> Sighted | None:
        """What the engine itself finds, asked the way in which it asks for everybody."""
        standing = evidence.standing(identity.role)
        if standing.refused is not None:
            return None
        if not standing.checked:
            return Sighted.ALLOWED
        ((question, _),) = about_rows(evidence, [identity], [stored.ctid])
        (answer,) = await self._evaluator.ask(snapshot, [question], patient=False)
        return selected(answer.get(identity))


@dataclass(frozen=True, slots=True)
class _Asking:
    """One identity and the policies of one relation, in an open transaction. `candidate`: which of them does not exist."""

    tracing: Tracing
    identity: Identity
    shape: Shape
    circumstances: Circumstances
    policies: Sequence[PolicyFacts]
    candidate: str | None

    async def about(
        self, row: Tuple, selecting: Awaitable[Sighted | None] | None, changed: Sequence[str], candidate: Candidate | None
    ) -> Judged:
        """The policies about one row, unless none is asked. `selecting`: what the row itself says, found at the same time."""
        traces = begun(self.policies, self.identity.role, "SELECT")
        if self.circumstances.bypass is not None or not self.circumstances.schema_usage:
            bypassed = Sighted.ALLOWED if self.circumstances.bypass and self.circumstances.schema_usage else None
            return Judged(tuple(traces), None, (await selecting if selecting else None) or bypassed)
        (found,) = await self.tracing.trace([Inquiry(self.identity, self.shape, row, traces)])
        if self.circumstances.columns_denied:  # whoever writes a condition chooses what its sides show
            found = [untold(trace) if trace.policy.name == self.candidate else trace for trace in found]
        if candidate is None:
            return judged(found, combine(found), await selecting if selecting else None, changed)
        return judged(found, combine(found), None, changed)

    async def completed(self, old: Texts) -> Texts:
        """The old row with its generated columns, which are computed from the others."""
        missing = {name: text for name, text in self.circumstances.generated.items() if name not in old}
        if not missing or not self.circumstances.schema_usage or self.circumstances.bypass:
            return old
        row = tuple_of(self.shape, old)
        found = await self.tracing.texts(self.identity, self.shape, row, list(missing.values()))
        texts = {name: text for name, text in zip(missing, found, strict=True) if not isinstance(text, Raised)}
        return {**old, **texts}


_NONE = Judged((), None)


async def _policies(tracing: Tracing, question: Question, circumstances: Circumstances) -> list[PolicyFacts]:
    candidate = question.candidate
    if candidate is None:
        return list(circumstances.policies)
    if not circumstances.may("SELECT"):
        role = question.identity.role
        raise InvalidInput(f"{role} has no SELECT on the table", hint="Without it no policy counts: grant it first.")
    member = await tracing.member(question.identity.role, candidate.roles)
    kept = [policy for policy in circumstances.policies if policy.name not in (candidate.replaces, candidate.name)]
    return [*kept, candidate.facts(member=member)]


def evidence_of(shape: Shape, view: View, values: Sequence[Texts], privileged: frozenset[str]) -> Evidence:
    """As the engine has it, but without its short cuts: nobody is left out because of who owns what."""
    access = {role: replace(each, owners=None) for role, each in view.access.get(shape.oid, {}).items()}
    return Evidence(shape, (), values=values, access=access, privileged=privileged)


def tuple_of(shape: Shape, values: Texts, stored: FetchedRow | None = None) -> Tuple:
    """The row as its table's type writes it, and where it is stored."""
    literal = row_literal([values.get(column.name) for column in shape.columns])
    if stored is None:
        return Tuple(literal)
    leaf, _, ctid = stored.ctid.rpartition(" ")
    return Tuple(literal, (leaf or str(shape.oid), ctid))


def _old_of(change: Change, relation: Relation, given: Texts | None) -> tuple[Texts | None, tuple[caveats.Caveat, ...]]:
    """The row before the change: what the asker knows, else what the log has."""
    if given is not None:
        return given, ()
    if change.old is None or not change.old_is_full:
        return None, ()
    named = dict(zip((column.name for column in relation.columns), change.old, strict=True))
    unchanged = [name for name, value in named.items() if value is UNCHANGED]
    extra = (caveats.caveat("unchanged_toast", ", ".join(unchanged)),) if unchanged else ()
    return {name: value for name, value in named.items() if isinstance(value, str) or value is None}, extra
