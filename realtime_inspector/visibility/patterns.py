"""Refuses regular expressions that would keep Postgres busy: all subscribers wait while a filter is decided.

Postgres matches in time linear in the text, with two exceptions: back references, and repetitions in braces, which it writes out
(https://www.postgresql.org/docs/current/functions-matching.html#POSIX-SYNTAX-DETAILS). Nested ones multiply.
"""

import re

LARGEST = 256
"""Atoms of a pattern whose repetitions in braces are written out: compiled and matched in milliseconds."""

_TOKEN = re.compile(
    r"""
    (?P<back>\\[1-9])
  | (?P<odd>\(\?(?!:|<?[=!]))
  | (?P<group>\((?:\?(?::|<?[=!]))?)
  | (?P<end>\))
  | \{(?P<least>\d+)(?:,(?P<most>\d*))?\}
  | (?P<atom>\\. | \[\^?\]?(?:\[[.:=].*?[.:=]\]|\\.|[^\]\\])*\] | .)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_CASE = re.compile(r"(?:\(\?[ic]+\))?")


def objection(pattern: str) -> str | None:
    """Why this pattern is not evaluated, if so; a pattern that is none is left to Postgres to refuse."""
    if pattern.startswith("***"):
        return "must not begin with ***"
    beginning = _CASE.match(pattern)
    assert beginning is not None
    sizes, last = [0], 0
    for token in _TOKEN.finditer(pattern, beginning.end()):
        if token["back"]:
            return "must not have back references"
        if token["odd"]:
            return "must not have options or comments"  # with them, what follows would mean something else
        if token["group"]:
            sizes.append(0)
        elif token["end"] and len(sizes) > 1:
            last = max(sizes.pop(), 1)
            sizes[-1] += last
        elif token["least"]:
            times = max(int((token["most"] or token["least"])[:4]), 1)
            sizes[-1] += last * (times - 1)
            last *= times
        else:
            last = 1
            sizes[-1] += last
        if sum(sizes) > LARGEST:
            return f"is larger than {LARGEST} characters when its repetitions are written out"
    return None
