"""The unprivileged login that becomes each subscriber in turn and says which rows each may see.

Rules of this room: the login is NOSUPERUSER NOBYPASSRLS NOINHERIT and a member of the assumable roles only, never of a
privileged one. Every question runs in a READ ONLY transaction that imports the reader's snapshot and always ends in
ROLLBACK: policy code may do anything that its role may, but it changes nothing and outlives nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

import asyncpg

from realtime_inspector.errors import DatabaseUnavailable
from realtime_inspector.model import Identity
from realtime_inspector.postgres.connect import Connection, connect
from realtime_inspector.postgres.questions import Question
from realtime_inspector.postgres.sql import quote_literal
from realtime_inspector.visibility.verdicts import Sight

TIMEOUTS_PER_BATCH = 10
"""After so many statements of one batch ran into the timeout, whoever is still undecided is withheld."""
QUARANTINE_SECONDS = 30.0
"""Who ran into the timeout is not asked again for so long, or else every batch would wait for the same policy."""
WORTH_SPLITTING = 64
"""Identities from which on a question is divided between the connections."""
TIMED_OUT = "57014"
SETUP_TIMEOUT_MS = 10_000
PLANNER = {"enable_seqscan": "off", "jit": "off"}
"""A small table would be scanned whole, and a policy would then raise on rows that nobody asked about."""
END = "rollback; select pg_catalog.pg_advisory_unlock_all()"
"""Locks of the session are what a rollback leaves to a policy that took them."""

Sleepers = dict[tuple[str, Identity], float]
"""Whose policies ran into the timeout, by the name of the function that asked, and until when nobody asks them again."""


class Evaluator:
    """A few connections of the evaluator login, used for one batch at a time."""

    def __init__(self, url: str, *, connections: int, statement_timeout_ms: int, search_path: str) -> None:
        sleepers: Sleepers = {}
        self._lanes = [_Lane(url, statement_timeout_ms, search_path, sleepers) for _ in range(connections)]

    async def close(self) -> None:
        """Ends all connections; the next question makes new ones."""
        for lane in self._lanes:
            await lane.close()

    async def ask(self, snapshot: str, questions: Sequence[Question], *, patient: bool = True) -> list[dict[Identity, Sight]]:
        """One answer per question: the sight of each identity that sees anything or raised; absent ones see nothing.

        Raises DatabaseUnavailable when the batch has to be asked again: lost connection, shutdown and, while `patient`, what
        passes by itself, such as a lock. Without patience that is an error of the policy that met it.
        """
        shares = _divide(questions, len(self._lanes))
        lanes = [lane.ask(snapshot, share, patient) for lane, share in zip(self._lanes, shares, strict=True) if share]
        answers: list[dict[Identity, Sight]] = [{} for _ in questions]
        for share in await asyncio.gather(*lanes, return_exceptions=True):  # no lane is asked again while it is still busy
            if isinstance(share, BaseException):
                raise share
            for place, answer in share.items():
                answers[place].update(answer)
        return answers


class _Lane:
    """One connection and the functions that exist in its temporary schema."""

    def __init__(self, url: str, statement_timeout_ms: int, search_path: str, sleepers: Sleepers) -> None:
        self._url = url
        self._deadline = statement_timeout_ms / 1000 + 1.0
        self._begin = (
            f"set local statement_timeout = {int(statement_timeout_ms)}; set local lock_timeout = 200; "
            f"set local row_security = on; set local search_path = {_path(search_path)}"
        )
        self._sleepers = sleepers
        self._connection: Connection | None = None
        self._defined: set[str] = set()
        self._timeouts = 0
        self._patient = True

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def ask(self, snapshot: str, share: dict[int, Question], patient: bool) -> dict[int, dict[Identity, Sight]]:
        self._timeouts, self._patient = 0, patient
        try:
            return await self._ask(snapshot, share)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            await self.close()
            raise DatabaseUnavailable(f"the evaluator failed: {error}") from error
        except BaseException:
            await self.close()  # a cancelled statement leaves the connection in an unknown state
            raise

    async def _ask(self, snapshot: str, share: dict[int, Question]) -> dict[int, dict[Identity, Sight]]:
        """All questions in one transaction; if one does not come back at all, each is asked alone and divided."""
        connection = await self._connected()
        try:
            return await self._in_snapshot(connection, snapshot, share)
        except TimeoutError:
            await self.close()
            self._timeouts += 1
        answers: dict[int, dict[Identity, Sight]] = {}
        for place, question in share.items():
            pieces = [question] if len(share) > 1 else _halves(question)
            answers[place] = {}
            for piece in pieces:
                answers[place].update(await self._ask_within_budget(snapshot, piece, len(pieces) > 1 or len(share) > 1))
        return answers

    async def _ask_within_budget(self, snapshot: str, question: Question, smaller: bool) -> dict[Identity, Sight]:
        """Asks a smaller question; what cannot be made smaller, or not in time, is withheld as raised."""
        if not smaller or self._timeouts >= TIMEOUTS_PER_BATCH:
            return {identity: self._withheld(question, identity) for identity in question.identities}
        return (await self._ask(snapshot, {0: question}))[0]

    async def _in_snapshot(
        self, connection: Connection, snapshot: str, share: dict[int, Question]
    ) -> dict[int, dict[Identity, Sight]]:
        for question in share.values():
            await self._define(connection, question)
        await connection.execute(
            f"begin isolation level repeatable read read only; set transaction snapshot {quote_literal(snapshot)}; {self._begin}"
        )
        answers = {place: await self._answer(connection, question) for place, question in share.items()}
        await connection.execute(END)
        return answers

    async def _answer(self, connection: Connection, question: Question) -> dict[Identity, Sight]:
        """A call ends where it runs into the timeout; whoever took that long is withheld as raised, the rest is asked anew."""
        place = _places(question)
        now = asyncio.get_running_loop().time()
        asleep = [i for i in question.identities if self._sleepers.get((question.function.name, i), now) > now]
        answer = dict.fromkeys(asleep, _overdue(question))
        rest = [identity for identity in question.identities if identity not in answer]
        while rest:
            if self._timeouts >= TIMEOUTS_PER_BATCH:
                return answer | dict.fromkeys(rest, _overdue(question))
            rows = await self._call(connection, question, rest)
            stopped = rows.pop() if rows and rows[-1][4] == TIMED_OUT else None
            answer.update({rest[k - 1]: _sight(question, place, *found) for k, *found in rows})
            if stopped is None:
                return answer
            number, to_blame, *_ = stopped
            self._timeouts += 1
            rest = rest[number - 1 :]
            if to_blame or number == 1:
                sleeper = rest.pop(0)
                answer[sleeper] = self._withheld(question, sleeper)
        return answer

    async def _call(self, connection: Connection, question: Question, identities: Sequence[Identity]) -> list[asyncpg.Record]:
        return await connection.fetch(
            f"select * from pg_temp.{question.function.name}($1, $2, $3, $4)",
            question.wanted,
            [identity.role for identity in identities],
            [identity.claims for identity in identities],
            self._patient,
            timeout=self._deadline,
        )

    def _withheld(self, question: Question, identity: Identity) -> Sight:
        now = asyncio.get_running_loop().time()
        for known in [known for known, until in self._sleepers.items() if until <= now]:
            del self._sleepers[known]
        self._sleepers[question.function.name, identity] = now + QUARANTINE_SECONDS
        return _overdue(question)

    async def _define(self, connection: Connection, question: Question) -> None:
        if question.function.name not in self._defined:
            await connection.execute(question.function.definition)
            self._defined.add(question.function.name)

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(
                self._url,
                purpose="evaluator",
                statement_timeout_ms=SETUP_TIMEOUT_MS,
                read_only=False,
                prepared=False,  # a policy could put a statement of its own in the place of ours
                more=PLANNER,
            )
            self._defined.clear()
        return self._connection


def _divide(questions: Sequence[Question], lanes: int) -> list[dict[int, Question]]:
    """Gives each lane its share: large questions by slices of their identities, small ones whole to the first.

    Identities are sorted by role, because changing the role makes Postgres plan the row-level security again.
    """
    shares: list[dict[int, Question]] = [{} for _ in range(lanes)]
    for place, question in enumerate(questions):
        identities = sorted(question.identities, key=lambda identity: identity.role)
        pieces = lanes if len(identities) >= WORTH_SPLITTING else 1
        size = -(-len(identities) // pieces)
        for lane in range(pieces):
            if part := identities[lane * size : (lane + 1) * size]:
                shares[lane][place] = Question(question.function, question.wanted, part)
    return shares


def _overdue(question: Question) -> Sight:
    return Sight(raised=range(len(question.wanted)), error=TIMED_OUT)


def _halves(question: Question) -> list[Question]:
    middle = len(question.identities) // 2
    if middle == 0:
        return [question]
    parts = question.identities[:middle], question.identities[middle:]
    return [Question(question.function, question.wanted, part) for part in parts]


def _places(question: Question) -> Callable[[object], int]:
    """From what the function names a row by to the row's number: stored rows by ctid, others by their place from 1."""
    if question.function.argument != "tid":
        return lambda place: cast(int, place) - 1
    numbers: dict[object, int] = {ctid: number for number, ctid in enumerate(question.wanted)}
    return numbers.__getitem__


def _sight(
    question: Question,
    number: Callable[[object], int],
    everything: bool,
    visible: list[object] | None,
    raised: list[int] | None,
    error: str | None,
) -> Sight:
    return Sight(
        range(len(question.wanted)) if everything else sorted(map(number, visible or ())),
        tuple(place - 1 for place in raised or ()),
        error,
    )


def _path(search_path: str) -> str:
    """The application's search_path with pg_temp last, so that nothing temporary can stand in for a table or function."""
    names = [part.strip().strip('"') for part in search_path.split(",") if part.strip()]
    return ", ".join(quote_literal(name) for name in [*names, "pg_temp"])
