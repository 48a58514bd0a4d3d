"""A connection pooler in transaction mode, for tests: it does what PgBouncer does with sessions, on real sockets.

Each client logs in to a server connection of its own behind it, which then goes into the pool. From the first byte of a
transaction until ReadyForQuery says "idle", a client has one server connection; then whoever comes next gets it. What the server
says unasked, such as a notification, goes to whoever has that connection then.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from struct import Struct
from typing import Final
from urllib.parse import urlsplit

HEAD: Final = Struct("!cI")
LENGTH: Final = Struct("!I")
SSL_REQUEST, GSS_REQUEST, CANCEL = 80_877_103, 80_877_104, 80_877_102
TRACKED: Final = {
    "user",
    "database",
    "client_encoding",
    "application_name",
    "DateStyle",
    "TimeZone",
    "standard_conforming_strings",
}
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Pooler:
    """`lenient`: it ignores start-up parameters that it does not know (PgBouncer's ignore_startup_parameters)."""

    def __init__(self, host: str, port: int, *, lenient: bool) -> None:
        self._host, self._port, self._lenient = host, port, lenient
        self._idle: list[Streams] = []
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client from its first byte to its last."""
        self._writers.add(writer)
        try:
            startup = await self._startup(reader, writer)
            if startup is not None and not self._refused(startup, writer):
                self._idle.append(await self._log_in(startup, reader, writer))
                while True:
                    first = await message(reader)
                    await self._transaction(first, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def close(self) -> None:
        """Ends everything."""
        for writer in [*self._writers, *(server for _, server in self._idle)]:
            writer.close()

    async def _startup(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
        while True:
            (length,) = LENGTH.unpack(await reader.readexactly(4))
            body = await reader.readexactly(length - 4)
            (code,) = LENGTH.unpack_from(body)
            if code in (SSL_REQUEST, GSS_REQUEST):
                writer.write(b"N")
            else:
                return None if code == CANCEL else body

    def _refused(self, startup: bytes, writer: asyncio.StreamWriter) -> bool:
        names = startup[4:].split(b"\x00")[:-2:2]
        unknown = [name.decode() for name in names if name.decode() not in TRACKED]
        if not unknown or (self._lenient and "replication" not in unknown):
            return False
        text = f"SFATAL\x00VFATAL\x00C08P01\x00Munsupported startup parameter: {unknown[0]}\x00\x00".encode()
        writer.write(HEAD.pack(b"E", len(text) + 4) + text)
        return True

    async def _log_in(self, startup: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Streams:
        pairs = startup[4:].split(b"\x00")
        kept = b"".join(
            name + b"\x00" + value + b"\x00"
            for name, value in zip(pairs[:-2:2], pairs[1:-2:2], strict=False)
            if name.decode() in TRACKED
        )
        server = await asyncio.open_connection(self._host, self._port)
        self._writers.add(server[1])
        body = startup[:4] + kept + b"\x00"
        server[1].write(LENGTH.pack(len(body) + 4) + body)
        while True:
            kind, whole = await message(server[0])
            writer.write(whole)
            if kind == b"Z":
                return server
            if kind == b"E":
                raise ConnectionError
            if kind == b"R" and LENGTH.unpack_from(whole, 5)[0] not in (0, 12):  # neither AuthenticationOk nor SASLFinal
                server[1].write((await message(reader))[1])

    async def _transaction(self, first: tuple[bytes, bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if first[0] == b"X":
            raise ConnectionError
        server_reader, server = self._idle.pop()  # the last one that became free, as PgBouncer does
        server.write(first[1])

        async def forward() -> None:
            while True:
                server.write((await message(reader))[1])

        forwarding = asyncio.create_task(forward())
        try:
            while True:
                kind, whole = await message(server_reader)
                writer.write(whole)
                if kind == b"Z" and whole[5:] == b"I":
                    break
        finally:
            forwarding.cancel()
            await asyncio.gather(forwarding, return_exceptions=True)
        self._idle.append((server_reader, server))


async def message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The next message of the protocol: its kind, and all of it."""
    head = await reader.readexactly(5)
    kind, length = HEAD.unpack(head)
    return kind, head + await reader.readexactly(length - 4)


@asynccontextmanager
async def pooled(url: str, *, lenient: bool = True) -> AsyncIterator[str]:
    """The URL of a pooler in front of the server of `url`."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    pooler = Pooler(parts.hostname, parts.port, lenient=lenient)
    listening = await asyncio.start_server(pooler.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}").geturl()
    finally:
        listening.close()
        pooler.close()
