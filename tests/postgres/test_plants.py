"""Bugs that are planted one by one, each of which must be objected to: a judge that passes everything proves nothing."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from realtime_inspector.channel.effects import Effect, Ticket
from realtime_inspector.channel.session import Outcome, Session
from realtime_inspector.model import AFTER, UNCHANGED, Identity, Position, Transaction
from realtime_inspector.pipeline import askers, asking, river
from realtime_inspector.pipeline.records import Records
from realtime_inspector.postgres.embedded import EmbeddedPostgres
from realtime_inspector.protocol.positions import PositionTokens
from realtime_inspector.visibility import memory
from realtime_inspector.visibility.decisions import _Sight
from tests.conftest import fresh_database
from tests.oracle.judge import judge
from tests.oracle.stage import Play, Stage
from tests.oracle.world import World
from tests.postgres import test_partings
from tests.postgres.conftest import Engine, prepared
from tests.postgres.river import Start, start
from tests.unit import test_session

__all__ = ["start"]

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch, Stage], None]


def the_image_of_the_log_is_sent(patch: Patch, _: Stage) -> None:
    """Under the permission of the moment at which it is handled, as the usual design has it."""
    genuine = Records._encode

    def encode(self: Records, number: int, *others: Any) -> bytes:
        seen, row, change = self._evidence, self._evidence.rows[number], self._evidence.changes[number]
        if row is None or change.new is None:
            return genuine(self, number, *others)
        kept = seen.values[row]
        named = zip(change.relation.columns, change.new, strict=True)
        values: Any = seen.values
        values[row] = {**kept, **{column.name: value for column, value in named if value is not UNCHANGED}}
        try:
            return genuine(self, number, *others)
        finally:
            values[row] = kept

    patch.setattr(Records, "_encode", encode)


def positions_are_lsns(patch: Patch, _: Stage) -> None:
    """Who received one change of a transaction counts as having received all of them."""
    genuine = PositionTokens.opened

    def opened(self: PositionTokens, *arguments: Any) -> Position | None:
        position = genuine(self, *arguments)
        return None if position is None or position.index < 0 else Position(position.commit_lsn, AFTER)

    def joined(self: PositionTokens, *arguments: Any) -> Position | None:
        return opened(self, *arguments) or genuine(self, *arguments)

    patch.setattr(PositionTokens, "opened", joined)


def acknowledged_before_it_is_handed_over(patch: Patch, stage: Stage) -> None:
    """The process ends between the two, once."""
    genuine = river.Pipeline._deliver
    crashed: list[int] = []

    async def deliver(self: river.Pipeline, batch: Sequence[Transaction], *others: Any) -> None:
        last = batch[-1]
        if not crashed and stage.world.begun > 5 and last.end_lsn is not None and last.changes and others[0] is self._index:
            crashed.append(last.end_lsn)
            self._bookmark.save(last.end_lsn, last.commit_lsn)
            self._stream.acknowledge(last.end_lsn)
            await asyncio.Event().wait()
        await genuine(self, batch, *others)

    patch.setattr(river.Pipeline, "_deliver", deliver)


def one_is_asked_for_all(patch: Patch, _: Stage) -> None:
    """The answer for one identity of a role is taken for the others."""

    def of_the_role(identities: Iterable[Identity], access: Any) -> dict[Identity, list[Identity]]:
        groups: dict[str, list[Identity]] = {}
        for identity in identities:
            groups.setdefault(identity.role, []).append(identity)
        return {group[0]: group for group in groups.values()}

    patch.setattr(askers, "askers", of_the_role)
    patch.setattr(asking, "askers", of_the_role)


def old_values_are_shown_to_all(patch: Patch, _: Stage) -> None:
    """Whoever may see the new row is shown the old one."""
    patch.setattr(_Sight, "old_visible", lambda *_: True)


def everybody_is_told_of_deletions(patch: Patch, _: Stage) -> None:
    """As the usual design has it."""
    genuine = river.Pipeline.__init__

    def init(self: river.Pipeline, *arguments: Any) -> None:
        genuine(self, *arguments)
        self._gatherer._deletes = "keys"

    patch.setattr(river.Pipeline, "__init__", init)


SEEDS = range(2, 8)
PLANTS: dict[Plant, str] = {
    the_image_of_the_log_is_sent: "leak",
    positions_are_lsns: "withheld",
    acknowledged_before_it_is_handed_over: "the log",
    one_is_asked_for_all: "leak",
    old_values_are_shown_to_all: "leak",
    everybody_is_told_of_deletions: "leak",
}


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
async def test_the_judge_objects(postgres: EmbeddedPostgres, monkeypatch: Patch, plant: Plant) -> None:
    """A bug that needs a cut in the middle of a transaction does not show in every world; one of these has it."""
    judgements = []
    for seed in SEEDS:
        with monkeypatch.context() as patch, fresh_database(postgres) as url:
            stage = Stage(prepared(url), World(seed, raising=False), Play(commits=30, filters=False, patience=8))
            plant(patch, stage)
            await stage.run()
        judgements.append(judge(stage))
        if PLANTS[plant] in judgements[-1].kinds:
            return
    pytest.fail(f"nobody objected: {judgements}")


async def test_a_memory_that_keeps_deleted_rows_is_noticed(engine: Engine, start: Start, monkeypatch: Patch) -> None:
    """The key of a row that was sent becomes a hidden row's."""
    monkeypatch.setattr(memory, "parts", lambda *_: False)
    with pytest.raises(AssertionError):
        await test_partings.test_a_key_that_is_used_again_for_a_hidden_row_is_nobodys(engine, start)


def test_a_stale_answer_that_counts_is_noticed(monkeypatch: Patch) -> None:
    """Any answer is taken for the one to the question that is open."""
    genuine = Session.resolve

    def resolve(self: Session, ticket: Ticket, outcome: Outcome, now: float) -> list[Effect]:
        channel = self._channels.get(ticket.topic)
        return genuine(self, channel.awaited[0] if channel and channel.awaited else ticket, outcome, now)

    monkeypatch.setattr(Session, "resolve", resolve)
    with pytest.raises((AssertionError, ValueError)):  # as the stale answer is taken, the real one has nothing left to ask
        test_session.test_of_two_refreshes_the_last_counts()
