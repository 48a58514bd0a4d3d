"""Asks the policies of private channels what clients may do, and asks again when the answer may have become another one.

Policies that change are noticed within two seconds. A membership that ends changes no policy and tells nobody, so what a
channel may receive is asked again now and then; channels of one topic and identity are due together, and cost one question.
"""

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from typing import Final

import structlog

from realtime_inspector.channel import effects
from realtime_inspector.errors import RealtimeError
from realtime_inspector.hub.channels import PrivateChannels
from realtime_inspector.hub.questions import Questions, Run
from realtime_inspector.hub.sockets import Socket
from realtime_inspector.hub.witness import NoteJoin
from realtime_inspector.model import Forum, Rights

LOOK_SECONDS: Final = 1.0
PROBING: Final = 100
"""So many questions to policies may be open before channels are asked again: joins come first."""

TOGETHER: Final = 100
"""So many sockets are looked at in one turn of the loop."""
_log = structlog.get_logger(__name__)


class Probes:
    """`sockets`: all live ones by name. `seconds`: so often every channel is asked again; 0: only when policies change."""

    def __init__(
        self,
        channels: PrivateChannels,
        sockets: Mapping[str, Socket],
        questions: Questions,
        run: Run,
        note_join: NoteJoin,
        seconds: int,
    ) -> None:
        self._channels = channels
        self._sockets = sockets
        self._questions = questions
        self._run = run
        self._note_join = note_join
        self._seconds = seconds
        self._open, self._eased = 0, asyncio.Event()

    def ask(self, socket: Socket, effect: effects.Probe) -> None:
        """The socket's session is told the answer."""

        async def question() -> Rights:
            topic = effect.ticket.topic
            await self._note_join(effect.token, topic, True, ())
            return await self._channels.ask(effect.token.identity, socket.headers, Forum(topic).name, effect.right)

        self._open += 1
        self._questions.ask(socket, effect.ticket, question(), after=self._answered)

    async def run(self) -> None:
        """Looks whether something is to be asked again, for ever."""
        known, looked, blind = None, 0, False
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not any(each.forum.private for socket in self._sockets.values() for each in socket.topics.values()):
                known = None
                continue
            try:
                version = await self._channels.version()
            except RealtimeError as error:  # whoever asks meanwhile is denied; the next look tells
                if not blind:
                    _log.warning("policies_not_watched", reason=error.text, remedy=error.remedy)
                blind = True
                continue
            blind, now = False, int(time.monotonic())
            changed = version != known  # at the first look too: something may have changed since the first channel was joined
            for number, socket in enumerate(list(self._sockets.values())):
                for topic in (None,) if changed else self._due(socket, now, now - looked):
                    self._run(socket, partial(socket.session.recheck, topic=topic))
                await self._pause(breathe=number % TOGETHER == 0)
            known, looked = version, now

    def _due(self, socket: Socket, now: int, elapsed: int) -> list[str]:
        """Its channels whose second of the round came since the last look. Equal questions share one, and then one answer."""
        if self._seconds == 0:
            return []
        asked = ((topic, hash((topic, identity, socket.headers))) for topic, identity in socket.session.private())
        return [topic for topic, number in asked if (now - number) % self._seconds < elapsed]

    async def _pause(self, *, breathe: bool) -> None:
        if self._open >= PROBING:
            self._eased.clear()
            await self._eased.wait()
        elif breathe:
            await asyncio.sleep(0)

    def _answered(self) -> None:
        self._open -= 1
        if self._open < PROBING:
            self._eased.set()
