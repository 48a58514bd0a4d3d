"""The routes by which admins run statements and look into tables as whom they impersonate; written down before they run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import structlog
from starlette.routing import Route

from realtime_inspector.errors import Forbidden, InvalidInput, RealtimeError
from realtime_inspector.identity.impersonation import require_admin
from realtime_inspector.identity.statements import LONGEST, Mode, Shown, split
from realtime_inspector.model import Identity
from realtime_inspector.server.answers import SqlAnswer, StatementResult, TableRows
from realtime_inspector.server.deps import Dependencies
from realtime_inspector.server.rest import Call, refuses, route, takes

USUAL_ROWS: Final = 100
MOST_ROWS: Final = 1_000
_log = structlog.get_logger(__name__)


class _Sql(msgspec.Struct, forbid_unknown_fields=True):
    session_id: str
    sql: str
    mode: Mode = "read"
    limit: int | None = None


def routes(deps: Dependencies) -> list[Route]:
    """Statements and tables."""
    console = _Console(deps)
    return [
        route("/api/v1/sql", deps.door, POST=console.sql),
        route("/api/v1/tables/{schema}/{table}/rows", deps.door, GET=console.rows),
    ]


class _Console:
    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps

    @takes(_Sql)
    @refuses("422", "the statement failed", "StatementError")
    async def sql(self, call: Call) -> SqlAnswer:
        """POST /sql: statements as whom a running session shows; what they show at the top is of the last one."""
        admin = require_admin(call.token, self._deps.keys.rules)
        asked = await call.body(_Sql)
        detail = {"mode": asked.mode, "sql": asked.sql[:LONGEST]}  # a longer one is refused
        try:
            identity = await self._identity(admin, asked.session_id)
            statements = split(asked.sql)
        except RealtimeError as error:
            if error.status < 500:
                told = {**detail, "session": asked.session_id, "code": error.code, "error": error.text}
                await self._deps.audit.record("sql_refused", admin, told, **call.origin)
            raise
        limit = MOST_ROWS if asked.limit is None else asked.limit
        if not 0 <= limit <= MOST_ROWS:
            raise InvalidInput(f"limit must be between 0 and {MOST_ROWS}")
        number = await self._deps.audit.record("sql", admin, detail, session_id=asked.session_id, **call.origin)

        async def confirm() -> None:
            await self._identity(admin, asked.session_id)

        async with self._outcome(call, admin, asked.session_id, number) as shown:
            ran, notices = await self._deps.console.run(identity, statements, asked.mode, limit, confirm)
            shown += ran
        results = [_result(each) for each in shown]
        return {**results[-1], "mode": asked.mode, "notices": list(notices), "results": results}

    @refuses("422", "the statement failed", "StatementError")
    async def rows(self, call: Call) -> TableRows:
        """GET /tables/{schema}/{table}/rows: what a running session sees of a table."""
        admin = require_admin(call.token, self._deps.keys.rules)
        schema, table = (call.request.path_params[name] for name in ("schema", "table"))
        session_id, order = call.text("session_id") or "", _order(call.text("order"))
        limit, offset = min(call.number("limit", USUAL_ROWS), MOST_ROWS), call.number("offset", 0)
        if "\x00" in schema + table + (order[0] if order else ""):
            raise InvalidInput("A name holds the character NUL")
        identity = await self._identity(admin, session_id)
        detail = {"schema": schema, "table": table, "limit": limit, "offset": offset, "order": call.text("order")}
        number = await self._deps.audit.record("table", admin, detail, session_id=session_id, **call.origin)
        async with self._outcome(call, admin, session_id, number) as shown:
            shown.append(await self._deps.console.rows(identity, (schema, table), order, limit, offset))
        return {**_result(shown[0]), "mode": "read", "notices": []}

    @asynccontextmanager
    async def _outcome(self, call: Call, admin: str, session_id: str, number: int) -> AsyncIterator[list[Shown]]:
        """Writes down what became of the entry of this number, as well as it goes: that it was to be run stands there."""
        shown: list[Shown] = []
        outcome: dict[str, object] = {"of": number}
        try:
            yield shown
            outcome |= {"commands": [each.command for each in shown], "rows": sum(len(each.rows) for each in shown)}
        except RealtimeError as error:
            # Without its sentence, in which Postgres may quote rows: the trail is kept for ever.
            outcome |= {"code": error.code, "sqlstate": error.more.get("sqlstate")}
            raise
        finally:
            try:
                await self._deps.audit.record("outcome", admin, outcome, session_id=session_id, **call.origin)
            except RealtimeError as failure:
                _log.warning("outcome_not_recorded", of=number, error=failure.text)

    async def _identity(self, admin: str, session_id: str) -> Identity:
        identity = await self._deps.audit.identity(admin, session_id)
        if identity.role in self._deps.settings.privileged_roles:
            hint = (
                "No login of the service may become it, by design; run it with a login of your own, or as a role with policies."
            )
            raise Forbidden(f"Statements are not run as {identity.role!r}, which passes by row-level security", hint=hint)
        return identity


def _result(shown: Shown) -> StatementResult:
    return {
        "columns": [{"name": name, "type": kind} for name, kind in shown.columns],
        "rows": [list(row) for row in shown.rows],
        "row_count": shown.row_count,
        "truncated": shown.truncated,
        "command": shown.command,
        "milliseconds": shown.milliseconds,
    }


def _order(text: str | None) -> tuple[str, str] | None:
    """`column.asc` or `column.desc`; a column's name may hold dots."""
    if text is None:
        return None
    column, _, way = text.rpartition(".")
    if not column or way not in {"asc", "desc"}:
        raise InvalidInput("order must be a column and asc or desc, such as created_at.desc")
    return column, way
