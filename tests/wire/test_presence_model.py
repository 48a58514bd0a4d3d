"""Random people come, change, go and die on sockets; whoever watches, and whoever comes last, sees exactly who is there."""

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import orjson
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.wire.private import answer
from tests.wire.service import PATIENCE, VERSIONS, Client, Service, client
from tests.wire.test_hub import parts
from tests.wire.test_missed import Archive

PLACES = (("realtime:a", False), ("realtime:a", True), ("realtime:b", False))
"""Two of them have one name."""
KEYS = ("ann", "bob", "")
PLENTY = {"presence_calls": 100_000, "presence_per_second": 100_000, "joins_per_second": 100_000}
Seen = dict[str, Counter[bytes]]
"""By key, how often each payload stands there."""
places, people = st.sampled_from(PLACES), st.integers(0, 2)
actions = st.one_of(
    st.tuples(st.just("join"), people, places, st.sampled_from(KEYS), st.booleans()),
    st.tuples(st.just("track"), people, places, st.integers(0, 2)),
    st.tuples(st.just("track"), people, places, st.integers(0, 2)),
    st.tuples(st.just("untrack"), people, places),
    st.tuples(st.just("leave"), people, places),
    st.tuples(st.just("kill"), people),
    st.tuples(st.just("close"), people),
)


@dataclass
class Truth:
    """Who is where with which key, and what each says of itself. A socket is in a topic once, publicly or privately."""

    joined: dict[tuple[int, str], tuple[bool, str]] = field(default_factory=dict)
    entries: dict[tuple[int, str], bytes] = field(default_factory=dict)

    def end(self, person: int, topic: str) -> None:
        self.joined.pop((person, topic), None)
        self.entries.pop((person, topic), None)

    def at(self, topic: str, private: bool) -> Seen:
        seen: Seen = {}
        for (person, there), payload in self.entries.items():
            known, key = self.joined[person, there]
            if (there, known) == (topic, private):
                seen.setdefault(key or f"made for {person}", Counter())[payload] += 1
        return seen


class Watcher:
    """A client that has watched from the start, and keeps what it was told as the official ones do: by reference."""

    def __init__(self, member: Client, topic: str, private: bool) -> None:
        self._member = member
        self.place = topic, private
        self._metas: dict[str, dict[str, dict[str, Any]]] = {}

    async def enter(self) -> None:
        topic, private = self.place
        config = {"private": private, "presence": {"enabled": True, "key": "watcher"}}
        status, _ = await answer(self._member, await self._member.send(topic, "phx_join", {"config": config}))
        assert status == "ok"
        event, state = await self._member.event()
        assert event == "presence_state"
        self._take(state, {})

    async def sees(self, truth: Truth) -> None:
        """Reads until it sees the truth."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while self.seen() != named(truth.at(*self.place)):
                    event, diff = await self._member.event()
                    assert event == "presence_diff"
                    self._take(diff["joins"], diff["leaves"])
        assert self.seen() == named(truth.at(*self.place))

    def seen(self) -> Seen:
        return named(
            {
                key: Counter(
                    orjson.dumps({name: value for name, value in meta.items() if not name.startswith("phx_ref")})
                    for meta in metas.values()
                )
                for key, metas in self._metas.items()
                if metas
            }
        )

    def _take(self, joins: dict[str, Any], leaves: dict[str, Any]) -> None:
        for key, each in joins.items():
            for meta in each["metas"]:
                assert meta["phx_ref"] not in self._metas.get(key, {})
                self._metas.setdefault(key, {})[meta["phx_ref"]] = meta
        for key, each in leaves.items():
            for meta in each["metas"]:
                del self._metas[key][meta["phx_ref"]]


def named(seen: Seen) -> Seen:
    """Keys that the service makes differ by chance: what stands under them is put together."""
    merged: Seen = {}
    for key, payloads in seen.items():
        merged.setdefault(key if key in KEYS else "made", Counter()).update(payloads)
    return merged


class Crowd:
    """The sockets of those who act."""

    def __init__(self, service: Service, stack: contextlib.AsyncExitStack) -> None:
        self._service = service
        self._stack = stack
        self._members: dict[int, Client] = {}
        self.truth = Truth()

    async def act(self, action: str, person: int, *more: Any) -> None:
        if action in ("kill", "close"):
            await self._end(person, action)
            return
        (topic, private), *rest = more
        joined = self.truth.joined.get((person, topic))
        if action == "join":
            await self._join(person, topic, private, *rest)
            return
        if action == "track" and (joined is None or joined[0] != private):
            await self._join(person, topic, private, KEYS[person % len(KEYS)], enabled=True)
            joined = private, ""
        if joined is not None and joined[0] == private:
            await self._talk(action, person, topic, *rest)

    async def _member(self, person: int) -> Client:
        if person not in self._members:
            made = client(self._service, VERSIONS[person % 2])
            self._members[person] = await self._stack.enter_async_context(made)
        return self._members[person]

    async def _join(self, person: int, topic: str, private: bool, key: str, enabled: bool) -> None:
        """A second join of a topic replaces the first, whichever kind that was."""
        self.truth.end(person, topic)
        member, config = await self._member(person), {"private": private, "presence": {"enabled": enabled, "key": key}}
        assert (await answer(member, await member.send(topic, "phx_join", {"config": config})))[0] == "ok"
        self.truth.joined[person, topic] = private, key

    async def _talk(self, action: str, person: int, topic: str, number: int = 0) -> None:
        member = self._members[person]
        if action == "leave":
            assert (await answer(member, await member.send(topic, "phx_leave", {})))[0] == "ok"
            self.truth.end(person, topic)
            return
        payload = {"event": action, "payload": {"mood": number}}
        assert (await answer(member, await member.send(topic, "presence", payload)))[0] == "ok"
        if action == "track":
            self.truth.entries[person, topic] = orjson.dumps({"mood": number})
        else:
            self.truth.entries.pop((person, topic), None)

    async def _end(self, person: int, how: str) -> None:
        member = self._members.pop(person, None)
        if member is not None and how == "kill":
            member.connection.transport.abort()
        elif member is not None:
            await member.connection.close()
        for topic in {topic for topic, _ in PLACES}:
            self.truth.end(person, topic)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.reuse, Phase.generate])
@given(st.lists(actions, min_size=40, max_size=80))
def test_everybody_sees_who_is_there(script: list[tuple[Any, ...]]) -> None:
    async def play() -> None:
        async with parts(channels=Archive(), **PLENTY) as running, contextlib.AsyncExitStack() as stack:
            watchers = []
            for number, (topic, private) in enumerate(PLACES):
                member = await stack.enter_async_context(client(running.service, VERSIONS[number % 2]))
                watchers.append(Watcher(member, topic, private))
                await watchers[-1].enter()
            crowd = Crowd(running.service, stack)
            for number, action in enumerate(script):
                await crowd.act(*action)
                if number % 10 == 0:
                    await asyncio.gather(*(watcher.sees(crowd.truth) for watcher in watchers))
            await asyncio.gather(*(watcher.sees(crowd.truth) for watcher in watchers))
            for topic, private in PLACES:
                member = await stack.enter_async_context(client(running.service))
                late = Watcher(member, topic, private)
                await late.enter()
                assert late.seen() == named(crowd.truth.at(topic, private))

    asyncio.run(play())
