"""Tries policies before they exist, and says what each role may do, on rows that are sampled in one snapshot.

Nothing is created: conditions are evaluated over the rows, as the identity, by the login that may become it and nothing else.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from realtime_inspector.errors import DatabaseUnavailable, InvalidInput
from realtime_inspector.model import Identity, Relation, ReplicaIdentity
from realtime_inspector.pipeline.askers import about_rows
from realtime_inspector.pipeline.inquiry import evidence_of, tuple_of
from realtime_inspector.postgres.catalog import Catalog
from realtime_inspector.postgres.evaluator import Evaluator
from realtime_inspector.postgres.migration import migration
from realtime_inspector.postgres.snapshot import FetchedRow, RelationMoved, SnapshotReader, View, Wanted
from realtime_inspector.postgres.tracer import Tracer, Tracing
from realtime_inspector.settings import Settings
from realtime_inspector.visibility.asking import Candidate
from realtime_inspector.visibility.facts import Shape
from realtime_inspector.visibility.rehearsal import Cell, MatrixRow, Texts, Trial, state
from realtime_inspector.visibility.trace import (
    COMMANDS,
    Circumstances,
    Command,
    Result,
    Sighted,
    applicability,
    conditions,
    permitted,
)
from realtime_inspector.visibility.verdicts import BLIND, Sight

Table = tuple[str, str]
Rows = Sequence[tuple[FetchedRow, Texts]]


class Rehearsal:
    """One question at a time, with connections of its own."""

    def __init__(self, settings: Settings) -> None:
        timeout, url = settings.statement_timeout_ms, settings.evaluator_url
        self._settings = settings
        self._reader = SnapshotReader(settings.reader_url, timeout)
        self._evaluator = Evaluator(url, connections=1, statement_timeout_ms=timeout, search_path=settings.search_path)
        self._tracer = Tracer(url, statement_timeout_ms=timeout, search_path=settings.search_path)
        self._catalog = Catalog(url, statement_timeout_ms=timeout)
        self._turn = asyncio.Lock()

    async def close(self) -> None:
        """Ends all connections."""
        for part in (self._reader, self._evaluator, self._tracer, self._catalog):
            await part.close()

    async def trial(
        self, table: Table, candidate: Candidate, identities: Sequence[Identity], limit: int
    ) -> tuple[list[Trial], str]:
        """What the candidate would change for each identity, and the migration. Raises InvalidInput."""
        command: Command = "SELECT" if candidate.command == "ALL" else candidate.command
        shape = await self._shape(table)
        roles = sorted({identity.role for identity in identities})
        async with self._turn, self._sampled(shape, roles) as view:
            rows = await self._rows(shape, limit)
            async with self._tracer.within(view.snapshot) as tracing:
                known = await self._reader.circumstances(shape.oid, roles)
                if missing := [role for role in roles if role not in known]:
                    raise InvalidInput(f"The role {missing[0]!r} does not exist")
                trying = _Trying(tracing, shape, rows, command)
                trials = []
                for identity in identities:
                    changed = await _with(tracing, known[identity.role], identity.role, candidate)
                    seen = await self._selected(view, shape, rows, identity) if command == "SELECT" else None
                    trials.append(await trying.trial(identity, known[identity.role], changed, seen))
        security = next(iter(known.values())).row_security if known else True
        return trials, migration(*table, candidate, row_security=security)

    async def matrix(self, tables: Sequence[Table], identities: Sequence[Identity], limit: int) -> list[MatrixRow]:
        """What each identity may do in each table, by the rows that are sampled. Raises InvalidInput."""
        found = []
        roles = sorted({identity.role for identity in identities})
        for table in tables:
            shape = await self._shape(table)
            async with self._turn, self._sampled(shape, roles) as view:
                rows = await self._rows(shape, limit)
                async with self._tracer.within(view.snapshot) as tracing:
                    known = await self._reader.circumstances(shape.oid, roles)
                    for identity in identities:
                        if identity.role in known:
                            cells = await _cells(tracing, shape, rows, identity, known[identity.role])
                            found.append(MatrixRow(*table, identity, cells))
        return found

    @asynccontextmanager
    async def _sampled(self, shape: Shape, roles: Sequence[str]) -> AsyncIterator[View]:
        try:
            async with self._reader.open([], [Wanted(shape, [])], roles) as view:
                yield view
        except RelationMoved as error:
            raise DatabaseUnavailable("The table was altered just now", hint="Ask again.") from error

    async def _rows(self, shape: Shape, limit: int) -> Rows:
        fetched = await self._reader.sample(shape, limit)
        names = [name for name, _ in fetched.columns]
        return [(row, dict(zip(names, row.values, strict=True))) for row in fetched.rows.values()]

    async def _shape(self, table: Table) -> Shape:
        found = await self._catalog.named(*table, self._settings.publication)
        if found is None:
            raise InvalidInput(f"There is no table {'.'.join(table)}")
        (shape,) = await self._catalog.shapes([Relation(found[0], *table, ReplicaIdentity.DEFAULT, ())])
        if shape is None or shape.is_partition:
            raise InvalidInput(f"{'.'.join(table)} is a partition", hint="Its root has the policies that count: name that one.")
        return shape

    async def _selected(self, view: View, shape: Shape, rows: Rows, identity: Identity) -> Sight | None:
        """Which rows the identity sees by the code that decides about events; None where it is not asked."""
        evidence = evidence_of(shape, view, [values for _, values in rows], frozenset(self._settings.privileged_roles))
        standing = evidence.standing(identity.role)
        if standing.refused is not None or not standing.checked or not rows:
            return None
        ((question, _),) = about_rows(evidence, [identity], [row.ctid for row, _ in rows])
        (answer,) = await self._evaluator.ask(view.snapshot, [question], patient=False)
        return answer.get(identity, BLIND)


class _Trying:
    """One candidate and the sampled rows."""

    def __init__(self, tracing: Tracing, shape: Shape, rows: Rows, command: Command) -> None:
        self._tracing = tracing
        self._shape = shape
        self._rows = rows
        self._command = command

    async def trial(self, identity: Identity, now: Circumstances, then: Circumstances, seen: Sight | None) -> Trial:
        """Before and after, row by row. What is seen now is taken from the selection where there is one."""
        if not now.may(self._command):
            return Trial(identity, 0, 0, sampled=len(self._rows), error=f"{identity.role} has no {self._command} on the table")
        before = await self._permitted(identity, now)
        after = await self._permitted(identity, then)
        differs = 0
        if seen is not None:
            selected = [number in seen.rows for number in range(len(self._rows))]
            differs = sum(one != (other is Sighted.ALLOWED) for one, other in zip(selected, before, strict=True))
        first, last = [each is Sighted.ALLOWED for each in before], [each is Sighted.ALLOWED for each in after]
        shown = [now.shown(values) for _, values in self._rows]
        gained = [values for values, one, other in zip(shown, first, last, strict=True) if other and not one]
        lost = [values for values, one, other in zip(shown, first, last, strict=True) if one and not other]
        raising = sum(each is Sighted.RAISED for each in after)
        return Trial(identity, sum(first), sum(last), gained, lost, len(self._rows), raising, differs)

    async def _permitted(self, identity: Identity, circumstances: Circumstances) -> list[Sighted]:
        found = await _permitted(self._tracing, self._shape, self._rows, identity, circumstances, [self._command])
        return found[self._command]


async def _with(tracing: Tracing, now: Circumstances, role: str, candidate: Candidate) -> Circumstances:
    """As it would be: the candidate among the policies, and row-level security on."""
    facts = candidate.facts(member=await tracing.member(role, candidate.roles))
    kept = tuple(policy for policy in now.policies if policy.name not in (candidate.replaces, candidate.name))
    return msgspec.structs.replace(now, row_security=True, policies=(*kept, facts))


async def _cells(
    tracing: Tracing, shape: Shape, rows: Rows, identity: Identity, circumstances: Circumstances
) -> dict[Command, Cell]:
    granted = [command for command in COMMANDS if circumstances.may(command)]
    found = await _permitted(tracing, shape, rows, identity, circumstances, granted)
    cells: dict[Command, Cell] = {}
    for command in COMMANDS:
        names = tuple(p.name for p in circumstances.policies if not applicability(p, identity.role, command))
        if command not in found:
            cells[command] = Cell("no_grant", 0, len(rows), names)
            continue
        allowed = sum(each is Sighted.ALLOWED for each in found[command])
        raising = sum(each is Sighted.RAISED for each in found[command])
        cells[command] = Cell(state(allowed, raising, len(rows)), allowed, len(rows), names)
    return cells


async def _permitted(
    tracing: Tracing, shape: Shape, rows: Rows, identity: Identity, circumstances: Circumstances, commands: Sequence[Command]
) -> dict[Command, list[Sighted]]:
    """By command, what becomes of each row."""
    wanted = [] if circumstances.bypass else conditions(circumstances, identity.role, commands)
    odd = any(policy.system_columns for policy in circumstances.policies)
    asked = [(identity, tuple_of(shape, values, row)) for row, values in rows]
    answers = await tracing.truths(shape, asked, wanted, odd=odd)
    results: list[dict[str, Result]] = [dict(zip(wanted, answer, strict=True)) for answer in answers]
    return {command: [permitted(circumstances, identity.role, command, each) for each in results] for command in commands}
