"""Looks after the publication while the stream flows: what it leaves out, the log says nothing of."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

import msgspec

from realtime_inspector.errors import RealtimeError, SlotLost
from realtime_inspector.model import Relation
from realtime_inspector.ports import Source
from realtime_inspector.postgres.line import Line
from realtime_inspector.postgres.membership import read_membership
from realtime_inspector.replication.membership import Absence, Membership, Picture

LOOK_SECONDS = 5.0


class Watch:
    """`tell`: is told of each absence, before anything newer of that table is handed over."""

    def __init__(self, line: Line, publication: str, stream: Source, tell: Callable[[Absence], None]) -> None:
        self._line = line
        self._publication = publication
        self._stream = stream
        self._tell = tell
        self._membership = Membership()
        self.published = ""
        """The publication as it was last seen, for a later process."""
        self._relations: dict[int, Relation] = {}

    async def run(self) -> None:
        """Looks now and then while the stream flows, for ever: nothing else tells of a table that is out."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with suppress(RealtimeError):  # the stream meets the same, and takes it from there
                if self._stream.flows:
                    await self.look()

    async def precede(self, relations: Iterable[Relation]) -> None:
        """Before changes are handed over: Postgres describes a relation anew after it was out of the publication.

        Raises as `look` does.
        """
        described = {relation.oid: relation for relation in relations}
        if any(self._relations.get(oid) is not relation for oid, relation in described.items()):
            await self.look()
            self._relations.update(described)

    async def look(self) -> None:
        """Raises DatabaseUnavailable, and SlotLost where the publication itself is gone or another one."""
        async with self._line.asking() as connection:
            picture = await read_membership(connection, self._publication)
        if self._membership.replaced(picture):
            loss = SlotLost(f"The publication {self._publication} was dropped; changes in between are lost", gap="publication")
            self._stream.lose(loss)
            raise loss
        if picture is not None:
            for absence in self._membership.take(picture, asyncio.get_running_loop().time()):
                self._tell(absence)
            self.published = msgspec.json.encode(picture).decode()

    def missed(self, published: str) -> bool:
        """Whether something was out of the publication since an earlier process saw it like this."""
        return bool(published) and self._membership.differs(msgspec.json.decode(published, type=Picture))

    def forget(self) -> None:
        """Everybody was told of a gap: what is seen next is where it begins."""
        self._membership.forget()
