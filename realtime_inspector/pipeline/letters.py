"""Hands over once what the database broadcasts: out of the stream of changes, in commit order, or as triggers have noted it."""

import asyncio
import secrets
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Final, Protocol

import orjson
import structlog

from realtime_inspector.errors import RealtimeError
from realtime_inspector.model import BEGINNING, Change, Forum, Operation, Position, Transaction
from realtime_inspector.ports import Source
from realtime_inspector.postgres.line import Line
from realtime_inspector.postgres.mark import Mark
from realtime_inspector.postgres.notify import Notifications
from realtime_inspector.postgres.sent import SentMessages
from realtime_inspector.protocol.broadcast import Broadcast, Encoding, was_sent
from realtime_inspector.settings import Settings

SCHEMA: Final = "realtime"
TABLE: Final = "messages"
LARGEST: Final = 3_000_000
"""Bytes of a payload, as upstream."""
PACE_BYTES: Final = 65_536
"""After so many bytes the sockets that they went to get a moment to take them."""
AGAIN_SECONDS: Final = 1.0
RECENT: Final = 10_000
"""Messages of which it is known that they were handed over, should the log be lost."""
KNOWN_SECONDS: Final = 600.0
"""So long a new log may still bring what was committed when it began."""
_log = structlog.get_logger(__name__)


class Receiver(Protocol):
    """Where messages go."""

    async def hand_over(self, forum: Forum, sent: Broadcast, /) -> None: ...

    async def pace(self, forums: Collection[Forum], /) -> None: ...


@dataclass(frozen=True, slots=True)
class Letter:
    """A message, and where it stands in the log."""

    position: Position
    forum: Forum
    broadcast: Broadcast


class Letters:
    """What has to be handed over, and how far that was done.

    `mark`: of the stream; None where triggers are the source, and `sent` is read. Whoever is to receive is set as `receiver`
    before the stream flows.
    """

    def __init__(self, mark: Mark | None, sent: SentMessages | None = None) -> None:
        self._mark = mark
        self._sent = sent
        self._fault: RealtimeError | None = None
        self._done = BEGINNING
        self._late = 0
        self._epoch = ""
        self.receiver: Receiver | None = None
        self.counts: Counter[str] = Counter()
        """Messages by what became of them."""
        self._at = 0.0
        """The newest commit of which the messages were handed over, seconds since 1970."""
        self._recent: deque[str] = deque(maxlen=RECENT)
        self._missing: float | None = None
        """Since when the log was lost."""
        self._known: set[str] = set()
        self._known_until = 0.0
        """What was handed over, and may come in the new log as well."""
        self.attached = asyncio.Event()

    @classmethod
    def open(cls, settings: Settings, line: Line, source: Source) -> "Letters":
        """`line`: to the database, for what is remembered there."""
        if isinstance(source, Notifications):
            return cls(None, SentMessages(line, settings.slot, source.messages))
        return cls(Mark(line, settings.slot))

    async def begin(self, epoch: str, written: int) -> None:
        """The stream flows. `written`: how far the log was; what comes from before that was sent while nobody was there.

        Raises DatabaseUnavailable.
        """
        if self._mark is None:
            return
        if epoch != self._epoch:
            self._done = await self._mark.load(epoch)
            self._late = written if not self._epoch and self._done != BEGINNING else 0
            self._epoch = epoch
            if self._missing is not None and self._done == BEGINNING:  # otherwise another process has gone on
                await self._recover(self._mark, self._missing)
            if self._done == BEGINNING:  # a later process has to know what it owes, also if nothing is sent before
                await self._mark.begin(Position(written, 0))
        self._missing = None
        self.attached.set()

    def lose(self, saved_at: float) -> None:
        """The log is lost: what is committed until `begin` will not come in it. `saved_at`: when an earlier process was done."""
        if self._missing is None:
            self._missing = max(self._at, saved_at) or None

    async def _recover(self, mark: Mark, since: float) -> None:
        """Hands over what is kept in the table since then. It is late: who was cut off comes back to it."""
        self._known, self._known_until = set(self._recent), monotonic() + KNOWN_SECONDS
        try:
            async for rows in mark.kept(since):
                fresh = [row for row in rows if row["id"] not in self._known]
                await self.hand_over([letter for row in fresh for letter in self._letter(row, BEGINNING, late=True)])
                self._known.update(row["id"] for row in fresh)
        except RealtimeError as error:  # changes must flow again
            _log.warning("messages_not_read", reason=error.text, remedy=error.remedy)

    async def run(self) -> None:
        """Hands over what triggers have noted, for ever. What was sent while no process was there is late."""
        assert self._sent is not None
        late = False
        while True:
            try:
                if not self.attached.is_set():
                    late = await self._sent.begin()
                    self._fault = None
                    self.attached.set()
                async for rows in self._sent.news():
                    await self.hand_over([letter for row in rows for letter in self._letter(row, BEGINNING, late=late)])
                late = False
                await self._sent.wait()
            except RealtimeError as error:
                if str(error) != str(self._fault):
                    _log.warning("messages_not_read", reason=error.text, remedy=error.remedy)
                self._fault = error
                await asyncio.sleep(AGAIN_SECONDS)
            except Exception:  # a fault of ours: it must not be silent, nor end this task
                _log.exception("messages_failed", error_id=secrets.token_hex(4))
                await asyncio.sleep(AGAIN_SECONDS)

    async def flowing(self) -> None:
        """Returns when messages arrive. Raises why they cannot be read."""
        if self._fault is not None and not self.attached.is_set():
            raise self._fault.with_traceback(None)
        await self.attached.wait()

    async def deliver(self, batch: Sequence[Transaction]) -> Sequence[Transaction]:
        """Hands over the messages of a batch; returns the batch without them."""
        rest, letters = self.take(batch)
        await self.hand_over(letters)
        self._at = max(self._at, batch[-1].committed_at / 1e6)
        if self._known and monotonic() > self._known_until:
            self._known.clear()
        return rest

    def take(self, batch: Sequence[Transaction]) -> tuple[Sequence[Transaction], list[Letter]]:
        """The batch without messages, and the messages; clients never see the table itself."""
        if not any(_is_ours(change) for transaction in batch for change in transaction.changes):
            return batch, []
        letters = [
            letter
            for transaction in batch
            for change in transaction.changes
            if change.relation.name == TABLE and _is_ours(change) and change.position > self._done
            for letter in self._read(change)
        ]
        return [replace(each, changes=tuple(c for c in each.changes if not _is_ours(c))) for each in batch], letters

    async def hand_over(self, letters: Sequence[Letter]) -> None:
        """One that fails costs nobody another one."""
        assert self.receiver is not None or not letters
        size, forums = 0, set()
        for letter in letters:
            if letter.broadcast.id in self._known:
                self._done = letter.position
                continue
            try:
                await self.receiver.hand_over(letter.forum, letter.broadcast)  # type: ignore[union-attr]
                self.counts["delivered"] += 1
            except Exception:
                self.counts["failed"] += 1
                _log.exception("broadcast_not_delivered", error_id=secrets.token_hex(4), id=letter.broadcast.id)
            self._done = letter.position
            self._recent.append(letter.broadcast.id)
            size += len(letter.broadcast.payload)
            forums.add(letter.forum)
            if size >= PACE_BYTES:
                await self.receiver.pace(forums)  # type: ignore[union-attr]
                size, forums = 0, set()
        if letters and self._mark is not None:
            self._mark.save(self._done, [letter.broadcast.id for letter in letters])

    async def close(self) -> None:
        """Writes down how far it was."""
        if self._mark is not None:
            await self._mark.close()

    def _read(self, change: Change) -> Iterator[Letter]:
        if change.operation is not Operation.INSERT or change.new is None:
            return
        names = [column.name for column in change.relation.columns]
        row = {name: value for name, value in zip(names, change.new, strict=True) if isinstance(value, str)}
        yield from self._letter(row, change.position, late=change.position.commit_lsn <= self._late)

    def _letter(self, row: Mapping[str, Any], position: Position, *, late: bool) -> Iterator[Letter]:
        """`row`: by column, each a text as Postgres writes it; columns that are null are null or missing."""
        number, event = row.get("id", ""), row.get("event")
        payload, binary = row.get("payload"), row.get("binary_payload")
        if row.get("extension") != "broadcast" or was_sent(number):
            self.counts["not_sent"] += 1
            return
        if event is None or (payload is None and binary is None):
            self._drop(number, "incomplete", "it has no event or no payload")
            return
        content = payload.encode() if payload is not None else bytes.fromhex(str(binary)[2:])
        if len(content) > LARGEST:
            self._drop(number, "too_large", f"its payload is larger than {LARGEST} bytes")
            return
        encoding = Encoding.BINARY if payload is None else Encoding.JSON
        broadcast = Broadcast(event, content, encoding, orjson.dumps({"id": number}), number, late)
        self.counts["late"] += late
        yield Letter(position, Forum(f"realtime:{row.get('topic', '')}", row.get("private") == "t"), broadcast)

    def _drop(self, number: str, outcome: str, why: str) -> None:
        self.counts[outcome] += 1
        _log.warning("broadcast_refused", id=number, reason=why)


def _is_ours(change: Change) -> bool:
    relation = change.relation
    return relation.schema == SCHEMA and (relation.name == TABLE or relation.name.startswith(f"{TABLE}_"))
