"""What clients tell each other on a joined channel: broadcasts and presence."""

from collections.abc import Callable
from typing import Final

from realtime_inspector.channel.answers import Answers
from realtime_inspector.channel.effects import (
    Effect,
    Kept,
    Outcome,
    Persist,
    Probe,
    Publish,
    SendPresenceState,
    Ticket,
    Track,
    Untrack,
)
from realtime_inspector.channel.limits import PRESENCE, Gate
from realtime_inspector.channel.permits import unsendable
from realtime_inspector.channel.state import Channel
from realtime_inspector.errors import PayloadTooLarge
from realtime_inspector.model import Extension, Problem, Right, Rights
from realtime_inspector.presence.state import clean
from realtime_inspector.protocol.broadcast import Broadcast, Encoding, Persistence
from realtime_inspector.protocol.codec import Message, Push

_NOT_A_MAP: Final = {"reason": "Presence track payload must be a map"}
_BAD_BROADCAST: Final = Problem(
    "InvalidBroadcastPayload",
    "A broadcast must be an object whose `event` is a string, without a key `ids`",
    "Send {type, event, payload}; put your own data under `payload`.",
)


_NOT_KEPT: Final = Problem(
    "PersistenceUnsupported", "Only private channels keep messages", "Join with `private: true`, or leave `persist` out."
)
_TOO_EARLY: Final = Problem(
    "TooManyMessages", "Too many messages before it was known whether they may be sent", "Wait for the first one's answer."
)
HELD: Final = 100
"""Messages that wait while the policies are asked."""
DENIED_SECONDS: Final = 1.0
"""So long a denial holds without asking again; a permission holds until the token or the policies change."""

Then = Callable[[Outcome, float], list[Effect]]
Aside = Callable[[Channel, Then], Ticket]
"""A ticket for a question beside the one that a channel awaits, and what to do with its answer."""


class Talk:
    """Reads the messages of one socket's client to the others. On a private channel each needs a policy that allows it."""

    def __init__(self, answers: Answers, gate: Gate, aside: Aside) -> None:
        self._answers = answers
        self._gate = gate
        self._aside = aside

    def receive(self, channel: Channel, message: Message | Push, now: float) -> list[Effect]:
        """A broadcast or a presence message, which waits until it is known whether it may be sent."""
        if not channel.request.private:
            return self._act(channel, message, now)
        known = channel.writes
        denied = known is not None and not _needs(message) <= known.extensions
        if channel.writing is None and known is not None and not (denied and now >= channel.asked_at + DENIED_SECONDS):
            return self._permitted(channel, message, known, now)
        if not _needs(message) and not channel.held:
            return self._act(channel, message, now)
        if len(channel.held) >= HELD:
            return [self._refused(message, _TOO_EARLY)]
        channel.held.append(message)
        return [] if channel.writing is not None else self._probe(channel, now)

    def forget_rights(self, channel: Channel, now: float) -> list[Effect]:
        """What the channel may send is to be asked again; at once if something waits for it."""
        channel.writes = channel.writing = None
        return self._probe(channel, now) if channel.held else []

    def _probe(self, channel: Channel, now: float) -> list[Effect]:
        assert channel.token is not None
        ticket = self._aside(channel, lambda outcome, moment: self._answered(channel, ticket, outcome, moment))
        channel.writing, channel.asked_at = ticket, now
        return [Probe(ticket, channel.token, Right.WRITE)]

    def _answered(self, channel: Channel, ticket: Ticket, outcome: Outcome, now: float) -> list[Effect]:
        if channel.writing != ticket:
            return []
        held, channel.held = channel.held, []
        channel.writing, channel.asked_at = None, now
        if not isinstance(outcome, Rights):
            problem = outcome if isinstance(outcome, Problem) else Problem("UnknownErrorOnChannel", "Unknown Error on Channel")
            return [self._refused(message, problem) for message in held]
        channel.writes = outcome
        return [effect for message in held for effect in self._permitted(channel, message, outcome, now)]

    def _permitted(self, channel: Channel, message: Message | Push, rights: Rights, now: float) -> list[Effect]:
        missing = _needs(message) - rights.extensions
        if not missing or channel.token is None:
            return self._act(channel, message, now)
        return [self._refused(message, unsendable(channel, channel.token, rights, min(missing)))]

    def _refused(self, message: Message | Push, problem: Problem) -> Effect:
        keeping = isinstance(message, Push) and message.persistence is not None
        return self._answers.failed(message, problem) if keeping else self._answers.error(message, problem)

    def _act(self, channel: Channel, message: Message | Push, now: float) -> list[Effect]:
        if isinstance(message, Push):
            if message.persistence is not None:
                return self._persist(channel, message, message.persistence)
            return self.publish(channel, message, message.broadcast)
        return self.broadcast(channel, message) if message.event == "broadcast" else self.presence(channel, message, now)

    def _persist(self, channel: Channel, push: Push, persistence: Persistence) -> list[Effect]:
        """To every member at once; answered, if the channel asked for that, when the message is kept."""
        if not channel.request.private:
            return [self._answers.failed(push, _NOT_KEPT)]

        def then(outcome: Outcome, _now: float) -> list[Effect]:
            if isinstance(outcome, Kept):
                return [self._answers.ok(push, {"id": outcome.id})] if channel.request.ack else []
            return [self._answers.failed(push, outcome)] if isinstance(outcome, Problem) else []

        return [Persist(self._aside(channel, then), push.broadcast, persistence)]

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
        sees = not channel.presence and Extension.PRESENCE in channel.reads
        state: list[Effect] = [SendPresenceState(channel.topic)] if sees else []
        channel.presence = True
        return [Track(channel.topic, channel.presence_key, text), self._answers.ok(message), *state]


def _needs(message: Message | Push) -> frozenset[Extension]:
    """What must be allowed for it; one's own entry can always be removed."""
    if isinstance(message, Push):
        return _KEEPING if message.persistence is not None else _BROADCASTING
    if message.event == "broadcast":
        return _BROADCASTING
    payload = message.payload if isinstance(message.payload, dict) else {}
    event = payload.get("event")
    return _PRESENT if isinstance(event, str) and event.lower() == "track" else _NOTHING


_KEEPING: Final = frozenset((Extension.BROADCAST, Extension.PERSISTENCE))
_BROADCASTING: Final = frozenset((Extension.BROADCAST,))
_PRESENT: Final = frozenset((Extension.PRESENCE,))
_NOTHING: Final[frozenset[Extension]] = frozenset()
