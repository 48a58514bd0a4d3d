"""Asks the world what sessions want to know, and gives them the answers; a failure is one that the client can read."""

import secrets
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import structlog

from realtime_inspector.channel.effects import Effect, Outcome, Ticket
from realtime_inspector.errors import RealtimeError
from realtime_inspector.hub.sockets import Socket
from realtime_inspector.model import Problem
from realtime_inspector.server.turnstile import Turnstile

QUESTIONS: Final = 16
"""So many open questions of one socket to the world; then its next message waits for an answer."""

Run = Callable[[Socket, Callable[[float], list[Effect]]], None]
"""Executes what a session answers at a moment."""
Spawn = Callable[[Coroutine[Any, Any, None]], None]
"""Lets something go on for itself until the hub closes."""
_log = structlog.get_logger(__name__)


class Questions:
    """The open questions of all sockets."""

    def __init__(self, run: Run, spawn: Spawn) -> None:
        self._run = run
        self._spawn = spawn
        self._turnstile = Turnstile()

    def ask(
        self, socket: Socket, ticket: Ticket, question: Awaitable[Outcome], *, after: Callable[[], None] | None = None
    ) -> None:
        """The session is told the answer with the ticket; `after` that, or when there is none, something else may be done."""
        socket.questions += 1
        if socket.questions == QUESTIONS:
            socket.link.hold(True)
        self._spawn(self._answer(socket, ticket, question, after))

    async def _answer(
        self, socket: Socket, ticket: Ticket, question: Awaitable[Outcome], after: Callable[[], None] | None
    ) -> None:
        try:
            outcome = await _outcome(question)
            await self._turnstile.turn()  # thousands may have been given the same answer at once
            if socket.questions == QUESTIONS:
                socket.link.hold(False)
            socket.questions -= 1
            self._run(socket, lambda now: socket.session.resolve(ticket, outcome, now))
        finally:
            if after is not None:
                after()


async def _outcome(question: Awaitable[Outcome]) -> Outcome:
    """The answer as the session takes it."""
    try:
        return await question
    except RealtimeError as error:
        return error.problem
    except Exception:
        number = secrets.token_hex(4)
        _log.exception("question_failed", error_id=number)
        return Problem("UnknownErrorOnChannel", "Unknown Error on Channel", f"The log of the service has the error {number}.")
