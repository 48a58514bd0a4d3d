"""What policies come to together, and which differences from the selected row can be explained."""

from itertools import product

import pytest

from realtime_inspector.visibility.caveats import explaining, of_outcome, of_policy
from realtime_inspector.visibility.expressions import tree
from realtime_inspector.visibility.trace import (
    LeafTrace,
    PolicyFacts,
    PolicyTrace,
    Raised,
    Result,
    Sighted,
    applicability,
    begun,
    combine,
    of_tree,
)

DIVISION = Raised("22012", "division by zero")


def policy(name: str, result: Result, *, permissive: bool = True, member: bool = True) -> PolicyTrace:
    facts = PolicyFacts(name, permissive, "SELECT", ("public",), member, using="x")
    return PolicyTrace(facts, "x", applicability(facts, "anon", "SELECT"), asked=True, result=result, tree=tree("x"))


def outcome(*policies: PolicyTrace) -> tuple[Sighted, str | None]:
    found = combine(policies)
    return found.sighted, found.by.policy.name if found.by else None


@pytest.mark.parametrize("results", list(product((True, False, None), repeat=3)))
def test_all_restrictive_and_one_permissive_and_null_is_false(results: tuple[Result, ...]) -> None:
    one, other, no = results
    found = combine([policy("a", one), policy("b", other), policy("r", no, permissive=False)])
    assert (found.sighted is Sighted.ALLOWED) == (no is True and (one is True or other is True))
    assert not found.ordered


def test_without_a_permissive_policy_nothing_is_seen() -> None:
    assert outcome() == (Sighted.DENIED, None)
    assert outcome(policy("r", True, permissive=False)) == (Sighted.DENIED, None)
    assert outcome(policy("a", True, member=False)) == (Sighted.DENIED, None)


def test_policies_are_asked_in_the_order_of_postgres() -> None:
    assert outcome(policy("a", DIVISION), policy("b", True)) == (Sighted.ALLOWED, "b")
    assert outcome(policy("a", True), policy("b", DIVISION)) == (Sighted.RAISED, "b")
    assert outcome(policy("a", DIVISION, permissive=False), policy("b", False, permissive=False)) == (Sighted.RAISED, "a")
    assert outcome(policy("a", False, permissive=False), policy("b", DIVISION)) == (Sighted.DENIED, "a")
    found = combine([policy("a", DIVISION), policy("b", True)])
    assert [each.code for each in of_outcome(found)] == ["raising_order"]
    assert explaining(of_outcome(found))


@pytest.mark.parametrize(
    ("text", "results", "expected"),
    [
        ("a or b", (None, True), True),
        ("a or b", (None, False), None),
        ("a and b", (None, False), False),
        ("a and b", (True, None), None),
        ("not a", (None, True), None),
        ("not a", (False, True), True),
        ("a or b", (DIVISION, True), True),
        ("a or b", (DIVISION, False), DIVISION),
        ("a and b", (DIVISION, False), False),
        ("a and not b", (True, DIVISION), DIVISION),
    ],
)
def test_conditions_follow_the_logic_of_three_values(text: str, results: tuple[Result, Result], expected: Result) -> None:
    assert of_tree(tree(text), dict(zip("ab", results, strict=True))) == expected


def test_why_a_policy_does_not_count() -> None:
    facts = PolicyFacts("p", True, "UPDATE", ("team",), member=True, using="x")
    assert applicability(facts, "anon", "SELECT") == "it is for UPDATE only"
    stranger = PolicyFacts("p", True, "ALL", ("team",), member=False, using="x")
    assert applicability(stranger, "anon", "SELECT") == "anon is no member of team"
    loner = PolicyFacts("p", True, "ALL", ("team",), member=False, not_inherited=True, using="x")
    assert "does not inherit" in applicability(loner, "anon", "SELECT")
    assert begun([stranger], "anon", "SELECT")[0].tree is None


def test_parts_that_come_to_something_else_than_the_whole_are_told() -> None:
    facts = PolicyFacts("p", True, "SELECT", ("public",), member=True, using="(a or b)")
    leaves = (LeafTrace("a", False), LeafTrace("b", False))
    differs = PolicyTrace(facts, "(a or b)", asked=True, result=True, tree=tree("(a or b)"), leaves=leaves)
    assert [each.code for each in of_policy(differs, gone=False)] == ["leaves_differ"]
