"""A line to the database for questions that come one at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from realtime_inspector.errors import SetupError
from realtime_inspector.postgres.connect import FAULTS, Connection, connect
from realtime_inspector.postgres.failures import unreachable


class Line:
    """One connection, made at its first use and again after every fault, that several may ask in turn."""

    def __init__(self, url: str, *, purpose: str, statement_timeout_ms: int) -> None:
        self._url = url
        self._purpose = purpose
        self._timeout = statement_timeout_ms
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._limit: asyncio.Timeout | None = None

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[Connection]:
        """The connection, for this one alone. What goes wrong with it raises DatabaseUnavailable, a malformed URL SetupError."""
        async with self._turn:
            try:
                async with asyncio.timeout(None) as self._limit:
                    yield await self._connected()
            except FAULTS as error:
                self.close()
                raise unreachable(f"The {self._purpose} cannot ask", str(error) or type(error).__name__) from error
            except asyncio.CancelledError:
                self.close()
                raise
            finally:
                self._limit = None

    def ask_anew(self) -> None:
        """Postgres says nothing: what is being asked fails now, and the next question is asked on another connection."""
        if self._limit is None:
            self.close()
        else:
            self._limit.reschedule(asyncio.get_running_loop().time())

    def close(self) -> None:
        """Ends the connection; the next question makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            try:
                self._connection = await connect(self._url, purpose=self._purpose, statement_timeout_ms=self._timeout)
            except ValueError as error:  # includes an asyncpg.InterfaceError; its text may repeat the password
                raise SetupError("The URL of a login is not one", hint="Correct RTI_READER_URL and RTI_EVALUATOR_URL.") from error
        return self._connection
