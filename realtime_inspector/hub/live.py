"""Where live sockets meet: runs what their sessions ask for, and carries broadcasts and presence between them."""

import asyncio
import secrets
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Final

import orjson
import structlog

from realtime_inspector.channel import effects
from realtime_inspector.channel.limits import Gate, Limits
from realtime_inspector.channel.session import Session
from realtime_inspector.errors import MalformedFrame, RealtimeError, ReplayFailed, TooManyMessages
from realtime_inspector.hub.channels import PrivateChannels
from realtime_inspector.hub.missed import MEANWHILE, Missed
from realtime_inspector.hub.post import Post
from realtime_inspector.hub.presences import Presences
from realtime_inspector.hub.probes import Probes
from realtime_inspector.hub.questions import Questions
from realtime_inspector.hub.sockets import Members, Membership, Socket, described
from realtime_inspector.hub.witness import NoteJoin, not_noted
from realtime_inspector.lasting import Work, lasting
from realtime_inspector.model import Binding, Forum, GaveUp, Identity, Token
from realtime_inspector.ports import Broker, Outlet, TokenVerifier
from realtime_inspector.protocol import frames
from realtime_inspector.protocol.broadcast import Broadcast, Persistence, kept_id
from realtime_inspector.protocol.codec import parse_binary, parse_text
from realtime_inspector.protocol.serializer import Serializer
from realtime_inspector.server.answers import Connection
from realtime_inspector.server.metrics import Metrics
from realtime_inspector.server.outbox import Link, Outbox
from realtime_inspector.server.turnstile import Turnstile
from realtime_inspector.visibility.index import Index
from realtime_inspector.visibility.subscription import Authorized

TICK_SECONDS: Final = 1.0
LAGGING_BYTES: Final = 262_144
PACE_SECONDS: Final = 0.05
"""So long a burst of the database's broadcasts waits for sockets with so much queued."""
GIVEN_UP: Final = 256
"""Sockets whose peers did not read that are remembered, for who asks why they got nothing."""
INTERNAL_ERROR: Final = 1011
SESSION_ENDED: Final = 4001
"""Close code after which clients come back: with the token of an impersonation that has ended they are refused."""
DISCONNECTED: Final = 4002
"""Close code of a socket that an admin ended; clients come back."""

Authorizer = Callable[[Identity, tuple[Binding, ...], str, str | None], Awaitable[Authorized]]
_log = structlog.get_logger(__name__)


class Hub:
    """All live sockets of this process."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        index: Index[Outlet],
        broker: Broker,
        verifier: TokenVerifier,
        authorize: Authorizer,
        channels: PrivateChannels,
        moment: Callable[[], str],
        limits: Limits,
        metrics: Metrics,
        arrears_seconds: float = 0,
        recheck_seconds: int = 0,
        note_join: NoteJoin = not_noted,
    ) -> None:
        self._note_join = note_join
        self._index = index
        self._verifier = verifier
        self._authorize = authorize
        self._channels = channels
        dropped = metrics.counter(
            "arrears_dropped", "Messages sent while no service was there that were not kept for who comes back."
        )
        self._missed = Missed(arrears_seconds, dropped)
        self._moment = moment
        self.gate = Gate(limits)
        """Whoever lets a socket in enters it here; it leaves when it is forgotten."""
        self._process = secrets.token_hex(4)
        self._numbers = 0
        self._sockets: dict[str, Socket] = {}
        self.gave_up: deque[GaveUp] = deque(maxlen=GIVEN_UP)
        """The newest sockets that were closed because their peers did not read, oldest first."""
        self._members = Members(outbox)
        self._presences = Presences(outbox)
        self._borrowed: defaultdict[str, set[Socket]] = defaultdict(set)
        self._tasks: set[asyncio.Task[None]] = set()
        self._partings = Turnstile()
        self._questions = Questions(self._run, self._spawn)
        self._probes = Probes(channels, self._sockets, self._questions, self._run, note_join, recheck_seconds)
        self._post = Post(broker, self._deliver, metrics)
        self._execute: dict[type, Callable[[Socket, Any], None]] = {
            effects.Send: self._send,
            effects.Beat: self._beat,
            effects.Verify: self._verify,
            effects.Authorize: self._ask_authorizer,
            effects.Probe: self._probes.ask,
            effects.Recall: self._recall,
            effects.AwaitStream: self._await_stream,
            effects.Open: self._open,
            effects.CatchUp: self._catch_up,
            effects.Subscribe: self._subscribe,
            effects.Leave: self._leave,
            effects.Publish: self._publish,
            effects.Persist: self._persist,
            effects.Track: self._track,
            effects.Untrack: self._untrack,
            effects.SendPresenceState: self._send_presence_state,
        }
        self._received = metrics.counter("messages_received", "Messages that clients sent.")
        self._malformed = metrics.counter("messages_malformed", "Frames of clients that are no messages; they were dropped.")
        self._delivered = metrics.counter("broadcasts_delivered", "Broadcasts queued to a socket.")
        self._failed = metrics.counter("sockets_failed", "Sockets closed because of an internal error; the log has its id.")
        metrics.gauge("sockets", "Live sockets.", lambda: len(self._sockets))
        metrics.gauge("channels", "Joined channels.", lambda: sum(len(socket.topics) for socket in self._sockets.values()))

    # The life of the hub and of its sockets.

    def start(self, **company: Work) -> None:
        """Starts what goes on as long as the hub lives, and with it what others want to go on so long, by name."""
        for name, work in {"post": self._post.run, "ticks": self._tick_all, "probes": self._probes.run, **company}.items():
            self._spawn(lasting(name, work))

    async def close(self) -> None:
        """Ends everything that the hub started; sockets are closed by the server."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def serve(self, link: Link, serializer: Serializer, apikey: str, token: Token, peer: str, headers: str = "{}") -> None:
        """Takes a socket in, and serves it until it is gone. `apikey`, `token`: the handshake's, as text and verified.

        `headers`: those of it that policies may read, a JSON object's text.
        """
        self._numbers += 1
        name = f"{self._process}-{self._numbers}"
        session = Session(serializer, apikey, token, name=name, gate=self.gate)
        socket = self._sockets[name] = Socket(name, link, serializer, session, token, peer, time.time(), headers)
        self._note_impersonation(socket, token)
        await link.run(lambda data: self._receive(socket, data), lambda: self._partings.act(lambda: self._forget(socket)))

    def connections(self) -> Iterator[Connection]:
        """Every live socket as an admin may see it; times in seconds since 1970."""
        return map(described, self._sockets.values())

    def disconnect(self, name: str) -> bool:
        """Closes a socket because an admin says so. False: there is none of this name."""
        socket = self._sockets.get(name)
        if socket is not None:
            socket.link.close(DISCONNECTED, "an admin ended the connection")
        return socket is not None

    def names(self) -> dict[Outlet, str]:
        """What each live socket is called."""
        return {socket.link: socket.name for socket in self._sockets.values()}

    def publish(self, forum: Forum, sent: Broadcast, origin: str = "") -> bool:
        """Hands a broadcast to every member of a forum. `origin`: the socket that sent it. False: dropped, there are too many."""
        return self._post.publish(forum, sent, origin)

    async def persist(self, forum: Forum, sent: Broadcast, persistence: Persistence, origin: str = "") -> str:
        """Hands it to every member, then keeps it; the id under which it is kept."""
        number = kept_id(secrets.token_bytes(16))
        named = replace(sent, meta=orjson.dumps({"id": number}), id=number)
        if not self._post.publish(forum, named, origin):
            raise TooManyMessages
        await self._channels.keep(forum.name, named, persistence)
        return number

    async def hand_over(self, forum: Forum, sent: Broadcast) -> None:
        """What the database broadcasts; nothing of it is dropped."""
        await self._post.hand_over(forum, sent)

    async def pace(self, forums: Collection[Forum]) -> None:
        """Gives members with much queued a moment to take it."""
        full = [link for forum in forums for link in self._members.lagging(forum, LAGGING_BYTES)]
        if full:
            waits = [asyncio.ensure_future(link.drained()) for link in full]
            await asyncio.wait(waits, timeout=PACE_SECONDS)
            for wait in waits:
                wait.cancel()
        else:
            await asyncio.sleep(0)

    def close_session(self, session_id: str) -> None:
        """Closes every socket that used a token of this impersonation."""
        for socket in self._borrowed.pop(session_id, ()):
            socket.link.close(SESSION_ENDED, "the impersonation has ended")

    def _note_impersonation(self, socket: Socket, token: Token) -> None:
        session_id = token.session_id
        if session_id is not None and session_id not in socket.impersonations and socket.name in self._sockets:
            self._borrowed[session_id].add(socket)
            socket.impersonations += (session_id,)

    def _forget(self, socket: Socket) -> None:
        del self._sockets[socket.name]
        self.gate.leave(socket.peer)
        if socket.link.slow:
            self.gave_up.append(GaveUp(socket.name, socket.token.identity, time.time()))
        socket.session.closed()  # answers that are still on their way change nothing any more
        for topic in list(socket.topics):
            self._part(socket, topic)
        for session_id in socket.impersonations:
            self._borrowed[session_id].discard(socket)
            if not self._borrowed[session_id]:
                del self._borrowed[session_id]

    # What comes in.

    def _receive(self, socket: Socket, data: str | bytes) -> None:
        self._received.value += 1
        self._run(socket, lambda now: self._understand(socket, data, now))

    def _understand(self, socket: Socket, data: str | bytes, now: float) -> list[effects.Effect]:
        try:
            message = parse_text(socket.serializer, data) if isinstance(data, str) else parse_binary(socket.serializer, data)
        except MalformedFrame:
            self._malformed.value += 1  # the socket lives on, as upstream
            socket.malformed += 1
            return []
        return socket.session.receive(message, now)

    def _run(self, socket: Socket, act: Callable[[float], list[effects.Effect]]) -> None:
        """Executes what the session answers; whatever goes wrong ends this socket alone."""
        try:
            for effect in act(time.time()):
                self._execute[type(effect)](socket, effect)
            socket.due = socket.session.next_tick()
        except Exception:
            self._failed.value += 1
            number = secrets.token_hex(4)
            _log.exception("socket_failed", error_id=number, socket=socket.name)
            socket.link.close(INTERNAL_ERROR, f"internal error {number}")

    async def _tick_all(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.time()
            for socket in [socket for socket in self._sockets.values() if socket.due is not None and socket.due <= now]:
                self._run(socket, socket.session.tick)

    # Effects, one method each.

    def _send(self, socket: Socket, effect: effects.Send) -> None:
        socket.link.send(effect.frame)

    def _beat(self, socket: Socket, effect: effects.Beat) -> None:
        """Whoever still has to catch up must not take the present for what it has received."""
        told = socket.returns and not self._index.is_behind(socket.link, socket.topics)
        moment = self._moment() if told else None
        clock = time.time() * 1000 if socket.impersonations else None  # by which the inspector compares clocks
        socket.link.send(frames.heartbeat_reply(socket.serializer, effect.ref, moment, clock))

    def _verify(self, socket: Socket, effect: effects.Verify) -> None:
        async def question() -> Token:
            token = await self._verifier.verify(effect.token, time.time())
            self._note_impersonation(socket, token)
            socket.token = token
            return token

        self._questions.ask(socket, effect.ticket, question())

    def _ask_authorizer(self, socket: Socket, effect: effects.Authorize) -> None:
        async def question() -> Authorized:
            topic = effect.ticket.topic
            await self._note_join(effect.token, topic, False, effect.bindings)
            return await self._authorize(effect.token.identity, effect.bindings, topic, effect.resume)

        self._questions.ask(socket, effect.ticket, question())

    def _recall(self, socket: Socket, effect: effects.Recall) -> None:
        forum = Forum(effect.ticket.topic, private=True)
        meanwhile = self._missed.begin(forum, socket)

        async def question() -> effects.Recalled:
            past = await self._channels.recall(forum.name, effect.replay.since, effect.replay.limit)
            if len(meanwhile) > MEANWHILE:
                raise ReplayFailed
            return effects.Recalled(tuple(past))

        after = partial(self._missed.forget, forum, socket, meanwhile)
        self._questions.ask(socket, effect.ticket, question(), after=after)

    def _await_stream(self, socket: Socket, effect: effects.AwaitStream) -> None:
        async def question() -> effects.Flowing:
            await self._channels.flowing()
            return effects.Flowing()

        self._questions.ask(socket, effect.ticket, question())

    def _open(self, socket: Socket, effect: effects.Open) -> None:
        forum = Forum(effect.topic, effect.private)
        socket.topics.setdefault(effect.topic, Membership(forum, effect.receives_own))
        if socket.token.session_id is not None:  # channels of which nothing had to be asked are noted beside it
            self._spawn(self._note_later(socket, effect))
        if effect.hears:
            self._members.add(forum, socket)

    async def _note_later(self, socket: Socket, effect: effects.Open) -> None:
        try:
            await self._note_join(socket.token, effect.topic, effect.private, ())
        except RealtimeError as error:
            _log.warning("join_not_recorded", session=socket.token.session_id, reason=error.text)
            socket.link.close(SESSION_ENDED, "the impersonation cannot be written down")

    def _catch_up(self, socket: Socket, effect: effects.CatchUp) -> None:
        forum = socket.topics[effect.topic].forum
        for broadcast in (*effect.past, *self._missed.end(forum, socket, effect.past, time.time())):
            frame = frames.broadcast_frames(broadcast, effect.topic)[socket.serializer]
            if frame is not None:
                socket.link.send(frame)

    def _subscribe(self, socket: Socket, effect: effects.Subscribe) -> None:
        identity = effect.token.identity
        socket.returns = socket.returns or bool(effect.authorized.resume_token)
        session = effect.token.session_id
        self._index.subscribe(
            *(socket.link, effect.topic, socket.serializer, identity, effect.authorized, effect.verdicts), session=session
        )

    def _leave(self, socket: Socket, effect: effects.Leave) -> None:
        self._part(socket, effect.topic)

    def _publish(self, socket: Socket, effect: effects.Publish) -> None:
        self.publish(socket.topics[effect.topic].forum, effect.broadcast, socket.name)

    def _persist(self, socket: Socket, effect: effects.Persist) -> None:
        forum = socket.topics[effect.ticket.topic].forum

        async def question() -> effects.Kept:
            return effects.Kept(await self.persist(forum, effect.broadcast, effect.persistence, socket.name))

        self._questions.ask(socket, effect.ticket, question())

    def _track(self, socket: Socket, effect: effects.Track) -> None:
        self._presences.track(socket.topics[effect.topic].forum, effect.key, socket, effect.payload)

    def _untrack(self, socket: Socket, effect: effects.Untrack) -> None:
        self._presences.untrack(socket.topics[effect.topic].forum, socket)

    def _send_presence_state(self, socket: Socket, effect: effects.SendPresenceState) -> None:
        self._presences.send_state(socket.topics[effect.topic].forum, socket)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _deliver(self, forum: Forum, broadcast: Broadcast, origin: str) -> None:
        """What the broker brings, this process' own broadcasts included."""
        sender = self._sockets.get(origin)
        membership = sender.topics.get(forum.topic) if sender is not None else None
        skip = sender.link if sender is not None and not (membership and membership.receives_own) else None
        had = self._missed.note(forum, broadcast, time.time()) if broadcast.id else ()
        self._delivered.value += self._members.send(forum, frames.broadcast_frames(broadcast, forum.topic), skip, had)

    def _part(self, socket: Socket, topic: str) -> None:
        if topic in socket.topics:
            forum = socket.topics[topic].forum
            self._missed.part(forum, socket)
            self._members.discard(forum, socket)
            self._presences.part(forum, socket)
            del socket.topics[topic]
        self._index.unsubscribe(socket.link, topic)
