"""The bodies with which the admin interface answers: what acts return, and what the description of the interface says of them."""

from typing import Any, Literal, NotRequired, TypedDict

from realtime_inspector.doctor.lints import ToldFinding
from realtime_inspector.identity.export import EntryFields
from realtime_inspector.identity.statements import Mode
from realtime_inspector.model import PublishedTable
from realtime_inspector.visibility.explanation import State as StepState
from realtime_inspector.visibility.explanation import Told
from realtime_inspector.visibility.rehearsal import State as CellState


class Session(TypedDict):
    """An impersonation. Times as in ISO 8601; `delivered` to `traces` count what was done under it."""

    id: str
    admin_user_id: str
    target_user_id: str | None
    impersonation_type: str
    target_role: str
    reason: str
    started_at: str | None
    expires_at: str | None
    ended_at: str | None
    end_reason: str | None
    is_active: bool
    ip_address: str | None
    user_agent: str | None
    delivered: int
    denied: int
    queries: int
    traces: int


class TargetUser(TypedDict):
    """Whom a session shows; an id of zeros and an empty e-mail where there is nobody."""

    id: str
    email: str
    role: str


class ResolvedIdentity(TypedDict):
    """What the service reads from a token, and so what Postgres sees."""

    role: str
    claims: dict[str, Any]


class Started(TypedDict):
    """A session and its token. `refresh_token` is empty; `expires_in`: seconds."""

    session: Session
    target_user: TargetUser
    access_token: str
    refresh_token: str
    expires_in: int
    identity: ResolvedIdentity


class CurrentSession(Session):
    """The caller's newest running session, its fields also at the top."""

    session: Session
    target_user: TargetUser


class NoSession(TypedDict):
    """The caller has no running session."""

    session: None
    target_user: None


class Stopped(TypedDict):
    """`ended`: ids of sessions."""

    success: bool
    message: str
    ended: list[str]


class SessionsPage(TypedDict):
    """`total`: of all pages."""

    sessions: list[Session]
    total: int
    limit: int
    offset: int


class FoundUser(TypedDict):
    """Somebody whom one can impersonate."""

    id: str
    email: str
    role: str
    app_metadata: dict[str, Any]


class UsersPage(TypedDict):
    """`note`: why there is nobody to find."""

    users: list[FoundUser]
    total: int
    note: NotRequired[str]


class AdminUser(TypedDict):
    """An admin."""

    id: str
    email: str
    role: str


class Me(TypedDict):
    """Whose token this is."""

    user: AdminUser


class SignedIn(TypedDict):
    """`refresh_token` is empty; `expires_in`: seconds."""

    user: AdminUser
    access_token: str
    refresh_token: str
    expires_in: int


class SignedOut(TypedDict):
    """`ended`: ids of sessions; `token_ended`: whether the token came from a sign-in, and counts no more."""

    success: bool
    ended: list[str]
    token_ended: bool


class Revoked(TypedDict):
    """`ended`: ids of sessions."""

    success: bool
    admin_user_id: str
    ended: list[str]


class Reinstated(TypedDict):
    """Who has it back."""

    success: bool
    admin_user_id: str


class AdminId(TypedDict):
    """An admin by id."""

    id: str


class Config(TypedDict):
    """What the page needs to begin with."""

    version: str
    admin: AdminId
    allowed_roles: list[str]
    privileged_roles: list[str]
    impersonation_seconds: int
    publication: str
    tables: list[PublishedTable]


class TrailPage(TypedDict):
    """Newest first; `total`: of all pages."""

    entries: list[EntryFields]
    total: int
    limit: int
    offset: int


class Impersonating(TypedDict):
    """By whom, and under which session."""

    session_id: str
    actor: str | None


class Connection(TypedDict):
    """A live socket. `opened_at`: seconds since 1970; `dropped`: its messages that were none."""

    id: str
    peer: str
    role: str
    subject: str | None
    vsn: str
    opened_at: float
    topics: list[str]
    sent: int
    sent_bytes: int
    dropped: int
    queued_bytes: int
    impersonation: Impersonating | None


class Connections(TypedDict):
    """The sockets of this process."""

    connections: list[Connection]


class Disconnected(TypedDict):
    """`success`: false where it had ended by itself."""

    success: bool


class ResultColumn(TypedDict):
    """`type`: the name of its type."""

    name: str
    type: str


class StatementResult(TypedDict):
    """What one statement showed: values as texts, as Postgres writes them. `row_count`: also of rows that were left out."""

    columns: list[ResultColumn]
    rows: list[list[str | None]]
    row_count: int
    truncated: bool
    command: str
    milliseconds: float


class TableRows(StatementResult):
    """What a session sees of a table."""

    mode: Mode
    notices: list[str]


class SqlAnswer(StatementResult):
    """The last statement's at the top, all of them in `results`."""

    mode: Mode
    notices: list[str]
    results: list[StatementResult]


class RaisedError(TypedDict):
    """An error that an expression ended in."""

    sqlstate: str
    message: str


class LeafResult(TypedDict):
    """A part of a condition that nothing joins; its sides, where it has an operator."""

    expression: str
    result: bool | RaisedError | None
    left: NotRequired[str | None]
    left_expression: NotRequired[str]
    operator: NotRequired[str]
    right: NotRequired[str | None]
    right_expression: NotRequired[str]


class ConditionTree(TypedDict):
    """A condition and what it is made of."""

    kind: Literal["and", "or", "not", "leaf"]
    expression: str
    result: bool | RaisedError | None
    children: NotRequired[list["ConditionTree"]]


class PolicyResult(TypedDict):
    """What one policy says. `why_not`: why it does not count; `caveats`: codes."""

    name: str
    kind: Literal["permissive", "restrictive"]
    command: str
    roles: list[str]
    applicable: bool
    why_not: str
    expression: str
    asked: bool
    result: bool | RaisedError | None
    leaves: list[LeafResult]
    tree: ConditionTree | None
    caveats: list[str]


class CaveatText(TypedDict):
    """What can make the answer differ from what was."""

    code: str
    text: str


class OldRow(TypedDict):
    """The same about the row before the change."""

    verdict: str | None
    policies: list[PolicyResult]
    caveats: list[CaveatText]


class RowSecurity(TypedDict):
    """`owns`: the role has the privileges of the owner."""

    on: bool
    forced: bool
    owner: str
    owns: bool


class Grants(TypedDict):
    """`table`: SELECT on all of it."""

    schema_usage: bool
    table: bool
    columns_denied: list[str]


class LadderStep(TypedDict):
    """One step of an event's way to somebody."""

    step: str
    state: StepState
    fact: str


class WhyAnswer(TypedDict):
    """docs/why.md says what each field means."""

    verdict: Told
    sentence: str
    source: Literal["reselect", "tuple"]
    evaluated_at: str
    event_id: str | None
    schema: str
    table: str
    key: dict[str, str | None]
    operation: str | None
    role: str
    claims_digest: str
    bypass: str | None
    row_security: RowSecurity
    published: bool
    grants: Grants
    ladder: list[LadderStep]
    policies: list[PolicyResult]
    agrees: bool | None
    caveats: list[CaveatText]
    old: OldRow | None
    row: dict[str, str | None] | None
    before: str | None
    sql: str


class SubscriberVerdict(TypedDict):
    """What an event was to one live channel."""

    connection: str
    topic: str
    role: str
    subject: str
    verdict: Literal["delivered", "withheld"]
    reason: str
    detail: str


class WhoAnswer(TypedDict):
    """Counts first. `evaluated`: whether it was kept who was sent it, or decided anew."""

    delivered: int
    withheld: int
    evaluated: Literal["kept", "now"]
    subscribers: list[SubscriberVerdict]


class Lints(TypedDict):
    """What is wrong with tables and policies."""

    findings: list[ToldFinding]
    checked_at: str


class ListedPolicy(TypedDict):
    """A policy as the catalogue has it."""

    name: str
    kind: Literal["permissive", "restrictive"]
    command: str
    roles: list[str]
    using: str | None
    check: str | None


class ListedTable(TypedDict):
    """A table and its policies."""

    schema: str
    name: str
    rls: bool
    forced: bool
    columns: list[str]
    policies: list[ListedPolicy]


class Policies(TypedDict):
    """By table."""

    tables: list[ListedTable]


class PolicyTemplate(TypedDict):
    """A policy to begin with."""

    id: str
    title: str
    description: str
    sql: str


class Templates(TypedDict):
    """All of them."""

    templates: list[PolicyTemplate]


class TrialResult(TypedDict):
    """What a policy would change for one identity; `error`: why nothing can be said."""

    label: str
    before: int
    after: int
    sampled: int
    gained: list[dict[str, str | None]]
    lost: list[dict[str, str | None]]
    raising: int
    differs: int
    error: str | None


class Tried(TypedDict):
    """`migration`: the SQL that would make it so."""

    identities: list[TrialResult]
    migration: str


class MatrixCell(TypedDict):
    """What one identity may do to the rows that were looked at; `policies`: those that apply."""

    state: CellState
    visible: int
    sampled: int
    policies: list[str]


class MatrixLine(TypedDict):
    """One table and one identity; `cells`: by command in lower case."""

    table: str
    role: str
    identity: str
    cells: dict[str, MatrixCell]


class MatrixAnswer(TypedDict):
    """`left_out`: so many tables more."""

    rows: list[MatrixLine]
    left_out: int


class Proposal(TypedDict):
    """SQL that nobody has run."""

    sql: str
    explanation: str
