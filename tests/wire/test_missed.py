"""A channel is sent its past, what passes while that is read, and what comes live: everything once, whatever overtakes what."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from realtime_inspector.hub import missed
from realtime_inspector.hub.missed import MEANWHILE
from realtime_inspector.model import Extension, Forum, Identity, Right, Rights
from realtime_inspector.protocol.broadcast import Broadcast, Encoding, Persistence
from tests.wire.private import answer, inner
from tests.wire.service import Client, client, figure, until
from tests.wire.test_hub import Parts, parts

ROOM = "realtime:room"
PRIVATE = Forum(ROOM, private=True)
REPLAY = {"private": True, "presence": {"enabled": False}, "broadcast": {"replay": {"since": 1}}}


class Archive:
    """A database that lets everybody do everything, and gives its past when the test says so."""

    def __init__(self) -> None:
        self.past: asyncio.Future[Sequence[Broadcast]] = asyncio.get_running_loop().create_future()
        self.asked = 0

    async def ask(self, _identity: Identity, _headers: str, _topic: str, right: Right, /) -> Rights:
        return Rights(right, frozenset(Extension))

    async def version(self) -> str:
        return "the same"

    async def recall(self, _topic: str, _since: int, _limit: int, /) -> Sequence[Broadcast]:
        self.asked += 1
        return await asyncio.shield(self.past)

    async def keep(self, _topic: str, _broadcast: Broadcast, _persistence: Persistence, /) -> None:
        pass

    async def flowing(self) -> None:
        pass


def message(number: int, *, late: bool = False) -> Broadcast:
    name = str(number)
    return Broadcast("e", orjson.dumps({"number": number}), Encoding.JSON, orjson.dumps({"id": name}), name, late)


async def received(member: Client, count: int) -> list[Any]:
    return [inner((await member.event())[1])["number"] for _ in range(count)]


async def hand_over(running: Parts, *numbers: int, late: bool = False) -> None:
    for number in numbers:
        await running.hub.hand_over(PRIVATE, message(number, late=late))


async def test_what_overtakes_the_past_comes_after_it_and_once() -> None:
    archive = Archive()
    async with parts(channels=archive) as running, client(running.service) as member, client(running.service) as other:
        ref = await member.send(ROOM, "phx_join", {"config": REPLAY})
        await until(lambda: archive.asked)
        await hand_over(running, 2, 3, 4)
        await running.hub.hand_over(Forum(ROOM), message(99))
        archive.past.set_result([message(1), message(2), message(3)])
        assert (await answer(member, ref))[0] == "ok"
        assert await received(member, 4) == [1, 2, 3, 4]
        await hand_over(running, 3, 5)
        assert await received(member, 1) == [5]
        await member.alive()
        assert (await answer(other, await other.send(ROOM, "phx_join", {"config": {**REPLAY, "broadcast": {}}})))[0] == "ok"
        await hand_over(running, 1)
        assert await received(other, 1) == [1]
        await member.alive()


async def test_a_channel_that_is_joined_anew_has_no_past() -> None:
    archive = Archive()
    async with parts(channels=archive) as running, client(running.service) as member:
        archive.past.set_result([message(1)])
        assert (await answer(member, await member.send(ROOM, "phx_join", {"config": REPLAY})))[0] == "ok"
        assert await received(member, 1) == [1]
        plain = {**REPLAY, "broadcast": {}}
        assert (await answer(member, await member.send(ROOM, "phx_join", {"config": plain})))[0] == "ok"
        await hand_over(running, 1)
        assert await received(member, 1) == [1]


async def test_a_join_that_is_given_up_keeps_nothing() -> None:
    archive = Archive()
    async with parts(channels=archive) as running, client(running.service) as member:
        await member.send(ROOM, "phx_join", {"config": REPLAY})
        await until(lambda: archive.asked)
        await answer(member, await member.send(ROOM, "phx_leave", {}))
        assert running.hub._missed._waiting
        archive.past.set_result([])
        await until(lambda: not running.hub._missed._waiting)


async def test_too_much_meanwhile_is_told() -> None:
    archive = Archive()
    async with parts(channels=archive) as running, client(running.service) as member:
        ref = await member.send(ROOM, "phx_join", {"config": REPLAY})
        await until(lambda: archive.asked)
        await hand_over(running, *range(MEANWHILE + 5))
        archive.past.set_result([])
        status, response = await answer(member, ref)
        assert (status, response["code"]) == ("error", "UnableToReplayMessages")


async def test_arrears_that_cannot_be_kept_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missed, "ARREARS_BYTES", 1)
    async with parts(channels=Archive()) as running, client(running.service) as member:
        running.hub._missed._seconds = 30
        with capture_logs() as logs:
            await hand_over(running, 1, 2, 3, late=True)
        assert await figure(running.service, "arrears_dropped_total") == 2
        assert [line["event"] for line in logs] == ["arrears_dropped"]
        assert (await answer(member, await member.send(ROOM, "phx_join", {"config": {**REPLAY, "broadcast": {}}})))[0] == "ok"
        assert await received(member, 1) == [1]
        await member.alive()


async def test_arrears_wait_for_those_who_come_back() -> None:
    archive = Archive()
    async with parts(channels=archive) as running, client(running.service) as early, client(running.service) as late:
        running.hub._missed._seconds = 30
        plain = {**REPLAY, "broadcast": {}}
        assert (await answer(early, await early.send(ROOM, "phx_join", {"config": plain})))[0] == "ok"
        await hand_over(running, 1, 2, late=True)
        await hand_over(running, 3)
        assert await received(early, 3) == [1, 2, 3]
        assert (await answer(late, await late.send(ROOM, "phx_join", {"config": plain})))[0] == "ok"
        assert await received(late, 2) == [1, 2]
        archive.past.set_result([replace(message(1), late=True)])
        assert (await answer(late, await late.send(ROOM, "phx_join", {"config": REPLAY})))[0] == "ok"
        assert await received(late, 1) == [1]
        await answer(late, await late.send(ROOM, "phx_leave", {}))
        assert (await late.event())[0] == "phx_close"
        await hand_over(running, 4, late=True)
        assert (await answer(late, await late.send(ROOM, "phx_join", {"config": plain})))[0] == "ok"
        assert await received(late, 1) == [4]
        await late.alive()
        running.hub._missed._until = 0.0
        assert (await answer(late, await late.send(ROOM, "phx_join", {"config": plain})))[0] == "ok"
        await late.alive()
