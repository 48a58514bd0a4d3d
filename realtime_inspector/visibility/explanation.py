"""Puts a trace into words: the steps that an event takes to somebody, the first that it did not pass, and one sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, Literal

from realtime_inspector.model import Identity, Operation, Reason
from realtime_inspector.visibility import caveats
from realtime_inspector.visibility.caveats import Caveat
from realtime_inspector.visibility.trace import Circumstances, Outcome, PolicyTrace, Raised, Sighted
from realtime_inspector.visibility.verdicts import Sight

Told = Literal["allowed", "denied", "raised", "gone", "no_privilege"]
State = Literal["passed", "failed", "skipped"]
NOT_JOINED: Final = "not_joined"
"""Beside the reasons: who joined after the event."""
STEPS: Final = (
    *("subscribed", "published", "granted", "row_security", "policies", "filter"),
    *("columns", "size", "joined", "sent", "queue", "acknowledged"),
)
"""In the order in which the service decides."""
BYPASSES: Final = {
    "bypassrls": "the role is a superuser or has BYPASSRLS, so no policy is asked",
    "rls_off": "row-level security is off on this table, so no policy is asked",
    "owner": "the role has the privileges of the table's owner, and row-level security is not forced",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One rung of the ladder and what was found there."""

    step: str
    state: State
    fact: str


@dataclass(frozen=True, slots=True)
class Judged:
    """The policies about one row. `selected`: what the row itself, selected as the identity, says; None if it is not stored."""

    policies: tuple[PolicyTrace, ...]
    outcome: Outcome | None
    selected: Sighted | None = None
    caveats: tuple[Caveat, ...] = ()

    @property
    def agrees(self) -> bool | None:
        """Whether trace and selection say the same; None where only one of them could be asked."""
        if self.outcome is None or self.selected is None:
            return None
        return self.outcome.sighted is self.selected

    @property
    def sighted(self) -> Sighted | None:
        """What counts: the selected row, before the trace."""
        return self.selected or (self.outcome.sighted if self.outcome else None)


@dataclass(frozen=True, slots=True)
class Live:
    """What sockets of this identity are there. `topics`: of channels that name the table; `elsewhere`: of others.

    `reason`: what became of the event for them, None if there is none to ask about; `detail`: of what that is. `size`: bytes of
    its records with every value, 0 if not known, and the `limit` that they have; `queued`: bytes that wait in the socket's queue.
    `given_up`: the last socket of the identity that did not read and was closed for it, in words.
    """

    topics: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    reason: str | None = None
    detail: str = ""
    size: int = 0
    limit: int = 0
    queued: int = 0
    given_up: str = ""


@dataclass(frozen=True, slots=True)
class Publishing:
    """What the publication has of a table. `row_filter`: rows that do not pass it are not in the stream."""

    published: bool
    operations: frozenset[str] = frozenset()
    row_filter: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that is told about one row and one identity. `old`: the row as it was before, where that is known.

    `before`: with a candidate policy, what holds without it. `row`: what was asked about, by column, as texts; None where the
    role may not read all of it.
    """

    schema: str
    table: str
    key: Mapping[str, str | None]
    operation: Operation | None
    identity: Identity
    circumstances: Circumstances
    publishing: Publishing
    refused: str
    new: Judged | None
    old: Judged | None
    live: Live | None
    sql: str
    event_id: str | None = None
    extra: tuple[Caveat, ...] = field(default=())
    before: Sighted | None = None
    row: Mapping[str, str | None] | None = None

    @property
    def judged(self) -> Judged | None:
        """What decides: the row as it stands, else as it was."""
        return self.new or self.old

    @property
    def told(self) -> Told:
        """The verdict in one word."""
        if self.refused:
            return "no_privilege"
        if self.judged is None or self.judged.sighted is None:
            return "gone"
        return self.judged.sighted.value

    @property
    def claims_digest(self) -> str:
        """Tells equal claims from others without showing them."""
        return blake2b(self.identity.claims.encode(), digest_size=8).hexdigest()


def selected(sight: Sight | None) -> Sighted:
    """What the selection of one row says."""
    if sight is None:
        return Sighted.DENIED
    if sight.error is not None:
        return Sighted.RAISED
    return Sighted.ALLOWED if sight.rows else Sighted.DENIED


def judged(policies: Sequence[PolicyTrace], outcome: Outcome | None, seen: Sighted | None, changed: Sequence[str] = ()) -> Judged:
    """With every caveat. `changed`: the tables of the event's transaction."""
    found = [each for trace in policies for each in caveats.of_policy(trace, gone=seen is None, changed=changed)]
    found += caveats.of_outcome(outcome) if outcome else ()
    return Judged(tuple(policies), outcome, seen, tuple(dict.fromkeys(found)))


def ladder(explanation: Explanation) -> tuple[Step, ...]:
    """All steps, in order; after the first that failed, the ones that would have come are told as far as they are known."""
    e, c = explanation, explanation.circumstances
    steps = [
        _subscribed(e.live, f"{e.schema}.{e.table}"),
        _published(e.publishing, e.operation),
        _granted(e),
        _row_security(c),
        _policies(e),
        _filter(e.live),
        _columns(c),
        _size(e.live),
        _joined(e.live),
        _sent(e.live),
        _queue(e.live),
        _acknowledged(e.live),
    ]
    return tuple(steps)


def sentence(explanation: Explanation) -> str:
    """The answer to `why`, in one sentence."""
    e = explanation
    row = f"{e.schema}.{e.table}" + (f" ({', '.join(f'{name}={value}' for name, value in e.key.items())})" if e.key else "")
    match e.told:
        case "no_privilege":
            return f"{e.identity.role} receives nothing of {row}: {e.refused}"
        case "gone":
            return f"{row} is not stored any more, and the log does not have it as it was"
    assert e.judged is not None
    past = "saw" if e.new is None else "sees"
    if e.told == "allowed":
        return f"{e.identity.role} {past} {row}: {_because(e.judged, e.circumstances)}"
    if e.told == "raised":
        return f"{e.identity.role} does not receive {row}: {_because(e.judged, e.circumstances)}"
    return f"{e.identity.role} does not see {row}: {_because(e.judged, e.circumstances)}"


def _because(judged: Judged, circumstances: Circumstances) -> str:
    if circumstances.bypass is not None:
        return BYPASSES[circumstances.bypass]
    if judged.agrees is False:
        return "the row itself, selected as this identity, says so; the trace of the policies differs (see the caveats)"
    outcome = judged.outcome
    if outcome is None:
        return "the row itself, selected as this identity, says so"
    name = outcome.by.policy.name if outcome.by else ""
    if outcome.sighted is Sighted.ALLOWED:
        return f"the policy “{name}” lets it through"
    if outcome.by is not None and isinstance(outcome.by.result, Raised):
        return f"the policy “{name}” raises {outcome.by.result.sqlstate} {outcome.by.result.message}".rstrip()
    if outcome.by is not None:
        return f"the restrictive policy “{name}” does not hold{_failing(outcome.by)}"
    asked = [trace for trace in judged.policies if trace.applicable and trace.policy.permissive]
    if not asked:
        return "no permissive policy applies to this role, and without one nothing is seen"
    if len(asked) == 1:
        return f"the policy “{asked[0].policy.name}” does not hold{_failing(asked[0])}"
    return f"none of the {len(asked)} permissive policies that apply holds"


def _failing(trace: PolicyTrace) -> str:
    """The first part that is not true, with what stood on both sides."""
    for leaf in trace.leaves:
        if leaf.result is not True and not isinstance(leaf.result, Raised):
            values = f" ({leaf.left} {leaf.sides.operator} {leaf.right})" if leaf.sides and leaf.sides.right else ""
            return f": {' '.join(leaf.expression.split())} is {'NULL' if leaf.result is None else 'false'}{values}"
    return ""


def _subscribed(live: Live | None, table: str) -> Step:
    if live is None or not (live.topics or live.elsewhere):
        return Step("subscribed", "skipped", "no socket of this identity is connected")
    if live.topics:
        return Step("subscribed", "passed", f"joined {', '.join(live.topics)}")
    return Step("subscribed", "failed", f"joined {', '.join(live.elsewhere)}, but asked for no change of {table} there")


def _published(publishing: Publishing, operation: Operation | None) -> Step:
    if not publishing.published:
        return Step("published", "failed", "the publication does not have the table, so no change of it is seen")
    if operation in (Operation.INSERT, Operation.UPDATE, Operation.DELETE) and operation not in publishing.operations:
        return Step("published", "failed", f"the publication leaves out {operation}")
    if publishing.row_filter:
        return Step("published", "passed", f"the publication has those rows of the table for which {publishing.row_filter}")
    return Step("published", "passed", "the publication has the table")


def _granted(e: Explanation) -> Step:
    c = e.circumstances
    if not c.schema_usage:
        return Step("granted", "failed", f"{e.identity.role} has no USAGE on the schema {e.schema}")
    if e.refused:
        return Step("granted", "failed", e.refused)
    if not c.may("SELECT"):
        return Step("granted", "failed", f"{e.identity.role} has no SELECT on any column")
    return Step("granted", "passed", "SELECT on the table" if c.whole_table else "SELECT on some columns")


def _row_security(c: Circumstances) -> Step:
    if c.bypass is not None:
        return Step("row_security", "passed", BYPASSES[c.bypass])
    forced = " and forced for the owner" if c.forced else ""
    return Step("row_security", "passed", f"row-level security is on{forced}; the policies decide")


def _policies(e: Explanation) -> Step:
    if e.circumstances.bypass is not None:
        return Step("policies", "skipped", "no policy is asked")
    if e.judged is None or e.judged.sighted is None:
        return Step("policies", "skipped", "there is no row to ask about")
    state: State = "passed" if e.judged.sighted is Sighted.ALLOWED else "failed"
    return Step("policies", state, _because(e.judged, e.circumstances))


def _filter(live: Live | None) -> Step:
    if live is None or live.reason is None:
        return Step("filter", "skipped", "no subscription of this identity to look at")
    if live.reason in (Reason.FILTERED, Reason.FILTER_FAILED):
        return Step("filter", "failed", live.detail or "the row does not pass the filter of the subscription")
    if live.reason == Reason.DELIVERED:
        return Step("filter", "passed", "the row passes the filter, if there is one")
    return Step("filter", "skipped", "decided before any filter")


def _columns(c: Circumstances) -> Step:
    if not c.columns_denied:
        return Step("columns", "passed", "every column may be read")
    return Step("columns", "passed", f"without {', '.join(c.columns_denied)}, which the role may not read")


def _size(live: Live | None) -> Step:
    if live is None or not live.size:
        return Step("size", "skipped", "no record was to be sent")
    if live.size <= live.limit:
        return Step("size", "passed", f"{live.size} bytes, of {live.limit} that a record may have")
    left_out = "its longer values were left out, as the message says (Error 413)"
    return Step("size", "passed", f"{live.size} bytes are more than the {live.limit} that a record may have: {left_out}")


def _joined(live: Live | None) -> Step:
    if live is None or live.reason is None:
        return Step("joined", "skipped", "no subscription of this identity to look at")
    if live.reason == NOT_JOINED:
        return Step("joined", "failed", "it joined after the event was committed")
    return Step("joined", "passed", "it had joined when the event was committed")


def _sent(live: Live | None) -> Step:
    if live is None or live.reason in (None, NOT_JOINED):
        return Step("sent", "skipped", "nothing was to be sent")
    if live.reason == Reason.DELIVERED:
        return Step("sent", "passed", "queued to the socket with its batch")
    return Step("sent", "failed", f"{live.reason}: {live.detail}" if live.detail else str(live.reason))


def _queue(live: Live | None) -> Step:
    if live is not None and live.reason == Reason.DELIVERED:
        if not live.queued:
            return Step("queue", "passed", "nothing waits for the socket: its network connection took all that was queued")
        return Step("queue", "failed", f"{live.queued} bytes wait for the socket, which reads slowly; this may be among them")
    if live is not None and live.given_up:
        return Step("queue", "failed", f"{live.given_up}; what waited for it was dropped")
    return Step("queue", "skipped", "nothing was queued")


def _acknowledged(live: Live | None) -> Step:
    if live is None or live.reason != Reason.DELIVERED:
        return Step("acknowledged", "skipped", "nothing was to be acknowledged")
    return Step("acknowledged", "skipped", "clients do not acknowledge changes in this protocol, so nobody knows")
