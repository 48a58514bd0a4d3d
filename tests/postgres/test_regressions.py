"""What went wrong in systems like this one, under names that say so; none of it may ever come here.

Beside these: a filter on a column that is revoked later (test_columns), and a slot that is made anew (test_river).
"""

import asyncio

import psycopg
import pytest
from structlog.testing import capture_logs

from tests.postgres.conftest import Engine
from tests.postgres.river import SERVICE, Start, Subscriber, start, user

__all__ = ["start"]

ALICE, BOB = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"
SCHEMA = """
create table notes (id int primary key, owner uuid, body text, public boolean not null default false);
alter table notes enable row level security; grant select on notes to authenticated, service_role;
create policy own on notes for select using (public or owner = (select auth.uid()));
create table ticks (id int primary key, writer text); grant select on ticks to service_role;
create publication supabase_realtime for table notes, ticks;
"""

# Four leaks of an image that is delivered to whoever may see the row now.


async def test_a_draft_that_was_published_later_is_never_shown_as_it_was(engine: Engine, start: Start) -> None:
    """The leaks of delivering the log's image under a later permission: in one transaction and in two."""
    service = await start(SCHEMA)
    bob = await service.join(user(BOB), "notes")
    draft = f"insert into notes values (1, '{ALICE}', 'SECRET DRAFT')"
    engine.run(f"begin; {draft}; update notes set body = 'fine', public = true; commit")
    assert {d["record"]["body"] for d in await bob.until(2)} == {"fine"}
    assert "SECRET" not in str(bob.received)


async def test_old_values_go_only_to_who_saw_the_old_row(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA + "alter table notes replica identity full;")
    engine.run(f"insert into notes values (1, '{ALICE}', 'SECRET', false)")
    alice, bob = await service.join(user(ALICE), "notes"), await service.join(user(BOB), "notes")
    engine.run("update notes set body = 'fine', public = true where id = 1")
    assert (await bob.until(1))[0]["old_record"] == {"id": 1}
    assert (await alice.until(1))[0]["old_record"]["body"] == "SECRET"
    assert "SECRET" not in str(bob.received)


async def test_a_late_image_does_not_travel_under_a_key_that_a_public_row_was_given_since(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    bob = await service.join(user(BOB), "notes")
    secret = f"insert into notes values (1, '{ALICE}', 'SECRET'); delete from notes"
    engine.run(f"begin; {secret}; insert into notes values (1, '{ALICE}', 'fine', true); commit")
    await service.settled()
    assert {data["record"]["body"] for data in bob.data if data["type"] == "INSERT"} == {"fine"}
    assert "SECRET" not in str(bob.received)


@pytest.mark.parametrize("identity", ["default", "full"])
async def test_a_deletion_is_not_told_to_those_who_never_saw_the_row_and_its_filter_is_no_oracle(
    engine: Engine, start: Start, identity: str
) -> None:
    service = await start(f"{SCHEMA}; alter table notes replica identity {identity};")
    engine.run(f"insert into notes values (1, '{ALICE}', 'cancer'), (2, '{ALICE}', 'flu')")
    filters = (None, "body=eq.cancer", "body=neq.cancer", "body=like.c%", "body=not.is.null", f"owner=eq.{ALICE}", "id=eq.1")
    guesses = [await service.join(user(BOB), "notes", event="DELETE", filter=text) for text in filters]
    engine.run("delete from notes")
    await service.settled()
    assert [guess.received for guess in guesses] == [[]] * len(filters)


# The policy that silences everybody.


async def test_a_policy_that_raises_for_one_does_not_silence_the_others(engine: Engine, start: Start) -> None:
    service = await start(
        SCHEMA
        + f"""
        create function touchy() returns boolean stable language plpgsql as $$ begin
          if auth.uid() = '{BOB}' then raise exception 'row of somebody else: %', 'x'; end if; return true; end $$;
        create policy touchy on notes as restrictive for select using (touchy());"""
    )
    alice, bob = await service.join(user(ALICE), "notes"), await service.join(user(BOB), "notes", verdicts=True)
    with capture_logs() as logs:
        for number in (1, 2):
            engine.run(f"insert into notes values ({number}, '{ALICE}', 'a', true)")
            await alice.until(number)
            await bob.until(number)
    [line] = [line for line in logs if line["event"] == "policy_raised"]
    assert (line["table"], line["role"], line["sqlstate"]) == ("public.notes", "authenticated", "P0001")
    assert "somebody" not in str(logs)
    told = ("policy_raised", f"SQLSTATE P0001, error {line['error_id']}")
    assert [(v["reason"], v["detail"]) for v in bob.verdicts] == [told, told]


# Positions: LSNs are no keys, neither of changes nor of transactions.


def lsns(engine: Engine) -> list[tuple[str, str]]:
    """LSN and text of what the slot has, oldest first."""
    rows = engine.run("select lsn::text, data from pg_logical_slot_peek_changes('premise', null, null, 'include-xids', '0')")
    return [(str(lsn), str(data)) for lsn, data in rows]


def number(lsn: str) -> int:
    high, _, low = lsn.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


@pytest.fixture
def watched(engine: Engine) -> Engine:
    """With a slot that shows the premise of a test."""
    engine.run("select pg_create_logical_replication_slot('premise', 'test_decoding')")
    return engine


@pytest.mark.every_version
@pytest.mark.parametrize("batch", [7, 200])
async def test_rows_of_one_copy_share_an_lsn_and_are_all_delivered_also_when_one_returns_among_them(
    watched: Engine, start: Start, batch: int
) -> None:
    service = await start(SCHEMA, batch_changes=batch)
    before = await service.join(SERVICE, "ticks")
    with psycopg.connect(watched.admin) as connection, connection.cursor().copy("copy ticks (id) from stdin") as copy:
        for n in range(300):
            copy.write_row([n])
    await before.until(300)
    changes = [lsn for lsn, data in lsns(watched) if "INSERT" in data and ".ticks" in data]
    assert len(changes) == 300 > len(set(changes))
    service.index.unsubscribe(before, "realtime:room")
    events = [payload["event_id"] for payload in before.received]
    assert len(set(events)) == 300
    for place in (0, 1, 150, 298):
        after = await service.join(SERVICE, "ticks", resume=f"{before.token}.{events[place]}")
        await after.until(300 - place)
        assert [data["record"]["id"] for data in after.data] == list(range(place + 1, 300))


async def told_of(subscriber: Subscriber, changes: int) -> None:
    """What it is told besides, such as that it has caught up, does not count."""
    await subscriber.hears(lambda: len(subscriber.data) >= changes)


@pytest.mark.every_version
async def test_a_begin_shares_its_lsn_with_its_first_change_or_the_commit_before_and_nothing_is_taken_for_seen(
    watched: Engine, start: Start
) -> None:
    """Each transaction is followed at once by the next one, and the service ends after every few of them."""
    service = await start(SCHEMA)
    subscriber = await service.join(SERVICE, "ticks")
    seen: list[int] = []
    for first in range(0, 30, 10):
        with psycopg.connect(watched.admin, autocommit=True) as connection:
            for n in range(first, first + 10):
                connection.execute("insert into ticks values (%s)", [n])
        await told_of(subscriber, first + 10 - len(seen))
        seen += [data["record"]["id"] for data in subscriber.data]
        await service.pipeline.close()
        service = await start("")
        subscriber = await service.join(SERVICE, "ticks", resume=subscriber.resume)
    told = [lsn for lsn, data in lsns(watched) if data.startswith(("BEGIN", "COMMIT")) or ".ticks" in data]
    assert len(set(told)) < len(told), "no two of them share an LSN"
    await service.settled()
    assert subscriber.data == []
    assert seen == list(range(30))


@pytest.mark.every_version
async def test_changes_whose_lsns_run_backwards_are_delivered_in_commit_order_and_none_is_skipped(
    watched: Engine, start: Start
) -> None:
    """A transaction writes first and commits last; who left between its rows and its commit has received neither."""
    service = await start(SCHEMA)
    before = await service.join(SERVICE, "ticks")
    with psycopg.connect(watched.admin) as slow:
        slow.execute("insert into ticks values (1, 'slow'), (2, 'slow')")
        watched.run("insert into ticks values (3, 'quick')")
        await before.until(1)
        service.index.unsubscribe(before, "realtime:room")
        await service.pipeline.close()
        slow.execute("insert into ticks values (4, 'slow')")
    service = await start("")
    after = await service.join(SERVICE, "ticks", resume=before.resume)
    await after.until(3)
    await service.settled()
    assert [data["record"]["id"] for data in (*before.data, *after.data)] == [3, 1, 2, 4]
    places = [number(lsn) for lsn, data in lsns(watched) if "INSERT" in data and ".ticks" in data]
    assert places != sorted(places)


@pytest.mark.parametrize("restarts", [1, 3])
async def test_a_restart_in_the_middle_of_a_group_loses_nothing_of_its_rest(engine: Engine, start: Start, restarts: int) -> None:
    """The service ends while a transaction is being handed over, and its clients come back."""
    service = await start(SCHEMA, batch_changes=10)
    subscriber = await service.join(SERVICE, "ticks")
    await asyncio.to_thread(engine.run, "insert into ticks select n from generate_series(1, 3000) n")
    seen: list[int] = []
    for _ in range(restarts):
        await subscriber.until(500)
        await service.pipeline.close()
        seen += [data["record"]["id"] for data in subscriber.data]
        service = await start("", batch_changes=10)
        subscriber = await service.join(SERVICE, "ticks", resume=subscriber.resume)
    await subscriber.hears(lambda: len(subscriber.data) + len(seen) >= 3000)
    await service.settled()
    assert seen + [data["record"]["id"] for data in subscriber.data] == list(range(1, 3001))
