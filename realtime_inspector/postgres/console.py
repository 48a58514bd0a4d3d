"""Runs statements as somebody else, through the login that may become everybody with policies, and nobody without them.

Rules of this room: a connection of its own for every run, so that nothing of one reaches the next; the identity is set with
SET LOCAL's means inside one transaction and compared after every statement; a transaction that is not ours any more, or an
identity that is another one, ends the run, and nothing of it stays.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

from realtime_inspector.errors import DatabaseUnavailable, NotFound, StatementFailed, StatementRefused
from realtime_inspector.identity.statements import Mode, Shown, Statement
from realtime_inspector.model import Identity
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.answers import Answer, Bounds, ask
from realtime_inspector.postgres.connect import PINNED
from realtime_inspector.postgres.evaluator import path_of
from realtime_inspector.postgres.sql import quote_identifier, quote_table

AT_A_TIME: Final = 2
"""Runs at the same time, each with one connection."""
WAIT_SECONDS: Final = 10.0
LARGEST_SHOWN: Final = 4_194_304
"""Bytes of values that one run gives back."""
MOST_ROWS: Final = 10_000
MOST_NOTICES: Final = 50
OURS: Final = Bounds(10_000, 1 << 20, 10.0)
BEGIN: Final = {"read": "begin read only", "rollback": "begin read write", "commit": "begin read write"}

Confirm = Callable[[], Awaitable[None]]
"""Raises when the session that the run is bound to is not running any more."""


class Console:
    """Runs what admins write, as whom they impersonate."""

    def __init__(self, url: str, *, statement_timeout_ms: int, search_path: str) -> None:
        self._url = url
        self._seconds = statement_timeout_ms / 1_000 + 1.0
        self._settings = {**PINNED, "statement_timeout": str(statement_timeout_ms), "lock_timeout": str(statement_timeout_ms)}
        self._settings |= {"standard_conforming_strings": "on", "idle_in_transaction_session_timeout": "60000"}
        self._path = f"set local search_path = {path_of(search_path)}"
        self._turns = asyncio.Semaphore(AT_A_TIME)

    async def run(
        self, identity: Identity, statements: Sequence[Statement], mode: Mode, limit: int, confirm: Confirm
    ) -> tuple[list[Shown], list[str]]:
        """What each statement gave, and the notices. Raises StatementFailed, StatementRefused and DatabaseUnavailable.

        With `commit` everything stays, or nothing; `confirm` is asked once more before it does.
        """
        async with self._as(identity, mode) as room:
            shown = [await room.show(statement, limit) for statement in statements]
            if mode != "read":
                await room.settle()
            if mode == "commit":
                await confirm()
                await room.commit()
            return shown, room.notices

    async def rows(
        self, identity: Identity, table: tuple[str, str], order: tuple[str, str] | None, limit: int, offset: int
    ) -> Shown:
        """Rows of a table with the columns that the identity may read. Raises NotFound, StatementFailed, DatabaseUnavailable."""
        async with self._as(identity, "read") as room:
            answer = await room.ask(sql.load("readable_columns"), *table)
            if not answer.rows:
                raise NotFound("There is no such table", hint="Name its schema and its name as Postgres has them.")
            columns, ways = answer.rows[0][0] or "*", {"asc": "asc", "desc": "desc"}
            by = f" order by {quote_identifier(order[0])} {ways[order[1]]}" if order else ""
            text = f"select {columns} from {quote_table(*table)}{by} limit {int(limit)} offset {int(offset)}"
            return await room.show(Statement(text, 0), limit, written=False)

    @asynccontextmanager
    async def _as(self, identity: Identity, mode: Mode) -> "AsyncIterator[_Room]":
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._turns.acquire()
        except TimeoutError as error:
            raise DatabaseUnavailable("Others are running statements", hint="Try again in a moment.") from error
        try:
            async with self._connected() as pgconn:
                room = _Room(pgconn, identity, self._seconds)
                await room.open(BEGIN[mode], self._path)
                yield room
        except (psycopg.Error, OSError) as error:
            raise DatabaseUnavailable(f"The connection was lost: {error}", hint="Nothing of it stays.") from error
        finally:
            self._turns.release()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[PGconn]:
        connection = await psycopg.AsyncConnection.connect(
            self._url,
            autocommit=True,
            application_name="realtime_inspector console",
            client_encoding="UTF8",
            options=" ".join(f"-c {name}={_escaped(value)}" for name, value in self._settings.items()),
            connect_timeout=10,
        )
        pgconn = connection.pgconn
        try:
            yield pgconn
        finally:
            if pgconn.transaction_status == TransactionStatus.ACTIVE:
                _cancel(pgconn)
            pgconn.finish()  # which takes back everything that was not committed


class _Room:
    """One transaction as one identity."""

    def __init__(self, pgconn: PGconn, identity: Identity, seconds: float) -> None:
        self._pgconn = pgconn
        self._identity = identity
        self._seconds = seconds
        self._mark = secrets.token_hex(16)
        self._expected: tuple[str | None, ...] = ()
        self._size = 0
        self.notices: list[str] = []
        pgconn.notice_handler = self._notice

    async def open(self, begin: str, path: str) -> None:
        """Becomes the identity."""
        await self.ask(begin)
        await self.ask(path)
        await self.ask(sql.load("become"), self._identity.role, self._identity.claims, self._mark)
        self._expected = await self._state()
        if self._expected[:2] != (self._identity.role, self._identity.role):
            raise StatementRefused(f"The login cannot become {self._identity.role!r}")

    async def ask(self, text: str, *parameters: str) -> Answer:
        """A statement of ours."""
        return await ask(self._pgconn, text, OURS, parameters)

    async def show(self, statement: Statement, limit: int, *, written: bool = True) -> Shown:
        """A statement of theirs; then everything must be as before. `written`: by them, who know its positions."""
        bounds = Bounds(min(limit, MOST_ROWS), LARGEST_SHOWN - self._size, self._seconds)
        try:
            answer = await ask(self._pgconn, statement.text, bounds)
        except StatementFailed as error:
            if error.position is not None:
                error.position = error.position + statement.start if written else None
            raise
        self._size += answer.size
        await self._check()
        types = await self._types(answer)
        columns = tuple((name, type_name) for (name, _, _), type_name in zip(answer.columns, types, strict=True))
        return Shown(columns, tuple(answer.rows), answer.row_count, answer.truncated, answer.command, answer.milliseconds)

    async def settle(self) -> None:
        """What was put off to the end of the transaction is checked now: it belongs to the effect."""
        await self.ask("set constraints all immediate")
        await self._check()

    async def commit(self) -> None:
        """Makes everything stay. Raises StatementFailed when it does not."""
        if (answer := await self.ask("commit")).command != "COMMIT":
            raise StatementFailed(f"The transaction was not committed: {answer.command}", sqlstate="40000")

    async def _check(self) -> None:
        if self._pgconn.transaction_status != TransactionStatus.INTRANS:
            raise StatementRefused("The statement left the transaction", hint="Nothing of the run stays.")
        if await self._state() != self._expected:
            raise StatementRefused(
                "The statement changed the identity or the limits",
                hint="Nothing of the run stays; start an impersonation instead.",
            )

    async def _state(self) -> tuple[str | None, ...]:
        return (await self.ask(sql.load("state_of_run"))).rows[0]

    async def _types(self, answer: Answer) -> list[str]:
        if not answer.columns:
            return []
        oids, modifiers = ("{" + ",".join(str(column[n]) for column in answer.columns) + "}" for n in (1, 2))
        return [row[0] or "" for row in (await self.ask(sql.load("names_of_types"), oids, modifiers)).rows]

    def _notice(self, result: PGresult) -> None:
        if len(self.notices) < MOST_NOTICES:
            self.notices.append(result.get_error_message().strip()[:1_000])


def _cancel(pgconn: PGconn) -> None:
    with suppress(psycopg.Error):  # the connection ends anyway
        pgconn.get_cancel().cancel()


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
