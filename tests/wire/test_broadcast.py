"""What one client sends to the others, in every mixture of serializers and encodings."""

import orjson
import pytest

from tests.wire.service import V1, VERSIONS, client, serving

ROOM = "realtime:room"
HELLO = {"type": "broadcast", "event": "hello", "payload": {"text": "grüß dich"}}


def push(topic: str, event: str, payload: bytes, encoding: int, join_ref: str = "1", ref: str = "9", meta: bytes = b"") -> bytes:
    """A user broadcast as JavaScript clients send it: kind 3, sizes in bytes."""
    parts = [part.encode() for part in (join_ref, ref, topic, event)] + [meta]
    return bytes([3, *map(len, parts), encoding]) + b"".join(parts) + payload


def opened(frame: str | bytes) -> tuple[str, str, int, bytes]:
    """Topic, event, encoding and payload of a kind 4 frame."""
    assert isinstance(frame, bytes)
    kind, topic, event, meta, encoding = frame[:5]
    assert (kind, meta) == (4, 0)
    end = 5 + topic + event
    return frame[5 : 5 + topic].decode(), frame[5 + topic : end].decode(), encoding, frame[end:]


@pytest.mark.parametrize("receiving", VERSIONS)
@pytest.mark.parametrize("sending", VERSIONS)
async def test_a_text_message_reaches_the_others_as_it_was_sent(sending: str, receiving: str) -> None:
    async with serving() as service, client(service, sending) as sender, client(service, receiving) as receiver:
        await sender.join()
        await receiver.join()
        await sender.send(ROOM, "broadcast", HELLO)
        assert await receiver.next() == (None, None, ROOM, "broadcast", HELLO)
        await sender.alive()


@pytest.mark.parametrize("vsn", VERSIONS)
async def test_a_sender_gets_its_own_message_if_it_asked_for_that(vsn: str) -> None:
    async with serving() as service, client(service, vsn) as sender, client(service) as other:
        await sender.join(broadcast={"self": True})
        await other.join()
        await sender.send(ROOM, "broadcast", HELLO)
        assert (await sender.event())[1] == HELLO
        await other.send(ROOM, "broadcast", HELLO)
        assert (await sender.event())[1] == HELLO
        assert (await other.event())[1] == HELLO  # the first one; its own does not come back
        await other.alive()


@pytest.mark.parametrize("vsn", VERSIONS)
async def test_a_message_is_acknowledged_if_asked_for(vsn: str) -> None:
    async with serving() as service, client(service, vsn) as sender:
        join_ref = await sender.join(broadcast={"ack": True, "self": True})
        ref = await sender.send(ROOM, "broadcast", HELLO, join_ref)
        answer = await sender.next()
        assert answer[1:] == (ref, ROOM, "phx_reply", {"status": "ok", "response": {}})
        assert answer[0] == (None if vsn == V1 else join_ref)
        assert (await sender.event())[1] == HELLO


async def test_json_in_a_binary_push_is_text_for_one_serializer_and_kind_4_for_the_other() -> None:
    async with serving() as service, client(service) as sender, client(service, V1) as first, client(service) as second:
        for each in (sender, first, second):
            await each.join()
        inner = {"n": [1, 2.5, None], "s": "ü"}
        await sender.connection.send(push(ROOM, "event é", orjson.dumps(inner), 1))
        assert await first.event() == ("broadcast", {"type": "broadcast", "event": "event é", "payload": inner})
        topic, event, encoding, payload = opened(await second.frame())
        assert (topic, event, encoding, orjson.loads(payload)) == (ROOM, "event é", 1, inner)
        await sender.alive()


async def test_raw_bytes_reach_only_who_can_carry_them() -> None:
    async with serving() as service, client(service) as sender, client(service, V1) as first, client(service) as second:
        for each in (sender, first, second):
            await each.join()
        payload = bytes(range(256))
        await sender.connection.send(push(ROOM, "blob", payload, 0))
        assert opened(await second.frame()) == (ROOM, "blob", 0, payload)
        await sender.send(ROOM, "broadcast", HELLO)
        assert await first.event() == ("broadcast", HELLO)  # nothing came before it


async def test_a_binary_push_is_acknowledged_by_its_refs() -> None:
    async with serving() as service, client(service) as sender:
        join_ref = await sender.join(broadcast={"ack": True})
        await sender.connection.send(push(ROOM, "e", b"{}", 1, join_ref, "77"))
        assert await sender.next() == (join_ref, "77", ROOM, "phx_reply", {"status": "ok", "response": {}})


async def test_topics_and_leavers_are_left_alone() -> None:
    async with serving() as service, client(service) as sender, client(service) as elsewhere, client(service) as leaver:
        await sender.join()
        await elsewhere.join("realtime:room:2")
        join_ref = await leaver.join()
        await leaver.send(ROOM, "phx_leave", {}, join_ref)
        assert [(await leaver.event())[0] for _ in range(2)] == ["phx_reply", "phx_close"]
        await sender.send(ROOM, "broadcast", HELLO)
        await sender.alive()  # so it was handled
        await elsewhere.alive()
        await leaver.alive()


async def test_who_has_not_joined_sends_nothing() -> None:
    async with serving() as service, client(service) as member, client(service) as stranger:
        await member.join()
        await stranger.send(ROOM, "broadcast", HELLO)
        assert await stranger.event() == ("phx_reply", {"status": "error", "response": {"reason": "unmatched topic"}})
        await member.alive()


async def test_a_second_join_of_a_topic_takes_the_place_of_the_first() -> None:
    async with serving() as service, client(service) as twice, client(service) as sender:
        await twice.join(broadcast={"self": True})
        await twice.join()
        await sender.join()
        await sender.send(ROOM, "broadcast", HELLO)
        assert (await twice.event())[1] == HELLO
        await twice.send(ROOM, "broadcast", HELLO)
        await twice.alive()  # one copy of the other's, none of its own


@pytest.mark.parametrize("vsn", VERSIONS)
async def test_many_messages_of_one_moment_arrive_whole_and_in_order(vsn: str) -> None:
    """Frames of one turn of the loop are joined into one write; more than a socket's share wait their turn."""
    messages = [{"type": "broadcast", "event": "n", "payload": {"n": n, "filler": "x" * (n % 700)}} for n in range(1_000)]
    async with serving() as service, client(service) as sender, client(service, vsn) as receiver, client(service) as other:
        for each in (sender, receiver, other):
            await each.join(broadcast={"self": True})
        sender.burst(ROOM, "broadcast", messages)
        await other.send(ROOM, "broadcast", HELLO)
        for each in (sender, receiver, other):
            arrived = [(await each.event())[1] for _ in range(len(messages) + 1)]
            arrived.remove(HELLO)
            assert arrived == messages
            await each.alive()
