"""Asks the catalogue what decides whether a role sees rows of a relation; the search_path must be empty."""

from collections.abc import Sequence

import msgspec
from psycopg.pq.abc import PGresult

from realtime_inspector.postgres import sql
from realtime_inspector.postgres.roundtrip import Statement
from realtime_inspector.visibility.trace import Circumstances


def facts_of(oid: int, role: str) -> Statement:
    """The question about one role."""
    return Statement(sql.load("trace_facts"), (str(oid).encode(), role.encode()))


def circumstances_of(roles: Sequence[str], results: Sequence[PGresult]) -> dict[str, Circumstances]:
    """By role, without those that do not exist; nothing for a relation that does not. `results`: one for each role."""
    return {
        role: msgspec.json.decode(text, type=Circumstances)
        for role, result in zip(roles, results, strict=True)
        if result.ntuples and (text := result.get_value(0, 0))
    }
