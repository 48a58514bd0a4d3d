"""What a benchmark found: our figure, the reference's from the same run, and how far the goal is; and where it was measured."""

import json
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from realtime_inspector import __version__
from realtime_inspector.postgres import binaries


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure. `goal`: absolute, in `unit`; `goal_ratio`: to the reference; `more`: larger is better, not smaller.

    `exact`: the goal is a promise, and the bench fails when it is missed.
    """

    name: str
    unit: str
    ours: float
    reference: float
    reference_name: str
    goal: float | None = None
    goal_ratio: float | None = None
    more: bool = False
    exact: bool = False

    @property
    def ratio(self) -> float:
        return self.ours / self.reference

    @property
    def met(self) -> bool:
        """Whether every goal that there is was reached."""
        pairs = ((self.ours, self.goal), (self.ratio, self.goal_ratio))
        return all(goal is None or (value >= goal if self.more else value <= goal) for value, goal in pairs)


def conditions() -> dict[str, str]:
    """When, on which machine, how busy with other things, and with which versions."""
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M}Z",
        "machine": f"{os.cpu_count()} cores, {model.partition(': ')[2] or platform.machine()}",
        "load": f"{os.getloadavg()[0]:.1f} before the first measurement",
        "versions": f"realtime_inspector {__version__}, Python {platform.python_version()}, "
        f"Postgres {binaries.version(binaries.choose(None))}",
    }


def percentile(values: Sequence[float], percent: int) -> float:
    """Between the two values that are nearest to it."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def show(figures: Iterable[Figure], told: Mapping[str, str]) -> str:
    """A table for people."""
    rows: list[tuple[str, ...]] = [("figure", "unit", "ours", "goal", "reference", "ratio", "goal", "")]
    rows += [_row(figure) for figure in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*(f"{name}: {text}" for name, text in told.items()), *lines])


def _row(figure: Figure) -> tuple[str, ...]:
    bound = "≥" if figure.more else "≤"
    return (
        figure.name,
        figure.unit,
        _number(figure.ours),
        "" if figure.goal is None else f"{bound} {figure.goal:,g}",
        f"{_number(figure.reference)} ({figure.reference_name})",
        f"{figure.ratio:.2f}",
        "" if figure.goal_ratio is None else f"{bound} {figure.goal_ratio:g}",
        "" if figure.goal is None and figure.goal_ratio is None else "met" if figure.met else "missed",
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.2f}"


def encode(figures: Iterable[Figure], told: Mapping[str, str]) -> str:
    """The same as one line of JSON."""
    return json.dumps({**told, "figures": [{**asdict(f), "ratio": round(f.ratio, 3), "met": f.met} for f in figures]})
