"""Proves the contrasts of web/tokens.css: text at least 4.5:1 and borders of controls 3:1, in both themes."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

TOKEN = re.compile(r"--([\w-]+):\s*light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)")
KINDS = ("change", "broadcast", "presence", "system", "error")
VERDICTS = ("allowed", "denied", "raised", "skipped")
GROUNDS = ("bg-sunk", "bg-page", "bg-raised", "bg-hover", "bg-selected")


def luminance(colour: str) -> float:
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, two: str) -> float:
    high, low = sorted((luminance(one), luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def pairs() -> Iterator[tuple[str, str, float]]:
    """(foreground, ground, least ratio) for everything the page may put on top of something."""
    for ground in GROUNDS:
        for ink in ("ink-1", "ink-2", "ink-3"):
            yield ink, ground, 4.5
        for name in KINDS + VERDICTS:
            yield f"{name}-ink", ground, 4.5
        yield "focus", ground, 3.0
    for name in KINDS + VERDICTS:
        for ink in ("ink-1", f"{name}-ink"):
            yield ink, f"{name}-tint", 4.5
    for ground in ("bg-sunk", "bg-page", "bg-raised"):
        yield "line-strong", ground, 3.0
    yield "inv-ink-1", "inv-bg", 4.5
    yield "inv-ink-2", "inv-bg", 4.5
    yield "inv-line", "inv-bg", 3.0
    yield "bg-page", "ink-1", 4.5  # primary button


def failures(text: str) -> list[str]:
    """Every pair whose contrast is too low, in both themes, as sentences."""
    themes: dict[str, dict[str, str]] = {"light": {}, "dark": {}}
    for name, light, dark in TOKEN.findall(text.split("@media")[0]):
        themes["light"][name], themes["dark"][name] = light, dark
    return [
        f"{theme}: {front} on {back} is {contrast(colours[front], colours[back]):.2f}, needs {least}"
        for theme, colours in themes.items()
        for front, back, least in pairs()
        if contrast(colours[front], colours[back]) < least
    ]


def main() -> int:
    found = failures((Path(__file__).parents[1] / "web" / "tokens.css").read_text())
    print("\n".join(found) or "every contrast holds")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
