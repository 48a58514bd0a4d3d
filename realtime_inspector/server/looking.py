"""The routes by which admins read the audit trail, take it away as a file, and have it verified."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Final

from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from realtime_inspector.errors import InvalidInput
from realtime_inspector.identity.chain import Chosen, Entry
from realtime_inspector.identity.export import Verified, csv, csv_head, fields, ndjson, told
from realtime_inspector.identity.impersonation import require_admin
from realtime_inspector.server.answers import TrailPage
from realtime_inspector.server.deps import Dependencies
from realtime_inspector.server.rest import Call, gives, route

LARGEST_PAGE: Final = 500
EXPORTS: Final[Mapping[str, tuple[str, Callable[[Iterable[Entry]], str]]]] = {
    "csv": ("text/csv; charset=utf-8", csv),
    "ndjson": ("application/x-ndjson", ndjson),
}


def routes(deps: Dependencies) -> list[Route]:
    """Reading the trail."""
    looking = _Looking(deps)
    return [
        route("/api/v1/audit", deps.door, GET=looking.page),
        route("/api/v1/audit/export", deps.door, GET=looking.export),
        route("/api/v1/audit/verify", deps.door, GET=looking.verify),
    ]


class _Looking:
    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps

    async def page(self, call: Call) -> TrailPage:
        """GET /audit: newest first."""
        require_admin(call.token, self._deps.keys.rules)
        limit, offset = min(call.number("limit", 50), LARGEST_PAGE), call.number("offset", 0)
        entries, total = await self._deps.trail.page(_chosen(call), limit, offset)
        return {"entries": [fields(entry) for entry in entries], "total": total, "limit": limit, "offset": offset}

    @gives("application/x-ndjson", "text/csv")
    async def export(self, call: Call) -> Response:
        """GET /audit/export: oldest first, as a download; that it was taken is written down."""
        admin = require_admin(call.token, self._deps.keys.rules)
        form = call.text("format") or "ndjson"
        if form not in EXPORTS:
            raise InvalidInput(f"There is no format {form!r}", hint=f"Choose of {', '.join(EXPORTS)}.")
        chosen = _chosen(call)
        asked = {name: value for name, value in call.request.query_params.items() if name in _FILTERS}
        await self._deps.audit.record("export", admin, {"format": form, **asked}, **call.origin)
        media_type, write = EXPORTS[form]
        pieces = self._deps.trail.entries(chosen)
        first: list[Entry] = await anext(pieces, [])  # what goes wrong goes wrong before the answer begins

        async def body() -> AsyncIterator[str]:
            if form == "csv":
                yield csv_head()
            yield write(first)
            async for piece in pieces:
                yield write(piece)

        headers = {"content-disposition": f'attachment; filename="audit.{form}"'}
        return StreamingResponse(body(), media_type=media_type, headers=headers)

    async def verify(self, call: Call) -> Verified:
        """GET /audit/verify: computes every hash anew; `kept`: a head that was written down earlier."""
        require_admin(call.token, self._deps.keys.rules)
        return told(await self._deps.trail.verify(call.text("kept") or ""))


_FILTERS: Final = ("action", "admin_user_id", "session_id", "since", "until")


def _chosen(call: Call) -> Chosen:
    return Chosen(
        call.text("action"), call.text("admin_user_id"), call.text("session_id"), call.moment("since"), call.moment("until")
    )
