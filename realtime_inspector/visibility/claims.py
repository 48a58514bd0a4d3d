"""Takes from an identity's claims what policies can depend on: identities between whom they cannot tell have equal parts."""

import re
from functools import lru_cache
from typing import Final

import orjson

from realtime_inspector.visibility.reads import WHOLE, Path

REMEMBERED: Final = 65_536
"""Claims times sets of paths, and claims; enough for all who are connected at the same time."""
Part = str | tuple[tuple[int, bytes | None], ...]

_CANONICAL: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


@lru_cache(maxsize=REMEMBERED)
def part(claims: str, paths: frozenset[Path]) -> Part:
    """What stands at the paths, as exact JSON; all of the claims where that is one of them, or where they are not plain."""
    if not paths:
        return ()
    known = None if WHOLE in paths else _plain(claims)
    return claims if known is None else tuple(_at(known, path) for path in sorted(paths))


@lru_cache(maxsize=REMEMBERED)
def owner(claims: str) -> str | None:
    """The claim `sub`, empty if there is none; None if it is spelled in another way than Postgres spells a uuid."""
    known = _plain(claims)
    if known is None:
        return None
    sub = known.get("sub")
    if sub is None:
        return ""
    return sub if isinstance(sub, str) and _CANONICAL.fullmatch(sub) else None


def _plain(claims: str) -> dict[str, object] | None:
    """The claims, if their text is the one that their values have, and if they are the same to json and jsonb.

    jsonb refuses a NUL wherever it stands; of two equal keys or a number beyond 64 bits not everything would be seen here.
    """
    if "\\u0000" in claims:
        return None
    try:
        known = orjson.loads(claims)
        same = orjson.dumps(known) == claims.encode()
    except ValueError:
        return None
    return known if same and isinstance(known, dict) else None


def _at(value: object, path: Path) -> tuple[int, bytes | None]:
    """How many keys lead to it, and its JSON; None if a key is missing. Where there are no keys, all that is there counts."""
    for depth, key in enumerate(path):
        if not isinstance(value, dict):
            return depth, orjson.dumps(value)
        if key not in value:
            return depth, None
        value = value[key]
    return len(path), orjson.dumps(value)
