"""Asks policies one by one, and their parts, about one row as one identity: what explains the answer of the evaluator.

The same login and the same rules as the evaluator's: READ ONLY, in the reader's snapshot, always rolled back, role and claims set
anew for every question. One trace at a time: only admins ask, and nobody else may wait for them.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import psycopg
from psycopg.pq.abc import PGresult

from realtime_inspector.errors import DatabaseUnavailable
from realtime_inspector.model import Identity
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.circumstances import circumstances_of, facts_of
from realtime_inspector.postgres.connect import PINNED
from realtime_inspector.postgres.evaluator import BEGIN, END, LOCK_TIMEOUT_MS, path_of
from realtime_inspector.postgres.roundtrip import RoundTrips, Statement, text_array
from realtime_inspector.postgres.sql import quote_identifier, quote_literal, quote_table
from realtime_inspector.visibility.expressions import value_of
from realtime_inspector.visibility.facts import Shape
from realtime_inspector.visibility.trace import Circumstances, LeafTrace, PolicyTrace, Raised, Result, answered

Answer = str | Raised | None
"""What an expression came to, as text."""
LONGEST_SECONDS = 30.0
"""However many rows and identities one question is about: a candidate may be slow on purpose."""
LONGEST_VALUE = 500
"""Characters that are shown of a side's value."""


@dataclass(frozen=True, slots=True)
class Tuple:
    """A row as a literal of its table's type. `place`: oid of the table or partition and ctid, if it is stored."""

    literal: str
    place: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Which policies to ask about which row of a relation, as whom."""

    identity: Identity
    shape: Shape
    row: Tuple
    policies: Sequence[PolicyTrace]


class Tracer:
    """One connection of the evaluator login."""

    def __init__(self, url: str, *, statement_timeout_ms: int, search_path: str) -> None:
        self._url = url
        self._deadline = statement_timeout_ms / 1000 + 1.0
        limits = {"statement_timeout": str(statement_timeout_ms), "lock_timeout": str(LOCK_TIMEOUT_MS)}
        self._settings = {**PINNED, **limits, "standard_conforming_strings": "on"}
        self._path = path_of(search_path)
        self._trips: RoundTrips | None = None
        self._turn = asyncio.Lock()

    async def close(self) -> None:
        """Ends the connection; the next trace makes a new one."""
        trips, self._trips = self._trips, None
        if trips is not None:
            trips.close()

    @asynccontextmanager
    async def within(self, snapshot: str | None) -> AsyncIterator["Tracing"]:
        """A transaction in this snapshot, or one of its own, for as long as the block lasts. Raises DatabaseUnavailable."""
        async with self._turn:
            try:
                trips = await self._connected()
                # An empty search_path, so that what the catalogue writes down has every name in full.
                imported = [Statement(f"set transaction snapshot {quote_literal(snapshot)}")] if snapshot else []
                yield Tracing(trips, self._deadline, [BEGIN, *imported], self._path)
                trips.tell(*END)
            except TimeoutError as error:
                await self.close()
                raise DatabaseUnavailable(
                    "The policies take too long", hint="Ask about fewer rows, or mend what is slow."
                ) from error
            except (psycopg.Error, OSError) as error:
                await self.close()
                raise DatabaseUnavailable(f"the trace failed: {error}") from error
            except BaseException:
                await self.close()
                raise

    async def _connected(self) -> RoundTrips:
        if self._trips is None:
            self._trips = await RoundTrips.open(self._url, "tracer", self._settings, prepares=False)
            async with asyncio.timeout(self._deadline):
                await self._trips.ask(Statement(sql.load("trace")))
        return self._trips


class Tracing:
    """An open transaction of the tracer."""

    def __init__(self, trips: RoundTrips, deadline: float, opening: Sequence[Statement], path: str) -> None:
        self._trips = trips
        self._deadline = deadline
        self._opening = list(opening)
        self._path = path

    async def circumstances(self, oid: int, roles: Sequence[str]) -> dict[str, Circumstances]:
        """By role, without those that do not exist; nothing for a relation that does not."""
        questions = [facts_of(oid, role) for role in roles]
        results = await self._ask(Statement("set local search_path = ''"), *questions)
        return circumstances_of(roles, results[1:])

    async def member(self, role: str, names: Sequence[str]) -> bool:
        """Whether a policy for these roles would count for this one."""
        (result,) = await self._ask(Statement(sql.load("counts_for"), (role.encode(), text_array(names))))
        return result.get_value(0, 0) == b"t"

    async def trace(self, inquiries: Sequence[Inquiry]) -> list[list[PolicyTrace]]:
        """The policies of each inquiry with their answers, those that do not apply as they were."""
        calls = [(inquiry, source, asked) for inquiry in inquiries for source, asked in _by_source(inquiry)]
        statements = [_call(inquiry, source, asked) for inquiry, source, asked in calls]
        found: dict[tuple[int, str], PolicyTrace] = {}
        results = await self._ask(Statement(f"set local search_path = {self._path}"), *statements)
        for (inquiry, _, asked), result in zip(calls, results[1:], strict=True):
            answers = _answers(result)
            for policy in asked:
                found[id(inquiry), policy.policy.name] = _taken(policy, answers)
        return [[found.get((id(each), p.policy.name), p) for p in each.policies] for each in inquiries]

    async def truths(
        self, shape: Shape, asked: Sequence[tuple[Identity, Tuple]], conditions: Sequence[str], *, odd: bool = False
    ) -> list[list[Result]]:
        """What conditions come to for each identity and row, in one round trip. `odd`: some look at where the row is stored."""
        if not asked or not conditions:
            return [[] for _ in asked]
        items = [_truth(condition) for condition in conditions]
        source = _source(shape)
        statements = [
            _statement(identity, _with_place(shape, row) if odd else source, row.literal, items) for identity, row in asked
        ]
        results = await self._ask(Statement(f"set local search_path = {self._path}"), *statements)
        return [[_result(answer) for answer in _answers(result)] for result in results[1:]]

    async def texts(self, identity: Identity, shape: Shape, row: Tuple, expressions: Sequence[str]) -> list[Answer]:
        """What expressions over the row come to, as text."""
        items = [_shown(expression) for expression in expressions]
        path = Statement(f"set local search_path = {self._path}")
        _, result = await self._ask(path, _statement(identity, _source(shape), row.literal, items))
        return list(_answers(result))

    async def _ask(self, *statements: Statement) -> list[PGresult]:
        opening, self._opening = self._opening, []
        async with asyncio.timeout(min(self._deadline * len(statements), LONGEST_SECONDS)):
            return (await self._trips.ask(*opening, *statements))[len(opening) :]


def _by_source(inquiry: Inquiry) -> list[tuple[str, list[PolicyTrace]]]:
    """The policies to ask, by what they can be asked of: system columns have to be put beside the row's own."""
    asked = [trace for trace in inquiry.policies if trace.applicable and trace.tree is not None]
    odd = [trace for trace in asked if trace.policy.system_columns and inquiry.row.place]
    plain = [trace for trace in asked if trace not in odd]
    sources = [(_source(inquiry.shape), plain), (_with_place(inquiry.shape, inquiry.row), odd)]
    return [(source, traces) for source, traces in sources if traces]


def _source(shape: Shape) -> str:
    """The alias is the table's bare name, because sub-selects in policies refer to its columns by it."""
    return f"pg_catalog.unnest(array[$1::{quote_table(shape.schema, shape.name)}]) as {quote_identifier(shape.name)}"


def _with_place(shape: Shape, row: Tuple) -> str:
    table, ctid = row.place or ("0", "(0,0)")
    system = f"{quote_literal(table)}::pg_catalog.oid as tableoid, {quote_literal(ctid)}::pg_catalog.tid as ctid"
    rows = f"pg_catalog.unnest(array[$1::{quote_table(shape.schema, shape.name)}]) as _rti_row"
    return f"(select _rti_row.*, {system} from {rows}) as {quote_identifier(shape.name)}"


def _call(inquiry: Inquiry, source: str, asked: Sequence[PolicyTrace]) -> Statement:
    items = [item for trace in asked for item in _items(trace)]
    return _statement(inquiry.identity, source, inquiry.row.literal, items)


def _statement(identity: Identity, source: str, literal: str, items: Sequence[str]) -> Statement:
    texts = [text.encode() for text in (identity.role, identity.claims, source, literal)]
    return Statement("select * from pg_temp.rti_trace($1, $2, $3, $4, $5)", (*texts, text_array(items)))


def _items(trace: PolicyTrace) -> Iterator[str]:
    yield _truth(trace.expression)
    for leaf in trace.leaves:
        if len(trace.leaves) > 1 or trace.tree is None or trace.tree.kind == "not":
            yield _truth(leaf.expression)
        if leaf.sides is not None:
            left, right = value_of(leaf.sides)
            yield _shown(left)
            if right is not None:
                yield _shown(right)


def _taken(trace: PolicyTrace, answers: Iterator[Answer]) -> PolicyTrace:
    """The same walk as that of _items, with the answers in its order."""
    whole = _result(next(answers))
    leaves: list[LeafTrace] = []
    for leaf in trace.leaves:
        alone = len(trace.leaves) > 1 or trace.tree is None or trace.tree.kind == "not"
        leaf = replace(leaf, result=_result(next(answers)) if alone else whole)
        if leaf.sides is not None:
            left = next(answers)
            right = next(answers) if leaf.sides.right is not None else None
            leaf = replace(leaf, left=_text(left), right=_text(right))
        leaves.append(leaf)
    return answered(trace, whole, leaves)


def _truth(expression: str) -> str:
    return f"(({expression}) and true)::pg_catalog.text"


def _shown(expression: str) -> str:
    """A value as its type's output function writes it: a cast to text might be the application's."""
    text = f"pg_catalog.left(pg_catalog.format('%s', _rti_v), {LONGEST_VALUE})"
    known = f"case when pg_catalog.num_nulls(_rti_v) operator(pg_catalog.=) 0 then {text} end"
    return f"(select {known} from (select {expression} as _rti_v offset 0) as _rti_s)"


def _result(answer: Answer) -> Result:
    return answer if answer is None or isinstance(answer, Raised) else answer == "true"


def _text(answer: Answer) -> str | None:
    return f"raises {answer.sqlstate}" if isinstance(answer, Raised) else answer


def _answers(result: PGresult) -> Iterator[Answer]:
    for row in range(result.ntuples):
        value, error, message = (result.get_value(row, column) for column in (1, 2, 3))
        if error is not None:
            yield Raised(error.decode(), (message or b"").decode("utf-8", "replace"))
        else:
            yield None if value is None else value.decode("utf-8", "replace")
