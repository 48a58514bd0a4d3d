"""Real sockets that are subscribed to a table, each as somebody; they count what arrives, and note when."""

import time
from collections.abc import Sequence

import orjson

from bench.database import Database, token
from bench.load import Crowd, masked

MARK = b'"event_id":'
"""What every change has exactly once, near its end."""
PONG = masked(b"", opcode=10)
PATIENCE = 60.0


class Subscribers(Crowd):
    """One socket per user number; equal numbers are equal claims."""

    def __init__(self, port: int, database: Database, table: str, users: Sequence[int]) -> None:
        tokens = {number: token(number, database.settings.jwt_secret) for number in set(users)}
        path = f"/socket/websocket?vsn=2.0.0&apikey={tokens[users[0]]}"
        self._tails: dict[int, bytes] = {}
        self.arrivals: list[tuple[float, bytes]] = []
        super().__init__(port, path, len(users), lambda number: join_changes(table, tokens[users[number]]))

    def await_changes(self, expected: int) -> None:
        """Returns when so many changes have arrived over all sockets. `arrivals`: when which bytes with whole changes came."""
        self.arrivals.clear()
        deadline = time.monotonic() + PATIENCE
        while expected > 0:
            expected -= self._read_ready(1)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{expected} changes did not arrive")

    def stay(self) -> None:
        """Says something, so that nobody is asked whether they are still there while time is taken."""
        for each in self._sockets.values():
            each.sendall(PONG)

    def _read(self, number: int) -> int:
        data = self._sockets[number].recv(1 << 18)
        if not data:
            raise ConnectionError("the server closed a socket")
        data = self._tails.get(number, b"") + data
        end = data.rfind(MARK) + len(MARK)
        if end < len(MARK):
            self._tails[number] = data
            return 0
        self._tails[number] = data[end:]
        self.arrivals.append((time.perf_counter(), data[:end]))
        return data.count(MARK)


def join_changes(table: str, access_token: str) -> bytes:
    """Joins for the changes of one table, or of several with commas between them."""
    bindings = [{"event": "*", "schema": "public", "table": name} for name in table.split(",")]
    config = {"broadcast": {}, "presence": {"enabled": False}, "postgres_changes": bindings}
    return orjson.dumps(["1", "1", "realtime:bench", "phx_join", {"config": config, "access_token": access_token}])
