"""The unprivileged login that becomes each subscriber in turn and says which rows each may see.

Rules of this room: the login is NOSUPERUSER NOBYPASSRLS NOINHERIT and a member of the assumable roles only, never of a
privileged one. Every question runs in a READ ONLY transaction that imports the reader's snapshot and always ends in
ROLLBACK: policy code may do anything that its role may, but it changes nothing and outlives nothing.
"""

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import NamedTuple

import psycopg
from psycopg.pq.abc import PGresult

from realtime_inspector.errors import DatabaseUnavailable
from realtime_inspector.model import Identity
from realtime_inspector.postgres.connect import CONNECT_SECONDS, PINNED
from realtime_inspector.postgres.questions import HURRY_MS, Question
from realtime_inspector.postgres.raised import Raised
from realtime_inspector.postgres.roundtrip import RoundTrips, Statement, Stuck, text_array
from realtime_inspector.postgres.sql import quote_literal
from realtime_inspector.visibility.verdicts import Sight

TIMEOUTS_PER_BATCH = 10
"""After so many statements of one batch ran into the timeout, whoever is still undecided is withheld."""
WAITS_PER_BATCH = 2
"""So many slow ones each connection waits for in a batch, when hurried; then whoever is still undecided is late."""
QUARANTINE_SECONDS = 30.0
"""Who ran into the timeout is not asked again for so long, or else every batch would wait for the same policy."""
LONGEST_QUARANTINE = 300.0
"""Each next time is twice as long, up to this: then others wait for less than a hundredth of the time."""
WORTH_SPLITTING = 64
"""Identities from which on a question is divided between the connections."""
CHECKS_PER_CALL = 100_000
"""Rows times identities in one statement, so that in a large batch none takes long only because of their number."""
TIMED_OUT, MISTAKEN = "57014", "RTI01"
"""The second one is ours: see visible.sql."""
LOCK_TIMEOUT_MS = 200
PLANNER = {"enable_seqscan": "off", "jit": "off", "max_parallel_workers_per_gather": "0"}
"""A small table would be scanned whole, and a policy would then raise on rows that nobody asked about."""
BEGIN = Statement("begin isolation level repeatable read read only")
WATCHED = Statement(
    "select pg_catalog.set_config('client_connection_check_interval', '2000', false)"
    " where pg_catalog.version() operator(pg_catalog.~) 'linux'"
)
"""Where the server can, it ends what still runs when this process does not live any more; elsewhere the setting is refused."""
END = tuple(map(Statement, ("rollback", "deallocate all", "select pg_catalog.pg_advisory_unlock_all()")))
"""Prepared statements and locks of the session are what a rollback leaves to a policy that made them."""

END_BUSY = """select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity
where coalesce(state operator(pg_catalog.!~) '^idle', true) and pid operator(pg_catalog.=)"""
"""Which process follows. One that is idle has answered, or was never asked: the network is silent."""

Call = tuple[int, Question]
"""A question or a part of one, and its place in the batch."""
Answers = Sequence[dict[Identity, Sight]]
"""What was found about each question of the batch."""


class NotWhoWasMeant(Exception):
    """The statement would have asked as somebody else, or with the right to write. Nothing that it says may be delivered."""


class Quarantine(NamedTuple):
    """Until when nobody asks, and for how long that was."""

    until: float
    seconds: float


HANGING_SECONDS = 0.4
"""So much longer than the limit a hurried call may take before it counts as one that does not come back."""
LATE = Sight(late=True)
"""Stands for an answer that was not waited for."""
SLOW = Sight(late=True, slow=True)
"""The same for one who is to blame for it."""
ENDLESS = Sight(late=True, slow=True, endless=True)
"""And for one whose policies go on after they were cancelled."""
AWAKE = Quarantine(0.0, 0.0)
Sleepers = dict[tuple[str, Identity], Quarantine]
"""Whose policies ran into the timeout, by the name of the function that asked."""


class Evaluator:
    """A few connections of the evaluator login, used for one batch at a time.

    `hurried`: what takes longer than HURRY_MS is not waited for; those whom it concerns are LATE.
    """

    def __init__(self, url: str, *, connections: int, statement_timeout_ms: int, search_path: str, hurried: bool = False) -> None:
        self.hurried = hurried
        self._raised = Raised()
        sleepers: Sleepers = {}
        self._lanes = [_Lane(url, statement_timeout_ms, search_path, sleepers, hurried) for _ in range(connections)]

    async def close(self) -> None:
        """Ends all connections; the next question makes new ones."""
        for lane in self._lanes:
            lane.close()

    async def ask(self, snapshot: str, questions: Sequence[Question], *, patient: bool = True) -> list[dict[Identity, Sight]]:
        """One answer per question: the sight of each identity that sees anything or raised; absent ones see nothing.

        Raises DatabaseUnavailable when the batch has to be asked again: lost connection, shutdown and, while `patient`, what
        passes by itself, such as a lock. Without patience that is an error of the policy that met it.
        """
        shares = _divide(questions, len(self._lanes))
        answers: Answers = [{} for _ in questions]
        asking = [lane.ask(snapshot, share, answers, patient) for lane, share in zip(self._lanes, shares, strict=True) if share]
        for outcome in await asyncio.gather(*asking, return_exceptions=True):  # no lane is asked again while it is still busy
            if outcome is not None:
                raise outcome
        for question, answer in zip(questions, answers, strict=True):
            self._raised.name(question, answer)
        return list(answers)


class _Lane:
    """One connection and the functions that exist in its temporary schema.

    No statement is prepared under a name: a policy could put one of its own in the place of ours.
    """

    def __init__(self, url: str, statement_timeout_ms: int, search_path: str, sleepers: Sleepers, hurried: bool) -> None:
        self._url = url
        self._hurried = hurried
        self._define_seconds = statement_timeout_ms / 1000 + 1.0
        limit_ms = min(statement_timeout_ms, HURRY_MS) if hurried else statement_timeout_ms
        self._patience = limit_ms / 1000 + (HANGING_SECONDS if hurried else 1.0)
        limits = {"statement_timeout": str(statement_timeout_ms), "lock_timeout": str(LOCK_TIMEOUT_MS)}
        self._settings = {**PINNED, **PLANNER, **limits}
        local = f"set local search_path = {path_of(search_path)}", f"set local statement_timeout = {limit_ms}"
        self._local = tuple(map(Statement, local))
        self._sleepers = sleepers
        self._trips: RoundTrips | None = None
        self._defined: set[str] = set()
        self._timeouts = 0
        self._patient = True

    def close(self) -> None:
        trips, self._trips = self._trips, None
        if trips is not None:
            trips.close()

    async def ask(self, snapshot: str, share: Sequence[Call], answers: Answers, patient: bool) -> None:
        self._timeouts, self._patient = 0, patient and not self._hurried
        try:
            await self._ask(snapshot, share, answers)
        except (psycopg.Error, OSError, TimeoutError) as error:
            self.close()
            if isinstance(error, psycopg.Error) and error.sqlstate == MISTAKEN:
                raise NotWhoWasMeant("the evaluator was not who it should be") from error
            raise DatabaseUnavailable(f"the evaluator failed: {error}") from error
        except BaseException:
            self.close()  # a cancelled statement leaves the connection in an unknown state
            raise

    async def _ask(self, snapshot: str, share: Sequence[Call], answers: Answers) -> None:
        """All calls in one transaction; one that does not come back at all is divided, and those after it are asked again."""
        waiting = list(share)
        while waiting:
            trips = await self._connected()
            waiting, stuck = await self._in_snapshot(trips, snapshot, waiting, answers)
            if stuck is None:
                return
            self.close()
            await self._end(trips.backend)
            self._timeouts += 1
            if self._hurried:
                _answer([stuck], answers, ENDLESS)
            elif len(stuck[1].identities) > 1 and self._timeouts < TIMEOUTS_PER_BATCH:
                waiting = [*_halves(stuck), *waiting]
            else:
                self._withhold([stuck], answers)
            if self._hurried and self._timeouts >= WAITS_PER_BATCH:
                _answer(waiting, answers, LATE)
                return
            if self._timeouts >= TIMEOUTS_PER_BATCH:
                self._withhold(waiting, answers)
                return

    async def _in_snapshot(
        self, trips: RoundTrips, snapshot: str, share: Sequence[Call], answers: Answers
    ) -> tuple[list[Call], Call | None]:
        """One round trip; another one for those who come after somebody whose policies ran into the timeout.

        Gives what has to be asked on another connection, and the call that did not come back on this one.
        """
        awake = [(place, self._awake(question, answers[place])) for place, question in share]
        calls = [(place, question) for place, question in awake if question.identities]
        if not calls:
            return [], None
        await self._define(trips, calls)
        before = [BEGIN, Statement(f"set transaction snapshot {quote_literal(snapshot)}"), *self._local]
        while calls:
            last, stuck = len(calls) - 1, False
            asked = [_call(question, self._patient, promptly=n != last) for n, (_, question) in enumerate(calls)]
            try:
                results: Sequence[PGresult] = await trips.ask(*before, *asked, patience=self._patience)
            except Stuck as error:
                results, stuck = error.results, True
            found = results[len(before) :]
            left = [
                (place, rest)
                for (place, question), result in zip(calls, found, strict=not stuck)
                if (rest := self._take(question, result, answers[place]))
            ]
            if stuck:
                return [*left, *calls[len(found) + 1 :]], calls[len(found)]
            calls, before = left, []
        trips.tell(*END)
        return [], None

    def _awake(self, question: Question, answer: dict[Identity, Sight]) -> Question:
        """Without those who are not asked for a while."""
        now, name = monotonic(), question.function.name
        asleep = [i for i in question.identities if self._sleepers.get((name, i), AWAKE).until > now] if self._sleepers else []
        answer.update(dict.fromkeys(asleep, _overdue(question)))
        return _about(question, [i for i in question.identities if i not in answer]) if asleep else question

    def _take(self, question: Question, result: PGresult, answer: dict[Identity, Sight]) -> Question | None:
        """A call ends where it runs into the timeout: whoever took that long is withheld as raised, the rest has to be asked."""
        rows = result.ntuples
        stopped = rows > 0 and result.get_value(rows - 1, 4) == TIMED_OUT.encode()
        sights = _sights(question, result, rows - stopped)
        if self._hurried:
            answer.update({i: SLOW if _passes(sight.error) else sight for i, sight in sights.items()})
        else:
            answer.update(sights)
        if not stopped:
            return None
        number, to_blame = int(result.get_value(rows - 1, 0) or b""), result.get_value(rows - 1, 1) == b"t"
        rest = list(question.identities[number - 1 :])
        if self._hurried and number > 1 and not to_blame:  # they are many: it is nobody's fault
            return _about(question, rest)
        if question.plain:  # nobody knows who of many took so long: they are asked one by one
            return Question(question.function, question.wanted, rest)
        self._timeouts += 1
        if self._hurried:
            answer[rest.pop(0)] = SLOW
            if self._timeouts >= WAITS_PER_BATCH:
                answer.update(dict.fromkeys(rest, LATE))
                return None
        elif to_blame or number == 1:
            sleeper = rest.pop(0)
            answer[sleeper] = self._withheld(question, sleeper)
        if self._timeouts >= TIMEOUTS_PER_BATCH:
            answer.update(dict.fromkeys(rest, _overdue(question)))
            return None
        return _about(question, rest) if rest else None

    def _withhold(self, calls: Sequence[Call], answers: Answers) -> None:
        for place, question in calls:
            answers[place].update({identity: self._withheld(question, identity) for identity in question.identities})

    def _withheld(self, question: Question, identity: Identity) -> Sight:
        now, who = monotonic(), (question.function.name, identity)
        for known in [known for known, sleep in self._sleepers.items() if sleep.until + sleep.seconds <= now]:
            del self._sleepers[known]
        before = self._sleepers.get(who)
        seconds = QUARANTINE_SECONDS if before is None else min(2 * before.seconds, LONGEST_QUARANTINE)
        self._sleepers[who] = Quarantine(now + seconds, seconds)
        return _overdue(question)

    async def _define(self, trips: RoundTrips, calls: Sequence[Call]) -> None:
        missing = {q.function.name: q.function.definition for _, q in calls if q.function.name not in self._defined}
        if missing:
            async with asyncio.timeout(self._define_seconds * len(missing)):
                await trips.ask(*map(Statement, missing.values()))
            self._defined.update(missing)

    async def _connected(self) -> RoundTrips:
        if self._trips is None:
            self._trips = trips = await RoundTrips.open(self._url, "evaluator", self._settings, prepares=False)
            self._defined.clear()
            async with asyncio.timeout(CONNECT_SECONDS):
                await trips.ask(WATCHED)
        return self._trips

    async def _end(self, backend: int) -> None:
        """Ends the process of a connection that was given up: a policy that swallows its cancellation would keep it for ever.

        Raises TimeoutError, and what else a question does, where nothing is wrong with the policy, but with the network.
        """
        trips = await self._connected()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                (ended,) = await trips.ask(Statement(f"{END_BUSY} {backend:d}"))
            if not ended.ntuples:
                raise TimeoutError("an answer was lost")
        except psycopg.errors.InsufficientPrivilege:  # somebody took it away
            self.close()


def _divide(questions: Sequence[Question], lanes: int) -> list[list[Call]]:
    """Gives each lane its share: large questions by slices of their identities, small ones whole to the first.

    Identities are sorted by role, because changing the role makes Postgres plan the row-level security again.
    """
    shares: list[list[Call]] = [[] for _ in range(lanes)]
    for place, question in enumerate(questions):
        identities = sorted(question.identities, key=lambda identity: identity.role)
        pieces = lanes if len(identities) >= WORTH_SPLITTING else 1
        size = -(-len(identities) // pieces)
        step = max(1, min(size, CHECKS_PER_CALL // len(question.wanted)))
        for lane in range(pieces):
            mine = identities[lane * size : (lane + 1) * size]
            shares[lane] += [(place, _about(question, mine[start : start + step])) for start in range(0, len(mine), step)]
    return shares


def _about(question: Question, identities: Sequence[Identity]) -> Question:
    return Question(question.function, question.wanted, identities, question.plain)


def _passes(error: str | None) -> bool:
    """Whether a policy met something that passes by itself, such as a lock; see visible.sql."""
    return error is not None and (error == "55P03" or error[:2] in ("40", "53"))


def _overdue(question: Question) -> Sight:
    return Sight(raised=range(len(question.wanted)), error=TIMED_OUT, slow=True)


def _answer(calls: Sequence[Call], answers: Answers, sight: Sight) -> None:
    """For those who have no answer yet."""
    for place, question in calls:
        answers[place].update({i: sight for i in question.identities if i not in answers[place]})


def _halves(call: Call) -> list[Call]:
    place, question = call
    middle = len(question.identities) // 2
    return [(place, _about(question, part)) for part in (question.identities[:middle], question.identities[middle:])]


def _call(question: Question, patient: bool, *, promptly: bool) -> Statement:
    kind = question.function.argument
    return Statement(
        f"select * from pg_temp.{question.function.name}($1::pg_catalog.text[]::pg_catalog.{kind}[], $2, $3, $4, $5)",
        (
            text_array(question.wanted),
            text_array([identity.role for identity in question.identities]),
            text_array([identity.claims for identity in question.identities]),
            b"\x01" if patient else b"\x00",
            b"\x01" if question.plain else b"\x00",
        ),
        promptly,
    )


def _sights(question: Question, result: PGresult, rows: int) -> dict[Identity, Sight]:
    """From the columns of visible.sql, which names stored rows by ctid, others by their place from 1."""
    everything = range(len(question.wanted))
    by_ctid = {ctid: number for number, ctid in enumerate(question.wanted)} if question.function.argument == "tid" else None
    sights = {}
    for row in range(rows):
        identity, all_of_them, visible, raised, error = (result.get_value(row, column) for column in range(5))
        seen: Sequence[int] = everything
        if all_of_them != b"t":
            seen = _numbers(visible) if by_ctid is None else sorted([by_ctid[ctid] for ctid in _ctids(visible)])
        code = None if error is None else error.decode()
        slow = result.get_value(row, 5) == b"t" or _passes(code)
        sight = Sight(seen, tuple(_numbers(raised)), code, slow=slow)
        sights[question.identities[int(identity or 0) - 1]] = sight
    return sights


def _numbers(places: bytes | None) -> list[int]:
    """From an array of places from 1, such as {1,2}, to numbers from 0."""
    return sorted([int(place) - 1 for place in places[1:-1].split(b",")]) if places else []


def _ctids(array: bytes | None) -> list[str]:
    """The elements of an array such as {"(0,1)","(0,2)"}."""
    return array[2:-2].decode().split('","') if array else []


def path_of(search_path: str) -> str:
    """The application's search_path with pg_temp last, so that nothing temporary can stand in for a table or function."""
    names = [part.strip().strip('"') for part in search_path.split(",") if part.strip()]
    return ", ".join(quote_literal(name) for name in [*names, "pg_temp"])
