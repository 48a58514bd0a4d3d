"""Clients that were told every difference know what the server knows."""

import orjson
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from realtime_inspector.presence.state import Diff, PresenceState, clean, encode_diff, encode_state

keys = st.sampled_from(["alice", "bob", ""])
owners = st.integers(1, 4)
payloads = st.sampled_from([{}, {"a": 1}, {"a": 1, "phx_ref": "forged"}, {"b": [{}], "a": None}])
Known = dict[str, dict[str, dict[str, object]]]


def known(state: bytes) -> Known:
    """What a client keeps: entries by key and reference."""
    return {key: {meta["phx_ref"]: meta for meta in value["metas"]} for key, value in orjson.loads(state).items()}


class Presence(RuleBasedStateMachine):
    """One topic; a client that was there from the start, and the truth kept in the simplest way."""

    @initialize()
    def start(self) -> None:
        self.server = PresenceState()
        self.client = known(encode_state(self.server.state()))
        self.truth: dict[int, tuple[str, bytes]] = {}
        self.refs = 0

    @rule(owner=owners, key=keys, payload=payloads)
    def track(self, owner: int, key: str, payload: dict[str, object]) -> None:
        self.refs += 1
        diff = self.server.track(key, owner, clean(payload), f"r{self.refs}")
        assert (diff is None) == (self.truth.get(owner) == (key, clean(payload)))
        self.truth[owner] = key, clean(payload)
        self.tell(diff)

    @rule(owner=owners)
    def untrack(self, owner: int) -> None:
        diff = self.server.untrack(owner)
        assert (diff is None) == (owner not in self.truth)
        self.truth.pop(owner, None)
        self.tell(diff)

    def tell(self, diff: Diff | None) -> None:
        """Joins first and leaves then, as Phoenix's client does."""
        if diff is None:
            return
        told = orjson.loads(encode_diff(diff))
        for key, entries in known(orjson.dumps(told["joins"])).items():
            assert not entries.keys() & self.client.get(key, {}).keys(), "a reference is used once"
            self.client.setdefault(key, {}).update(entries)
        for key, entries in known(orjson.dumps(told["leaves"])).items():
            for ref in entries:
                del self.client[key][ref]
            if not self.client[key]:
                del self.client[key]

    @invariant()
    def everybody_knows_the_same(self) -> None:
        entries = known(encode_state(self.server.state()))
        assert {key: entries[key].keys() for key in entries} == {key: self.client[key].keys() for key in self.client}
        assert self.client == entries
        present = [(key, clean(meta)) for key, metas in entries.items() for meta in metas.values()]
        assert sorted(present) == sorted(self.truth.values())
        assert len(self.server) == len(self.truth)


TestPresence = Presence.TestCase
TestPresence.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)
