"""What clients tell each other on a joined channel: broadcasts and presence."""

from typing import Final

from realtime_inspector.channel.answers import Answers
from realtime_inspector.channel.effects import Effect, Publish, SendPresenceState, Track, Untrack
from realtime_inspector.channel.limits import PRESENCE, Gate
from realtime_inspector.channel.state import Channel
from realtime_inspector.errors import PayloadTooLarge
from realtime_inspector.model import Problem
from realtime_inspector.presence.state import clean
from realtime_inspector.protocol.broadcast import Broadcast, Encoding
from realtime_inspector.protocol.codec import Message, Push

_NOT_A_MAP: Final = {"reason": "Presence track payload must be a map"}
_BAD_BROADCAST: Final = Problem(
    "InvalidBroadcastPayload",
    "A broadcast must be an object whose `event` is a string, without a key `ids`",
    "Send {type, event, payload}; put your own data under `payload`.",
)


class Talk:
    """Reads the messages of one socket's client to the others."""

    def __init__(self, answers: Answers, gate: Gate) -> None:
        self._answers = answers
        self._gate = gate

    def broadcast(self, channel: Channel, message: Message) -> list[Effect]:
        """Relayed as it came. JavaScript clients throw on an event that is no string, and take `ids` for a change."""
        payload = message.payload
        if not isinstance(payload, dict) or "ids" in payload or not isinstance(payload.get("event", ""), str):
            return [self._answers.error(message, _BAD_BROADCAST)]
        return self.publish(channel, message, Broadcast(payload.get("event", ""), message.raw, Encoding.WRAPPED))

    def publish(self, channel: Channel, message: Message | Push, broadcast: Broadcast) -> list[Effect]:
        """To every member; answered only if the channel asked for that."""
        publish = Publish(channel.topic, broadcast)
        return [publish, self._answers.ok(message)] if channel.request.ack else [publish]

    def presence(self, channel: Channel, message: Message, now: float) -> list[Effect]:
        """The channel's own entry."""
        payload = message.payload if isinstance(message.payload, dict) else {}
        event = payload.get("event")
        if not self._gate.presence.take(now):
            return [self._answers.error(message, PRESENCE)]  # all of them together did it, so nobody loses a channel
        match event.lower() if isinstance(event, str) else event:
            case None:
                return [self._answers.ok(message)]
            case "track":
                return self._track(channel, message, payload.get("payload", {}))
            case "untrack":
                return [Untrack(channel.topic), self._answers.ok(message)]
            case _:
                problem = Problem("UnknownPresenceEvent", "Not a presence event", "Send track or untrack.")
                return [self._answers.error(message, problem)]

    def _track(self, channel: Channel, message: Message, entry: object) -> list[Effect]:
        """A track on a channel without presence turns it on, with the whole state: realtime-js shows no difference before it."""
        if not isinstance(entry, dict):
            return [self._answers.bare(message, _NOT_A_MAP)]
        text = clean(entry)
        if len(text) > self._gate.limits.presence_bytes:
            return [self._answers.error(message, PayloadTooLarge("Track message size exceeded").problem)]
        state: list[Effect] = [] if channel.presence else [SendPresenceState(channel.topic)]
        channel.presence = True
        return [Track(channel.topic, channel.presence_key, text), self._answers.ok(message), *state]
