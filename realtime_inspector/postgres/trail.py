"""Reads the audit trail back: by pages, as a whole, and to find out whether anybody has rewritten it."""

from collections.abc import AsyncIterator
from typing import Final

import asyncpg

from realtime_inspector.identity.chain import ROOT, Chosen, Entry, Finding, Flaw, Verification
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.connect import Pool
from realtime_inspector.postgres.failures import told

PIECE: Final = 1_000
"""Entries that are fetched at a time."""
EVERYTHING: Final = (None, None, None, None, None)


class Trail:
    """The trail as the reader may read it. Every method raises DatabaseUnavailable when it cannot be reached."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(self, chosen: Chosen, limit: int, offset: int) -> tuple[tuple[Entry, ...], int]:
        """One page, newest first, and how many entries were chosen in all."""
        with told():
            records = await self._pool.fetch(sql.load("audit_page"), *chosen.parameters, limit, offset)
        # Past the last page, one record holds the total alone.
        return tuple(_entry(record) for record in records if record["id"] is not None), records[0]["total"]

    async def entries(self, chosen: Chosen) -> AsyncIterator[list[Entry]]:
        """All that were chosen, oldest first, some at a time."""
        last: int | None = None
        while True:
            with told():
                records = await self._pool.fetch(sql.load("audit_entries"), *chosen.parameters, last, PIECE)
            if records:
                last = records[-1]["id"]
                yield [_entry(record) for record in records]
            if len(records) < PIECE:
                return

    async def verify(self, kept: str = "", *, since: bool = False) -> Finding:
        """Whether the trail is as it was written, in one snapshot. `kept`: a head from earlier that must occur in it.

        `since`: nothing before the entry of that head is looked at.
        """
        verification, last = Verification(kept), None
        with told():
            async with self._pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
                before = await connection.fetchrow(sql.load("audit_before"), kept.lower()) if since else None
                if before is not None:
                    last = before["id"]
                    verification = Verification(kept, before["hash"] or ROOT, last)
                while records := await connection.fetch(sql.load("audit_entries"), *EVERYTHING, last, PIECE):
                    for record in records:
                        verification.take(_entry(record))
                    last = records[-1]["id"]
                head = await connection.fetchrow("select id, hash from realtime_inspector.audit_head")
                altered = await connection.fetchrow(sql.load("unrecorded_sessions"))
        found = verification.end(*((head["id"], head["hash"]) if head else (-1, b"")))
        if found.flaw is None and altered is not None:
            why = f"the session {altered['session_id']} is not what its start says, or one of the two is missing"
            return Finding(found.entries, found.head, Flaw(altered["id"], why))
        return found


def _entry(record: asyncpg.Record) -> Entry:
    return Entry(**{name: record[name] for name in Entry.__slots__})
