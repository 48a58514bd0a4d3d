"""What the hub asks of whoever knows private channels, and what it does where nobody does."""

from collections.abc import Sequence
from typing import NoReturn, Protocol

from realtime_inspector.errors import PrivateChannelsUnsupported
from realtime_inspector.model import Identity, Right, Rights
from realtime_inspector.protocol.broadcast import Broadcast, Persistence


class PrivateChannels(Protocol):
    """The database behind private channels. Topics are named as policies know them, without `realtime:`.

    Every question raises a RealtimeError where it cannot be answered, and what is not answered is denied.
    """

    async def ask(self, identity: Identity, headers: str, topic: str, right: Right, /) -> Rights:
        """What the identity may do. `headers`: those of its connection, a JSON object's text."""

    async def version(self) -> str:
        """Another text whenever answers could have changed, apart from data."""

    async def recall(self, topic: str, since: int, limit: int, /) -> Sequence[Broadcast]:
        """The newest messages since then (milliseconds since 1970), oldest first."""

    async def keep(self, topic: str, broadcast: Broadcast, persistence: Persistence, /) -> None:
        """Stores a message that was sent."""

    async def flowing(self) -> None:
        """Returns when what the database broadcasts arrives."""


class NoChannels:
    """Without a database there are none."""

    async def ask(self, _identity: Identity, _headers: str, _topic: str, _right: Right) -> Rights:
        """Nobody may do anything."""
        _refuse()

    async def version(self) -> str:
        """Nothing changes."""
        return ""

    async def recall(self, _topic: str, _since: int, _limit: int) -> Sequence[Broadcast]:
        """Nothing is kept."""
        _refuse()

    async def keep(self, _topic: str, _broadcast: Broadcast, _persistence: Persistence) -> None:
        """Nothing is kept."""
        _refuse()

    async def flowing(self) -> None:
        """Nothing arrives."""
        _refuse()


def _refuse() -> NoReturn:
    raise PrivateChannelsUnsupported
