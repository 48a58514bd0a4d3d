"""Private channels over real sockets: who may join, receive and send, and that nothing crosses over to public ones."""

import asyncio
from typing import Any

import httpx
import psycopg
import pytest
from websockets.asyncio.client import connect

from tests.wire.private import ALICE, BOB, MEMBERS, answer, ask, enter, hello, person, world
from tests.wire.service import PATIENCE, VERSIONS, Client, client, token

ROOM = "realtime:room"


@pytest.mark.parametrize("vsn", VERSIONS)
async def test_policies_let_in_and_keep_out(database: str, vsn: str) -> None:
    async with (
        world(database) as made,
        client(made.service, vsn, key=person(ALICE)) as alice,
        client(made.service, vsn, key=token()) as stranger,
    ):
        assert await enter(alice) == ("ok", {"postgres_changes": []})
        status, response = await enter(stranger)
        assert status == "error"
        assert response["reason"] == "Unauthorized: You do not have permissions to read from this Channel topic: room"
        assert response["code"] == "Unauthorized"
        for named in ("SELECT", "broadcast", "'room'", "anon"):
            assert named in response["hint"]
        assert (await enter(alice, "realtime:another"))[0] == "error"
        await stranger.alive()


@pytest.mark.parametrize("vsn", VERSIONS)
async def test_who_may_not_send_is_told_at_once_and_nobody_hears_it(database: str, vsn: str) -> None:
    async with (
        world(database) as made,
        client(made.service, vsn, key=person(ALICE)) as alice,
        client(made.service, vsn, key=person(BOB)) as bob,
    ):
        for member in (alice, bob):
            assert (await enter(member, broadcast={"ack": True}, presence={"enabled": True}))[0] == "ok"
        status, response = await ask(bob, "broadcast", hello())
        assert (status, response["code"]) == ("error", "Unauthorized")
        assert "INSERT on realtime.messages, extension broadcast, topic 'room', role authenticated" in response["hint"]
        status, response = await ask(bob, "presence", {"event": "track", "payload": {}})
        assert (status, response["code"]) == ("error", "Unauthorized")
        assert (await ask(bob, "presence", {"event": "untrack"}))[0] == "ok"
        assert await ask(alice, "broadcast", hello()) == ("ok", {})
        await alice.alive()
        assert await bob.event() == ("broadcast", hello())


async def test_messages_before_the_first_answer_keep_their_order(database: str) -> None:
    async with (
        world(database) as made,
        client(made.service, key=person(ALICE)) as alice,
        client(made.service, key=person(BOB)) as bob,
    ):
        for member in (alice, bob):
            await enter(member)
        alice.burst(ROOM, "broadcast", (hello(number) for number in range(50)))
        assert [(await bob.event())[1] for _ in range(50)] == [hello(number) for number in range(50)]
        bob.burst(ROOM, "broadcast", (hello(number) for number in range(150)))
        codes = [(await bob.event())[1]["response"]["code"] for _ in range(150)]
        assert set(codes) <= {"Unauthorized", "TooManyMessages"}
        await alice.alive()


@pytest.mark.parametrize("vsn", VERSIONS)
async def test_public_and_private_channels_of_one_name_have_nothing_in_common(database: str, vsn: str) -> None:
    async with (
        world(database) as made,
        client(made.service, vsn, key=person(ALICE)) as private,
        client(made.service, vsn, key=person(ALICE)) as public,
    ):
        presence = {"enabled": True, "key": "me"}
        await enter(private, presence=presence)
        assert await private.event() == ("presence_state", {})
        ref = await public.send(ROOM, "phx_join", {"config": {"presence": presence}})
        assert (await answer(public, ref))[0] == "ok"
        assert await public.event() == ("presence_state", {})
        assert (await ask(private, "presence", {"event": "track", "payload": {"where": "private"}}))[0] == "ok"
        await private.send(ROOM, "broadcast", hello("private"))
        await public.send(ROOM, "broadcast", hello("public"))
        async with httpx.AsyncClient(base_url=made.service.url, trust_env=False) as http:
            headers = {"authorization": f"Bearer {person(ALICE)}"}
            for is_private in (True, False):
                item = {"topic": "room", "event": "http", "payload": {"private": is_private}, "private": is_private}
                assert (await http.post("/api/broadcast", json={"messages": [item]}, headers=headers)).status_code == 202
        for member, is_private in ((private, True), (public, False)):
            payload = await broadcast(member)
            assert payload["payload"] == {"private": is_private}
            await member.alive()


async def broadcast(member: Client) -> Any:
    """The next broadcast."""
    while True:
        event, payload = await member.event()
        if event == "broadcast":
            return payload


@pytest.mark.parametrize("vsn", VERSIONS)
async def test_presence_without_broadcast(database: str, vsn: str) -> None:
    policies = """
    create policy receive on realtime.messages for select to authenticated using (extension = 'presence');
    create policy send on realtime.messages for insert to authenticated with check (true);
    """
    async with (
        world(database, policies) as made,
        client(made.service, vsn, key=person(ALICE)) as alice,
        client(made.service, vsn, key=person(BOB)) as bob,
    ):
        assert (await enter(alice))[0] == "error"
        for member in (alice, bob):
            assert (await enter(member, presence={"enabled": True}, broadcast={"ack": True}))[0] == "ok"
            assert await member.event() == ("presence_state", {})
        assert await ask(bob, "broadcast", hello()) == ("ok", {})
        await alice.alive()
        assert (await ask(bob, "presence", {"event": "track", "payload": {"a": 1}}))[0] == "ok"
        assert (await alice.event())[0] == "presence_diff"


async def test_broadcast_without_presence(database: str) -> None:
    policies = """
    create policy receive on realtime.messages for select to authenticated using (extension = 'broadcast');
    create policy send on realtime.messages for insert to authenticated with check (true);
    """
    async with world(database, policies) as made, client(made.service, key=person(ALICE)) as alice:
        assert (await enter(alice, presence={"enabled": True}))[0] == "ok"
        assert (await ask(alice, "presence", {"event": "track", "payload": {"a": 1}}))[0] == "ok"
        await alice.alive()


@pytest.mark.parametrize("vsn", VERSIONS)
async def test_a_new_token_is_asked_again(database: str, vsn: str) -> None:
    async with (
        world(database) as made,
        client(made.service, vsn, key=person(ALICE)) as alice,
        client(made.service, vsn, key=person(BOB)) as bob,
    ):
        for member in (alice, bob):
            await enter(member, broadcast={"ack": True})
        assert (await ask(bob, "broadcast", hello(0)))[0] == "error"
        assert (await ask(alice, "broadcast", hello(1)))[0] == "ok"
        assert await bob.event() == ("broadcast", hello(1))
        await alice.send(ROOM, "access_token", {"access_token": person(BOB)})
        await permitted(alice, wanted=False)
        await alice.send(ROOM, "access_token", {"access_token": token()})
        event, payload = await alice.event()
        assert (event, payload["status"], payload["code"]) == ("system", "error", "Unauthorized")
        assert payload["message"] == "You no longer have permission to read from this Channel topic: room"
        assert (await alice.event())[0] == "phx_close"
        assert await ask(alice, "broadcast", hello(3)) == ("error", {"reason": "unmatched topic"})


async def permitted(member: Client, *, wanted: bool) -> None:
    """Sends until that is allowed, or denied: what changes it happens elsewhere."""
    async with asyncio.timeout(PATIENCE):
        while ((await ask(member, "broadcast", hello()))[0] == "ok") is not wanted:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)


async def test_changed_policies_take_effect_without_a_reconnect(database: str) -> None:
    async with (
        world(database) as made,
        client(made.service, key=person(ALICE)) as alice,
        client(made.service, key=person(BOB)) as bob,
    ):
        for member in (alice, bob):
            await enter(member, broadcast={"ack": True})
        assert (await ask(bob, "broadcast", hello()))[0] == "error"
        assert (await ask(alice, "broadcast", hello()))[0] == "ok"
        made.run("alter policy send on realtime.messages with check (true)")
        await permitted(bob, wanted=True)
        made.run("drop policy receive on realtime.messages")
        for member in (alice, bob):
            while (told := await member.event())[0] != "phx_close":
                assert told[0] != "system" or told[1]["code"] == "Unauthorized"


async def test_policies_are_watched_again_after_looking_was_cancelled(database: str) -> None:
    cancel = "select pg_cancel_backend(pid) from pg_stat_activity where wait_event_type = 'Lock' and query like %s"
    async with world(database) as made, client(made.service, key=person(ALICE)) as alice:
        await enter(alice)
        with psycopg.connect(database) as other:
            other.execute("lock table pg_catalog.pg_policy in access exclusive mode")
            async with asyncio.timeout(PATIENCE):
                while not made.run(cancel, "%What the answers of the policies%"):  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.01)
        made.run("drop policy receive on realtime.messages")
        while (await alice.event())[0] != "phx_close":
            pass


@pytest.mark.parametrize("vsn", VERSIONS)
async def test_a_membership_that_ends_ends_the_channel_without_a_new_token(database: str, vsn: str) -> None:
    async with (
        world(database, recheck_seconds=1) as made,
        client(made.service, vsn, key=person(ALICE)) as alice,
        client(made.service, vsn, key=person(BOB)) as bob,
    ):
        for member in (alice, bob):
            await enter(member, broadcast={"ack": True, "self": True})
        assert (await enter(alice, "realtime:public", private=False))[0] == "ok"
        made.run("delete from public.members where user_id = %s", BOB)
        event, payload = await bob.event()
        assert (event, payload["status"], payload["code"]) == ("system", "error", "Unauthorized")
        assert payload["message"] == "You no longer have permission to read from this Channel topic: room"
        assert (await bob.event())[0] == "phx_close"
        await permitted(alice, wanted=True)
        made.run("update public.members set writes = false")
        await permitted(alice, wanted=False)


async def test_a_membership_that_is_given_later_counts_at_the_next_try(database: str) -> None:
    async with world(database) as made, client(made.service, key=person(BOB)) as bob:
        await enter(bob, broadcast={"ack": True})
        assert (await ask(bob, "broadcast", hello()))[0] == "error"
        made.run("update public.members set writes = true")
        await permitted(bob, wanted=True)


async def test_policies_see_the_headers_of_the_connection(database: str) -> None:
    policies = """
    create policy receive on realtime.messages for select to anon
      using ((current_setting('request.headers')::json ->> 'x-team') = 'blue')
    """
    async with world(database, policies) as made:
        for team, status in (("blue", "ok"), ("red", "error")):
            async with connect(made.service.address(), additional_headers={"X-Team": team}, proxy=None) as connection:
                assert (await enter(Client(connection, "2.0.0")))[0] == status


@pytest.mark.parametrize("vsn", VERSIONS)
async def test_a_policy_that_raises_denies_and_says_where_to_look(database: str, vsn: str) -> None:
    raising = "create policy receive on realtime.messages for select to anon using (1 / (length(topic) - length(topic)) = 1)"
    async with world(database, raising) as made, client(made.service, vsn) as member:
        status, response = await enter(member)
        assert (status, response["code"]) == ("error", "Unauthorized")
        assert "the log of the service has the error" in response["hint"]
        assert "division" not in response["hint"]


@pytest.mark.parametrize("vsn", VERSIONS)
async def test_only_private_channels_can_be_demanded(database: str, vsn: str) -> None:
    async with world(database, private_only=True) as made, client(made.service, vsn, key=person(ALICE)) as alice:
        for config in ({}, {"private": False}):
            status, response = await answer(alice, await alice.send(ROOM, "phx_join", {"config": config}))
            assert (status, response["reason"]) == ("error", "PrivateOnly: This project only allows private channels")
        status, response = await answer(alice, await alice.send("realtime:public:t", "phx_join", {}))
        assert (status, response["code"]) == ("error", "PrivateOnly")
        assert (await enter(alice))[0] == "ok"


async def test_private_messages_over_http_need_the_policy(database: str) -> None:
    async with world(database) as made, client(made.service, key=person(ALICE)) as alice:
        await enter(alice)
        path = "/api/broadcast/room/events/hello?private=true"
        async with httpx.AsyncClient(base_url=made.service.url, trust_env=False) as http:
            for key, status in ((person(BOB), 403), (token(), 403), (person(ALICE), 202)):
                response = await http.post(path, json={"a": 1}, headers={"apikey": key})
                assert response.status_code == status
            assert (await http.post(path, json={}, headers={"apikey": person(BOB)})).json()["message"] == "Unauthorized"
            items = [{"topic": "room", "event": "hello", "payload": {"b": 2}, "private": True}]
            for key in (person(BOB), person(ALICE)):
                assert (await http.post("/api/broadcast", json={"messages": items}, headers={"apikey": key})).status_code == 202
        assert isinstance((await alice.event())[1], bytes)
        assert (await alice.event())[1]["payload"] == {"b": 2}
        await alice.alive()


async def test_changes_of_tables_come_in_private_channels_too(database: str) -> None:
    table = "create table public.notes (id int primary key); grant select on public.notes to authenticated;"
    published = "alter publication supabase_realtime add table public.notes;"
    async with world(database, MEMBERS + table + published) as made, client(made.service, key=person(ALICE)) as alice:
        status, _ = await enter(alice, postgres_changes=[{"event": "*", "schema": "public", "table": "notes"}])
        assert status == "ok"
        assert (await alice.event())[1]["message"] == "Subscribed to PostgreSQL"
        made.run("insert into public.notes values (1)")
        event, payload = await alice.event()
        assert (event, payload["data"]["record"]) == ("postgres_changes", {"id": 1})
