"""Builds what a session answers its own client: replies, and messages of the service itself."""

from collections.abc import Mapping
from typing import Final, Literal

from realtime_inspector.channel.effects import Effect, Send
from realtime_inspector.channel.state import Channel
from realtime_inspector.model import Problem
from realtime_inspector.protocol import frames
from realtime_inspector.protocol.codec import Message, Push
from realtime_inspector.protocol.serializer import Serializer

_UNMATCHED: Final = {"reason": "unmatched topic"}


class Answers:
    """The answers of one socket, in its serializer."""

    def __init__(self, serializer: Serializer) -> None:
        self._serializer = serializer

    def ok(self, message: Message | Push, response: Mapping[str, object] | None = None) -> Send:
        """The message did what it asks for."""
        return self._reply(message, "ok", response or {})

    def error(self, message: Message | Push, problem: Problem) -> Send:
        """It did not, and why."""
        return self.bare(message, {"reason": problem.reason, **problem.told})

    def failed(self, message: Message | Push, problem: Problem) -> Send:
        """The same in the form that a message to be kept is answered in: `error` is the text that the client shows."""
        more = {"reason": problem.reason, **problem.told}
        return self.bare(message, {"error": problem.reason, **more})

    def bare(self, message: Message | Push, response: Mapping[str, object]) -> Send:
        """It did not; the response is what upstream's clients know."""
        return self._reply(message, "error", response)

    def unmatched(self, message: Message | Push) -> list[Effect]:
        """The topic is not joined."""
        return [self.bare(message, _UNMATCHED)]

    def closing(self, channel: Channel, *, error: str | None = None) -> Send:
        """The channel ends; with an `error`, clients come back."""
        return Send(frames.closing(self._serializer, channel.topic, channel.join.join_ref, error=error))

    def subscribed(self, channel: Channel) -> Send:
        """Changes flow."""
        return self.system(channel, "postgres_changes", "ok", "Subscribed to PostgreSQL", {})

    def gap(self, channel: Channel, reason: str, until: str) -> Send:
        """Changes are missing."""
        return Send(frames.gap(self._serializer, channel.topic, reason, until=until))

    def noticed(self, channel: Channel, notice: Problem) -> Send:
        """What keeps changes of a table from the channel; ok, for an error makes a client join again."""
        more = {"debug": {"text": notice.text, **notice.told}}
        return self.system(channel, "postgres_changes", "ok", notice.code, more)

    def trouble(self, channel: Channel, extension: str, problem: Problem) -> Send:
        """Something that the channel asked for is not, or no more."""
        return self.system(channel, extension, "error", problem.text, problem.told)

    def system(
        self, channel: Channel, extension: str, status: Literal["ok", "error"], text: str, more: Mapping[str, object]
    ) -> Send:
        """Any message of the service itself."""
        join_ref = channel.join.join_ref
        return Send(frames.system(self._serializer, channel.topic, extension, status, text, join_ref=join_ref, more=more))

    def _reply(self, message: Message | Push, status: Literal["ok", "error"], response: Mapping[str, object]) -> Send:
        return Send(frames.reply(self._serializer, message.join_ref, message.ref, message.topic, status, response))
