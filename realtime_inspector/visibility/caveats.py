"""What can make a trace differ from what the identity sees, or from what it saw when the event happened."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from realtime_inspector.visibility.trace import Circumstances, Outcome, PolicyTrace, Raised, Result, of_tree

TEXTS: Final = {
    "volatile": "a volatile function is called, so that asking twice may give two answers",
    "evaluated_now": "other tables and the claims are read as they are now, not as they were at the event",
    "tables_changed": "the same transaction changed a table that the policy reads",
    "generated": "generated columns are not in the log; they were computed again",
    "unknown_columns": "the log does not have these columns; they count as NULL",
    "unchanged_toast": "the log does not repeat large values that an UPDATE left alone; they were taken from the stored row",
    "system_columns": "a system column or the whole row is used, of which a row outside of its table has no true value",
    "raising_order": "a policy raises, and which policies are asked depends on the order in which Postgres asks them",
    "malformed_claims": "an expression of the claims alone raises, and Postgres may compute it before it looks at any row",
    "read_only": "a policy writes, which fails here because everything runs in a read-only transaction",
    "leaves_differ": "the parts of the condition, asked one by one, do not come to what the whole comes to",
}
"""By code; docs/why.md says more."""
READ_ONLY_TRANSACTION: Final = "25006"
CLAIM_ERRORS: Final = ("22", "42")
"""Classes of SQLSTATE in which a malformed claim ends: data exceptions, and casts that do not exist."""


@dataclass(frozen=True, slots=True)
class Caveat:
    """One reason for care. `text`: what it is, and of what."""

    code: str
    text: str


def caveat(code: str, of: str = "") -> Caveat:
    """The caveat with its sentence; `of`: what it concerns."""
    return Caveat(code, f"{TEXTS[code]}: {of}" if of else TEXTS[code])


def of_policy(trace: PolicyTrace, *, gone: bool, changed: Iterable[str] = ()) -> tuple[Caveat, ...]:
    """The caveats of one policy. `gone`: it was asked about a row that is not stored; `changed`: tables of the transaction."""
    policy, found = trace.policy, []
    if not trace.applicable:
        return ()
    if policy.volatile:
        found.append(caveat("volatile"))
    if policy.system_columns or policy.whole_row:
        found.append(caveat("system_columns"))
    if gone and (policy.tables or policy.functions):
        found.append(caveat("evaluated_now", ", ".join((*policy.tables, *policy.functions))))
    if both := sorted(set(policy.tables) & set(changed)):
        found.append(caveat("tables_changed", ", ".join(both)))
    if isinstance(trace.result, Raised):
        if trace.result.sqlstate == READ_ONLY_TRANSACTION:
            found.append(caveat("read_only"))
        if trace.result.sqlstate.startswith(CLAIM_ERRORS):
            found.append(caveat("malformed_claims"))
    elif any(isinstance(leaf.result, Raised) and leaf.result.sqlstate.startswith(CLAIM_ERRORS) for leaf in trace.leaves):
        found.append(caveat("malformed_claims"))
    if trace.asked and trace.tree is not None and not policy.volatile and not _agree(trace):
        found.append(caveat("leaves_differ"))
    return tuple(found)


def of_outcome(outcome: Outcome) -> tuple[Caveat, ...]:
    """What holds for all policies together."""
    return (caveat("raising_order"),) if outcome.ordered else ()


def explaining(caveats: Sequence[Caveat]) -> bool:
    """Whether any of these can make the trace differ from the row that is selected in the same snapshot."""
    reasons = ("volatile", "system_columns", "raising_order", "malformed_claims", "read_only")
    return any(each.code in reasons for each in caveats)


def of_old_row(circumstances: Circumstances, known: Iterable[str]) -> tuple[Caveat, ...]:
    """What the log does not tell of an old row. `known`: the columns that it has."""
    missing = [name for name in circumstances.columns if name not in set(known)]
    computed = [name for name in missing if name in circumstances.generated]
    unknown = [name for name in missing if name not in circumstances.generated]
    found = [caveat("generated", ", ".join(computed))] if computed else []
    return (*found, caveat("unknown_columns", ", ".join(unknown))) if unknown else tuple(found)


def _agree(trace: PolicyTrace) -> bool:
    assert trace.tree is not None
    leaves: dict[str, Result] = {leaf.expression: leaf.result for leaf in trace.leaves}
    parts = of_tree(trace.tree, leaves)
    return isinstance(parts, Raised) or isinstance(trace.result, Raised) or (parts is True) == (trace.result is True)
