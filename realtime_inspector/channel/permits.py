"""Says in words what the policies of a private channel refuse: which probe failed, and what would help."""

from collections.abc import Iterable

from realtime_inspector.channel.state import Channel
from realtime_inspector.model import Extension, Problem, Right, Rights, Token

_COMMANDS = {Right.READ: "SELECT", Right.WRITE: "INSERT"}


def lost_or_missing(channel: Channel, token: Token, rights: Rights) -> Problem | None:
    """Why the channel cannot be joined, or cannot go on, with what the token lets it receive."""
    if channel.token is not None and not channel.reads <= rights.extensions:
        text = f"You no longer have permission to read from this Channel topic: {channel.name}"
        return _unauthorized(text, channel, token, rights, channel.reads - rights.extensions)
    needed = {Extension.BROADCAST, Extension.PRESENCE} if channel.request.presence else {Extension.BROADCAST}
    if needed & rights.extensions:
        return None
    text = f"You do not have permissions to read from this Channel topic: {channel.name}"
    return _unauthorized(text, channel, token, rights, needed)


def unsendable(channel: Channel, token: Token, rights: Rights, extension: Extension) -> Problem:
    """Why a message is not sent."""
    text = f"You do not have permissions to write to this Channel topic: {channel.name}"
    return _unauthorized(text, channel, token, rights, [extension])


def _unauthorized(text: str, channel: Channel, token: Token, rights: Rights, extensions: Iterable[Extension]) -> Problem:
    asked = f"{_COMMANDS[rights.right]} on realtime.messages, extension {' or '.join(sorted(extensions))}"
    whom = f"topic {channel.name!r}, role {token.identity.role}"
    if rights.raised:
        hint = f"A policy failed when it was asked for {asked}, {whom}; the log of the service has the error {rights.raised}."
    else:
        hint = f"No policy allows {asked}, {whom}, with the claims of this token. See docs/policies.md#private-channels."
    return Problem("Unauthorized", text, hint)
