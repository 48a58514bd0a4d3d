"""What the database broadcasts, what is replayed and what is kept: in order, once, also when the service was away."""

import asyncio
import contextlib
import time
from typing import Any, Literal

import httpx
import psycopg
import pytest

from realtime_inspector.postgres.setup import Options, prepare
from tests.wire.private import (
    ALICE,
    BOB,
    MEMBERS,
    World,
    answer,
    ask,
    enter,
    hello,
    inner,
    meta,
    person,
    prepared,
    running,
    world,
)
from tests.wire.service import PATIENCE, V1, V2, VERSIONS, Client, client, counted, token

ROOM = "realtime:room"
Source = Literal["replication", "notify"]
SOURCES: tuple[Source, ...] = ("replication", "notify")
SEND = "select realtime.send(jsonb_build_object('number', n), 'hello', 'room', %s) from generate_series(%s::int, %s::int) n"

PARTITIONS = "select inhrelid::regclass::text from pg_inherits where inhparent = 'realtime.messages'::regclass order by 1"


async def broadcasts(member: Client, number: int) -> list[Any]:
    """So many broadcasts, in either form; nothing else comes in between."""
    found = []
    while len(found) < number:
        event, payload = await member.event()
        assert event in ("", "broadcast")
        found.append(payload)
    return found


async def enter_publicly(member: Client, **config: Any) -> None:
    ref = await member.send(ROOM, "phx_join", {"config": {"presence": {"enabled": False}, **config}})
    assert (await answer(member, ref))[0] == "ok"


@pytest.mark.parametrize("source", SOURCES)
async def test_messages_arrive_in_commit_order_where_they_belong(database: str, source: Source) -> None:
    async with (
        world(database, source=source) as made,
        client(made.service, V1, key=person(ALICE)) as first,
        client(made.service, V2, key=person(BOB)) as second,
        client(made.service, V2, key=token()) as public,
    ):
        for member in (first, second):
            assert (await enter(member))[0] == "ok"
        await enter_publicly(public)
        made.run(SEND, True, 1, 300)
        made.run(SEND, False, 1, 5)
        for member, size in ((first, 300), (second, 300), (public, 5)):
            received = await broadcasts(member, size)
            assert [inner(each)["number"] for each in received] == list(range(1, size + 1))
            assert all(inner(each)["id"] == meta(each)["id"] for each in received)
            await member.alive()
        assert made.run("select count(*), count(*) filter (where private) from realtime.messages") == [(305, 300)]


@pytest.mark.parametrize("source", SOURCES)
async def test_bytes_go_to_those_who_can_read_them(database: str, source: Source) -> None:
    async with (
        world(database, source=source) as made,
        client(made.service, V1, key=person(ALICE)) as first,
        client(made.service, V2, key=person(BOB)) as second,
    ):
        for member in (first, second):
            await enter(member)
        made.run(r"select realtime.send_binary('\x00ff10'::bytea, 'raw', 'room')")
        frame = (await second.event())[1]
        assert frame[0] == 4
        assert frame.endswith(b"\x00\xff\x10")
        await first.alive()


@pytest.mark.parametrize("vsn", VERSIONS)
async def test_a_trigger_broadcasts_changes(database: str, vsn: str) -> None:
    trigger = """
    create table public.notes (id int primary key, body text);
    create function public.tell() returns trigger security definer language plpgsql as $$ begin
      perform realtime.broadcast_changes('room', tg_op, tg_op, tg_table_name, tg_table_schema, new, old);
      return null;
    end $$;
    create trigger tell after insert or update or delete on public.notes for each row execute function public.tell();
    """
    async with world(database, MEMBERS + trigger) as made, client(made.service, vsn, key=person(ALICE)) as alice:
        await enter(alice)
        made.run("insert into public.notes values (1, 'a'); update public.notes set body = 'b'; delete from public.notes")
        told = [inner(each) for each in await broadcasts(alice, 3)]
        assert [each["operation"] for each in told] == ["INSERT", "UPDATE", "DELETE"]
        assert [each["record"] for each in told] == [{"id": 1, "body": "a"}, {"id": 1, "body": "b"}, None]
        assert [each["old_record"] for each in told] == [None, {"id": 1, "body": "a"}, {"id": 1, "body": "b"}]
        assert {(each["table"], each["schema"]) for each in told} == {("notes", "public")}


@pytest.mark.parametrize("source", SOURCES)
async def test_what_is_rolled_back_is_not_sent_and_a_bad_message_breaks_nothing(database: str, source: Source) -> None:
    async with world(database, source=source) as made, client(made.service, key=person(ALICE)) as alice:
        await enter(alice)
        made.run("begin; select realtime.send('{}', 'lost', 'room'); rollback")
        made.run("select realtime.send(null, null, 'room'); select realtime.send('{}', 'bad', null)")
        columns, values = "topic, extension, event, payload, private", "'room', 'presence', 'e', '{}', true"
        made.run(f"insert into realtime.messages ({columns}) values ({values})")
        made.run("select realtime.send(to_jsonb(repeat('x', 3000001)), 'large', 'room')")
        made.run("select realtime.send('{\"last\": true}', 'hello', 'room')")
        assert inner((await broadcasts(alice, 1))[0])["last"]
        await alice.alive()


@pytest.mark.parametrize("source", SOURCES)
async def test_a_missing_partition_loses_nothing(database: str, source: Source) -> None:
    async with world(database, source=source) as made, client(made.service, key=person(ALICE)) as alice:
        await enter(alice)
        for (partition,) in made.run(
            "select inhrelid::regclass::text from pg_inherits where inhparent = 'realtime.messages'::regclass"
        ):
            made.run(f"drop table {partition}")
        made.run(SEND, True, 1, 1)
        assert inner((await broadcasts(alice, 1))[0])["number"] == 1


async def test_nobody_sees_the_table_as_changes(database: str) -> None:
    everything = "drop publication supabase_realtime; create publication supabase_realtime for all tables;"
    loose = "create policy everything on realtime.messages for select to authenticated using (true);"
    async with world(database, MEMBERS + loose + everything) as made, client(made.service, key=person(ALICE)) as alice:
        status, _ = await enter(alice, "realtime:other", postgres_changes=[{"event": "*", "schema": "*"}])
        assert status == "ok"
        assert (await alice.event())[1]["message"] == "Subscribed to PostgreSQL"
        made.run(SEND, True, 1, 3)
        made.run("create table public.seen (id int primary key); grant select on public.seen to authenticated")
        made.run("insert into public.seen values (1)")
        event, payload = await alice.event()
        assert (event, payload["data"]["table"]) == ("postgres_changes", "seen")


@pytest.mark.parametrize("source", SOURCES)
async def test_a_service_that_nobody_used_before_it_was_away_owes_what_was_sent_meanwhile(database: str, source: Source) -> None:
    env = await prepared(database, source=source)
    async with running(database, env) as made:
        pass
    made.run(SEND, True, 1, 3)
    async with running(database, env) as again, client(again.service, key=person(ALICE)) as alice:
        await counted(again.service, 'database_broadcasts_total{outcome="delivered"}', 3)
        await enter(alice)
        assert [inner(each)["number"] for each in await broadcasts(alice, 3)] == [1, 2, 3]
        await alice.alive()


@pytest.mark.parametrize("source", SOURCES)
async def test_what_is_sent_while_the_service_is_away_arrives_once(database: str, source: Source) -> None:
    """The slot stays behind for those who come back to changes of tables, and gives the messages since then once more."""
    table = "create table public.notes (id int primary key); alter publication supabase_realtime add table public.notes;"
    env = await prepared(database, MEMBERS + table, source)
    async with running(database, env) as made, client(made.service, key=person(ALICE)) as alice:
        await enter(alice)
        made.run("insert into public.notes values (1)")
        made.run(SEND, True, 1, 10)
        await broadcasts(alice, 10)
    World(made.service, database, env).run(SEND, True, 11, 15)
    World(made.service, database, env).run(SEND, False, 101, 103)
    async with (
        running(database, env) as again,
        client(again.service, key=person(ALICE)) as alice,
        client(again.service, key=token()) as public,
    ):
        await enter(alice)
        await enter_publicly(public)
        again.run(SEND, True, 16, 17)
        assert [inner(each)["number"] for each in await broadcasts(alice, 7)] == list(range(11, 18))
        assert [inner(each)["number"] for each in await broadcasts(public, 3)] == [101, 102, 103]
        for member in (alice, public):
            await member.alive()
    async with running(database, env) as third, client(third.service, key=person(ALICE)) as alice:
        await enter(alice)
        third.run(SEND, True, 18, 18)
        assert [inner(each)["number"] for each in await broadcasts(alice, 1)] == [18]
        await alice.alive()


@pytest.mark.parametrize("vsn", VERSIONS)
async def test_the_past_is_replayed_and_does_not_come_again(database: str, vsn: str) -> None:
    async with world(database) as made:
        made.run(SEND, True, 1, 30)
        made.run(SEND, False, 900, 910)
        made.run("select realtime.send('{}', 'hello', 'another')")
        async with client(made.service, vsn, key=person(ALICE)) as alice:
            since = int(time.time() * 1000) - 3_600_000
            status, _ = await enter(alice, broadcast={"replay": {"since": since, "limit": 40}})
            assert status == "ok"
            past = await broadcasts(alice, 25)
            assert [inner(each)["number"] for each in past] == list(range(6, 31))
            assert all(meta(each).keys() == {"replayed", "id"} and meta(each)["replayed"] is True for each in past)
            made.run(SEND, True, 31, 31)
            (live,) = await broadcasts(alice, 1)
            assert inner(live)["number"] == 31
            assert "replayed" not in meta(live)
            await alice.alive()
            await alice.send(ROOM, "phx_leave", {})
            assert (await enter(alice, broadcast={"replay": {"since": int(time.time() * 1000) + 1_000}}))[0] == "ok"
            await alice.alive()


async def test_replay_while_messages_keep_coming_is_complete_and_without_duplicates(database: str) -> None:
    async with world(database) as made:
        since = int(time.time() * 1000) - 60_000
        sending = asyncio.create_task(asyncio.to_thread(_keep_sending, made, 40))
        for _ in range(8):
            async with client(made.service, key=person(ALICE)) as alice:
                assert (await enter(alice, broadcast={"replay": {"since": since}}))[0] == "ok"
                numbers: list[int] = []
                while 40 not in numbers and len(numbers) < 45:
                    numbers += [inner(each)["number"] for each in await broadcasts(alice, 1)]
                    if len(numbers) > 27:
                        break
                assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        await sending


def _keep_sending(made: World, last: int) -> None:
    for number in range(1, last + 1):
        made.run(SEND, True, number, number)
        time.sleep(0.02)
    for number in range(last + 1, last + 30):
        made.run(SEND, True, number, number)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"private": True, "broadcast": {"replay": {"since": "x"}}}, "Replay params are not valid"),
        ({"private": False, "broadcast": {"replay": {"since": 1}}}, "Replay is not allowed for public channels"),
    ],
)
async def test_what_cannot_be_replayed_is_refused(database: str, config: dict[str, Any], reason: str) -> None:
    async with world(database) as made, client(made.service, key=person(ALICE)) as alice:
        ref = await alice.send(ROOM, "phx_join", {"config": config})
        status, response = await answer(alice, ref)
        assert (status, response["reason"]) == ("error", f"UnableToReplayMessages: {reason}")


def kind_3(payload: bytes, meta: bytes, ref: bytes = b"77", *, is_json: bool = True) -> bytes:
    """A binary push to the room."""
    parts = (b"1", ref, ROOM.encode(), b"hello", meta)
    return bytes((3, *map(len, parts), is_json)) + b"".join(parts) + payload


async def test_messages_that_are_kept_are_sent_once_and_can_be_replayed(database: str) -> None:
    async with (
        world(database) as made,
        client(made.service, key=person(ALICE)) as alice,
        client(made.service, key=person(BOB)) as bob,
    ):
        since = int(time.time() * 1000) - 60_000
        for member in (alice, bob):
            await enter(member, broadcast={"ack": True})
        await alice.connection.send(kind_3(b'{"number":1}', b'{"persist":true}'))
        status, response = await answer(alice, "77")
        assert status == "ok"
        (live,) = await broadcasts(bob, 1)
        assert meta(live) == {"id": response["id"]}
        made.run(SEND, True, 2, 2)
        assert [inner(each)["number"] for each in await broadcasts(bob, 1)] == [2]  # and 1 did not come again
        await bob.connection.send(kind_3(b"{}", b'{"persist":true}'))
        status, response = await answer(bob, "77")
        assert (status, response["code"]) == ("error", "Unauthorized")
        async with client(made.service, key=person(BOB)) as late:
            await enter(late, broadcast={"replay": {"since": since}})
            assert [inner(each)["number"] for each in await broadcasts(late, 2)] == [1, 2]


async def test_a_time_to_live_ends(database: str) -> None:
    async with world(database) as made, client(made.service, key=person(ALICE)) as alice:
        since = int(time.time() * 1000) - 60_000
        await enter(alice, broadcast={"ack": True})
        await alice.connection.send(kind_3(b'{"number":1}', b'{"persist":{"ttl":1000}}'))
        assert (await answer(alice, "77"))[0] == "ok"
        for number, expected in ((1, [1]), (2, [])):
            if number == 2:
                made.run("update realtime_inspector.expiring_messages set expires_at = now()")
            async with client(made.service, key=person(BOB)) as late:
                await enter(late, broadcast={"replay": {"since": since}})
                assert [inner(each)["number"] for each in await broadcasts(late, len(expected))] == expected
                await late.alive()
        made.run("select realtime_inspector.keep_partitions(72)")
        assert made.run(
            "select (select count(*) from realtime.messages), (select count(*) from realtime_inspector.expiring_messages)"
        ) == [(0, 0)]


async def test_keeping_is_for_private_channels_and_needs_a_policy_of_its_own(database: str) -> None:
    no_keeping = "alter policy send on realtime.messages with check (extension = 'broadcast');"
    async with world(database, MEMBERS + no_keeping) as made, client(made.service, key=person(ALICE)) as alice:
        await enter(alice, broadcast={"ack": True})
        await alice.connection.send(kind_3(b"{}", b'{"persist":true}'))
        status, response = await answer(alice, "77")
        assert (status, response["code"]) == ("error", "Unauthorized")
        assert "persistence" in response["hint"]
        await alice.send(ROOM, "phx_leave", {})
        await enter_publicly(alice, broadcast={"ack": True})
        await alice.connection.send(kind_3(b"{}", b'{"persist":true}', b"78"))
        status, response = await answer(alice, "78")
        assert (status, response["code"]) == ("error", "PersistenceUnsupported")
        assert isinstance(response["error"], str)


async def test_messages_are_kept_over_http(database: str) -> None:
    path = "/api/broadcast/room/events/hello"
    async with world(database) as made, client(made.service, key=person(BOB)) as bob:
        await enter(bob)
        async with httpx.AsyncClient(base_url=made.service.url, trust_env=False, headers={"apikey": person(ALICE)}) as http:
            kept = await http.post(f"{path}?private=true&persist=true", json={"number": 1})
            assert kept.status_code == 202
            assert (await http.post(f"{path}?private=true&persist[ttl]=60", json={"number": 2})).status_code == 202
            assert (await http.post(f"{path}?persist=true", json={})).status_code == 422
            assert (await http.post(f"{path}?private=true&persist[ttl]=soon", json={})).status_code == 422
            denied = await http.post(f"{path}?private=true&persist=true", json={}, headers={"apikey": person(BOB)})
            assert denied.status_code == 403
        first, second = await broadcasts(bob, 2)
        assert [inner(each)["number"] for each in (first, second)] == [1, 2]
        assert meta(first)["id"] == kept.json()["id"]
        assert made.run("select payload->'number' from realtime.messages order by inserted_at") == [(1,), (2,)]
        await bob.alive()


@pytest.mark.parametrize("vsn", VERSIONS)
@pytest.mark.parametrize("source", SOURCES)
async def test_it_is_told_when_messages_arrive(database: str, vsn: str, source: Source) -> None:
    async with world(database, source=source) as made, client(made.service, vsn, key=token()) as member:
        await enter_publicly(member, broadcast={"replication_ready": True}, postgres_changes_options={"wait": True, "timeout": 5})
        event, payload = await member.event()
        assert (event, payload["extension"], payload["status"]) == ("system", "system", "ok")
        assert payload["message"] == "Replication connection established"


async def test_old_partitions_are_dropped_and_new_ones_made(database: str) -> None:
    async with world(database) as made:
        made.run("select realtime_inspector.make_partition((now() at time zone 'utc')::date - 9)")
        made.run("create table realtime.messages_of_ours (id int)")
        before = made.run(PARTITIONS)
        assert made.run("select * from realtime_inspector.keep_partitions(72)") == [(0, 1)]
        assert len(made.run(PARTITIONS)) == len(before) - 1 == 5
        assert made.run("select to_regclass('realtime.messages_of_ours') is not null") == [(True,)]


async def test_what_was_sent_while_the_slot_was_lost_is_handed_over_once(database: str) -> None:
    async with world(database) as made, client(made.service, key=person(ALICE)) as alice:
        await enter(alice)
        made.run(SEND, True, 1, 5)
        await broadcasts(alice, 5)
        with psycopg.connect(database) as writer:  # no slot is made before this ends
            writer.execute(SEND, [True, 6, 6])
            drop(made)
            made.run(SEND, True, 7, 9)
            writer.commit()
        assert sorted(inner(each)["number"] for each in await broadcasts(alice, 4)) == [6, 7, 8, 9]
        made.run(SEND, True, 10, 10)
        assert [inner(each)["number"] for each in await broadcasts(alice, 1)] == [10]
        await alice.alive()


def drop(made: World) -> None:
    """The slot, although the service keeps attaching to it."""
    slot = made.env["RTI_SLOT"]
    while made.run("select 1 from pg_replication_slots where slot_name = %s", slot):
        made.run("select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where slot_name = %s and active", slot)
        with contextlib.suppress(psycopg.errors.ObjectInUse):
            made.run("select pg_drop_replication_slot(%s)", slot)


async def test_what_was_sent_while_no_service_was_there_and_the_slot_was_lost_is_handed_over(database: str) -> None:
    env = await prepared(database)
    async with running(database, env) as made, client(made.service, key=person(ALICE)) as alice:
        await enter(alice)
        made.run(SEND, True, 1, 1)
        await broadcasts(alice, 1)
    made.run("select pg_drop_replication_slot(%s)", env["RTI_SLOT"])
    made.run("update realtime.messages set inserted_at = inserted_at - interval '1 minute'")
    made.run(SEND, True, 2, 30)
    async with running(database, env) as again, client(again.service, key=person(ALICE)) as alice:
        await enter(alice)
        assert [inner(each)["number"] for each in await broadcasts(alice, 29)] == list(range(2, 31))
        again.run(SEND, True, 31, 31)
        assert [inner(each)["number"] for each in await broadcasts(alice, 1)] == [31]
        await alice.alive()


async def test_with_triggers_as_the_source_a_transaction_that_takes_long_loses_nothing(database: str) -> None:
    env = await prepared(database, source="notify")
    with psycopg.connect(database) as slow:
        async with running(database, env) as made, client(made.service, key=person(ALICE)) as alice:
            await enter(alice)
            slow.execute(SEND, [True, 1, 30])
            made.run(SEND, True, 31, 40)
            assert [inner(each)["number"] for each in await broadcasts(alice, 10)] == list(range(31, 41))
        slow.execute(SEND, [True, 41, 41])
        slow.commit()
    made.run("select realtime_inspector.keep_partitions(72)")
    async with running(database, env) as made, client(made.service, key=person(ALICE)) as alice:
        await enter(alice)
        assert [inner(each)["number"] for each in await broadcasts(alice, 31)] == [*range(1, 31), 41]
        await alice.alive()


async def test_with_triggers_as_the_source_a_copy_of_another_database_is_no_past(database: str) -> None:
    env = await prepared(database, source="notify")
    async with running(database, env) as made, client(made.service, key=person(ALICE)) as alice:
        await enter(alice)
        made.run(SEND, True, 1, 1)
        await broadcasts(alice, 1)
        await alice.alive()
    made.run("update realtime_inspector.sent_marks set seen = '9000000000:9000000000:'")
    async with running(database, env) as again, client(again.service, key=person(ALICE)) as alice:
        await enter(alice)
        again.run(SEND, True, 2, 2)
        assert [inner(each)["number"] for each in await broadcasts(alice, 1)] == [2]
        await alice.alive()


async def test_with_triggers_as_the_source_a_database_that_is_not_prepared_for_it_is_told(database: str) -> None:
    env = await prepared(database, source="notify")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("drop function realtime_inspector.note_message() cascade")
    async with running(database, env) as made, client(made.service, key=person(ALICE)) as alice:
        since = int(time.time() * 1000) - 60_000
        assert (await enter(alice, broadcast={"ack": True, "replication_ready": True}))[0] == "ok"
        event, payload = await alice.event()
        assert (event, payload["status"], payload["code"]) == ("system", "error", "SetupError")
        assert "No trigger" in payload["message"]
        made.run(SEND, True, 1, 1)
        assert await ask(alice, "broadcast", hello()) == ("ok", {})
        async with client(made.service, key=person(BOB)) as bob:
            await enter(bob, broadcast={"replay": {"since": since}})
            assert [inner(each)["number"] for each in await broadcasts(bob, 1)] == [1]
        await prepare(database, Options(existing=env))
        await arriving(made)
        await enter(alice)
        made.run(SEND, True, 2, 2)
        assert [inner(each)["number"] for each in await broadcasts(alice, 1)] == [2]


async def arriving(made: World) -> None:
    """Returns when it is told that messages of the database arrive."""
    async with asyncio.timeout(PATIENCE):
        while True:
            async with client(made.service, key=token()) as member:
                await enter_publicly(member, broadcast={"replication_ready": True})
                if (await member.event())[1]["status"] == "ok":
                    return


async def test_triggers_that_note_messages_come_and_go_with_the_source(database: str) -> None:
    env = await prepared(database, source="notify")
    query = "select count(*) from pg_trigger where tgname = 'realtime_inspector_message' and tgparentid = 0"
    for source, number in (("notify", 1), ("replication", 0), ("notify", 1)):
        env = (await prepare(database, Options(existing=env, source=source))).env
        with psycopg.connect(database) as connection:
            assert connection.execute(query.encode()).fetchall() == [(number,)]
