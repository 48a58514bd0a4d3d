"""Decides from how much log a slot holds back whether to warn of it, and whether to give it up before the disk is full."""

from dataclasses import dataclass
from enum import StrEnum


class Pressure(StrEnum):
    """What the log that is held back calls for."""

    NONE = "none"
    WARN = "warn"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Retention:
    """Bytes of log that a slot holds back, and how many it may; a `limit` of 0 is none."""

    retained: int
    limit: int

    @property
    def percent(self) -> int:
        """Of the limit; 0 without one."""
        return self.retained * 100 // self.limit if self.limit else 0


def retention(retained: int, safe: int | None, own_limit: int) -> Retention:
    """`safe`: bytes until Postgres itself gives the slot up, None without a limit; `own_limit`: of the settings, 0 is none."""
    limits = [limit for limit in (None if safe is None else retained + max(safe, 0), own_limit or None) if limit]
    return Retention(retained, min(limits, default=0))


def judge(now: Retention, before: Retention | None, warn: int, drop: int) -> Pressure:
    """`warn`, `drop`: percent from which on, 0 is never; a slot that holds back less than the last time is catching up."""
    grows = before is not None and now.retained >= before.retained
    if drop and now.percent >= drop and before is not None and before.percent >= drop and grows:
        return Pressure.DROP
    return Pressure.WARN if warn and now.percent >= warn else Pressure.NONE
