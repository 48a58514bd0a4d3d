"""One session that listens and does nothing else: in a transaction it would hold up everybody's notifications."""

import asyncio
from typing import Final

import psycopg
from psycopg.rows import TupleRow

CHANNEL: Final = "realtime_inspector"
FAIR: Final = 250
"""Notifications after which the loop's other work has its turn."""


class Listener:
    """Not calling `heard` is the back-pressure: then nothing is read, and Postgres' queue keeps what is to come."""

    def __init__(self, connection: psycopg.AsyncConnection[TupleRow]) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._heard: list[tuple[int, str]] = []
        connection.add_notify_handler(lambda notify: self._heard.append((notify.pid, notify.payload)))

    @classmethod
    async def open(cls, url: str) -> "Listener":
        """Connects and listens."""
        connection = await psycopg.AsyncConnection.connect(
            url,
            autocommit=True,
            client_encoding="UTF8",
            connect_timeout=10,
            application_name="realtime_inspector listener",
            # A dead network is noticed in about 30 seconds.
            keepalives=1,
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=30_000,
        )
        listener = cls(connection)
        try:
            await connection.execute(f"listen {CHANNEL}")
        except BaseException:
            listener.close()
            raise
        return listener

    async def notify(self, payload: str) -> None:
        """Tells everybody who listens, this session too."""
        await self._connection.execute("select pg_catalog.pg_notify(%s, %s)", [CHANNEL, payload])

    async def heard(self) -> list[tuple[int, str]]:
        """What has arrived: process and payload. Waits for the first; raises OperationalError when the connection ends."""
        while not self._read():
            await self._readable()
        heard, self._heard = self._heard, []
        return heard

    def close(self) -> None:
        """Ends the connection at once."""
        self._pgconn.finish()

    def _read(self) -> bool:
        """Whether anything is there."""
        fruitless = 0
        while len(self._heard) < FAIR and fruitless <= self._pgconn.ssl_in_use:  # as much again may wait inside of OpenSSL
            self._pgconn.consume_input()
            before = len(self._heard)
            while (notify := self._pgconn.notifies()) is not None:
                self._heard.append((notify.be_pid, notify.extra.decode("utf-8", "replace")))
            fruitless = 0 if len(self._heard) > before else fruitless + 1
        return bool(self._heard)

    async def _readable(self) -> None:
        loop, socket = asyncio.get_running_loop(), self._pgconn.socket
        arrived = asyncio.Event()
        loop.add_reader(socket, arrived.set)
        try:
            await arrived.wait()
        finally:
            loop.remove_reader(socket)
