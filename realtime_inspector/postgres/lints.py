"""Collects what lints judge: the catalogue, and what becomes of asking as each role; changes nothing and reads no row."""

from contextlib import suppress

import asyncpg
import msgspec

from realtime_inspector.doctor.lint_facts import Failed, LintFacts, Table
from realtime_inspector.doctor.lints import Found, judge, parse_levels
from realtime_inspector.errors import DatabaseUnavailable
from realtime_inspector.identity.tokens import canonical
from realtime_inspector.model import Identity
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.connect import FAULTS, Connection, connect
from realtime_inspector.postgres.questions import row_literal
from realtime_inspector.postgres.shapes import read_shapes
from realtime_inspector.postgres.sql import quote_identifier
from realtime_inspector.postgres.tracer import Inquiry, Tracer, Tuple
from realtime_inspector.settings import Settings
from realtime_inspector.visibility.facts import Shape
from realtime_inspector.visibility.trace import Raised, begun

MALFORMED = {"sub": "malformed", "app_metadata": "malformed", "user_metadata": "malformed", "aal": {}, "email": []}
CLAIMS: dict[str, dict[str, object]] = {"none": {}, "malformed": dict(MALFORMED)}
DATA_EXCEPTION = "22"
"""The class of SQLSTATE in which casts of claims end."""


async def lint(settings: Settings) -> tuple[Found, ...]:
    """Everything that is found, errors first. Raises InvalidInput for settings, and DatabaseUnavailable."""
    levels = parse_levels(settings.lint_levels)
    return judge(await collect(settings), levels)


async def catalogue(settings: Settings) -> LintFacts:
    """The tables and policies alone. Raises DatabaseUnavailable."""
    try:
        timeout = settings.statement_timeout_ms
        connection = await connect(settings.evaluator_url, purpose="policies", statement_timeout_ms=timeout)
        try:
            return await _catalogue(connection, settings)
        finally:
            connection.terminate()
    except FAULTS as error:
        raise DatabaseUnavailable(f"The catalogue cannot be read: {error}", hint="Run `realtime-inspector doctor`.") from error


async def _catalogue(connection: Connection, settings: Settings) -> LintFacts:
    roles = [role for role in settings.allowed_roles if role not in settings.privileged_roles]
    text = await connection.fetchval(sql.load("lint_facts"), list(settings.lint_schemas), roles, settings.publication)
    return msgspec.json.decode(text, type=LintFacts)


async def collect(settings: Settings) -> LintFacts:
    """As the evaluator's login, which may become the roles in question and can read the catalogue. Raises DatabaseUnavailable."""
    with suppress(*FAULTS):  # a table or a policy that goes meanwhile is a fault once
        return await _collected(settings)
    try:
        return await _collected(settings)
    except FAULTS as error:
        raise DatabaseUnavailable(f"The catalogue cannot be read: {error}", hint="Run `realtime-inspector doctor`.") from error


async def _collected(settings: Settings) -> LintFacts:
    timeout = settings.statement_timeout_ms
    tracer = Tracer(settings.evaluator_url, statement_timeout_ms=timeout, search_path=settings.search_path)
    try:
        connection = await connect(settings.evaluator_url, purpose="lints", statement_timeout_ms=timeout)
        try:
            facts = await _catalogue(connection, settings)
            protected = [table for table in facts.tables if table.is_table and table.rls and table.root is None and table.readers]
            shapes = await read_shapes(connection, [table.oid for table in protected])
            failures = [failed for table in protected for failed in await _planned(connection, table)]
        finally:
            connection.terminate()
        for table in protected:
            failures += await _asked(tracer, table, shapes[table.oid]) if table.oid in shapes else ()
        return msgspec.structs.replace(facts, failures=tuple(failures))
    finally:
        await tracer.close()


async def _planned(connection: Connection, table: Table) -> list[Failed]:
    """The roles for which a SELECT of the table cannot even be planned."""
    failed = []
    for role in table.readers:
        try:
            async with connection.transaction(readonly=True):
                await connection.execute(f"set local role {quote_identifier(role)}")
                await connection.execute(f"explain select * from {table.sql}")
        except asyncpg.PostgresError as error:
            if not str(error.sqlstate).startswith(DATA_EXCEPTION):  # of claims that are not there; see _asked
                failed.append(Failed(table.schema, table.name, role, str(error.sqlstate), str(error)))
    return failed


async def _asked(tracer: Tracer, table: Table, shape: Shape) -> list[Failed]:
    """The policies that raise about a row of NULLs, for tokens without claims and with claims of another form."""
    failed = []
    row = Tuple(row_literal([None] * len(shape.columns)))
    async with tracer.within(None) as tracing:
        circumstances = await tracing.circumstances(table.oid, table.readers)
        inquiries = [
            (role, kind, Inquiry(Identity(role, canonical({**claims, "role": role}).decode()), shape, row, traces))
            for role, known in circumstances.items()
            if known.bypass is None and (traces := begun(known.policies, role, "SELECT"))
            for kind, claims in CLAIMS.items()
        ]
        answers = await tracing.trace([inquiry for _, _, inquiry in inquiries]) if inquiries else []
    for (role, kind, _), policies in zip(inquiries, answers, strict=True):
        for each in policies:
            if isinstance(each.result, Raised) and each.result.sqlstate.startswith(DATA_EXCEPTION):
                told = (each.result.sqlstate, each.result.message, each.policy.name, kind)
                failed.append(Failed(table.schema, table.name, role, *told))
    return failed
