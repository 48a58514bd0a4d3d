"""Remembers which broadcast of the database was the last that was handed over, so that none comes twice after a restart."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
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
RECENT: Final = 100
"""Messages that are written down by their ids: those of which no horizon tells yet."""
OVERLAP_SECONDS: Final = 10.0
LONGEST_SECONDS: Final = 3_600.0
"""So long a transaction may have been open when the log was lost, without and with a horizon: messages have its first time."""
log = structlog.get_logger(__name__)


class Mark:
    """One row, written as soon as something was handed over, in the background."""

    def __init__(self, line: Line, slot: str) -> None:
        self._line = line
        self._slot = slot
        self._epoch = ""
        self._there = False
        """Whether there is a place for it; where there is none, the database broadcasts nothing."""
        self._wanted = self._saved = BEGINNING
        self._recent: deque[str] = deque(maxlen=RECENT)
        self._next: tuple[str, int] | None = None
        """The next horizon, true once everything up to this LSN was handed over."""
        self._saving: asyncio.Task[None] | None = None

    async def load(self, epoch: str) -> Position:
        """What an earlier process has written; the beginning where positions of that time mean nothing any more.

        Raises DatabaseUnavailable.
        """
        query = "select commit_lsn, place from realtime_inspector.broadcast_marks where slot = $1 and epoch = $2"
        async with self._line.asking() as connection:
            self._there = await connection.fetchval("select to_regclass('realtime_inspector.broadcast_marks') is not null")
            row = await connection.fetchrow(query, self._slot, epoch) if self._there else None
        self._epoch = epoch
        self._wanted = self._saved = BEGINNING if row is None else Position(row["commit_lsn"], row["place"])
        return self._saved

    async def kept(self, since: float) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
        """Page by page the messages that may not have been handed over. `since`: when all was well, seconds since 1970.

        Raises DatabaseUnavailable.
        """
        if not self._there:
            return
        begins = since - OVERLAP_SECONDS, since - LONGEST_SECONDS, self._slot
        after: tuple[object, ...] = (datetime(1970, 1, 1), 0, "(0,0)")
        while True:
            async with self._line.asking() as connection:
                page = await connection.fetch(sql.load("kept_messages"), *begins, *after, PAGE)
            if not page:
                return
            yield [*map(dict, page)]
            after = page[-1]["inserted_at"], page[-1]["source"], page[-1]["place"]

    async def begin(self, position: Position) -> None:
        """Nothing was handed over yet; what comes after this is what a later process owes. Raises DatabaseUnavailable."""
        if self._there:
            await self._write(position)
            self._wanted = position

    def save(self, position: Position, ids: Iterable[str]) -> None:
        """Everything up to there was handed over, in the end the messages of these ids."""
        self._wanted = position
        self._recent.extend(ids)
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
            horizon, lsn = self._next or (None, 0)
            reached = horizon if position.commit_lsn >= lsn else None
            mark = self._slot, self._epoch, position.commit_lsn, position.index, reached, [*self._recent]
            (row,) = await connection.fetch(sql.load("save_mark"), *mark)
        if reached or self._next is None:
            self._next = row["horizon"], row["lsn"]
        self._saved = position
