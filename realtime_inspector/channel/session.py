"""One socket's channels: what each message, outcome and moment means, answered with effects.

A channel is *joining* until its join was answered, then *joined* until it ends. Either way it may await one answer: whether its
token is genuine, then what a private channel's policies let it receive, then which of its bindings are authorized, then what was
sent before. Whether it may send is asked beside that, when it first does. `receive`, `resolve` and `tick` are this table:

                         no channel         joining                       joined
    phx_join             join               old join: error; join anew    Leave, silently; join anew
    phx_leave            ok                 old join: error; ok, close    ok, close, Leave
    access_token         unmatched topic    unmatched topic               Verify; the old token counts until it is replaced
    broadcast, presence  unmatched topic    unmatched topic               Publish; Track, Untrack; private: Probe first
    anything else        unmatched topic    unmatched topic               nothing, as upstream
    Token                dropped            (Probe), (Authorize), open    (Probe), (Authorize), take the token
    Rights               dropped            (Authorize), open, or error   (Authorize), or system error, close, Leave
    Authorized           dropped            (Recall), Subscribe, ok       Subscribe, system ok
    Recalled             dropped            ok, CatchUp
    Problem              dropped            error                         system error, close, Leave
    token expires                           error, once it was answered   system error, close, Leave
"""

from typing import Final

import orjson

from realtime_inspector.channel.answers import Answers
from realtime_inspector.channel.effects import (
    Authorize,
    AwaitStream,
    Beat,
    CatchUp,
    Effect,
    Leave,
    Open,
    Outcome,
    Probe,
    Recall,
    Recalled,
    SendPresenceState,
    Subscribe,
    Ticket,
    Verify,
)
from realtime_inspector.channel.limits import CLIENT_PRESENCE, Gate, averaged, own_joins, presence_calls
from realtime_inspector.channel.objections import PREFIX, objection
from realtime_inspector.channel.permits import lost_or_missing
from realtime_inspector.channel.state import Awaited, Channel
from realtime_inspector.channel.talk import Talk, Then
from realtime_inspector.errors import (
    DatabaseBusy,
    DatabaseUnavailable,
    KeysUnavailable,
    TokenExpired,
    TokenMalformed,
    TooManyJoins,
    TooManyMessages,
)
from realtime_inspector.model import Extension, Identity, Problem, Right, Rights, Token, Told
from realtime_inspector.protocol.broadcast import Broadcast
from realtime_inspector.protocol.codec import Message, Push
from realtime_inspector.protocol.join import JoinRequest, parse_join
from realtime_inspector.protocol.serializer import Serializer
from realtime_inspector.visibility.subscription import Authorized

_UNLIMITED: Final = frozenset(("heartbeat", "phx_join", "phx_leave"))
"""What is always heard: joins have a measure of their own."""
_TRANSIENT: Final = frozenset((DatabaseBusy.code, DatabaseUnavailable.code, KeysUnavailable.code))
_REPLACED: Final = Problem("JoinReplaced", "A newer join of this topic came before this one was answered", "Wait for its reply.")
_LEFT: Final = Problem("JoinCancelled", "The channel was left before its join was answered", "Join again.")


class Session:
    """The state of one socket's channels. Never waits, and never raises for what a client sends: it answers with effects.

    Effects are to be executed in order, before the next call. Each Verify and Authorize is to be answered with `resolve`.
    """

    def __init__(self, serializer: Serializer, apikey: str, token: Token, *, name: str, gate: Gate) -> None:
        """`apikey`, `token`: the handshake's, as text and verified. `name`: unique among sockets; presence keys begin with it.

        `gate`: the limits, and what this socket has in common with the others.
        """
        self._answers = Answers(serializer)
        self._talk = Talk(self._answers, gate, self._aside)
        self._asides: dict[int, tuple[Channel, Then]] = {}
        self._apikey = apikey
        self._token = token
        self._name = name
        self._gate = gate
        self._limits = gate.limits
        self._messages = averaged(gate.limits.messages_per_second)
        self._joins = own_joins(gate.limits)
        self._channels: dict[str, Channel] = {}
        self._numbers = 0
        self._closed = False

    # What comes in.

    def receive(self, message: Message | Push, now: float) -> list[Effect]:
        """A message of the client. `now`: seconds since 1970, here and below."""
        if self._closed:
            return []
        channel = self._channels.get(message.topic)
        if channel is not None and (excess := self._excess(channel, message, now)):
            return self._refuse(channel, excess)
        if isinstance(message, Push):
            if channel is None or channel.token is None:
                return self._answers.unmatched(message)
            return self._talk.receive(channel, message, now)
        match message.event:
            case "heartbeat" if message.topic == "phoenix":
                return [Beat(message.ref)]
            case "phx_join":
                return self._join(channel, message, now)
            case "phx_leave":
                return self._leave(channel, message)
            case _ if channel is None or channel.token is None:
                return self._answers.unmatched(message)
            case "access_token":
                return self._refresh(channel, message, now)
            case "broadcast" | "presence":
                return self._talk.receive(channel, message, now)
            case _:
                return []  # upstream logs it and does not answer

    def _excess(self, channel: Channel, message: Message | Push, now: float) -> Problem | None:
        """Which measure of this socket a message to a joined channel exceeds."""
        event = "broadcast" if isinstance(message, Push) else message.event
        if channel.token is None or event in _UNLIMITED:
            return None
        if not self._messages.take(now):
            return TooManyMessages().problem
        if event == "presence":
            channel.calls = channel.calls or presence_calls(self._limits)
            return None if channel.calls.take(now) else CLIENT_PRESENCE
        return None

    def resolve(self, ticket: Ticket, outcome: Outcome, now: float) -> list[Effect]:
        """The answer to a question; one that is no longer awaited changes nothing."""
        channel = self._channels.get(ticket.topic)
        if ticket.number in self._asides:
            asking, then = self._asides.pop(ticket.number)
            return then(outcome, now) if asking is channel else []
        if channel is None or channel.awaited is None or channel.awaited[0] != ticket:
            return []
        match channel.awaited[1], outcome:
            case _, Problem():
                return self._refuse(channel, outcome)
            case Awaited.TOKEN, Token():
                return self._identified(channel, outcome, now)
            case Awaited.RIGHTS, Rights():
                return self._readable(channel, outcome, now)
            case Awaited.BINDINGS, Authorized():
                return self._authorized(channel, outcome, now)
            case Awaited.PAST, Recalled():
                return self._granted(channel, now, outcome.past)
            case _:
                return []

    def tick(self, now: float) -> list[Effect]:
        """Ends the channels whose token expired. A pending refresh does not save them, or else it could be pending for ever."""
        expired = [channel for channel in self._channels.values() if channel.token and channel.token.expires_at <= now]
        return [effect for channel in expired if channel.token for effect in self._refuse(channel, _expired(channel.token, now))]

    def next_tick(self) -> float | None:
        """When to call `tick`; None: not before another method was called."""
        return min((channel.token.expires_at for channel in self._channels.values() if channel.token), default=None)

    def private(self) -> list[tuple[str, Identity]]:
        """The topics of joined private channels, and as whom each receives."""
        channels = self._channels.values()
        return [(each.topic, each.token.identity) for each in channels if each.request.private and each.token]

    def recheck(self, now: float, topic: str | None = None) -> list[Effect]:
        """What the policies of private channels were asked before is asked again. `topic`: of this channel alone."""
        effects: list[Effect] = []
        for channel in self._channels.values():
            if topic not in (None, channel.topic):
                continue
            if not channel.request.private or (channel.awaited is not None and channel.awaited[1] is Awaited.TOKEN):
                continue
            if channel.awaited is None and channel.token is not None:
                channel.candidate = channel.token
            effects += [*self._talk.forget_rights(channel, now), self._probe(channel)]
        return effects

    def closed(self) -> list[Effect]:
        """The socket is gone; nothing that comes later has an effect."""
        topics = [channel.topic for channel in self._channels.values() if channel.token]
        self._channels.clear()
        self._asides.clear()
        if not self._closed:
            self._closed = True
            del self._talk  # it calls back: together they would wait for the garbage collector
        return [Leave(topic) for topic in topics]

    # Joining and leaving.

    def _join(self, previous: Channel | None, message: Message, now: float) -> list[Effect]:
        if not message.topic.startswith(PREFIX):
            return self._answers.unmatched(message)
        effects = self._replaced(previous)
        request = parse_join(message.payload, message.topic)
        problem = self._too_many(now) or objection(message.topic, request, len(self._channels), self._limits)
        if problem is not None:
            return [*effects, self._answers.error(message, problem)]
        join = Message(message.join_ref, message.ref, message.topic, message.event, None)
        key = request.presence_key or f"{self._name}-{self._number()}"
        channel = self._channels[message.topic] = Channel(message.topic, join, request, key, "", self._token)
        return [*effects, *self._identify(channel, self._apikey if request.token is None else request.token, now)]

    def _replaced(self, previous: Channel | None) -> list[Effect]:
        """Without phx_close, unlike Phoenix: it would close the Python client's new channel, for good."""
        if previous is None:
            return []
        del self._channels[previous.topic]
        return [self._answers.error(previous.join, _REPLACED)] if previous.token is None else [Leave(previous.topic)]

    def _too_many(self, now: float) -> Problem | None:
        return None if self._joins.take(now) and self._gate.joins.take(now) else TooManyJoins().problem

    def _leave(self, channel: Channel | None, message: Message) -> list[Effect]:
        ok = self._answers.ok(message)
        if channel is None:
            return [ok]
        cancelled = [self._answers.error(channel.join, _LEFT)] if channel.token is None else []
        return [*cancelled, ok, *self._end(channel)]

    def _end(self, channel: Channel, *, error: str | None = None) -> list[Effect]:
        del self._channels[channel.topic]
        close = self._answers.closing(channel, error=error)
        return [close, Leave(channel.topic)] if channel.token else [close]

    # From a token to what it may see: at a join, and again at each refresh.

    def _refresh(self, channel: Channel, message: Message, now: float) -> list[Effect]:
        text = message.payload.get("access_token") if isinstance(message.payload, dict) else None
        if not isinstance(text, str) or text.startswith("sb_") or text == channel.token_text:
            return []
        return self._identify(channel, text, now)

    def _identify(self, channel: Channel, text: str, now: float) -> list[Effect]:
        channel.token_text = text
        if text == self._apikey:
            return self._identified(channel, self._token, now)
        if not text:
            return self._refuse(channel, TokenMalformed().problem)
        return [Verify(self._ask(channel, Awaited.TOKEN), text)]

    def _identified(self, channel: Channel, token: Token, now: float) -> list[Effect]:
        channel.candidate = token
        if token.expires_at <= now:
            return self._refuse(channel, _expired(token, now))
        return [self._probe(channel)] if channel.request.private else self._permitted(channel, now)

    def _probe(self, channel: Channel) -> Effect:
        return Probe(self._ask(channel, Awaited.RIGHTS), channel.candidate, Right.READ)

    def _readable(self, channel: Channel, rights: Rights, now: float) -> list[Effect]:
        problem = lost_or_missing(channel, channel.candidate, rights)
        if problem is not None:
            return self._refuse(channel, problem)
        channel.readable = rights.extensions
        return self._permitted(channel, now)

    def _permitted(self, channel: Channel, now: float) -> list[Effect]:
        """With the token that it has, its bindings were authorized before."""
        token, request = channel.candidate, channel.request
        if not request.bindings or token is channel.token:
            return self._authorized(channel, None, now)
        return [Authorize(self._ask(channel, Awaited.BINDINGS), token, request.bindings, request.resume)]

    def _authorized(self, channel: Channel, authorized: Authorized | None, now: float) -> list[Effect]:
        channel.authorized = authorized
        if channel.request.replay is not None and Extension.BROADCAST in channel.readable:
            return [Recall(self._ask(channel, Awaited.PAST), channel.request.replay)]
        return self._granted(channel, now)

    def _granted(self, channel: Channel, now: float, past: tuple[Broadcast, ...] = ()) -> list[Effect]:
        """Only now the new token counts: until the changes follow it, those under the old one end with the old one."""
        token, joined = channel.candidate, channel.token is not None
        if token.expires_at <= now:
            return self._refuse(channel, _expired(token, now))
        authorized, channel.authorized = channel.authorized, None
        channel.token, channel.awaited = token, None
        subscribe = [] if authorized is None else [Subscribe(channel.topic, token, authorized, _told(channel.request, token))]
        if joined:
            return [*self._continued(channel, now), *subscribe, *self._notices(channel, authorized)]
        return [*self._opened(channel, authorized, subscribe, past), *self._notices(channel, authorized)]

    def _continued(self, channel: Channel, now: float) -> list[Effect]:
        """What a private channel receives under its new token; it has lost nothing."""
        if not channel.request.private:
            return []
        gained, channel.reads = channel.readable - channel.reads, channel.readable
        opened = [self._open(channel)] if Extension.BROADCAST in gained else []
        state = [SendPresenceState(channel.topic)] if channel.presence and Extension.PRESENCE in gained else []
        return [*opened, *state, *self._talk.forget_rights(channel, now)]

    def _open(self, channel: Channel) -> Effect:
        request, hears = channel.request, Extension.BROADCAST in channel.reads
        return Open(channel.topic, request.receives_own, channel.presence, request.private, hears)

    def _opened(
        self, channel: Channel, authorized: Authorized | None, subscribe: list[Subscribe], past: tuple[Broadcast, ...]
    ) -> list[Effect]:
        """Everything is in place before the reply, so that what happens after SUBSCRIBED is never missed."""
        channel.presence, channel.reads = channel.request.presence, channel.readable
        opened = self._open(channel)
        resume = {"resume": authorized.resume_token} if authorized is not None and authorized.resume_token else {}
        reply = self._answers.ok(
            channel.join, {"postgres_changes": [orjson.Fragment(entry) for entry in channel.request.echo], **resume}
        )
        caught_up = [CatchUp(channel.topic, past)] if Extension.BROADCAST in channel.reads else []
        state = [SendPresenceState(channel.topic)] if channel.presence and Extension.PRESENCE in channel.reads else []
        flowing = self._await_stream(channel) if channel.request.replication_ready else []
        return [opened, *subscribe, reply, *caught_up, *state, *flowing]

    def _await_stream(self, channel: Channel) -> list[Effect]:
        return [AwaitStream(self._aside(channel, lambda outcome, _: self._flowing(channel, outcome)))]

    def _flowing(self, channel: Channel, outcome: Outcome) -> list[Effect]:
        if isinstance(outcome, Problem):
            return [self._answers.trouble(channel, "system", outcome)]
        return [self._answers.system(channel, "system", "ok", "Replication connection established", {})]

    def _notices(self, channel: Channel, authorized: Authorized | None) -> list[Effect]:
        """System messages: that changes flow, and each entry for which they do not; what the join got wrong is told once."""
        accepted, refused = (authorized.subscriptions, authorized.problems) if authorized else ((), ())
        problems = (*channel.request.problems, *refused)
        channel.request = channel.request.answered()
        ready = [self._answers.subscribed(channel)] if accepted else []
        if authorized is not None and channel.request.debug:
            ready += [self._answers.noticed(channel, notice) for notice in authorized.notices]
        if authorized is not None and authorized.gap:
            ready.append(self._answers.gap(channel, "unknown_position", authorized.gap))
        return [*ready, *(self._answers.trouble(channel, "postgres_changes", problem) for problem in problems)]

    def _refuse(self, channel: Channel, problem: Problem) -> list[Effect]:
        """Not joined: the reply says why. Joined: a system message does, and the channel ends.

        Clients never join again after phx_close, so what will pass by itself ends with phx_error.
        """
        if channel.token is None:
            del self._channels[channel.topic]
            return [self._answers.error(channel.join, problem)]
        error = problem.reason if problem.code in _TRANSIENT else None
        return [self._answers.trouble(channel, "system", problem), *self._end(channel, error=error)]

    # Tickets.

    def _aside(self, channel: Channel, then: Then) -> Ticket:
        """For a question beside the one that the channel awaits; its answer is dropped when the channel has ended."""
        ticket = Ticket(self._number(), channel.topic)
        self._asides[ticket.number] = channel, then
        return ticket

    def _ask(self, channel: Channel, awaited: Awaited) -> Ticket:
        """A new ticket for the channel; an older one is no longer awaited."""
        ticket = Ticket(self._number(), channel.topic)
        channel.awaited = ticket, awaited
        return ticket

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers


def _expired(token: Token, now: float) -> Problem:
    return TokenExpired(f"Token has expired {int(now - token.expires_at)} seconds ago").problem


def _told(request: JoinRequest, token: Token) -> Told:
    if token.session_id is not None and (request.verdicts or request.debug):
        return Told.EVERYTHING
    return Told.OWN if request.debug else Told.NOTHING
