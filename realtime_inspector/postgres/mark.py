"""Remembers which broadcast of the database was the last that was handed over, so that none comes twice after a restart."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import structlog

from realtime_inspector.errors import RealtimeError
from realtime_inspector.model import BEGINNING, Position
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.line import Line

AGAIN_SECONDS: Final = 1.0
PAGE: Final = 25
"""Messages that are read at once; each may have 3 MB."""
log = structlog.get_logger(__name__)


class Mark:
    """One row, written as soon as something was handed over, in the background."""

    def __init__(self, line: Line, slot: str) -> None:
        self._line = line
        self._slot = slot
        self._epoch = ""
        self._wanted = self._saved = BEGINNING
        self._saving: asyncio.Task[None] | None = None

    async def load(self, epoch: str) -> Position:
        """What an earlier process has written; the beginning where positions of that time mean nothing any more.

        Raises DatabaseUnavailable.
        """
        query = "select commit_lsn, place from realtime_inspector.broadcast_marks where slot = $1 and epoch = $2"
        async with self._line.asking() as connection:
            there = await connection.fetchval("select to_regclass('realtime_inspector.broadcast_marks') is not null")
            row = await connection.fetchrow(query, self._slot, epoch) if there else None
        self._epoch = epoch
        self._wanted = self._saved = BEGINNING if row is None else Position(row["commit_lsn"], row["place"])
        return self._saved

    async def kept(self, since: float) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
        """Page by page all messages since then, seconds since 1970. Raises DatabaseUnavailable."""
        after: tuple[object, ...] = (datetime(1970, 1, 1), 0, "(0,0)")
        while True:
            async with self._line.asking() as connection:
                page = await connection.fetch(sql.load("kept_messages"), since, *after, PAGE)
            if not page:
                return
            yield [*map(dict, page)]
            after = page[-1]["inserted_at"], page[-1]["source"], page[-1]["place"]

    async def begin(self, position: Position) -> None:
        """Nothing was handed over yet; what comes after this is what a later process owes. Raises DatabaseUnavailable."""
        await self._write(position)
        self._wanted = position

    def save(self, position: Position) -> None:
        """Everything up to there was handed over."""
        self._wanted = position
        if self._saving is None:
            self._saving = asyncio.create_task(self._keep_saving(), name="mark")

    async def close(self) -> None:
        """Waits until the last position is written, or cannot be."""
        if (saving := self._saving) is not None:
            await asyncio.wait([saving], timeout=AGAIN_SECONDS)
            saving.cancel()

    async def _keep_saving(self) -> None:
        try:
            while self._wanted != self._saved:
                try:
                    await self._write(self._wanted)
                except RealtimeError as error:
                    log.warning("mark_not_saved", reason=error.text)
                    await asyncio.sleep(AGAIN_SECONDS)
        finally:
            self._saving = None

    async def _write(self, position: Position) -> None:
        async with self._line.asking() as connection, connection.transaction():
            # Not on disk: a crash of this process is what it is for, and Postgres survives that.
            await connection.execute("set transaction read write; set local synchronous_commit = off")
            await connection.execute(sql.load("save_mark"), self._slot, self._epoch, position.commit_lsn, position.index)
        self._saved = position
