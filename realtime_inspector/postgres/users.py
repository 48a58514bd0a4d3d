"""Finds the application's users, where it has a table of them, by the query that the settings give."""

import asyncpg
import orjson

from realtime_inspector.identity.impersonation import User
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.connect import Pool
from realtime_inspector.postgres.failures import told

_ABSENT = (asyncpg.SyntaxOrAccessError, asyncpg.InvalidSchemaNameError)


class Users:
    """Reads users with the reader's login.

    `query` gives id, email and app metadata (JSON) as text, in this order; a fourth column is taken as user metadata.
    """

    def __init__(self, pool: Pool, query: str) -> None:
        self._pool = pool
        self._query = sql.load("users").format(users_query=query.strip().rstrip(";"))

    async def search(
        self, text: str, limit: int, *, except_id: str | None = None, except_role: str | None = None
    ) -> tuple[tuple[User, ...], int, str]:
        """Users whose e-mail contains the text or whose id begins with it, how many there are in all, and a note.

        The note is empty, or says why there is nobody to find: many databases have no table of users.
        """
        with told():
            try:
                records = await self._pool.fetch(self._query, text, limit, except_id, except_role, None)
            except _ABSENT as error:
                return (), 0, f"Users cannot be listed: {error}. RTI_USERS_QUERY says where they are."
        return tuple(_user(record) for record in records), records[0]["found"] if records else 0, ""

    async def find(self, user_id: str) -> User | None:
        """The user with this id; None when there is none, or no table of users."""
        with told():
            try:
                record = await self._pool.fetchrow(self._query, "", 1, None, None, user_id)
            except _ABSENT:
                return None
        return _user(record) if record else None


def _user(record: asyncpg.Record) -> User:
    user_id, email, app_metadata, *rest = record.values()
    return User(user_id, email or "", _object(app_metadata), _object(rest[0]) if len(rest) > 1 else {})


def _object(text: str | None) -> dict[str, object]:
    value = orjson.loads(text) if text else {}
    return value if isinstance(value, dict) else {}
