"""Traces beside plain SELECTs, over random policies, rows and identities: every difference has a caveat that explains it.

`python -m bench trace` compares as many pairs as one likes. The planted bugs show that the comparison would notice.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from realtime_inspector.model import Identity
from realtime_inspector.pipeline import inquiry
from realtime_inspector.postgres import tracer
from realtime_inspector.postgres.roundtrip import Statement
from realtime_inspector.postgres.snapshot import SnapshotReader
from realtime_inspector.visibility import trace
from realtime_inspector.visibility.trace import Circumstances, Outcome, PolicyTrace
from tests.oracle.people import OWNERS
from tests.oracle.traces import Comparison, Gallery, compare
from tests.postgres.conftest import Engine

SEEDS = (2, 3)
"""Galleries with restrictive policies, NULLs and errors, and with members that do not inherit."""


async def compared(engine: Engine, seed: int, pairs: int) -> Comparison:
    gallery = Gallery(engine, seed, tables=12, rows=3)
    gallery.build()
    return await compare(gallery, pairs=pairs)


@pytest.mark.every_version
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_trace_says_what_select_shows_or_why_it_may_not(engine: Engine, seed: int) -> None:
    comparison = await compared(engine, seed, 300)
    assert comparison.violations == []
    told = {outcome.split(",")[0] for outcome in comparison.outcomes}
    assert {"allowed", "denied", "raised", "no_privilege"} <= told, "the gallery shows hardly anything"


def restrictive_policies_are_ignored(patch: pytest.MonkeyPatch) -> None:
    def combine(policies: list[PolicyTrace]) -> Outcome:
        return trace.combine([each for each in policies if each.policy.permissive])

    patch.setattr(inquiry, "combine", combine)


def null_counts_as_true(patch: pytest.MonkeyPatch) -> None:
    genuine = tracer._result

    def result(answer: Any) -> Any:
        return True if answer is None else genuine(answer)

    patch.setattr(tracer, "_result", result)


def membership_without_usage_counts(patch: pytest.MonkeyPatch) -> None:
    genuine = SnapshotReader.circumstances

    async def circumstances(self: SnapshotReader, oid: int, roles: list[str]) -> dict[str, Circumstances]:
        found = await genuine(self, oid, roles)
        return {
            role: msgspec.structs.replace(
                each,
                policies=tuple(msgspec.structs.replace(p, member=p.member or p.not_inherited) for p in each.policies),
            )
            for role, each in found.items()
        }

    patch.setattr(SnapshotReader, "circumstances", circumstances)


def claims_are_another_identitys(patch: pytest.MonkeyPatch) -> None:
    genuine = tracer._statement

    def statement(identity: Identity, *others: Any) -> Statement:
        return genuine(Identity(identity.role, f'{{"sub":"{OWNERS[1]}"}}'), *others)

    patch.setattr(tracer, "_statement", statement)


@pytest.mark.parametrize(
    ("plant", "seed"),
    [
        (restrictive_policies_are_ignored, 2),
        (null_counts_as_true, 2),
        (membership_without_usage_counts, 3),
        (claims_are_another_identitys, 2),
    ],
)
async def test_a_planted_bug_is_noticed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None], seed: int
) -> None:
    plant(monkeypatch)
    assert (await compared(engine, seed, 300)).violations
