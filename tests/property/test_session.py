"""Whatever order messages, answers and moments come in, a session keeps its promises.

The machine plays a hostile client and a slow world. It keeps its own small account of what was promised, only from the effects:
which topics are open, which join waits for its reply, which question is the newest of its topic, under which token changes flow.
"""

from collections.abc import Sequence
from dataclasses import replace

import orjson
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from realtime_inspector.channel.effects import (
    Authorize,
    AwaitStream,
    Beat,
    CatchUp,
    Effect,
    Flowing,
    Kept,
    Leave,
    Open,
    Outcome,
    Persist,
    Probe,
    Publish,
    Recall,
    Recalled,
    Send,
    SendPresenceState,
    Subscribe,
    Ticket,
    Track,
    Untrack,
    Verify,
)
from realtime_inspector.channel.limits import Gate, Limits
from realtime_inspector.channel.session import Session
from realtime_inspector.model import Extension, Identity, Problem, Right, Rights, Token
from realtime_inspector.protocol import frames
from realtime_inspector.protocol.broadcast import Broadcast, Encoding, Persistence
from realtime_inspector.protocol.codec import Message, Push
from realtime_inspector.protocol.serializer import Serializer
from realtime_inspector.visibility.subscription import Authorized, Subscription

LIMITS = Limits(channels=2, bindings=4, presence_bytes=200)
unicode = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
ROOMS = {"realtime:a", "realtime:b", "realtime:c"}
topics = st.sampled_from(sorted(ROOMS)) | st.sampled_from(["realtime:", "phoenix", "x", "realtime:" + "é" * 130])
events = st.sampled_from(["broadcast", "presence", "access_token", "phx_leave", "heartbeat", "phx_close", "system"]) | unicode
token_texts = st.sampled_from(["APIKEY", "APIKEY", "JWT1", "JWT1", "JWT2", "JWT2", "sb_x", ""])
garbage = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | unicode,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(unicode, inner, max_size=3),
    max_leaves=6,
)
payloads = garbage | st.fixed_dictionaries(
    {},
    optional={
        "event": garbage | st.sampled_from(["track", "untrack", "e"]),
        "payload": garbage,
        "access_token": token_texts | garbage,
        "ids": garbage,
    },
)
entries = garbage | st.fixed_dictionaries(
    {}, optional={"table": st.sampled_from(["t", "u"]) | garbage, "event": garbage, "filter": garbage, "select": garbage}
)
configs = st.fixed_dictionaries(
    {"postgres_changes": st.lists(entries, max_size=5)},
    optional={
        "broadcast": st.fixed_dictionaries({}, optional={"self": garbage, "ack": st.booleans()}),
        "presence": st.fixed_dictionaries({}, optional={"enabled": st.booleans(), "key": garbage | st.just("ids")}),
        "private": st.sampled_from([False, True]),
        "verdicts": st.booleans(),
    },
)
joins = st.fixed_dictionaries({"config": configs}, optional={"access_token": token_texts}) | garbage
likely_events = st.sampled_from(["access_token", "access_token", "access_token", "broadcast", "presence", "phx_leave"])
likely_payloads = st.fixed_dictionaries({"access_token": token_texts, "event": st.sampled_from(["track", "untrack"])})
lifetimes = st.sampled_from([0, 5, 20, 50, 100, 200])
problems = st.sampled_from([None, None, None, None, Problem("No", "no"), Problem("UnableToConnectToProject", "away")])
T, U, BAD = {"table": "t"}, {"table": "u", "event": "INSERT"}, {"table": 5}
rights = st.frozensets(st.sampled_from(Extension)) | st.just(frozenset(Extension))
wishes = st.sampled_from([[T], [T], [T, U], [T, BAD], [BAD], []])


class Sockets(RuleBasedStateMachine):
    """One session, its client and its world."""

    @initialize(serializer=st.sampled_from(Serializer), lifetime=st.sampled_from([5, 50, 200]), closes=st.booleans())
    def connect(self, serializer: Serializer, lifetime: int, closes: bool) -> None:
        self.serializer = serializer
        self.now = 0.0
        self.session = Session(serializer, "APIKEY", token(lifetime), name="socket", gate=Gate(LIMITS))
        self.closes = closes
        self.refs = 0
        self.asked: list[Verify | Authorize | Probe | Recall] = []
        self.aside: list[Probe | Persist | AwaitStream] = []
        self.private: set[str] = set()
        self.hears: dict[str, bool] = {}
        self.writes: dict[str, frozenset[Extension] | None] = {}
        self.newest: dict[str, Ticket] = {}
        self.open: set[str] = set()
        self.flowing: dict[str, Subscribe] = {}
        self.joining: dict[str, str] = {}
        self.replies: dict[str, list[str]] = {}

    # What comes in.

    @precondition(lambda self: len(self.open) < len(ROOMS))
    @rule(
        data=st.data(), changes=wishes, token_text=token_texts, presence=st.booleans(), ack=st.booleans(), private=st.booleans()
    )
    def join(self, data: st.DataObject, changes: list[object], token_text: str, presence: bool, ack: bool, private: bool) -> None:
        more = {"replay": {"since": 1}, "replication_ready": True} if private and ack else {}
        config = {
            "postgres_changes": changes,
            "presence": {"enabled": presence},
            "broadcast": {"ack": ack, **more},
            "private": private,
        }
        topic = data.draw(st.sampled_from(sorted(ROOMS - self.open)))
        self.join_somehow(topic, {"config": config, "access_token": token_text}, "1")

    @rule(topic=topics, payload=joins, join_ref=st.none() | unicode)
    def join_somehow(self, topic: str, payload: object, join_ref: str | None) -> None:
        ref = self.new_ref()
        was_open, was_joining = topic in self.open, self.joining.get(topic)
        self.newest.pop(topic, None)
        self.replies[ref] = []
        self.joining[topic] = ref
        effects = self.feed("phx_join", topic, payload, join_ref, ref)
        assert not was_open or effects[0] == Leave(topic)
        self.account(effects, {topic})
        assert was_joining is None or self.replies[was_joining] == ["error"]

    @precondition(lambda self: self.open or self.joining)
    @rule(data=st.data(), event=likely_events, payload=likely_payloads)
    def push_where_somebody_listens(self, data: st.DataObject, event: str, payload: object) -> None:
        topic = data.draw(st.sampled_from(sorted(self.open | self.joining.keys())))
        effects = self.session.receive(Push(None, self.new_ref(), topic, Broadcast("e", b"{}", Encoding.JSON)), self.now)
        if topic not in self.private:
            assert any(isinstance(effect, Publish) for effect in effects) == (topic in self.open)
        self.account(effects, {topic})
        self.push(topic, event, payload, "1")

    @precondition(lambda self: self.open)
    @rule(data=st.data(), ttl=st.none() | st.just(60))
    def push_what_is_to_be_kept(self, data: st.DataObject, ttl: int | None) -> None:
        topic = data.draw(st.sampled_from(sorted(self.open)))
        push = Push(None, self.new_ref(), topic, Broadcast("e", b"{}", Encoding.JSON), Persistence(ttl))
        self.account(self.session.receive(push, self.now), {topic})

    @rule()
    def policies_change(self) -> None:
        self.writes.clear()
        self.account(self.session.recheck(self.now), self.open | set(self.joining))

    @precondition(lambda self: self.aside)
    @rule(data=st.data(), extensions=rights, problem=problems)
    def answer_beside(self, data: st.DataObject, extensions: frozenset[Extension], problem: Problem | None) -> None:
        question = self.aside.pop(data.draw(st.integers(0, len(self.aside) - 1)))
        topic = question.ticket.topic
        if problem is not None:
            outcome: Outcome = problem
        elif isinstance(question, Probe):
            outcome = Rights(Right.WRITE, extensions)
        else:
            outcome = Kept("id") if isinstance(question, Persist) else Flowing()
        newest = isinstance(question, Probe) and not any(
            q for q in self.aside if isinstance(q, Probe) and q.ticket.topic == topic
        )
        if isinstance(outcome, Rights) and newest:
            self.writes[topic] = extensions
        self.account(self.session.resolve(question.ticket, outcome, self.now), {topic})

    @precondition(lambda self: self.flowing)
    @rule(data=st.data(), number=st.integers(1, 9))
    def refresh_what_flows(self, data: st.DataObject, number: int) -> None:
        self.push(data.draw(st.sampled_from(sorted(self.flowing))), "access_token", {"access_token": f"JWT{number}"}, "1")

    @rule(topic=topics, event=events, payload=payloads, join_ref=st.none() | unicode)
    def push(self, topic: str, event: str, payload: object, join_ref: str | None) -> None:
        ref = self.new_ref()
        was_open = topic in self.open
        if event == "phx_leave":
            self.newest.pop(topic, None)
        effects = self.feed(event, topic, payload, join_ref, ref)
        self.account(effects, {topic})
        answers = [reply for reply in self.sent(effects) if reply["event"] == "phx_reply" and reply["ref"] == ref]
        assert len(answers) <= 1
        if event == "phx_leave":
            assert topic not in self.open
            assert topic not in self.joining
        elif not was_open and (event, topic) != ("heartbeat", "phoenix"):
            assert answers[0]["payload"] == {"status": "error", "response": {"reason": "unmatched topic"}}

    @precondition(lambda self: self.newest)
    @rule(data=st.data(), lifetime=lifetimes, problem=problems)
    def answer_in_time(self, data: st.DataObject, lifetime: int, problem: Problem | None) -> None:
        ticket = self.newest[data.draw(st.sampled_from(sorted(self.newest)))]
        [question] = [question for question in self.asked if question.ticket == ticket]
        del self.newest[ticket.topic]
        outcome: Outcome
        if problem is not None:
            outcome = problem
        elif isinstance(question, Verify):
            outcome = token(self.now + lifetime)
        elif isinstance(question, Probe):
            outcome = Rights(Right.READ, data.draw(rights))
        elif isinstance(question, Recall):
            outcome = Recalled((Broadcast("e", b"{}", Encoding.JSON),))
        else:
            accepted = data.draw(st.integers(0, len(question.bindings)))
            subscriptions = tuple(Subscription(binding) for binding in question.bindings[:accepted])
            outcome = Authorized(subscriptions, (Problem("No", "no"),) * (len(question.bindings) - accepted))
        effects = self.session.resolve(ticket, outcome, self.now)
        assert ticket.topic not in self.joining or effects
        self.account(effects, {ticket.topic})

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.1, 0.5, 0.5, 2.0, 2.0, None]))
    def wait(self, seconds: float | None) -> None:
        """So long, or until there is something to do."""
        self.now = max(self.now, self.session.next_tick() or 0.0) if seconds is None else self.now + seconds
        due = self.session.next_tick()
        was_open = set(self.open)
        effects = self.session.tick(self.now)
        assert (effects != []) == (due is not None and due <= self.now)
        self.account(effects, was_open)
        following = self.session.next_tick()
        assert following is None or following > self.now

    # What must be true of every effect.

    def account(self, effects: Sequence[Effect], about: set[str]) -> None:
        """Takes effects into the account, in order; they concern nothing but the topics they are `about`."""
        for effect in effects:
            if isinstance(effect, Send):
                [message] = self.sent([effect])
                assert message["topic"] in about
                self.account_reply(message)
                continue
            if isinstance(effect, Beat):
                assert "phoenix" in about
                continue
            asking = isinstance(effect, Verify | Authorize | Probe | Recall | AwaitStream | Persist)
            topic = effect.ticket.topic if asking else effect.topic  # type: ignore[union-attr]
            assert topic in about
            match effect:
                case Open():
                    assert topic in self.joining or (effect.private and not self.hears[topic]), "only a join opens a channel"
                    assert topic not in self.open or effect.private, "at most one live channel a topic"
                    self.open.add(topic)
                    self.hears[topic] = effect.hears
                    (self.private.add if effect.private else self.private.discard)(topic)
                case Leave():
                    self.open.remove(topic)
                    self.flowing.pop(topic, None)
                    self.newest.pop(topic, None)
                    self.writes.pop(topic, None)
                case Subscribe():
                    assert topic in self.open, "never after Leave without a new join"
                    assert effect.token.expires_at > self.now
                    self.flowing[topic] = effect
                case Publish() | Track() | Persist():
                    assert topic in self.open
                    needed = {Track: {Extension.PRESENCE}, Publish: {Extension.BROADCAST}}.get(
                        type(effect), {Extension.BROADCAST, Extension.PERSISTENCE}
                    )
                    assert topic not in self.private or needed <= (self.writes.get(topic) or frozenset()), "nobody allowed it"
                    if isinstance(effect, Persist):
                        self.aside.append(effect)
                case Untrack() | SendPresenceState():
                    assert topic in self.open
                case CatchUp():
                    assert topic in self.open
                    assert self.hears[topic]
                case AwaitStream():
                    self.aside.append(effect)
                case Probe() if effect.right is Right.WRITE:
                    assert topic in self.open
                    self.aside.append(effect)
                    self.writes.pop(topic, None)
                case Verify() | Authorize() | Probe() | Recall():
                    assert topic in self.joining or topic in self.open
                    self.asked.append(effect)
                    self.newest[topic] = effect.ticket
        assert len(self.open) <= LIMITS.channels

    def account_reply(self, message: dict[str, object]) -> None:
        ref, payload = message["ref"], message["payload"]
        assert isinstance(payload, dict), "clients crash on null"
        if message["event"] == "phx_reply" and ref in self.replies:
            assert isinstance(ref, str)
            assert isinstance(payload["response"], dict)
            self.replies[ref].append(payload["status"])
            assert len(self.replies[ref]) == 1, "a join is answered once"
            topic = message["topic"]
            assert (payload["status"] == "ok") == (topic in self.open and self.joining.get(str(topic)) == ref)
            if self.joining.get(str(topic)) == ref:
                del self.joining[str(topic)]

    @invariant()
    def every_join_is_answered_or_waits_for_an_answer(self) -> None:
        unanswered = {ref for ref, answers in self.replies.items() if not answers}
        assert unanswered == set(self.joining.values())
        assert set(self.joining) <= set(self.newest)

    @invariant()
    def only_what_is_awaited_has_an_effect(self) -> None:
        """Not what comes late or twice, not what nobody asked for, and not an answer of the wrong kind."""
        for question in self.asked:
            ticket = question.ticket
            right = self.answer_to(question)
            wrong: Outcome = Authorized(()) if isinstance(question, Verify) else token(self.now + 9)
            assert self.session.resolve(ticket, wrong, self.now) == []
            assert self.session.resolve(replace(ticket, number=ticket.number + 1000), right, self.now) == []
            assert self.session.resolve(replace(ticket, topic="realtime:e"), right, self.now) == []
            if ticket not in self.newest.values():
                assert self.session.resolve(ticket, right, self.now) == []
                assert self.session.resolve(ticket, Problem("No", "no"), self.now) == []

    def answer_to(self, question: Verify | Authorize | Probe | Recall) -> Outcome:
        match question:
            case Verify():
                return token(self.now + 9)
            case Probe():
                return Rights(Right.READ, frozenset(Extension))
            case Recall():
                return Recalled(())
            case Authorize():
                return Authorized(tuple(map(Subscription, question.bindings)))

    @invariant()
    def no_changes_flow_under_a_token_that_is_not_watched(self) -> None:
        due = self.session.next_tick()
        assert (due is None) == (not self.open)
        assert due is None or due > self.now
        assert due is None or all(due <= subscribe.token.expires_at for subscribe in self.flowing.values())

    def teardown(self) -> None:
        """In the end the socket closes and nothing moves any more, or the world answers everything and nobody waits any more."""
        if self.closes:
            was_open, pending = set(self.open), list(self.newest.values())
            self.account(self.session.closed(), was_open)
            assert not self.open
            effects = [self.session.resolve(ticket, Problem("No", "no"), self.now) for ticket in pending]
            effects += [
                self.feed(event, topic, {}, "1", "1") for event in ("phx_join", "phx_leave", "broadcast") for topic in ROOMS
            ]
            effects += [self.session.tick(self.now + 1000), self.session.closed()]
            assert not any(effects)
            assert self.session.next_tick() is None
            return
        while self.newest:
            topic, ticket = self.newest.popitem()
            self.account(self.session.resolve(ticket, Problem("No", "no"), self.now), {topic})
        assert not self.joining
        assert all(len(answers) == 1 for answers in self.replies.values())

    # How it is done.

    def new_ref(self) -> str:
        self.refs += 1
        return f"ref{self.refs}"

    def feed(self, event: str, topic: str, payload: object, join_ref: str | None, ref: str) -> list[Effect]:
        return self.session.receive(Message(join_ref, ref, topic, event, payload, orjson.dumps(payload)), self.now)

    def sent(self, effects: Sequence[Effect]) -> list[dict[str, object]]:
        """The messages in the frames, in the names of version 1.0.0."""
        messages = []
        for effect in effects:
            for _, data in frames.split_frames(effect.frame) if isinstance(effect, Send) else ():
                message = orjson.loads(data)
                if self.serializer is Serializer.V2:
                    message = dict(zip(("join_ref", "ref", "topic", "event", "payload"), message, strict=True))
                    del message["join_ref"]
                assert message.keys() == {"topic", "event", "payload", "ref"}
                messages.append(message)
        return messages


def token(expires_at: float) -> Token:
    return Token(Identity("anon", "{}"), expires_at, {})


TestSockets = Sockets.TestCase
TestSockets.settings = settings(deadline=None, max_examples=150, stateful_step_count=40)
