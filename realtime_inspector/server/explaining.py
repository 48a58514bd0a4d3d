"""Writes explanations as the JSON of the admin interface; its shape is described in docs/why.md."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from realtime_inspector.server.answers import (
    CaveatText,
    ConditionTree,
    LeafResult,
    OldRow,
    PolicyResult,
    RaisedError,
    WhoAnswer,
    WhyAnswer,
)
from realtime_inspector.visibility import caveats
from realtime_inspector.visibility.asking import Receiver
from realtime_inspector.visibility.caveats import Caveat
from realtime_inspector.visibility.explanation import Explanation, Judged, ladder, sentence
from realtime_inspector.visibility.expressions import Tree
from realtime_inspector.visibility.trace import LeafTrace, PolicyTrace, Raised, Result, of_tree


def explained(e: Explanation) -> WhyAnswer:
    """The answer to `why`."""
    c = e.circumstances
    judged = e.judged
    return {
        "verdict": e.told,
        "sentence": sentence(e),
        "source": "reselect" if e.new is not None and e.new.selected is not None else "tuple",
        "evaluated_at": datetime.now(UTC).isoformat(),
        "event_id": e.event_id,
        "schema": e.schema,
        "table": e.table,
        "key": dict(e.key),
        "operation": e.operation,
        "role": e.identity.role,
        "claims_digest": e.claims_digest,
        "bypass": c.bypass,
        "row_security": {"on": c.row_security, "forced": c.forced, "owner": c.owner, "owns": c.owns},
        "published": e.publishing.published,
        "grants": {"schema_usage": c.schema_usage, "table": c.whole_table, "columns_denied": list(c.columns_denied)},
        "ladder": [{"step": step.step, "state": step.state, "fact": step.fact} for step in ladder(e)],
        "policies": _policies(judged, gone=e.new is None) if judged else [],
        "agrees": judged.agrees if judged else None,
        "caveats": _caveats((*(judged.caveats if judged else ()), *e.extra)),
        "old": _old(e.old) if e.old is not None else None,
        "row": dict(e.row) if e.row is not None else None,
        "before": e.before.value if e.before is not None else None,
        "sql": e.sql,
    }


def received(receivers: Iterable[Receiver]) -> WhoAnswer:
    """The answer to `who`: counts first."""
    listed = list(receivers)
    delivered = sum(each.reason == "delivered" for each in listed)
    return {
        "delivered": delivered,
        "withheld": len(listed) - delivered,
        "evaluated": "kept" if listed and all(each.kept for each in listed) else "now",
        "subscribers": [
            {
                "connection": each.connection,
                "topic": each.topic,
                "role": each.identity.role,
                "subject": each.subject,
                "verdict": "delivered" if each.reason == "delivered" else "withheld",
                "reason": each.reason,
                "detail": each.detail,
            }
            for each in listed
        ],
    }


def _old(judged: Judged) -> OldRow:
    verdict = judged.sighted.value if judged.sighted else None
    return {"verdict": verdict, "policies": _policies(judged, gone=True), "caveats": _caveats(judged.caveats)}


def _policies(judged: Judged, *, gone: bool) -> list[PolicyResult]:
    return [_policy(trace, gone=gone) for trace in judged.policies]


def _policy(trace: PolicyTrace, *, gone: bool) -> PolicyResult:
    policy = trace.policy
    known = {leaf.expression: leaf.result for leaf in trace.leaves}
    return {
        "name": policy.name,
        "kind": "permissive" if policy.permissive else "restrictive",
        "command": policy.command,
        "roles": list(policy.roles),
        "applicable": trace.applicable,
        "why_not": trace.why_not,
        "expression": trace.expression,
        "asked": trace.asked,
        "result": _result(trace.result),
        "leaves": [_leaf(leaf) for leaf in trace.leaves] if trace.asked else [],
        "tree": _tree(trace.tree, known) if trace.tree is not None and trace.asked else None,
        "caveats": [each.code for each in caveats.of_policy(trace, gone=gone)],
    }


def _leaf(leaf: LeafTrace) -> LeafResult:
    told: LeafResult = {"expression": leaf.expression, "result": _result(leaf.result)}
    if leaf.sides is not None:
        told["left"], told["left_expression"], told["operator"] = leaf.left, leaf.sides.left, leaf.sides.operator
        if leaf.sides.right is not None:
            told["right"], told["right_expression"] = leaf.right, leaf.sides.right
    return told


def _tree(parts: Tree, known: Mapping[str, Result]) -> ConditionTree:
    result = _result(of_tree(parts, known))
    told: ConditionTree = {"kind": parts.kind, "expression": parts.text, "result": result}
    if parts.children:
        told["children"] = [_tree(child, known) for child in parts.children]
    return told


def _result(result: Result) -> bool | RaisedError | None:
    return {"sqlstate": result.sqlstate, "message": result.message} if isinstance(result, Raised) else result


def _caveats(found: Iterable[Caveat]) -> list[CaveatText]:
    return [{"code": each.code, "text": each.text} for each in dict.fromkeys(found)]
