"""Coming back: whoever returns within the window is sent what it missed, once and in order, and is told if that cannot be."""

import asyncio

import psycopg
import pytest

from realtime_inspector.model import Binding, Identity
from tests.postgres.conftest import Engine
from tests.postgres.river import SERVICE, Service, Start, Subscriber, start, user

__all__ = ["start"]

ALICE, BOB = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"
SCHEMA = """
create table notes (id int primary key, owner uuid, body text); alter table notes enable row level security;
grant select on notes to authenticated, service_role;
create policy own on notes for select using (owner = auth.uid());
create table other (id int primary key); grant select on other to service_role;
create publication supabase_realtime for table notes, other;
"""


def write(engine: Engine, first: int, last: int, owner: str = ALICE) -> None:
    engine.run("insert into notes select n, %s, 'note ' || n from generate_series(%s::int, %s::int) n", owner, first, last)


def leave(service: Service, subscriber: Subscriber) -> None:
    service.index.unsubscribe(subscriber, "realtime:room")


def ids(subscriber: Subscriber) -> list[int]:
    return [change["record"]["id"] for change in subscriber.data]


async def caught_up(subscriber: Subscriber) -> list[str]:
    async with asyncio.timeout(20):
        while not subscriber.notices:  # noqa: ASYNC110, nobody tells
            await asyncio.sleep(0.01)
    return subscriber.notices


async def restarted(service: Service, start: Start, **settings: object) -> Service:
    await service.pipeline.close()
    return await start("", **settings)


async def test_who_comes_back_is_sent_what_it_missed_once_and_in_order(start: Start) -> None:
    service = await start(SCHEMA)
    before = await service.join(user(ALICE), "notes")
    write(service.engine, 1, 3)
    await before.until(3)
    leave(service, before)
    write(service.engine, 4, 5)
    write(service.engine, 6, 9, BOB)
    service.engine.run("update notes set body = 'new' where id = 4")
    await service.settled()
    after = await service.join(user(ALICE), "notes", resume=before.resume)
    write(service.engine, 10, 10)
    await after.until(5)
    assert [(change["type"], change["record"]["id"]) for change in after.data] == [
        ("INSERT", 4),
        ("INSERT", 5),
        ("UPDATE", 4),
        ("INSERT", 10),
    ]
    assert after.notices == ["resumed"]


async def test_it_sees_rows_as_they_are_now_and_nothing_that_it_may_not_see_now(start: Start) -> None:
    service = await start(SCHEMA)
    before = await service.join(user(ALICE), "notes")
    leave(service, before)
    write(service.engine, 1, 2)
    service.engine.run(
        f"update notes set body = 'secret', owner = '{BOB}' where id = 1; update notes set body = 'new' where id = 2"
    )
    await service.settled()
    after = await service.join(user(ALICE), "notes", resume=before.resume)
    await caught_up(after)
    assert [(change["record"]["id"], change["record"]["body"]) for change in after.data] == [(2, "new"), (2, "new")]
    assert "secret" not in str(after.received)


@pytest.mark.parametrize("batch", [3, 200])
async def test_many_who_left_at_different_moments_return_at_once_while_changes_flow(start: Start, batch: int) -> None:
    service = await start(SCHEMA, batch_changes=batch)
    left: list[Subscriber] = []
    for number in range(12):
        left.append(await service.join(user(ALICE), "notes"))
        write(service.engine, number * 10, number * 10 + 9)
        await left[-1].until(10)
        leave(service, left[-1])
    returned = [await service.join(user(ALICE), "notes", resume=subscriber.resume) for subscriber in left]
    for number in range(12, 20):
        await asyncio.to_thread(write, service.engine, number * 10, number * 10 + 9)
    for number, subscriber in enumerate(returned):
        await caught_up(subscriber)
        while len(subscriber.data) < 190 - number * 10:
            await subscriber.until(len(subscriber.received) + 1)
        assert ids(subscriber) == list(range(number * 10 + 10, 200))
        assert subscriber.notices == ["resumed"]


async def test_a_return_in_the_middle_of_a_transaction_goes_on_there(start: Start) -> None:
    service = await start(SCHEMA, batch_changes=10)
    before = await service.join(user(ALICE), "notes")
    write(service.engine, 1, 1200)
    await before.until(1200)
    leave(service, before)
    events = [payload["event_id"] for payload in before.received]
    for place in (0, 499, 500, 700, 1198):
        after = await service.join(user(ALICE), "notes", resume=f"{before.token}.{events[place]}")
        await caught_up(after)
        assert ids(after) == list(range(place + 2, 1201))


async def test_after_a_restart_the_slot_has_kept_what_was_missed(start: Start) -> None:
    first = await start(SCHEMA)
    before = await first.join(user(ALICE), "notes")
    write(first.engine, 1, 3)
    await before.until(3)
    second = await restarted(first, start)
    write(second.engine, 4, 5)
    fresh = await second.join(user(ALICE), "notes")
    after = await second.join(user(ALICE), "notes", resume=before.resume)
    write(second.engine, 6, 6)
    await caught_up(after)
    await after.until(4)
    assert ids(after) == [4, 5, 6]
    assert ids(fresh) == [6]
    assert after.notices == ["resumed"]


async def test_a_quiet_client_knows_the_moment_and_has_missed_nothing(start: Start) -> None:
    service = await start(SCHEMA, resume_seconds=0)
    quiet = await service.join(user(ALICE), "notes")
    write(service.engine, 1, 3, BOB)
    await service.settled()
    moment = f"{quiet.token}.{service.pipeline.moment()}"
    leave(service, quiet)
    service = await restarted(service, start, resume_seconds=0)
    after = await service.join(user(ALICE), "notes", resume=moment)
    assert await caught_up(after) == ["resumed"]


async def test_who_comes_back_too_late_is_told_of_the_gap_once_before_anything_newer(start: Start) -> None:
    service = await start(SCHEMA, resume_seconds=0)
    before = await service.join(user(ALICE), "notes")
    leave(service, before)
    write(service.engine, 1, 3)
    await service.settled()
    after = await service.join(user(ALICE), "notes", resume=before.resume)
    await caught_up(after)
    write(service.engine, 4, 4)
    await after.until(2)
    assert [payload.get("message") for payload in after.received] == ["gap: retention", None]
    assert ids(after) == [4]


async def test_a_gap_says_in_positions_to_come_back_with_what_was_lost(start: Start) -> None:
    service = await start(SCHEMA, resume_bytes=1_000)
    before = await service.join(user(ALICE), "notes")
    write(service.engine, 1, 1)
    await before.until(1)
    leave(service, before)
    for number in range(2, 8):
        write(service.engine, number, number)
    await service.settled()
    after = await service.join(user(ALICE), "notes", resume=before.resume)
    await caught_up(after)
    gap = after.received[0]["gap"]
    leave(service, after)
    write(service.engine, 8, 8)
    returned = await service.join(user(ALICE), "notes", resume=f"{after.token}.{gap['to']}")
    await caught_up(returned)
    assert (ids(returned), returned.notices) == ([8], ["resumed"])
    again = await service.join(user(ALICE), "notes", resume=f"{after.token}.{gap['from']}")
    assert await caught_up(again) == ["gap: retention"]
    stranger = await service.join(user(ALICE), "notes", resume="nonsense")
    write(service.engine, 9, 9)
    await stranger.until(1)
    returned = await service.join(user(ALICE), "notes", resume=f"{stranger.token}.{stranger.unknown}")
    await caught_up(returned)
    assert ids(returned) == [9]


async def test_the_window_is_bounded_in_bytes_too(start: Start) -> None:
    service = await start(SCHEMA, resume_bytes=20_000)
    before = await service.join(user(ALICE), "notes")
    write(service.engine, 1, 2)
    await before.until(2)
    leave(service, before)
    for number in range(3, 203):
        write(service.engine, number, number)
    await service.settled()
    after = await service.join(user(ALICE), "notes", resume=before.resume)
    assert await caught_up(after) == ["gap: retention"]


async def test_one_token_may_bring_two_sockets_back_at_once_and_each_is_sent_everything_once(start: Start) -> None:
    service = await start(SCHEMA)
    before = await service.join(user(ALICE), "notes")
    write(service.engine, 1, 3)
    await before.until(3)
    leave(service, before)
    write(service.engine, 4, 6)
    await service.settled()
    both = await asyncio.gather(*[service.join(user(ALICE), "notes", resume=before.resume) for _ in range(2)])
    write(service.engine, 7, 7)
    for after in both:
        await after.until(5)
    third = await service.join(user(ALICE), "notes", resume=before.resume)  # and once more, later
    await caught_up(third)
    assert [ids(after) for after in (*both, third)] == [[4, 5, 6, 7]] * 3
    assert [after.notices for after in (*both, third)] == [["resumed"]] * 3


async def test_who_comes_back_with_a_renewed_token_is_the_same_and_one_with_other_rights_sees_by_these(start: Start) -> None:
    """A refresh while away changes `iat` and `exp`, and now and then what an administrator granted."""
    policy = "create policy staff on notes for select using (current_setting('request.jwt.claims')::json ->> 'staff' = 'yes');"
    service = await start(SCHEMA + policy)
    before = await service.join(user(ALICE), "notes")
    leave(service, before)
    write(service.engine, 1, 2)
    write(service.engine, 3, 4, BOB)
    await service.settled()
    renewed = Identity("authenticated", f'{{"exp":2000000000,"iat":2,"role":"authenticated","sub":"{ALICE}"}}')
    promoted = Identity("authenticated", f'{{"iat":3,"role":"authenticated","staff":"yes","sub":"{ALICE}"}}')
    seen = []
    for identity in (renewed, promoted):
        after = await service.join(identity, "notes", resume=before.resume)
        await caught_up(after)
        seen.append(ids(after))
    assert seen == [[1, 2], [1, 2, 3, 4]]


@pytest.mark.parametrize("cut", range(1, 7))
async def test_a_cut_between_two_frames_of_one_event_loses_neither(start: Start, cut: int) -> None:
    """Two selections are two frames; whoever has only the first one names the event before."""
    service = await start(SCHEMA)
    bindings = [Binding(number, "*", "public", "notes", select=(name,)) for number, name in ((1, "body"), (2, "owner"))]

    async def join(resume: str | None = None) -> Subscriber:
        subscriber = Subscriber()
        authorized = await service.pipeline.authorize(user(ALICE), bindings, "realtime:room", resume)
        subscriber.token = authorized.resume_token
        service.index.subscribe(subscriber, "realtime:room", "2.0.0", user(ALICE), authorized, False)
        return subscriber

    before = await join()
    write(service.engine, 1, 3)
    await before.until(6)
    leave(service, before)
    parts = [(payload["data"]["record"]["id"], payload["ids"], payload.get("more")) for payload in before.received]
    assert parts == [(n, ids, more) for n in (1, 2, 3) for ids, more in (([1], True), ([2], None))]
    whole = [payload["event_id"] for payload in before.received[:cut] if not payload.get("more")]
    after = await join(".".join([before.token, *whole[-1:]]))
    await caught_up(after)
    again = [(payload["data"]["record"]["id"], payload["ids"], payload.get("more")) for payload in after.received[:-1]]
    assert again == parts[2 * len(whole) :]


@pytest.mark.parametrize("identity", [user(BOB), user(ALICE, "limited"), SERVICE])
async def test_what_others_came_with_is_of_no_use(start: Start, identity: Identity) -> None:
    service = await start(SCHEMA + "grant select on notes to limited;")
    before = await service.join(user(ALICE), "notes")
    leave(service, before)
    write(service.engine, 1, 3)
    await service.settled()
    thief = await service.join(identity, "notes", resume=before.resume)
    assert thief.unknown
    write(service.engine, 4, 4, BOB)
    await service.settled()
    assert all(number > 3 for number in ids(thief))


async def test_a_lost_slot_makes_positions_void_also_for_those_who_just_come_back(start: Start) -> None:
    service = await start(SCHEMA)
    before = await service.join(user(ALICE), "notes")
    leave(service, before)
    await service.settled()
    await service.pipeline.close()
    service.engine.run("select pg_drop_replication_slot('test_slot')")
    write(service.engine, 1, 3)
    service = await start("")
    after = await service.join(user(ALICE), "notes", resume=before.resume)
    assert after.unknown
    write(service.engine, 4, 4)
    await service.settled()
    assert ids(after) == [4]


async def test_what_the_publication_left_out_meanwhile_is_told_too(start: Start) -> None:
    service = await start(SCHEMA)
    before, other = await service.join(user(ALICE), "notes"), await service.join(SERVICE, "other")
    leave(service, before)
    leave(service, other)
    witness = await service.join(user(ALICE), "notes")
    for first in (1, 5):
        service.engine.run("alter publication supabase_realtime drop table notes")
        write(service.engine, first, first + 2)
        service.engine.run("alter publication supabase_realtime add table notes")
        write(service.engine, first + 3, first + 3)
        await witness.until(2 if first == 1 else 4)
    after = await service.join(user(ALICE), "notes", resume=before.resume)
    again = await service.join(SERVICE, "other", resume=other.resume)
    late = await service.join(user(ALICE), "notes", resume=witness.resume)
    await after.until(4)
    assert [payload.get("message") for payload in after.received] == ["gap: publication", None, None, "resumed"]
    assert await caught_up(again) == await caught_up(late) == ["resumed"]


async def test_a_new_token_while_catching_up_takes_effect(start: Start) -> None:
    service = await start(SCHEMA)
    before = await service.join(user(ALICE), "notes")
    leave(service, before)
    write(service.engine, 1, 3)
    write(service.engine, 4, 6, BOB)
    await service.settled()
    after, bindings = Subscriber(), [Binding(1, "*", "public", "notes")]
    alice = await service.pipeline.authorize(user(ALICE), bindings, "realtime:room", before.resume)
    bob = await service.pipeline.authorize(user(BOB), bindings, "realtime:room")
    service.index.subscribe(after, "realtime:room", "2.0.0", user(ALICE), alice, False)
    service.index.subscribe(after, "realtime:room", "2.0.0", user(BOB), bob, False)
    await caught_up(after)
    await service.settled()
    assert ids(after) == [4, 5, 6]


async def test_who_leaves_again_while_catching_up_receives_nothing_more(start: Start) -> None:
    service = await start(SCHEMA)
    before = await service.join(user(ALICE), "notes")
    leave(service, before)
    write(service.engine, 1, 3)
    await service.settled()
    after = await service.join(user(ALICE), "notes", resume=before.resume)
    leave(service, after)
    write(service.engine, 4, 4)
    await service.settled()
    assert after.received == []
    assert len(service.index) == 0


async def test_a_moment_told_while_a_full_socket_is_waited_for_counts_what_it_was_sent(start: Start) -> None:
    service = await start(SCHEMA)
    moments: list[str] = []

    class Full(Subscriber):
        async def drained(self) -> None:
            moments.append(service.pipeline.moment())

    before = Full(queued_bytes=1_000_000)
    await service.rejoin(before, user(ALICE), "notes")
    write(service.engine, 1, 3)
    await before.until(3)
    await service.settled()
    leave(service, before)
    after = await service.join(user(ALICE), "notes", resume=f"{before.token}.{moments[0]}")
    assert await caught_up(after) == ["resumed"]
    assert ids(after) == []


async def test_who_is_further_than_a_new_process_is_sent_nothing_again_though_the_stream_breaks(start: Start) -> None:
    first = await start(SCHEMA)
    witness, before = await first.join(user(ALICE), "notes"), await first.join(user(ALICE), "notes")
    first.engine.run("insert into notes select n, %s, repeat('x', 1000) from generate_series(1, 8000) n", ALICE)
    await before.hears(lambda: len(before.received) == 8_000)
    await first.pipeline.close()
    first.engine.run(
        """create table gate (); grant select on gate to authenticated;
        create policy gated on notes as restrictive using (exists (select from gate) or true)"""
    )
    with psycopg.connect(first.engine.admin) as locker:
        locker.execute("lock table gate")  # whoever is asked about the first rows has to wait
        second = await start("")
        await second.join(user(ALICE), "notes", resume=witness.resume.partition(".")[0])
        after = await second.join(user(ALICE), "notes", resume=before.resume)
        second.engine.run("select pg_terminate_backend(active_pid) from pg_replication_slots where active")
    write(second.engine, 8_001, 8_001)
    await after.hears(lambda: 8_001 in ids(after))
    assert ids(after) == [8_001]
