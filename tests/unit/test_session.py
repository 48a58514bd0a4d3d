"""What a socket's channels do, told as a conversation: a client's frames and the world's answers in, effects out."""

from dataclasses import replace

import orjson
import pytest

from realtime_inspector.channel.effects import (
    Authorize,
    Beat,
    CatchUp,
    Effect,
    Leave,
    Open,
    Publish,
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
from realtime_inspector.errors import DatabaseUnavailable, TokenExpired
from realtime_inspector.model import BEFORE, Identity, Position, Problem, Token
from realtime_inspector.protocol import frames
from realtime_inspector.protocol.broadcast import Broadcast, Encoding
from realtime_inspector.protocol.codec import Push, parse_text
from realtime_inspector.protocol.serializer import Serializer
from realtime_inspector.visibility.subscription import Authorized, Subscription

ANON = Token(Identity("anon", "{}"), 1000.0, {})
ALICE = Token(Identity("authenticated", '{"sub":"alice"}'), 2000.0, {})
ROOM = "realtime:room"
TABLE = {"event": "*", "schema": "public", "table": "t"}
NOT_FOUND = Problem("UnknownTable", "No such table", "Look it up.")


class Conversation:
    """A session of version 2.0.0 and the little that a client remembers."""

    def __init__(self, limits: Limits | None = None, token: Token = ANON) -> None:
        self.session = Session(Serializer.V2, "APIKEY", token, name="socket", gate=Gate(limits or Limits()))
        self.now = 0.0

    def say(
        self, event: str, payload: object = None, *, topic: str = ROOM, join_ref: str | None = "1", ref: str = "9"
    ) -> list[Effect]:
        frame = orjson.dumps([join_ref, ref, topic, event, {} if payload is None else payload])
        return self.session.receive(parse_text(Serializer.V2, frame), self.now)

    def join(
        self, *changes: object, topic: str = ROOM, ref: str = "1", token: str | None = None, **config: object
    ) -> list[Effect]:
        payload: dict[str, object] = {"config": {"presence": {"enabled": False}, "postgres_changes": list(changes), **config}}
        if token is not None:
            payload["access_token"] = token
        return self.say("phx_join", payload, topic=topic, join_ref=ref, ref=ref)

    def joined(self, *changes: object, **config: object) -> None:
        """Joins and grants whatever is asked for."""
        for effect in self.join(*changes, **config):  # type: ignore[arg-type]
            if isinstance(effect, Authorize):
                self.answer(effect.ticket, granted(effect))

    def answer(self, ticket: Ticket, outcome: Token | Authorized | Problem) -> list[Effect]:
        return self.session.resolve(ticket, outcome, self.now)


def granted(question: Authorize, *problems: Problem) -> Authorized:
    return Authorized(tuple(Subscription(binding) for binding in question.bindings), problems, after=Position(7, BEFORE))


def verify(effects: list[Effect]) -> Verify:
    [question] = effects
    assert isinstance(question, Verify)
    return question


def authorize(effects: list[Effect]) -> Authorize:
    [question] = effects
    assert isinstance(question, Authorize)
    return question


def told(effects: list[Effect]) -> list[object]:
    """The messages that are sent, as JSON."""
    sent = [frames.split_frames(effect.frame) for effect in effects if isinstance(effect, Send)]
    return [orjson.loads(payload) for [(_, payload)] in sent]


def others(effects: list[Effect]) -> list[Effect]:
    return [effect for effect in effects if not isinstance(effect, Send)]


def reply(status: str, response: object, ref: str = "9", topic: str = ROOM, join_ref: str | None = "1") -> list[object]:
    return [join_ref, ref, topic, "phx_reply", {"status": status, "response": response}]


def error(problem: Problem) -> dict[str, object]:
    return {"reason": problem.reason, **problem.told}


def system(extension: str, status: str, text: str, **more: object) -> list[object]:
    if "code" in more:
        more["docs"] = f"errors.md#:~:text={more['code']}"
    return ["1", None, ROOM, "system", {"extension": extension, "status": status, "message": text, "channel": "room", **more}]


SUBSCRIBED = system("postgres_changes", "ok", "Subscribed to PostgreSQL")
CLOSE: list[object] = ["1", "1", ROOM, "phx_close", {}]
UNMATCHED = {"reason": "unmatched topic"}


def reason(effects: list[Effect]) -> str:
    """Why the only reply is an error."""
    [message] = told(effects)
    assert isinstance(message, list)
    assert message[4]["status"] == "error"
    text = message[4]["response"]["reason"]
    assert isinstance(text, str)
    return text


# Joining.


def test_a_join_without_changes_is_answered_at_once() -> None:
    effects = Conversation().join(broadcast={"self": True}, presence={"enabled": True})
    assert others(effects) == [Open(ROOM, True, True), CatchUp(ROOM), SendPresenceState(ROOM)]
    assert told(effects) == [reply("ok", {"postgres_changes": []}, ref="1")]


def test_presence_is_sent_only_to_who_asked() -> None:
    assert others(Conversation().join(presence={"enabled": False})) == [Open(ROOM, False, False), CatchUp(ROOM)]


def test_changes_are_subscribed_before_the_reply() -> None:
    client = Conversation()
    question = authorize(client.join(TABLE, presence={"enabled": True}))
    assert question.token is ANON
    assert [binding.table for binding in question.bindings] == ["t"]
    answer = granted(question)
    effects = client.answer(question.ticket, answer)
    kinds = [type(effect) for effect in effects]
    assert kinds == [Open, Subscribe, Send, CatchUp, SendPresenceState, Send]
    assert effects[1] == Subscribe(ROOM, ANON, answer, False)
    assert told(effects) == [
        reply("ok", {"postgres_changes": [{**TABLE, "id": question.bindings[0].id}]}, ref="1"),
        SUBSCRIBED,
    ]


def test_a_channel_may_have_its_own_token() -> None:
    client = Conversation()
    question = verify(client.join(TABLE, token="JWT"))
    assert question.token == "JWT"
    next_question = authorize(client.answer(question.ticket, ALICE))
    assert next_question.token is ALICE
    [subscribe] = [
        effect for effect in client.answer(next_question.ticket, granted(next_question)) if isinstance(effect, Subscribe)
    ]
    assert subscribe.token is ALICE
    assert client.session.next_tick() == 2000.0


def test_the_handshakes_token_is_not_verified_again() -> None:
    assert told(Conversation().join(token="APIKEY")) == [reply("ok", {"postgres_changes": []}, ref="1")]
    assert told(Conversation().join(token="sb_secret_1")) == [reply("ok", {"postgres_changes": []}, ref="1")]


def test_a_refused_token_refuses_the_join() -> None:
    client = Conversation()
    problem = TokenExpired("Token has expired 5 seconds ago").problem
    assert told(client.answer(verify(client.join(token="JWT")).ticket, problem)) == [reply("error", error(problem), ref="1")]
    assert told(client.say("broadcast", {})) == [reply("error", UNMATCHED)]


def test_an_empty_token_is_malformed() -> None:
    assert reason(Conversation().join(token="")) == "MalformedJWT: The token provided is not a valid JWT"


def test_an_expired_handshake_refuses_the_join_without_asking() -> None:
    client = Conversation()
    client.now = 1005.9
    assert reason(client.join(TABLE)) == "InvalidJWTToken: Token has expired 5 seconds ago"


def test_a_token_that_expires_while_it_is_asked_about_refuses_the_join() -> None:
    client = Conversation()
    question = authorize(client.join(TABLE))
    client.now = 1000.0
    assert client.session.tick(client.now) == []
    assert reason(client.answer(question.ticket, granted(question))) == "InvalidJWTToken: Token has expired 0 seconds ago"


def test_a_database_that_is_away_refuses_the_join() -> None:
    client = Conversation()
    effects = client.answer(authorize(client.join(TABLE)).ticket, DatabaseUnavailable().problem)
    assert others(effects) == []
    assert reason(effects).startswith("UnableToConnectToProject: ")


def test_a_bad_entry_is_told_and_the_channel_is_joined() -> None:
    effects = Conversation().join({"table": 5}, {"table": 6})
    assert others(effects) == [Open(ROOM, False, False), CatchUp(ROOM)]
    answered, told_so = told(effects)
    assert isinstance(answered, list)
    assert answered[4]["status"] == "ok"
    assert [entry["table"] for entry in answered[4]["response"]["postgres_changes"]] == [5, 6]
    assert told_so == system(
        "postgres_changes",
        "error",
        "Error parsing `schema` or `table` params: expected a string",
        code="InvalidJoinPayload",
        hint="Send the name as text without NUL.",
    )


def test_a_refused_entry_is_told_beside_the_accepted_ones() -> None:
    client = Conversation()
    question = authorize(client.join(TABLE, {"table": "missing"}))
    answer = Authorized((Subscription(question.bindings[0]),), (NOT_FOUND,))
    refused = system("postgres_changes", "error", "No such table", code="UnknownTable", hint="Look it up.")
    assert told(client.answer(question.ticket, answer))[1:] == [SUBSCRIBED, refused]


def test_no_accepted_entry_is_no_subscription() -> None:
    client = Conversation()
    question = authorize(client.join(TABLE))
    effects = client.answer(question.ticket, Authorized((), (NOT_FOUND,)))
    assert Subscribe(ROOM, ANON, Authorized((), (NOT_FOUND,)), False) in effects
    assert SUBSCRIBED not in told(effects)


@pytest.mark.parametrize(("session_id", "verdicts"), [(None, False), ("s", True)])
def test_verdicts_are_for_impersonators_only(session_id: str | None, verdicts: bool) -> None:
    client = Conversation(token=replace(ANON, session_id=session_id))
    question = authorize(client.join(TABLE, verdicts=True))
    [subscribe] = [effect for effect in client.answer(question.ticket, granted(question)) if isinstance(effect, Subscribe)]
    assert bool(subscribe.verdicts) is verdicts


@pytest.mark.parametrize(
    ("topic", "config", "code"),
    [
        ("realtime:", {}, "TopicNameRequired: You must provide a topic name"),
        ("realtime:" + "é" * 124, {}, "TopicTooLong"),
        (ROOM, {"broadcast": {"replay": {"since": 0}}}, "UnableToReplayMessages"),
        (ROOM, {"presence": {"key": "ids"}}, "InvalidPresenceKey"),
        (ROOM, {"postgres_changes": [TABLE] * 101}, "TooManyBindings"),
        ("room", {}, "unmatched topic"),
        ("phoenix", {}, "unmatched topic"),
        ("", {}, "unmatched topic"),
    ],
)
def test_joins_that_are_refused(topic: str, config: dict[str, object], code: str) -> None:
    client = Conversation()
    assert reason(client.join(topic=topic, **config)).startswith(code)  # type: ignore[arg-type]
    assert reason(client.say("broadcast", {}, topic=topic)) == "unmatched topic"


def test_a_socket_has_so_many_channels() -> None:
    client = Conversation(Limits(channels=2))
    client.join(topic="realtime:a")
    client.join(TABLE, topic="realtime:b")
    assert reason(client.join(topic="realtime:c")) == "ChannelRateLimitReached: Too many channels"
    assert told(client.join(topic="realtime:a")) != []
    client.say("phx_leave", topic="realtime:b")
    assert others(client.join(topic="realtime:c")) == [Open("realtime:c", False, False), CatchUp("realtime:c")]


# Joining twice, leaving early, answers that come late.


def test_a_second_join_replaces_the_first_without_a_close() -> None:
    client = Conversation()
    client.joined(TABLE)
    effects = client.join(ref="2")
    assert others(effects) == [Leave(ROOM), Open(ROOM, False, False), CatchUp(ROOM)]
    assert told(effects) == [reply("ok", {"postgres_changes": []}, ref="2", join_ref="2")]


def test_a_second_join_answers_the_first_that_was_pending() -> None:
    client = Conversation()
    question = authorize(client.join(TABLE))
    effects = client.join(ref="2")
    first, second = told(effects)
    assert isinstance(first, list)
    assert (first[1], first[4]["response"]["code"]) == ("1", "JoinReplaced")
    assert second == reply("ok", {"postgres_changes": []}, ref="2", join_ref="2")
    assert client.answer(question.ticket, granted(question)) == []


def test_leaving_cancels_a_pending_join() -> None:
    client = Conversation()
    question = authorize(client.join(TABLE))
    effects = client.say("phx_leave", ref="2")
    assert others(effects) == []
    cancelled, ok, close = told(effects)
    assert isinstance(cancelled, list)
    assert (cancelled[1], cancelled[4]["response"]["code"]) == ("1", "JoinCancelled")
    assert (ok, close) == (reply("ok", {}, ref="2"), CLOSE)
    assert client.answer(question.ticket, granted(question)) == []


def test_an_answer_counts_once_and_only_for_its_question() -> None:
    client = Conversation()
    question = authorize(client.join(TABLE))
    assert client.answer(Ticket(question.ticket.number + 1, ROOM), granted(question)) == []
    assert client.answer(Ticket(question.ticket.number, "realtime:other"), granted(question)) == []
    assert client.answer(question.ticket, ANON) == []
    assert client.answer(question.ticket, granted(question)) != []
    assert client.answer(question.ticket, granted(question)) == []


def test_leaving() -> None:
    client = Conversation()
    client.joined(TABLE)
    effects = client.say("phx_leave")
    assert others(effects) == [Leave(ROOM)]
    assert told(effects) == [reply("ok", {}), CLOSE]
    assert client.session.next_tick() is None


def test_leaving_an_unknown_topic_is_fine() -> None:
    assert told(Conversation().say("phx_leave")) == [reply("ok", {})]


def test_the_socket_closes() -> None:
    client = Conversation()
    client.joined(topic="realtime:a")
    question = authorize(client.join(TABLE))
    assert client.session.closed() == [Leave("realtime:a")]
    assert client.session.closed() == []
    assert client.answer(question.ticket, granted(question)) == []
    assert client.join() == []
    assert client.session.next_tick() is None


# Messages that need no channel, or miss it.


@pytest.mark.parametrize("ref", ["1", None])
def test_heartbeat(ref: str | None) -> None:
    frame = orjson.dumps([None, ref, "phoenix", "heartbeat", {}])
    effects = Conversation().session.receive(parse_text(Serializer.V2, frame), 0)
    assert effects == [Beat(ref)]


@pytest.mark.parametrize("event", ["broadcast", "presence", "access_token", "unknown", "heartbeat", "phx_reply", "phx_close"])
def test_a_push_to_a_topic_that_was_not_joined(event: str) -> None:
    client = Conversation()
    assert told(client.say(event)) == [reply("error", UNMATCHED)]
    client.join(TABLE)
    assert told(client.say(event)) == [reply("error", UNMATCHED)]


def test_a_binary_push_to_a_topic_that_was_not_joined() -> None:
    client = Conversation()
    push = Push("1", "9", ROOM, Broadcast("e", b"{}", Encoding.JSON))
    assert told(client.session.receive(push, 0)) == [reply("error", UNMATCHED)]
    client.join(TABLE)
    assert told(client.session.receive(push, 0)) == [reply("error", UNMATCHED)]


@pytest.mark.parametrize(
    "event", ["unknown", "phx_reply", "phx_close", "phx_error", "postgres_changes", "system", "heartbeat", ""]
)
def test_an_unknown_event_is_ignored_as_upstream_does(event: str) -> None:
    client = Conversation()
    client.joined()
    assert client.say(event) == []


# Broadcast.


def test_a_text_broadcast_is_published_as_it_came() -> None:
    client = Conversation()
    client.joined()
    assert client.say("broadcast", {"type": "broadcast", "event": "e", "payload": {"a": 1}}) == [
        Publish(ROOM, Broadcast("e", b'{"type":"broadcast","event":"e","payload":{"a":1}}', Encoding.WRAPPED))
    ]


def test_a_binary_broadcast_is_published() -> None:
    client = Conversation()
    client.joined()
    broadcast = Broadcast("e", b"\xff", Encoding.BINARY)
    assert client.session.receive(Push(None, "9", ROOM, broadcast), 0) == [Publish(ROOM, broadcast)]


@pytest.mark.parametrize("join_ref", ["1", "stale", None])
def test_an_acknowledgement_comes_after_the_message_whatever_the_join_ref(join_ref: str | None) -> None:
    client = Conversation()
    client.joined(broadcast={"ack": True})
    effects = client.say("broadcast", {"event": "e"}, join_ref=join_ref)
    assert [type(effect) for effect in effects] == [Publish, Send]
    assert told(effects) == [reply("ok", {}, join_ref=join_ref)]
    effects = client.session.receive(Push(join_ref, "9", ROOM, Broadcast("e", b"", Encoding.BINARY)), 0)
    assert told(effects) == [reply("ok", {}, join_ref=join_ref)]


@pytest.mark.parametrize("payload", [[], "text", 5, {"event": 5}, {"event": None}, {"event": "e", "ids": [1]}])
def test_a_broadcast_that_breaks_the_clients_of_others_is_refused(payload: object) -> None:
    client = Conversation()
    client.joined()
    effects = client.say("broadcast", payload)
    assert others(effects) == []
    assert reason(effects).startswith("InvalidBroadcastPayload: ")


# Presence.


def test_track_and_untrack() -> None:
    client = Conversation()
    client.joined(presence={"key": "alice", "enabled": True})
    effects = client.say("presence", {"type": "presence", "event": "track", "payload": {"b": 1, "a": 2, "phx_ref": "forged"}})
    assert others(effects) == [Track(ROOM, "alice", b'{"a":2,"b":1}')]
    assert told(effects) == [reply("ok", {})]
    effects = client.say("presence", {"event": "UNTRACK"})
    assert others(effects) == [Untrack(ROOM)]
    assert told(effects) == [reply("ok", {})]


def test_track_turns_presence_on_and_sends_the_state_once() -> None:
    client = Conversation()
    client.joined(presence={"key": "alice", "enabled": False})
    effects = client.say("presence", {"event": "Track"})
    assert [type(effect) for effect in effects] == [Track, Send, SendPresenceState]
    assert others(client.say("presence", {"event": "track", "payload": {"a": 1}})) == [Track(ROOM, "alice", b'{"a":1}')]


def test_every_join_without_a_key_gets_one_of_its_own() -> None:
    client = Conversation()
    keys = []
    for topic in ("realtime:a", "realtime:b", "realtime:a"):
        client.joined(topic=topic)
        [track] = others(client.say("presence", {"event": "track"}, topic=topic))[:1]
        assert isinstance(track, Track)
        keys.append(track.key)
    assert len(set(keys)) == 3
    assert all(key.startswith("socket-") for key in keys)


@pytest.mark.parametrize("payload", [None, [], "text", 5])
def test_what_is_tracked_must_be_an_object(payload: object) -> None:
    client = Conversation()
    client.joined()
    assert reason(client.say("presence", {"event": "track", "payload": payload})) == "Presence track payload must be a map"


def test_what_is_tracked_has_a_limit() -> None:
    client = Conversation(Limits(presence_bytes=20))
    client.joined()
    effects = client.say("presence", {"event": "track", "payload": {"a": "x" * 20}})
    assert others(effects) == []
    assert reason(effects) == "PayloadTooLarge: Track message size exceeded"


@pytest.mark.parametrize("payload", [{}, [], "text", {"event": None}, {"type": "presence"}])
def test_a_presence_push_without_event_does_nothing(payload: object) -> None:
    client = Conversation()
    client.joined()
    effects = client.say("presence", payload)
    assert others(effects) == []
    assert told(effects) == [reply("ok", {})]


@pytest.mark.parametrize("event", ["other", 5, [], {}, True])
def test_an_unknown_presence_event_is_refused(event: object) -> None:
    client = Conversation()
    client.joined()
    assert reason(client.say("presence", {"event": event})).startswith("UnknownPresenceEvent: ")


# Tokens that change and end.


@pytest.mark.parametrize(
    "payload",
    [{}, [], "text", {"access_token": None}, {"access_token": 5}, {"access_token": "sb_x"}, {"access_token": "APIKEY"}],
)
def test_a_refresh_that_brings_nothing_new_is_ignored(payload: object) -> None:
    client = Conversation()
    client.joined(TABLE)
    assert client.say("access_token", payload) == []


def test_a_refresh_renews_the_subscription() -> None:
    client = Conversation()
    client.joined(TABLE)
    question = verify(client.say("access_token", {"access_token": "JWT"}))
    assert client.say("access_token", {"access_token": "JWT"}) == []
    next_question = authorize(client.answer(question.ticket, ALICE))
    answer = granted(next_question)
    effects = client.answer(next_question.ticket, answer)
    assert others(effects) == [Subscribe(ROOM, ALICE, answer, False)]
    assert told(effects) == [SUBSCRIBED]
    assert client.session.next_tick() == 2000.0


def test_a_refresh_without_changes_only_takes_the_token() -> None:
    client = Conversation()
    client.joined()
    assert client.answer(verify(client.say("access_token", {"access_token": "JWT"})).ticket, ALICE) == []
    assert client.session.next_tick() == 2000.0


def test_what_was_wrong_in_the_join_is_not_told_again() -> None:
    client = Conversation()
    client.joined(TABLE, {"table": 5})
    next_question = authorize(client.answer(verify(client.say("access_token", {"access_token": "JWT"})).ticket, ALICE))
    assert told(client.answer(next_question.ticket, granted(next_question))) == [SUBSCRIBED]


def test_signing_out_returns_to_the_handshakes_token() -> None:
    client = Conversation()
    client.answer(verify(client.join(token="JWT")).ticket, ALICE)
    assert client.session.next_tick() == 2000.0
    assert client.say("access_token", {"access_token": "APIKEY"}) == []
    assert client.session.next_tick() == 1000.0


def test_of_two_refreshes_the_last_counts() -> None:
    client = Conversation()
    client.joined(TABLE)
    first = verify(client.say("access_token", {"access_token": "ONE"}))
    second = verify(client.say("access_token", {"access_token": "TWO"}))
    assert client.answer(first.ticket, ANON) == []
    assert authorize(client.answer(second.ticket, ALICE)).token is ALICE


def test_an_empty_refresh_ends_the_channel() -> None:
    client = Conversation()
    client.joined(TABLE)
    effects = client.say("access_token", {"access_token": ""})
    assert others(effects) == [Leave(ROOM)]
    assert told(effects) == [
        system("system", "error", "The token provided is not a valid JWT", code="MalformedJWT", hint=""),
        CLOSE,
    ]


def test_a_refused_refresh_ends_the_channel() -> None:
    client = Conversation()
    client.joined(TABLE)
    problem = TokenExpired("Token has expired 5 seconds ago").problem
    effects = client.answer(verify(client.say("access_token", {"access_token": "JWT"})).ticket, problem)
    assert others(effects) == [Leave(ROOM)]
    assert told(effects) == [system("system", "error", problem.text, code=problem.code, hint=problem.hint), CLOSE]
    assert told(client.say("broadcast")) == [reply("error", UNMATCHED)]


def test_what_passes_by_itself_ends_so_that_clients_join_again() -> None:
    client = Conversation()
    client.joined(TABLE)
    question = authorize(client.answer(verify(client.say("access_token", {"access_token": "JWT"})).ticket, ALICE))
    effects = client.answer(question.ticket, DatabaseUnavailable().problem)
    assert others(effects) == [Leave(ROOM)]
    assert told(effects)[1] == ["1", "1", ROOM, "phx_error", {"reason": DatabaseUnavailable().problem.reason}]


def test_an_expired_token_ends_its_channels_only() -> None:
    client = Conversation()
    client.joined(TABLE)
    client.answer(verify(client.join(topic="realtime:alice", token="JWT")).ticket, ALICE)
    assert client.session.next_tick() == 1000.0
    assert client.session.tick(999.9) == []
    effects = client.session.tick(1005.0)
    assert others(effects) == [Leave(ROOM)]
    expired = system(
        "system", "error", "Token has expired 5 seconds ago", code="InvalidJWTToken", hint="Refresh the session and join again."
    )
    assert told(effects) == [expired, CLOSE]
    assert client.session.next_tick() == 2000.0


def test_pending_refreshes_do_not_keep_an_expired_channel_alive() -> None:
    """Neither a token that is never verified nor one whose bindings are never authorized."""
    client = Conversation()
    client.joined(TABLE)
    authorize(client.answer(verify(client.say("access_token", {"access_token": "JWT"})).ticket, ALICE))
    late = verify(client.say("access_token", {"access_token": "GARBAGE"}))
    assert others(client.session.tick(1000.0)) == [Leave(ROOM)]
    assert client.answer(late.ticket, ALICE) == []


def test_version_1_gets_objects() -> None:
    session = Session(Serializer.V1, "APIKEY", ANON, name="socket", gate=Gate(Limits()))
    frame = '{"topic":"realtime:room","event":"phx_join","payload":{"config":{}},"ref":"1","join_ref":null}'
    effects = session.receive(parse_text(Serializer.V1, frame), 0)
    assert told(effects) == [
        {"topic": ROOM, "event": "phx_reply", "payload": {"status": "ok", "response": {"postgres_changes": []}}, "ref": "1"}
    ]
    assert told(session.tick(1000.0))[1] == {"topic": ROOM, "event": "phx_close", "payload": {}, "ref": None}
