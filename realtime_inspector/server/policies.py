"""The routes of the policy editor: what there is, templates, trying a policy before it exists, who may do what, an assistant."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
from starlette.routing import Route

from realtime_inspector.doctor.lint_facts import LintFacts, Policy
from realtime_inspector.errors import InvalidInput
from realtime_inspector.identity.impersonation import require_admin
from realtime_inspector.model import Identity
from realtime_inspector.server.answers import (
    ListedPolicy,
    MatrixAnswer,
    MatrixCell,
    MatrixLine,
    Policies,
    Proposal,
    Templates,
    TrialResult,
    Tried,
)
from realtime_inspector.server.assistant import Assistant
from realtime_inspector.server.inspecting import Draft, Inspecting, Whom, attempted, identity_of, label, resolved
from realtime_inspector.server.rest import Act, Call, refuses, route, takes
from realtime_inspector.visibility.asking import Candidate
from realtime_inspector.visibility.rehearsal import TEMPLATES, Cell, MatrixRow, Trial

MOST_ROWS: Final = 200
MOST_IDENTITIES: Final = 8
MOST_TABLES: Final = 50
SAMPLED: Final = 50


class Rehearsals(Protocol):
    """Who tries policies. Raises InvalidInput and DatabaseUnavailable."""

    async def trial(
        self, table: tuple[str, str], candidate: Candidate, identities: Sequence[Identity], limit: int
    ) -> tuple[list[Trial], str]: ...

    async def matrix(self, tables: Sequence[tuple[str, str]], identities: Sequence[Identity], limit: int) -> list[MatrixRow]: ...


@dataclass(frozen=True, slots=True)
class Editing:
    """What these routes ask of the world."""

    inspecting: Inspecting
    rehearsals: Rehearsals
    catalogue: Callable[[], Awaitable[LintFacts]]
    assistant: Assistant


class _Try(msgspec.Struct, forbid_unknown_fields=True):
    schema: str
    table: str
    policy: Draft
    identities: tuple[Whom, ...]
    limit: int = SAMPLED


class _Matrix(msgspec.Struct, forbid_unknown_fields=True):
    tables: tuple[str, ...] = ()
    session_ids: tuple[str, ...] = ()
    limit: int = SAMPLED


class _Assist(msgspec.Struct, forbid_unknown_fields=True):
    prompt: str
    schema: str = ""
    table: str = ""


def routes(deps: Editing) -> list[Route]:
    """All of them below /api/v1/policies."""
    api = _Api(deps)

    def at(path: str, **acts: Act) -> Route:
        return route(path, deps.inspecting.door, **acts)

    return [
        at("/api/v1/policies", GET=api.list),
        at("/api/v1/policies/templates", GET=api.templates),
        at("/api/v1/policies/try", POST=api.attempt),
        at("/api/v1/policies/matrix", POST=api.matrix),
        at("/api/v1/policies/assist", POST=api.assist),
    ]


class _Api:
    def __init__(self, deps: Editing) -> None:
        self._deps = deps
        self._inspecting = deps.inspecting
        self._settings = deps.inspecting.settings

    async def list(self, call: Call) -> Policies:
        """GET /policies: the tables of the schemas and of the publication, with their policies."""
        self._admin(call)
        facts = await self._deps.catalogue()
        tables = [table for table in facts.tables if table.is_table and table.root is None]
        return {
            "tables": [
                {
                    "schema": table.schema,
                    "name": table.name,
                    "rls": table.rls,
                    "forced": table.forced,
                    "columns": list(table.columns),
                    "policies": [_policy(p) for p in facts.policies if (p.schema, p.table) == (table.schema, table.name)],
                }
                for table in tables
            ]
        }

    async def templates(self, call: Call) -> Templates:
        """GET /policies/templates: policies to begin with."""
        self._admin(call)
        return {"templates": [{"id": t.id, "title": t.title, "description": t.description, "sql": t.sql} for t in TEMPLATES]}

    @takes(_Try)
    async def attempt(self, call: Call) -> Tried:
        """POST /policies/try: what a policy would change, for each identity, on rows that are there."""
        admin, asked = self._admin(call), await call.body(_Try)
        if not 1 <= len(asked.identities) <= MOST_IDENTITIES:
            raise InvalidInput(f"Name 1 to {MOST_IDENTITIES} identities")
        identities = [await resolved(self._inspecting, admin, whom) for whom in asked.identities]
        candidate = asked.policy.candidate()
        table, limit = (asked.schema, asked.table), _limit(asked.limit)
        await self._record(call, "policy_tried", admin, attempted(candidate, {"table": ".".join(table)}, identities))
        trials, text = await self._deps.rehearsals.trial(table, candidate, identities, limit)
        return {"identities": [_trial(trial) for trial in trials], "migration": text}

    @takes(_Matrix)
    async def matrix(self, call: Call) -> MatrixAnswer:
        """POST /policies/matrix: what each role, and each running session that is named, may do in each table."""
        admin, asked = self._admin(call), await call.body(_Matrix)
        facts = await self._deps.catalogue()
        known = [(t.schema, t.name) for t in facts.tables if t.is_table and t.root is None]
        wanted = [_table(name) for name in asked.tables] or known
        if len(wanted) > MOST_TABLES:
            wanted = wanted[:MOST_TABLES]
        roles = [role for role in self._settings.allowed_roles if role not in self._settings.privileged_roles]
        identities = [identity_of(role, {}, self._settings) for role in roles]
        named = asked.session_ids[:MOST_IDENTITIES]
        sessions = {id_: await resolved(self._inspecting, admin, Whom(id_)) for id_ in named}
        limit = _limit(asked.limit)
        await self._record(call, "matrix", admin, {"tables": len(wanted), "sessions": list(sessions)})
        rows = await self._deps.rehearsals.matrix(wanted, [*identities, *sessions.values()], limit)
        return {"rows": [_row(row) for row in rows], "left_out": max(0, len(asked.tables or known) - MOST_TABLES)}

    @takes(_Assist)
    @refuses("502", "the assistant did not answer as it should")
    async def assist(self, call: Call) -> Proposal:
        """POST /policies/assist: a proposal of the configured assistant; it is told names and types, and no row."""
        admin, asked = self._admin(call), await call.body(_Assist)
        self._deps.assistant.require()
        facts = await self._deps.catalogue()
        await self._record(call, "assisted", admin, {"table": f"{asked.schema}.{asked.table}", "prompt": asked.prompt})
        return await self._deps.assistant.propose(asked.prompt, asked.schema, asked.table, facts)

    def _admin(self, call: Call) -> str:
        return require_admin(call.token, self._inspecting.keys.rules)

    async def _record(self, call: Call, action: str, admin: str, detail: Mapping[str, object]) -> None:
        who = {"ip_address": call.ip_address, "user_agent": call.user_agent}
        await self._inspecting.trail.record(action, admin, detail, **who)


def _limit(limit: int) -> int:
    if not 1 <= limit <= MOST_ROWS:
        raise InvalidInput(f"limit must be 1 to {MOST_ROWS}")
    return limit


def _table(name: str) -> tuple[str, str]:
    schema, _, table = name.partition(".")
    return (schema, table) if table else ("public", schema)


def _policy(policy: Policy) -> ListedPolicy:
    return {
        "name": policy.name,
        "kind": "permissive" if policy.permissive else "restrictive",
        "command": policy.command,
        "roles": list(policy.roles),
        "using": policy.using,
        "check": policy.check,
    }


def _trial(trial: Trial) -> TrialResult:
    return {
        "label": label(trial.identity),
        "before": trial.before,
        "after": trial.after,
        "sampled": trial.sampled,
        "gained": [dict(row) for row in trial.gained],
        "lost": [dict(row) for row in trial.lost],
        "raising": trial.raising,
        "differs": trial.differs,
        "error": trial.error or None,
    }


def _row(row: MatrixRow) -> MatrixLine:
    return {
        "table": f"{row.schema}.{row.table}",
        "role": row.identity.role,
        "identity": label(row.identity),
        "cells": {command.lower(): _cell(cell) for command, cell in row.cells.items()},
    }


def _cell(cell: Cell) -> MatrixCell:
    return {"state": cell.state, "visible": cell.visible, "sampled": cell.sampled, "policies": list(cell.policies)}
