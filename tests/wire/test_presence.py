"""Who is on a topic: the state at the join, differences afterwards, and nobody who is gone."""

from typing import Any

import pytest

from tests.wire.service import V1, V2, VERSIONS, Client, client, serving

ROOM = "realtime:room"


def presence(key: str = "", enabled: bool = True) -> dict[str, Any]:
    return {"key": key, "enabled": enabled}


async def enter(member: Client, key: str) -> dict[str, Any]:
    """Joins with presence and returns the state."""
    await member.join(presence=presence(key))
    event, state = await member.event()
    assert event == "presence_state"
    return dict(state)


async def track(member: Client, **fields: Any) -> None:
    await member.send(ROOM, "presence", {"type": "presence", "event": "track", "payload": fields})


def people(metas: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Entries by key without their references, which must all differ."""
    references = [meta["phx_ref"] for each in metas.values() for meta in each["metas"]]
    assert len(set(references)) == len(references)
    hidden = {"phx_ref", "phx_ref_prev"}
    return {
        key: [{name: value for name, value in meta.items() if name not in hidden} for meta in each["metas"]]
        for key, each in metas.items()
    }


async def difference(member: Client) -> tuple[dict[str, Any], dict[str, Any]]:
    """Joins and leaves of the next presence_diff; a reply may come before it."""
    event, payload = await member.event()
    while event == "phx_reply":
        event, payload = await member.event()
    assert event == "presence_diff"
    assert payload.keys() == {"joins", "leaves"}
    return people(payload["joins"]), people(payload["leaves"])


@pytest.mark.parametrize("second", VERSIONS)
@pytest.mark.parametrize("first", VERSIONS)
async def test_two_clients_see_each_other_come_change_and_go(first: str, second: str) -> None:
    async with serving() as service, client(service, first) as ann:
        assert await enter(ann, "ann") == {}
        await track(ann, mood="good")
        assert await difference(ann) == ({"ann": [{"mood": "good"}]}, {})
        async with client(service, second) as bob:
            assert people(await enter(bob, "bob")) == {"ann": [{"mood": "good"}]}
            await track(bob, mood="fine")
            for each in (ann, bob):
                assert await difference(each) == ({"bob": [{"mood": "fine"}]}, {})
            await track(ann, mood="bad")
            for each in (ann, bob):
                assert await difference(each) == ({"ann": [{"mood": "bad"}]}, {"ann": [{"mood": "good"}]})
        assert await difference(ann) == ({}, {"bob": [{"mood": "fine"}]})  # its socket was closed


async def test_a_lost_socket_leaves() -> None:
    async with serving() as service, client(service) as ann, client(service) as bob:
        await enter(ann, "ann")
        await enter(bob, "bob")
        await track(bob)
        assert await difference(ann) == ({"bob": [{}]}, {})
        bob.connection.transport.abort()
        assert await difference(ann) == ({}, {"bob": [{}]})


@pytest.mark.parametrize("parting", ["untrack", "phx_leave"])
async def test_who_untracks_or_leaves_is_gone_for_the_others(parting: str) -> None:
    async with serving() as service, client(service) as ann, client(service) as bob:
        await enter(ann, "ann")
        await enter(bob, "bob")
        await track(bob)
        assert await difference(ann) == ({"bob": [{}]}, {})
        if parting == "untrack":
            await bob.send(ROOM, "presence", {"type": "presence", "event": "untrack"})
        else:
            await bob.send(ROOM, parting, {})
        assert await difference(ann) == ({}, {"bob": [{}]})


async def test_the_same_key_twice_is_two_entries() -> None:
    async with serving() as service, client(service) as laptop, client(service, V1) as phone, client(service) as late:
        await enter(laptop, "ann")
        await enter(phone, "ann")
        await track(laptop, on="laptop")
        assert await difference(phone) == ({"ann": [{"on": "laptop"}]}, {})
        await track(phone, on="phone")
        assert await difference(laptop) == ({"ann": [{"on": "laptop"}]}, {})
        assert await difference(laptop) == ({"ann": [{"on": "phone"}]}, {})
        assert people(await enter(late, "late")) == {"ann": [{"on": "laptop"}, {"on": "phone"}]}


async def test_an_equal_track_changes_nothing() -> None:
    async with serving() as service, client(service) as ann, client(service) as bob:
        await enter(ann, "ann")
        await enter(bob, "bob")
        await track(bob, a=1, b=2)
        assert await difference(ann) == ({"bob": [{"a": 1, "b": 2}]}, {})
        await track(bob, b=2, a=1)
        await track(bob, a=2)
        assert await difference(ann) == ({"bob": [{"a": 2}]}, {"bob": [{"a": 1, "b": 2}]})


async def test_without_presence_nothing_is_told_until_the_first_track() -> None:
    async with serving() as service, client(service) as ann, client(service) as bob:
        await ann.join(presence=presence("ann", enabled=False))
        await enter(bob, "bob")
        await track(bob)
        assert await difference(bob) == ({"bob": [{}]}, {})
        await ann.alive()  # no difference came
        await track(ann)
        assert (await ann.event())[0] == "phx_reply"
        event, state = await ann.event()
        assert (event, people(state)) == ("presence_state", {"ann": [{}], "bob": [{}]})
        await track(bob, again=True)
        assert await difference(ann) == ({"bob": [{"again": True}]}, {"bob": [{}]})


async def test_a_topic_that_everybody_left_starts_empty() -> None:
    async with serving() as service:
        async with client(service) as ann:
            await enter(ann, "ann")
            await track(ann)
            await difference(ann)
            await ann.send(ROOM, "phx_leave", {})
            await ann.event()
        async with client(service, V2) as bob:
            assert await enter(bob, "bob") == {}
