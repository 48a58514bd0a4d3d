"""Draws lines over two logarithmic axes as SVG, readable on light and dark pages."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 460
LEFT, RIGHT, TOP, BOTTOM = 64, 270, 40, 48
COLOURS = ("#0072b2", "#d55e00", "#777777", "#009e73", "#cc79a7", "#999999")
"""Told apart by people who see colours differently (Okabe and Ito), with greys for references."""


@dataclass(frozen=True, slots=True)
class Line:
    """A named row of points."""

    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class _Axis:
    """From decade to decade, between two places of the picture."""

    low: int
    high: int
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> "_Axis":
        low = math.floor(math.log10(min(values)))
        return cls(low, max(low + 1, math.ceil(math.log10(max(values)))), start, end)

    def place(self, value: float) -> float:
        return self.start + (math.log10(value) - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        return [10.0**power for power in range(self.low, self.high + 1)]


def draw(title: str, across: str, up: str, lines: Sequence[Line]) -> str:
    """The picture."""
    points = [point for line in lines for point in line.points]
    x = _Axis.over([point[0] for point in points], LEFT, WIDTH - RIGHT)
    y = _Axis.over([point[1] for point in points], HEIGHT - BOTTOM, TOP)
    style = 'font-family="sans-serif" font-size="12" fill="#777"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {style}>'
    parts = [head, f'<text x="{LEFT}" y="20" font-size="14">{escape(title)}</text>', *_grid(x, y, across, up)]
    for number, line in enumerate(lines):
        parts += _line(line, x, y, COLOURS[number % len(COLOURS)], TOP + 12 + 20 * number)
    return "\n".join([*parts, "</svg>", ""])


def _grid(x: _Axis, y: _Axis, across: str, up: str) -> Iterator[str]:
    stroke = 'stroke="#888" stroke-opacity="0.3"'
    for tick in x.ticks():
        at = x.place(tick)
        yield f'<line x1="{at:.0f}" x2="{at:.0f}" y1="{y.start}" y2="{y.end}" {stroke}/>'
        yield f'<text x="{at:.0f}" y="{y.start + 18}" text-anchor="middle">{tick:,g}</text>'
    for tick in y.ticks():
        at = y.place(tick)
        yield f'<line x1="{x.start}" x2="{x.end}" y1="{at:.0f}" y2="{at:.0f}" {stroke}/>'
        yield f'<text x="{x.start - 8}" y="{at + 4:.0f}" text-anchor="end">{tick:,g} {escape(up)}</text>'
    yield f'<text x="{(x.start + x.end) / 2:.0f}" y="{HEIGHT - 10}" text-anchor="middle">{escape(across)}</text>'


def _line(line: Line, x: _Axis, y: _Axis, colour: str, legend: int) -> Iterator[str]:
    dashes = ' stroke-dasharray="5 4"' if line.dashed else ""
    places = " ".join(f"{x.place(across):.1f},{y.place(up):.1f}" for across, up in line.points)
    yield f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'
    start = WIDTH - RIGHT + 16
    yield f'<line x1="{start}" x2="{start + 24}" y1="{legend}" y2="{legend}" stroke="{colour}" stroke-width="2"{dashes}/>'
    yield f'<text x="{start + 32}" y="{legend + 4}">{escape(line.name)}</text>'
