"""The SQL by which Supabase Realtime checks changes, from a checkout of github.com/supabase/walrus, as one more reference."""

import json
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg.types.json import Jsonb

from bench.database import Database
from realtime_inspector.model import Identity

NAME = "walrus"
TYPES = {"id": "bigint", "user_id": "uuid", "content": "text", "created_at": "timestamp with time zone"}


class Upstream:
    """Takes changes as wal2json writes them, already decoded, so that its decoding costs it nothing here."""

    def __init__(self, database: Database, checkout: Path) -> None:
        self._connection = psycopg.connect(database.url, autocommit=True)
        for script in (checkout / "sql/walrus--0.1.sql", *sorted((checkout / "sql").glob("walrus_migration_*.sql"))):
            self._connection.execute(script.read_text().encode())

    @property
    def pid(self) -> int:
        return self._connection.info.backend_pid

    def subscribe(self, identities: Sequence[Identity]) -> None:
        """These, and nobody else, to all changes of tweets."""
        self._connection.execute("truncate realtime.subscription")
        insert = (
            "insert into realtime.subscription (subscription_id, entity, claims) select gen_random_uuid(), 'public.tweets', %s"
        )
        with self._connection.cursor() as cursor:
            cursor.executemany(insert, [(Jsonb(json.loads(each.claims)),) for each in identities])
        self._connection.execute("analyze realtime.subscription")

    def changes(self, keys: Sequence[int]) -> list[Jsonb]:
        """The rows with these keys, as just inserted."""
        select = f"select {', '.join(f'{name}::text' for name in TYPES)} from public.tweets where id = any (%s)"
        rows = self._connection.execute(select.encode(), [list(keys)]).fetchall()
        return [Jsonb(_wal(row)) for row in rows]

    def seen(self, changes: Sequence[Jsonb]) -> int:
        """How many times somebody sees one of the rows."""
        ask = "select sum(cardinality(found.subscription_ids)) from unnest(%s) as wal, realtime.apply_rls(wal) as found"
        row = self._connection.execute(ask, [list(changes)]).fetchone()
        assert row is not None
        return int(row[0])

    def close(self) -> None:
        self._connection.close()


def _wal(row: Sequence[str]) -> dict[str, object]:
    columns = [{"name": name, "type": kind, "value": text} for (name, kind), text in zip(TYPES.items(), row, strict=True)]
    key = [{"name": "id", "type": "bigint"}]
    return {
        "action": "I",
        "schema": "public",
        "table": "tweets",
        "timestamp": "2026-01-01 00:00:00.000000+00",
        "pk": key,
        "columns": columns,
    }
