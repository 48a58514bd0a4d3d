"""Several statements in one round trip over libpq; the answers are the texts of the types' output functions."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final

import psycopg
from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import TupleRow

from realtime_inspector.postgres.connect import CONNECT_SECONDS
from realtime_inspector.postgres.readable import watch

TLS_BUFFERS: Final = 3
"""Reads per wake-up with TLS: a record (16 kB) may wait inside of OpenSSL, where no socket tells of it."""
MOST_PREPARED: Final = 100
"""Statements that a session keeps prepared: a plan takes some ten kilobytes of it."""
BINARY: Final = 1
TEXT_OID: Final = 25
_ARRAY_HEAD = Struct("!5i")  # dimensions, whether there are NULLs, type of the elements, their number, lower bound
_LENGTH = Struct("!i")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement with `$1`, `$2`… and the binary forms of its parameters.

    `promptly`: its answer is sent at once, and not together with that of the last one.
    """

    text: str
    parameters: Sequence[bytes] = ()
    promptly: bool = False


class Stuck(Exception):
    """A statement took longer than it may, and nothing stops it. `results`: those of the statements before it."""

    def __init__(self, results: Sequence[PGresult]) -> None:
        super().__init__(f"no answer after that of statement {len(results)}")
        self.results = results


class RoundTrips:
    """A connection that takes whole batches of statements and never waits between two of them.

    After an error, or a cancelled `ask`, nothing is known of its state any more: it has to be closed.
    """

    def __init__(self, connection: psycopg.AsyncConnection[TupleRow], prepares: bool) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._pgconn.nonblocking = 1
        self._pgconn.enter_pipeline_mode()
        self._prepares = prepares
        self._prepared: dict[str, bytes] = {}
        self._unanswered = 0
        self.backend = connection.pgconn.backend_pid
        """The id of the server's process."""

    @classmethod
    async def open(cls, url: str, purpose: str, settings: Mapping[str, str], *, prepares: bool) -> "RoundTrips":
        """Connects. `purpose`: for application_name; `settings`: of the session; `prepares`: each statement at its first use."""
        connection = await psycopg.AsyncConnection.connect(
            url,
            autocommit=True,
            application_name=f"realtime_inspector {purpose}",
            client_encoding="UTF8",
            options=" ".join(f"-c {name}={_escaped(value)}" for name, value in settings.items()),
            connect_timeout=CONNECT_SECONDS,
            tcp_user_timeout=30_000,
        )
        return cls(connection, prepares)

    def close(self) -> None:
        """Ends the connection at once."""
        self._pgconn.finish()

    def tell(self, *statements: Statement) -> None:
        """Sends statements whose answer nobody waits for: it is read, and its error raised, by the next `ask`."""
        if self._prepares:
            self._prepare(statements)
        for statement in statements:
            parameters, formats = statement.parameters, [BINARY] * len(statement.parameters)
            if self._prepares:
                self._pgconn.send_query_prepared(self._prepared[statement.text], parameters, formats)
            else:
                self._pgconn.send_query_params(statement.text.encode(), parameters, param_formats=formats)
            if statement.promptly:
                self._pgconn.send_flush_request()
        self._end_batch()

    async def ask(self, *statements: Statement, patience: float | None = None) -> list[PGresult]:
        """The result of each statement. Raises the psycopg error of the first that fails.

        `patience`: seconds from one answer to the next; then Stuck.
        """
        results: list[PGresult] = []
        limit = asyncio.timeout(patience)
        try:
            async with limit:
                self.tell(*statements)
                return await self._answers(results, limit, patience)
        except TimeoutError as error:
            if not limit.expired():
                raise
            if not self._unanswered:  # it was this process that had no time
                return results
            raise Stuck(results) from error

    async def _answers(self, results: list[PGresult], limit: asyncio.Timeout, patience: float | None) -> list[PGresult]:
        loop, socket = asyncio.get_running_loop(), self._pgconn.socket
        answered: asyncio.Future[list[PGresult]] = loop.create_future()

        def step() -> None:
            try:
                known = len(results)
                if self._pgconn.flush() == 0:
                    loop.remove_writer(socket)
                if not self._receive(results):
                    watch(loop, socket, step)
                    if patience is not None and len(results) != known:
                        limit.reschedule(loop.time() + patience)
                elif not answered.done():
                    answered.set_result(results)
            except Exception as error:
                if not answered.done():
                    answered.set_exception(error)

        watch(loop, socket, step)
        if self._pgconn.flush() == 1:
            loop.add_writer(socket, step)
        try:
            return await answered
        finally:
            loop.remove_writer(socket)
            loop.remove_reader(socket)

    def _prepare(self, statements: Sequence[Statement]) -> None:
        if len(self._prepared) > MOST_PREPARED:
            self._prepared.clear()
            self._pgconn.send_query_params(b"deallocate all", [])
            self._end_batch()
        for statement in statements:
            if statement.text not in self._prepared:
                name = self._prepared[statement.text] = b"s%d" % len(self._prepared)
                self._pgconn.send_prepare(name, statement.text.encode())
                self._end_batch()  # in a transaction of its own: BEGIN ISOLATION LEVEL must not come after a statement

    def _end_batch(self) -> None:
        self._pgconn.pipeline_sync()
        self._unanswered += 1

    def _receive(self, results: list[PGresult]) -> bool:
        """Takes what has come; whether that was all. Only the results of the last batch are kept."""
        for _ in range(TLS_BUFFERS if self._pgconn.ssl_in_use else 1):
            self._pgconn.consume_input()
            while self._unanswered and not self._pgconn.is_busy():
                result = self._pgconn.get_result()  # None between two statements
                if result is None:
                    continue
                if result.status == ExecStatus.PIPELINE_SYNC:
                    self._unanswered -= 1
                    if self._unanswered:
                        results.clear()
                elif result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
                    results.append(result)
                else:
                    raise _error(result)
        return not self._unanswered


def text_array(values: Sequence[str | None]) -> bytes:
    """A text[] in its binary form (array_recv, src/backend/utils/adt/arrayfuncs.c), which needs neither quotes nor a parser."""
    parts = [_ARRAY_HEAD.pack(1, None in values, TEXT_OID, len(values), 1)]
    for value in values:
        if value is None:
            parts.append(_LENGTH.pack(-1))
            continue
        encoded = value.encode()
        parts += (_LENGTH.pack(len(encoded)), encoded)
    return b"".join(parts)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")


def _error(result: PGresult) -> psycopg.Error:
    code = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()
    said = result.get_error_message().strip()
    try:
        return psycopg.errors.lookup(code)(said)
    except KeyError:
        error = psycopg.OperationalError(said)
        error.sqlstate = code
        return error
