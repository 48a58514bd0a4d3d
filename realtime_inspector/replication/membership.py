"""Decides from pictures of a publication which tables were out of it meanwhile: Postgres leaves their changes out silently."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

PATIENCE: Final = 5.0
"""Seconds after which a table that is out counts as removed; one that returns before was out for a moment."""


@dataclass(frozen=True, slots=True)
class Member:
    """A published table. `schema` and `name`: as it is subscribed to, so for a partition those of its root.

    `mark`: by what it is published; whatever leaves a publication and returns has another one then.
    """

    oid: int
    schema: str
    name: str
    mark: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A publication as it is. `oid`: itself; `mark`: another one after every change of what it publishes in general."""

    oid: int
    mark: str
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Absence:
    """Changes were left out: of one table, or of any (None). `reason`: as in gap notices."""

    table: tuple[str, str] | None
    reason: str


@dataclass(slots=True)
class Membership:
    """What was last seen of the publication, and which tables are out of it and since when (None: it was told already)."""

    seen: Picture | None = None
    _missing: dict[tuple[str, str], float | None] = field(default_factory=dict)

    def forget(self) -> None:
        """Everybody was told of a gap: the next picture is the first."""
        self.seen = None
        self._missing.clear()

    def replaced(self, picture: Picture | None) -> bool:
        """Whether it is not the publication that was seen: that one's changes cannot be had any more."""
        return self.seen is not None and (picture is None or picture.oid != self.seen.oid)

    def differs(self, before: Picture) -> bool:
        """Whether anything was, or is, out of the publication since that picture."""
        if self.seen is None:
            return False
        then = Membership(before)
        return then.replaced(self.seen) or bool(then.take(self.seen, 0.0)) or bool(then._missing)

    def take(self, picture: Picture, now: float) -> list[Absence]:
        """What was left out between the last picture and this one; `now`: seconds of any clock that goes steadily."""
        before, self.seen = self.seen, picture
        if before is None:
            return []
        if before.mark != picture.mark:
            self._missing.clear()
            return [Absence(None, "publication")]
        was, by_name = _by_name(before.members), _by_name(picture.members)
        interrupted = [name for name, marks in by_name.items() if name in self._missing or _interrupted(was.get(name), marks)]
        for name in interrupted:
            self._missing.pop(name, None)
        for name in was.keys() - by_name.keys():
            self._missing[name] = now
        removed = [name for name, since in self._missing.items() if since is not None and now - since >= PATIENCE]
        self._missing.update(dict.fromkeys(removed))
        return [Absence(name, "publication") for name in interrupted] + [Absence(name, "table_removed") for name in removed]


def _by_name(members: Iterable[Member]) -> dict[tuple[str, str], dict[int, str]]:
    found: dict[tuple[str, str], dict[int, str]] = {}
    for member in members:
        found.setdefault((member.schema, member.name), {})[member.oid] = member.mark
    return found


def _interrupted(was: Mapping[int, str] | None, marks: Mapping[int, str]) -> bool:
    """Whether one of the tables returned, or others stand in their place; partitions may come and go."""
    if was is None:
        return False
    staying = was.keys() & marks.keys()
    return not staying or any(was[oid] != marks[oid] for oid in staying)
