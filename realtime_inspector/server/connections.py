"""The routes by which admins see who is connected, and end a connection."""

from collections.abc import Mapping
from time import monotonic
from typing import Final

from starlette.routing import Route

from realtime_inspector.errors import NotFound
from realtime_inspector.identity.impersonation import require_admin
from realtime_inspector.server.answers import Connections, Disconnected
from realtime_inspector.server.deps import Dependencies
from realtime_inspector.server.rest import Call, route

NOTED_SECONDS: Final = 60.0
"""So long it is not written down again that the same admin looks."""


def routes(deps: Dependencies) -> list[Route]:
    """The live sockets of this process."""
    connections = _Connections(deps)
    return [
        route("/api/v1/connections", deps.door, GET=connections.list),
        route("/api/v1/connections/{id}", deps.door, DELETE=connections.disconnect),
    ]


class _Connections:
    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps
        self._noted: dict[str, float] = {}

    async def list(self, call: Call) -> Connections:
        """GET /connections: names and addresses of users, so it is written down, once a minute, that somebody looks."""
        admin = require_admin(call.token, self._deps.keys.rules)
        found = list(self._deps.connections())
        if monotonic() - self._noted.get(admin, float("-inf")) > NOTED_SECONDS:
            await self._record(call, "connections", admin, {"shown": len(found)})
            self._noted[admin] = monotonic()  # not before: what cannot be written down is not shown at the next look either
        return {"connections": found}

    async def disconnect(self, call: Call) -> Disconnected:
        """DELETE /connections/{id}: closes it with a code of its own; clients come back unless they are kept out otherwise."""
        admin, name = require_admin(call.token, self._deps.keys.rules), call.request.path_params["id"]
        listed = next((each for each in self._deps.connections() if each["id"] == name), None)
        if listed is None:
            raise NotFound("There is no such connection", hint="It may have ended meanwhile; list them again.")
        told = {"peer": listed["peer"], "role": listed["role"], "subject": listed["subject"]}
        await self._record(call, "disconnect", admin, {"connection": name, **told})
        return {"success": self._deps.disconnect(name)}

    async def _record(self, call: Call, action: str, admin: str, detail: Mapping[str, object]) -> None:
        await self._deps.audit.record(action, admin, detail, **call.origin)
