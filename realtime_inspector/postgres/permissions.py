"""Asks the policies on realtime.messages who may receive and send on a private channel.

Rules of this room: the evaluator login asks, which can do nothing of its own; everything happens in a transaction that is always
rolled back; what cannot be asked is denied, and why stands in the log. A policy that sleeps keeps those waiting who are asked as
the same identity, and nobody else.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from hashlib import blake2b
from time import monotonic
from typing import Final
from weakref import WeakValueDictionary

import psycopg
import structlog
from psycopg.pq.abc import PGresult

from realtime_inspector.errors import DatabaseBusy, DatabaseUnavailable, SetupError
from realtime_inspector.model import Extension, Identity, Right, Rights
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.connect import PINNED
from realtime_inspector.postgres.evaluator import LOCK_TIMEOUT_MS, path_of
from realtime_inspector.postgres.roundtrip import RoundTrips, Statement
from realtime_inspector.postgres.waiting import Waiting

BEGIN: Final = Statement("begin")
END: Final = tuple(map(Statement, ("rollback", "deallocate all", "select pg_catalog.pg_advisory_unlock_all()")))
ASK: Final = "select * from realtime_inspector.probe($1, $2, $3, $4, $5)"
WAIT_SECONDS: Final = 8.0
"""So long a question waits for a connection: clients wait for ten."""
QUARANTINE_SECONDS: Final = 30.0
"""Who ran into the timeout with a topic is denied it for so long, without being asked."""
AGAIN_SECONDS: Final = 60.0
"""So long the same error is not written down again."""
REMEMBERED: Final = 10_000
EVERYTHING: Final = frozenset(Extension)
UNPREPARED: Final = (psycopg.errors.UndefinedFunction, psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedTable)
_log = structlog.get_logger(__name__)
_Key = tuple[Identity, str, Right]


class Permissions:
    """A few connections of the evaluator login. `privileged`: roles that may do everything, as Postgres would say."""

    def __init__(
        self, url: str, *, connections: int, statement_timeout_ms: int, search_path: str, privileged: Iterable[str]
    ) -> None:
        self._lanes = [_Lane(url, statement_timeout_ms, search_path) for _ in range(connections)]
        self._free = list(self._lanes)
        self._room = asyncio.Condition()
        self._privileged = frozenset(privileged)
        self._share = max(1, connections // 2)
        self._gates: WeakValueDictionary[Identity, asyncio.Semaphore] = WeakValueDictionary()
        self._asleep: dict[_Key, float] = {}
        self._told: dict[str, float] = {}
        self._waiting: Waiting[tuple[_Key, str], Rights] = Waiting()

    async def close(self) -> None:
        """Ends all connections."""
        for lane in self._lanes:
            lane.close()

    async def ask(self, identity: Identity, headers: str, topic: str, right: Right) -> Rights:
        """What the identity may do on the private channel. `headers`: of its connection, a JSON object's text.

        Equal questions that wait for a connection are asked once.
        Raises DatabaseBusy when all connections are busy for too long, DatabaseUnavailable, and SetupError without the table.
        """
        if identity.role in self._privileged:
            return Rights(right, EVERYTHING)
        key = identity, topic, right
        if self._asleep.get(key, 0.0) > monotonic():
            return self._denied(key, psycopg.errors.QueryCanceled.sqlstate or "", "still too slow to be asked again")
        return await self._waiting.answer((key, headers), lambda: self._ask(key, headers))

    async def version(self) -> str:
        """Changes whenever the policies, or what they depend on apart from data, do. Raises as `ask`."""
        try:
            async with self._lane(Identity("", "")) as lane:
                result = await lane.ask(Statement(sql.load("policies_version")), Statement("begin read only"))
        except (psycopg.errors.QueryCanceled, TimeoutError) as error:
            raise DatabaseBusy from error
        return (result.get_value(0, 0) or b"").decode("utf-8", "replace") if result.ntuples else ""

    async def _ask(self, key: _Key, headers: str) -> Rights:
        try:
            async with self._lane(key[0]) as lane:
                self._waiting.begin((key, headers))
                result = await lane.ask(_question(key, headers), BEGIN)
        except psycopg.errors.QueryCanceled as error:
            return self._overdue(key, str(error))
        except TimeoutError as error:
            return self._overdue(key, f"no answer in time: {error}")
        return self._understood(key, result)

    def _understood(self, key: _Key, result: PGresult) -> Rights:
        allowed, raised = set(), ""
        for row in range(result.ntuples):
            extension, answer, error, said = (result.get_value(row, column) for column in range(4))
            if answer == b"t":
                allowed.add(Extension((extension or b"").decode()))
            elif error is not None:
                raised = self._name(key, error.decode(), (said or b"").decode("utf-8", "replace"))
        return Rights(key[2], frozenset(allowed), raised)

    def _overdue(self, key: _Key, said: str) -> Rights:
        now = monotonic()
        if len(self._asleep) >= REMEMBERED:
            self._asleep = {known: until for known, until in self._asleep.items() if until > now}
        self._asleep[key] = now + QUARANTINE_SECONDS
        return self._denied(key, psycopg.errors.QueryCanceled.sqlstate or "", said)

    def _denied(self, key: _Key, sqlstate: str, said: str) -> Rights:
        return Rights(key[2], frozenset(), self._name(key, sqlstate, said))

    def _name(self, key: _Key, sqlstate: str, said: str) -> str:
        """The error's name, under which the log says more, now and then."""
        identity, topic, right = key
        error_id = blake2b(f"{identity.role}\n{right}\n{sqlstate}\n{said}".encode(), digest_size=4).hexdigest()
        now = monotonic()
        if self._told.get(error_id, now - AGAIN_SECONDS) <= now - AGAIN_SECONDS:
            if len(self._told) >= REMEMBERED:
                self._told.clear()
            self._told[error_id] = now
            _log.warning(
                "channel_policy_raised",
                error_id=error_id,
                topic=topic,
                role=identity.role,
                right=right,
                sqlstate=sqlstate,
                reason=said[:500],
            )
        return error_id

    @asynccontextmanager
    async def _lane(self, identity: Identity) -> "AsyncIterator[_Lane]":
        """A connection for this question alone; one identity never has all of them."""
        gate = self._gates.get(identity)
        if gate is None:
            gate = self._gates[identity] = asyncio.Semaphore(self._share)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await gate.acquire()
        except TimeoutError:
            raise DatabaseBusy from None
        try:
            lane = await self._next()
            try:
                yield lane
            finally:
                self._free.append(lane)
                async with self._room:
                    self._room.notify()
        finally:
            gate.release()

    async def _next(self) -> "_Lane":
        try:
            async with asyncio.timeout(WAIT_SECONDS), self._room:
                await self._room.wait_for(lambda: self._free)
                return self._free.pop()
        except TimeoutError:
            raise DatabaseBusy from None


class _Lane:
    """One connection. No statement is prepared under a name: a policy could put one of its own in the place of ours."""

    def __init__(self, url: str, statement_timeout_ms: int, path: str) -> None:
        self._url = url
        self._deadline = statement_timeout_ms / 1000 + 1.0
        limits = {"statement_timeout": str(statement_timeout_ms), "lock_timeout": str(LOCK_TIMEOUT_MS)}
        self._settings = {**PINNED, **limits}
        self._path = Statement(f"set local search_path = {path_of(path)}")
        self._trips: RoundTrips | None = None

    def close(self) -> None:
        trips, self._trips = self._trips, None
        if trips is not None:
            trips.close()

    async def ask(self, question: Statement, begin: Statement) -> PGresult:
        """One statement in a transaction that is rolled back."""
        try:
            if self._trips is None:
                self._trips = await RoundTrips.open(self._url, "permissions", self._settings, prepares=False)
            async with asyncio.timeout(self._deadline):
                result = (await self._trips.ask(begin, self._path, question))[-1]
            self._trips.tell(*END)
        except (psycopg.errors.QueryCanceled, TimeoutError):
            self.close()
            raise
        except UNPREPARED as error:
            self.close()
            raise SetupError("The database is not prepared for private channels") from error
        except (psycopg.Error, OSError) as error:
            self.close()
            raise DatabaseUnavailable from error
        except BaseException:
            self.close()  # a cancelled statement leaves the connection in an unknown state
            raise
        return result


def _question(key: _Key, headers: str) -> Statement:
    identity, topic, right = key
    texts = (topic, identity.role, identity.claims, headers)
    return Statement(ASK, (*(text.encode() for text in texts), b"\x01" if right is Right.WRITE else b"\x00"))
