"""What must never be wrong about who is asked: each plant makes it wrong in mid batch, and nothing is delivered."""

from collections.abc import Callable

import pytest

from realtime_inspector.postgres import evaluator, sql
from realtime_inspector.postgres.roundtrip import Statement
from tests.postgres.conftest import Engine
from tests.postgres.river import Service, Start, start, user

__all__ = ["start"]

PEOPLE = [f"{n:08d}-0000-0000-0000-00000000000a" for n in range(1, 6)]
SCHEMA = """
create table notes (id int primary key, owner uuid); alter table notes enable row level security;
grant select on notes to authenticated, anon, service_role;
create function sees(who uuid) returns boolean stable language plpgsql as 'begin return true; end';
create policy own on notes for select using ({});
create publication supabase_realtime for table notes;
"""
POLICIES = {"plain": "owner = auth.uid() or owner is null", "opaque": "(owner = auth.uid() or owner is null) and sees(owner)"}
Patch = pytest.MonkeyPatch


def mistaken(patch: Patch, *mistakes: tuple[str, str]) -> None:
    """Puts mistakes into the function that asks."""
    genuine = sql.load

    def load(name: str) -> str:
        text = genuine(name)
        for right, wrong in mistakes if name == "visible" else ():
            assert right in text
            text = text.replace(right, wrong)
        return text

    patch.setattr(sql, "load", load)


def the_claims_stay_those_of_the_first(patch: Patch) -> None:
    claims = "set_config('request.jwt.claims', $3[{}], true)"
    mistaken(patch, *[(claims.format(place), claims.format("1")) for place in ("_rti_each", "_rti_k")])


def the_role_stays_the_evaluators(patch: Patch) -> None:
    mistaken(patch, ("pg_catalog.set_config('role',", "pg_catalog.set_config('rti.role',"))


def the_transaction_may_write(patch: Patch) -> None:
    patch.setattr(evaluator, "BEGIN", Statement("begin isolation level repeatable read"))


async def told(service: Service, engine: Engine) -> list[tuple[list[int], list[str]]]:
    people = [await service.join(user(who), "notes") for who in PEOPLE]
    engine.run(f"insert into notes values (1, '{PEOPLE[0]}'), (2, null)")
    for person in people:
        await person.until(1)
    await service.settled()
    return [([data["record"]["id"] for data in person.data], [reason for reason, _ in person.gaps]) for person in people]


PLANTS = [the_claims_stay_those_of_the_first, the_role_stays_the_evaluators, the_transaction_may_write]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
async def test_the_batch_stops_and_nothing_of_it_is_delivered(
    engine: Engine, start: Start, monkeypatch: Patch, plant: Callable[[Patch], None], policy: str
) -> None:
    plant(monkeypatch)
    service = await start(SCHEMA.format(POLICIES[policy]))
    assert await told(service, engine) == [([], ["internal_error"])] * len(PEOPLE)


@pytest.mark.parametrize("policy", POLICIES)
async def test_without_a_mistake_everybody_receives_what_is_theirs(engine: Engine, start: Start, policy: str) -> None:
    service = await start(SCHEMA.format(POLICIES[policy]))
    assert await told(service, engine) == [([1, 2], []), *[([2], [])] * 4]


async def test_a_policy_cannot_stop_a_batch_by_raising_the_same(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA.format(f"auth.uid() is distinct from '{PEOPLE[1]}' or sees(owner)"))
    engine.run("""create or replace function sees(who uuid) returns boolean stable language plpgsql as
      $$ begin raise sqlstate 'RTI01'; end $$""")
    people = [await service.join(user(who), "notes", verdicts=True) for who in PEOPLE]
    engine.run("insert into notes values (1, null)")
    await people[0].until(1)
    await service.settled()
    assert [len(person.data) for person in people] == [1, 0, 1, 1, 1]
    assert [verdict["reason"] for verdict in people[1].verdicts] == ["policy_raised"]
