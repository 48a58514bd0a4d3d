"""Presence against a model: random people come, change, go and die; what every member of a topic knows must be who is there.

And how long somebody is seen who is there no more: a client that was killed, and one that hangs without its socket being closed.
`python -m bench.presence PORT KEY` is such a client: it is present until it is ended.
"""

import argparse
import asyncio
import contextlib
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bench.fanout import socket_path
from bench.load import prepare_all, server
from bench.report import Figure

TOPICS = tuple(f"realtime:place-{number}" for number in range(4))
GHOSTS = "realtime:ghosts"
KEYS = ("ann", "bob", "cid", "dan")
QUIET_SECONDS, GHOST_SECONDS = 2.0, 60.0
ROUND = 50
"""Steps between two looks whether everybody knows who is there."""
PATIENCE = 90.0
Entries = Counter[tuple[str, int]]
"""Who is there: key and payload."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=int, default=5_000)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--loop", default="uvloop", choices=["asyncio", "uvloop"], help="the event loop of the server")


def measure(options: argparse.Namespace) -> list[Figure]:
    prepare_all(200)
    with server("bench.service", options.loop) as process:
        return asyncio.run(_measure(process.port, options))


async def _measure(port: int, options: argparse.Namespace) -> list[Figure]:
    wrong, slowest = await _play(port, options)
    killed, hanging = await asyncio.gather(_gone_after(port, signal.SIGKILL), _gone_after(port, signal.SIGSTOP))
    name = f"presence, seed {options.seed}, {options.steps:,} steps of {options.people}"
    return [
        Figure(f"{name}: members that did not know who is there", "", wrong, 1, "none", goal=0, exact=True),
        Figure(f"{name}: until everybody knew, longest", "s", slowest, QUIET_SECONDS, "goal", QUIET_SECONDS),
        Figure("a client that was killed is seen for", "s", killed, GHOST_SECONDS, "goal", GHOST_SECONDS),
        Figure("a client that hangs is seen for", "s", hanging, GHOST_SECONDS, "goal", GHOST_SECONDS),
    ]


@dataclass(slots=True)
class Member:
    """A socket in all topics, and what it knows of each as official clients do: by reference."""

    connection: ClientConnection
    known: dict[str, dict[str, tuple[str, int]]] = field(default_factory=dict)
    replies: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    number: int = 0

    async def ask(self, topic: str, event: str, payload: object) -> None:
        """Sends what is answered, and waits for that."""
        self.number += 1
        ref = str(self.number)
        await self.connection.send(orjson.dumps(["1", ref, topic, event, payload]).decode())
        async with asyncio.timeout(PATIENCE):
            reply = await self.replies.get()
        assert reply["status"] == "ok", reply

    async def join(self, topic: str, key: str) -> None:
        await self.ask(topic, "phx_join", {"config": {"presence": {"enabled": True, "key": key}}})

    async def listen(self) -> None:
        """Until the socket ends."""
        with contextlib.suppress(ConnectionClosed):
            async for frame in self.connection:
                _, _, topic, event, payload = orjson.loads(frame)
                if event == "phx_reply":
                    self.replies.put_nowait(payload)
                elif event == "presence_state":
                    self.known[topic] = {}
                    self._take(topic, payload, {})
                elif event == "presence_diff":
                    self._take(topic, payload["joins"], payload["leaves"])

    def _take(self, topic: str, joins: dict[str, Any], leaves: dict[str, Any]) -> None:
        there = self.known[topic]
        there.update({meta["phx_ref"]: (key, meta.get("mood", 0)) for key, each in joins.items() for meta in each["metas"]})
        for each in leaves.values():
            for meta in each["metas"]:
                del there[meta["phx_ref"]]

    def sees(self, topic: str) -> Entries:
        return Counter(self.known.get(topic, {}).values())


async def _play(port: int, options: argparse.Namespace) -> tuple[int, float]:
    """How many members of topics did not know who is there when all was quiet, and the longest time until everybody knew."""
    dice, wrong, slowest = random.Random(options.seed), 0, 0.0
    async with contextlib.AsyncExitStack() as stack:
        watcher = await stack.enter_async_context(_member(port))
        for topic in TOPICS:
            await watcher.join(topic, "watcher")
        crowd = _Crowd(port, stack, dice)
        for _ in range(0, options.steps, ROUND):
            for _ in range(ROUND):
                await crowd.step(dice.randrange(options.people))
            began = time.monotonic()
            while (blind := crowd.blind(watcher)) and time.monotonic() - began < 5 * QUIET_SECONDS:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
            wrong += blind
            slowest = max(slowest, time.monotonic() - began)
            async with _member(port) as late:  # who comes now is told the whole
                for topic in TOPICS:
                    await late.join(topic, "late")
                    await late.ask("phoenix", "heartbeat", {})
                    wrong += late.sees(topic) != crowd.truth(topic)
    return wrong, slowest


class _Crowd:
    """Those who act, and the model: where each is joined, and as what each is present there."""

    def __init__(self, port: int, stack: contextlib.AsyncExitStack, dice: random.Random) -> None:
        self._port, self._stack, self._dice = port, stack, dice
        self._members: dict[int, Member] = {}
        self._keys: dict[tuple[int, str], str] = {}
        self._moods: dict[tuple[int, str], int] = {}

    def truth(self, topic: str) -> Entries:
        return Counter((self._keys[at], mood) for at, mood in self._moods.items() if at[1] == topic)

    def blind(self, watcher: Member) -> int:
        """Members that do not know who is in a topic of theirs."""
        found = [(watcher, topic) for topic in TOPICS] + [(self._members[person], topic) for person, topic in self._keys]
        truth = {topic: self.truth(topic) for topic in TOPICS}
        return sum(member.sees(topic) != truth[topic] for member, topic in found)

    async def step(self, person: int) -> None:
        at, way = (person, self._dice.choice(TOPICS)), self._dice.random()
        if person not in self._members:
            self._members[person] = await self._stack.enter_async_context(_member(self._port))
        member = self._members[person]
        if way < 0.05:
            await self._end(person, member)
        elif at not in self._keys or way < 0.1:
            self._forget(at)  # a second join takes the place of the first
            key = self._dice.choice(KEYS)
            await member.join(at[1], key)
            self._keys[at] = key
        elif way < 0.75:
            mood = self._dice.randrange(5)
            await member.ask(at[1], "presence", {"type": "presence", "event": "track", "payload": {"mood": mood}})
            self._moods[at] = mood
        elif way < 0.9:
            await member.ask(at[1], "presence", {"type": "presence", "event": "untrack"})
            self._moods.pop(at, None)
        else:
            await member.ask(at[1], "phx_leave", {})
            self._forget(at)

    async def _end(self, person: int, member: Member) -> None:
        if self._dice.random() < 0.5:
            member.connection.transport.abort()
        else:
            await member.connection.close()
        del self._members[person]
        for topic in TOPICS:
            self._forget((person, topic))

    def _forget(self, at: tuple[int, str]) -> None:
        self._keys.pop(at, None)
        self._moods.pop(at, None)


async def _gone_after(port: int, sign: signal.Signals) -> float:
    """Seconds for which a client is seen that was sent this signal."""
    key = sign.name
    async with _member(port) as watcher:
        await watcher.join(GHOSTS, "watcher")
        ghost = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.presence", str(port), key)
        try:
            await _until(watcher, key, there=True)
            ghost.send_signal(sign)
            began = time.monotonic()
            await _until(watcher, key, there=False)
            return time.monotonic() - began
        finally:
            ghost.kill()
            await ghost.wait()


async def _until(watcher: Member, key: str, *, there: bool) -> None:
    async with asyncio.timeout(PATIENCE):
        while ((key, 0) in watcher.sees(GHOSTS)) != there:  # noqa: ASYNC110 - another task takes what comes
            await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def _member(port: int) -> AsyncIterator[Member]:
    async with connect(f"ws://127.0.0.1:{port}{socket_path()}", max_queue=None, proxy=None) as connection:
        member = Member(connection)
        listening = asyncio.create_task(member.listen())
        yield member
        listening.cancel()


async def _haunt(port: int, key: str) -> None:
    async with _member(port) as member:
        await member.join(GHOSTS, key)
        await member.ask(GHOSTS, "presence", {"type": "presence", "event": "track", "payload": {}})
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_haunt(int(sys.argv[1]), sys.argv[2]))
