"""All that private channels ask of the database: who may do what, what was sent before, and that it is kept."""

from collections.abc import Awaitable, Callable, Sequence

import orjson

from realtime_inspector.model import Identity, Right, Rights
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.connect import Pool
from realtime_inspector.postgres.failures import told
from realtime_inspector.postgres.permissions import Permissions
from realtime_inspector.protocol.broadcast import Broadcast, Encoding, Persistence


class Channels:
    """`pool`: of the reader's login. `flowing`: returns when broadcasts from the database arrive."""

    def __init__(self, permissions: Permissions, pool: Pool, flowing: Callable[[], Awaitable[None]]) -> None:
        self._permissions = permissions
        self._pool = pool
        self._flowing = flowing

    async def ask(self, identity: Identity, headers: str, topic: str, right: Right) -> Rights:
        """See Permissions.ask."""
        return await self._permissions.ask(identity, headers, topic, right)

    async def flowing(self) -> None:
        """Returns when broadcasts from the database arrive. Raises SetupError where they never will."""
        await self._flowing()

    async def version(self) -> str:
        """See Permissions.version."""
        return await self._permissions.version()

    async def recall(self, topic: str, since: int, limit: int) -> Sequence[Broadcast]:
        """The newest messages of a private channel, oldest first. Raises DatabaseUnavailable."""
        with told():
            rows = await self._pool.fetch(sql.load("recall"), topic, since, limit)
        return [_past(row["id"], row["event"], row["payload"], row["binary_payload"]) for row in reversed(rows)]

    async def keep(self, topic: str, broadcast: Broadcast, persistence: Persistence) -> None:
        """Stores a message under its id. Raises DatabaseUnavailable, and InvalidInput for what Postgres cannot take."""
        binary = broadcast.payload if broadcast.encoding is Encoding.BINARY else None
        text = None if binary is not None else _inner(broadcast).decode()
        query = "select realtime_inspector.keep_message($1, $2, $3, $4, $5, $6)"
        with told():
            await self._pool.execute(query, broadcast.id, topic, broadcast.event, text, binary, persistence.ttl)


def _inner(broadcast: Broadcast) -> bytes:
    if broadcast.encoding is Encoding.JSON:
        return broadcast.payload
    return orjson.dumps(orjson.loads(broadcast.payload).get("payload", {}))


def _past(number: str, event: str, payload: str | None, binary: bytes | None) -> Broadcast:
    meta = orjson.dumps({"replayed": True, "id": number})
    if payload is None:
        return Broadcast(event, binary or b"", Encoding.BINARY, meta, number)
    return Broadcast(event, payload.encode(), Encoding.JSON, meta, number)
