"""What a benchmark found: our figure, the reference's from the same run, and how far the goal is."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure; smaller is better. `goal`: absolute, in `unit`; `goal_ratio`: to the reference."""

    name: str
    unit: str
    ours: float
    reference: float
    reference_name: str
    goal: float | None = None
    goal_ratio: float | None = None

    @property
    def ratio(self) -> float:
        return self.ours / self.reference

    @property
    def met(self) -> bool:
        """Whether every goal that there is was reached."""
        absolute = self.goal is None or self.ours <= self.goal
        return absolute and (self.goal_ratio is None or self.ratio <= self.goal_ratio)


def show(figures: Iterable[Figure]) -> str:
    """A table for people."""
    rows: list[tuple[str, ...]] = [("figure", "unit", "ours", "goal", "reference", "ratio", "goal", "")]
    rows += [_row(figure) for figure in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def _row(figure: Figure) -> tuple[str, ...]:
    return (
        figure.name,
        figure.unit,
        f"{figure.ours:.2f}",
        "" if figure.goal is None else f"≤ {figure.goal:g}",
        f"{figure.reference:.2f} ({figure.reference_name})",
        f"{figure.ratio:.2f}",
        "" if figure.goal_ratio is None else f"≤ {figure.goal_ratio:g}",
        "met" if figure.met else "missed",
    )


def encode(figures: Iterable[Figure]) -> str:
    """The same as one line of JSON."""
    return json.dumps([{**asdict(figure), "ratio": round(figure.ratio, 3), "met": figure.met} for figure in figures])
