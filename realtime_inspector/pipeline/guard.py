"""Keeps the slot from filling the database's disk: warns while it holds back much, and gives it up before it is too late."""

import asyncio
from contextlib import suppress

import structlog

from realtime_inspector.errors import RealtimeError, SlotLost
from realtime_inspector.ports import Source
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.line import Line
from realtime_inspector.replication.retention import Pressure, Retention, judge, retention
from realtime_inspector.settings import Settings

log = structlog.get_logger(__name__)
LOOK_SECONDS = 10.0
RELEASE_TRIES = 50
"""Postgres takes a moment to notice that nobody reads the slot any more."""


class Guard:
    """`retention`: what was last seen; None while nothing was, or where there is no slot."""

    def __init__(self, line: Line, settings: Settings, stream: Source) -> None:
        self._line = line
        self._settings = settings
        self._stream = stream
        self._pressure = Pressure.NONE
        self.retention: Retention | None = None

    @property
    def note(self) -> str:
        """What whoever runs the service should know; empty when all is well."""
        if self._pressure is Pressure.NONE or self.retention is None:
            return ""
        megabytes, percent = self.retention.retained / 1e6, self.retention.percent
        return f"The slot holds back {megabytes:,.0f} MB of log, {percent} % of what it may"

    async def run(self) -> None:
        """Looks now and then while the stream flows, for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with suppress(RealtimeError):  # the next look tells
                if self._stream.flows:
                    await self._look()

    async def _look(self) -> None:
        async with self._line.asking() as connection:
            row = await connection.fetchrow(sql.load("slot"), self._settings.slot)
        if row is None:
            self.retention = None
            return
        before, earlier, settings = self.retention, self._pressure, self._settings
        now = self.retention = retention(row["retained"], row["safe"], settings.slot_limit_bytes)
        self._pressure = judge(now, before, settings.slot_warn_percent, settings.slot_drop_percent)
        if self._pressure is Pressure.DROP:
            await self._give_up(now)
        elif self._pressure is Pressure.WARN and earlier is Pressure.NONE:
            log.warning("slot_holds_much", retained_bytes=now.retained, limit_bytes=now.limit)

    async def _give_up(self, held: Retention) -> None:
        """Drops the slot at once: the river may be held up, and would be the only one to do it."""
        self._stream.lose(SlotLost(f"The replication slot was given up in time: {self.note}"))
        self.retention, self._pressure = None, Pressure.NONE
        for _ in range(RELEASE_TRIES):
            async with self._line.asking() as connection:
                if await connection.fetch(sql.load("give_up_slot"), self._settings.slot, held.retained):
                    return
            if self._stream.flows:  # the river was quicker
                return
            await asyncio.sleep(0.1)
