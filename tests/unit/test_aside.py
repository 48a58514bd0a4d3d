"""Those aside: nobody's loss is silent when the recent past cannot be held for them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from realtime_inspector.model import Binding, Identity, Position, Transaction
from realtime_inspector.pipeline.aside import Aside
from realtime_inspector.pipeline.batches import Sent
from realtime_inspector.pipeline.delivery import Delivery
from realtime_inspector.pipeline.pace import Pace
from realtime_inspector.pipeline.ring import Ring
from realtime_inspector.ports import Outlet
from realtime_inspector.protocol.frames import split_frames
from realtime_inspector.protocol.positions import PositionTokens
from realtime_inspector.visibility.audience import AudienceKey, Returning
from realtime_inspector.visibility.index import Index
from realtime_inspector.visibility.memory import Memory, RowId, Table
from realtime_inspector.visibility.subscription import Subscription

ROW: RowId = (Table(1, ("id",), ""), "1")


@dataclass(eq=False)
class Socket:
    """An outlet that keeps what it is sent."""

    received: list[dict[str, Any]] = field(default_factory=list)
    queued_bytes: int = 0

    def send(self, frames: bytes) -> None:
        self.received += [orjson.loads(payload)[4] for _, payload in split_frames(frames)]

    async def drained(self) -> None:
        return

    @property
    def gaps(self) -> list[str]:
        return [payload["gap"]["reason"] for payload in self.received]


async def test_whose_memory_goes_with_that_of_others_is_told_of_the_gap_too() -> None:
    """What one socket missed may be the deletion of a row that the other one was sent."""
    index: Index[Outlet] = Index()
    ring, delivery, memory = Ring(1_000, 60), Delivery(1_000), Memory[Any](10)
    ring.begin(Position(5, 0), 5)
    delivery.tokens = PositionTokens(bytes(32), "epoch")
    aside = Aside(index, ring, delivery, Pace(), memory)
    lost, kept, other = Socket(), Socket(), Socket()
    returning = {}
    for socket, sub, after in ((lost, "bob", 3), (kept, "bob", 9), (other, "eve", 9)):
        subscriptions = (Subscription(Binding(1, "*", "public", "notes")),)
        key = AudienceKey("realtime:room", "2.0.0", Identity("authenticated", f'{{"sub":"{sub}"}}'), subscriptions, False)
        sent = {ROW: ((0, Position(2, 0)),)}
        returning[socket, "realtime:room"] = Returning(key, Position(after, 0), Position(1, 0), sent, resumes=False)
    aside.take(returning)  # type: ignore[arg-type]

    async def deliver(_: Sequence[Transaction], __: Index[Outlet], ___: Sent) -> None:
        return

    await aside._serve(deliver)
    assert (lost.gaps, kept.gaps, other.gaps) == (["retention"], ["retention"], [])
    assert [holder.key.identity.claims for holder in memory.holders((memory.table(1, ("id",), ""), "1"))] == ['{"sub":"eve"}']
