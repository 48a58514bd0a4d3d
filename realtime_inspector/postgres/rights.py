"""Who may read what of a relation, as the catalogue has it, and what the policies of each role depend on."""

from collections.abc import Mapping
from typing import Final

import msgspec
import orjson
from psycopg.pq.abc import PGresult

from realtime_inspector.postgres import sql
from realtime_inspector.postgres.roundtrip import RoundTrips, Statement
from realtime_inspector.visibility.dependence import Dependence, Facts, dependence
from realtime_inspector.visibility.facts import Access
from realtime_inspector.visibility.reads import Path

ACCESS: Final = sql.load("access").replace("{shadowed}", sql.load("shadowed"))
DEPENDENCE: Final = sql.load("dependence").replace("{shadowed}", sql.load("shadowed"))
REMEMBERED: Final = 10_000
"""Relations times roles times their versions."""
NO_POLICIES: Final = Dependence(frozenset(), False, None)
_Key = tuple[int, str, str]
"""Relation, role, version."""


class Rights:
    """Reads the answer to ACCESS. What policies depend on is derived once per version."""

    def __init__(self, declared: Mapping[str, frozenset[Path]]) -> None:
        self._declared = declared
        self._known: dict[_Key, Dependence] = {}

    async def read(self, result: PGresult, trips: RoundTrips) -> dict[int, dict[str, Access]]:
        """By relation and role. Asks what is not known yet, in the same transaction."""
        if len(self._known) > REMEMBERED:
            self._known.clear()
        rows = [[result.get_value(row, column) for column in range(result.nfields)] for row in range(result.ntuples)]
        keys = [(int(row[0] or 0), (row[1] or b"").decode(), row[5].decode()) for row in rows if row[5] is not None]
        await self._learn([key for key in keys if key not in self._known], trips)
        found: dict[int, dict[str, Access]] = {}
        for row in rows:
            oid, role, version = int(row[0] or 0), (row[1] or b"").decode(), (row[5] or b"").decode()
            on = self._known[oid, role, version] if row[5] is not None else NO_POLICIES
            columns = frozenset(orjson.loads(row[4])) if row[4] is not None else None
            rights = Access(row[2] == b"t", row[3] == b"t", columns, on.claims, on.folds, on.owners, on.plain, version)
            found.setdefault(oid, {})[role] = rights
        return found

    async def _learn(self, keys: list[_Key], trips: RoundTrips) -> None:
        if not keys:
            return
        answers = await trips.ask(*(Statement(DEPENDENCE, (str(oid).encode(), role.encode())) for oid, role, _ in keys))
        for key, answer in zip(keys, answers, strict=True):
            self._known[key] = _derived(key[0], answer.get_value(0, 0) or b"", self._declared)


def _derived(relation: int, facts: bytes, declared: Mapping[str, frozenset[Path]]) -> Dependence:
    return dependence(relation, msgspec.json.decode(facts, type=Facts), declared)
