"""Objects to joins before anybody is asked about them: what their topic, their config and this socket's limits rule out."""

from typing import Final

from realtime_inspector.channel.limits import Limits
from realtime_inspector.model import Problem
from realtime_inspector.presence.state import check_key
from realtime_inspector.protocol.join import JoinRequest

PREFIX: Final = "realtime:"
"""What the topic of every channel begins with."""


def objection(topic: str, request: JoinRequest, channels: int, limits: Limits) -> Problem | None:
    """The first one. `channels`: so many the socket has without this one."""
    if topic == PREFIX:
        return Problem("TopicNameRequired", "You must provide a topic name", "Name the channel.")
    if len(topic.encode()) > limits.topic_bytes:
        return Problem("TopicTooLong", f"The topic is longer than {limits.topic_bytes} bytes", "Use a shorter name.")
    if channels >= limits.channels:
        return Problem("ChannelRateLimitReached", "Too many channels", "Leave channels that are not needed any more.")
    if len(request.echo) > limits.bindings:
        return Problem("TooManyBindings", f"More than {limits.bindings} postgres_changes", "Use several channels.")
    if limits.private_only and not request.private:
        return Problem("PrivateOnly", "This project only allows private channels", "Join with `private: true`.")
    return request.refusal or check_key(request.presence_key)
