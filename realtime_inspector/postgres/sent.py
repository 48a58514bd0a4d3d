"""Reads the messages that triggers have noted: each once, also those that were sent while nobody read."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from realtime_inspector.errors import SetupError
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.line import Line

PAGE: Final = 25
"""Messages that are read at once; each may have 3 MB."""
POLL_SECONDS: Final = 5.0
"""So often is looked although no notification has come: whoever sends it, it may be lost."""
HINT: Final = "Run `realtime-inspector init --source notify` again."
Row = Mapping[str, Any]


class SentMessages:
    """What is new is what a snapshot shows and the last one did not, so that no transaction is missed, however long it took.

    `slot`: whose mark it is. `told`: set when something may have been sent. Methods raise DatabaseUnavailable.
    """

    def __init__(self, line: Line, slot: str, told: asyncio.Event) -> None:
        self._line = line
        self._slot = slot
        self._told = told
        self._seen = ""
        self._until, self._place = "", 0
        """Up to which snapshot is being read, and how far that is."""
        self._saved = True

    async def begin(self) -> bool:
        """Goes on where an earlier process was; False: there was none, and what was sent before now is no news.

        Raises SetupError where nothing is noted.
        """
        async with self._line.asking() as connection:
            trigger = "select from pg_trigger where tgname = 'realtime_inspector_message' and tgenabled <> 'D'"
            if not await connection.fetchval(f"select exists ({trigger} and tgrelid = to_regclass('realtime.messages'))"):
                raise SetupError("No trigger tells what the database broadcasts", hint=HINT)
            query = "select seen::text from realtime_inspector.sent_marks where slot = $1"
            self._seen = await connection.fetchval(query, self._slot) or ""
        now = await self._now()
        known = self._seen != "" and _end(self._seen) <= _end(now)  # otherwise this is another database, restored from a copy
        if not known:
            self._seen = now
            await self._save()
        return known

    async def news(self) -> AsyncIterator[Sequence[Row]]:
        """Page by page what is new. What was taken is old, also when a later page cannot be read."""
        if not self._until:
            self._until, self._place = await self._now(), 0
        while page := await self._page():
            yield page
            self._place, self._saved = page[-1]["place"], False
        self._seen, self._until = self._until, ""
        if not self._saved:
            await self._save()

    async def wait(self) -> None:
        """Returns when there may be something new."""
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._told.wait()
        except TimeoutError:
            pass
        self._told.clear()

    async def _now(self) -> str:
        async with self._line.asking() as connection:
            return str(await connection.fetchval("select pg_current_snapshot()::text"))

    async def _page(self) -> Sequence[Row]:
        async with self._line.asking() as connection:
            return [*map(dict, await connection.fetch(sql.load("sent_messages"), self._seen, self._until, self._place, PAGE))]

    async def _save(self) -> None:
        query = (
            "insert into realtime_inspector.sent_marks values ($1, $2::text::pg_snapshot) "
            "on conflict (slot) do update set seen = excluded.seen"
        )
        async with self._line.asking() as connection, connection.transaction():
            await connection.execute("set transaction read write; set local synchronous_commit = off")
            await connection.execute(query, self._slot, self._seen)
        self._saved = True


def _end(snapshot: str) -> int:
    """The first transaction that it does not show: xmin:xmax:those in progress."""
    return int(snapshot.split(":")[1])
