"""The memory of what was sent: exact, bounded, and never a reason to believe that more was sent than was."""

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_inspector.model import (
    Binding,
    Change,
    Column,
    Operation,
    Position,
    Relation,
    ReplicaIdentity,
    Row,
)
from realtime_inspector.visibility.filters import Condition
from realtime_inspector.visibility.memory import Memory, Passage, found_row
from realtime_inspector.visibility.subscription import Subscription

NOTES = Relation(1, "public", "notes", ReplicaIdentity.DEFAULT, (Column("id", 23, -1, True), Column("body", 25)))
EVERY = Subscription(Binding(1, "*", "public", "notes"))
RED = Subscription(Binding(2, "*", "public", "notes"), (Condition("body", "eq", ("red",)),))
DELETE, INSERT, UPDATE, TRUNCATE = Operation.DELETE, Operation.INSERT, Operation.UPDATE, Operation.TRUNCATE


class Holder:
    """Stands where an audience stands: something with an identity of its own."""


def change(number: int, operation: Operation, new: str | None = None, old: str | None = None) -> Change:
    """The log of a table with the default replica identity: the old key, where it changed or the row is gone."""
    rows: tuple[Row | None, Row | None] = (None if new is None else (new, "x"), None if old is None else (old, None))
    return Change(Position(number, 0), operation, NOTES, *rows)


def passing(memory: Memory[Holder], *changes: Change, standing: frozenset[str] | None = None) -> Passage[Holder]:
    """The passage of changes whose rows all still stand, unless `standing` says which."""
    passage = Passage(memory, 1, changes)
    keys = [None if c.new is None or (standing is not None and c.new[0] not in standing) else [str(c.new[0])] for c in changes]
    passage.trace(memory.table(1, ("id",), ""), keys)
    return passage


def send(memory: Memory[Holder], change: Change, *holders: Holder, through: tuple[Subscription, ...] = (EVERY,)) -> None:
    passage = passing(memory, change)
    for holder in holders:
        recall = passage.recall(holder, (EVERY, RED))
        if recall.parted(0):
            recall.forget(0)
        recall.record(0, through)
    passage.close()


def sent(memory: Memory[Holder], key: str, holder: Holder) -> list[tuple[Subscription, Position]]:
    return passing(memory, change(99, DELETE, old=key)).recall(holder, (EVERY, RED)).sent(0)


def test_what_one_was_sent_goes_along_to_another_memory_unless_the_table_is_another_there() -> None:
    here: Memory[Holder] = Memory(10)
    there: Memory[Holder] = Memory(10)
    one, same, other = Holder(), Holder(), Holder()
    send(here, change(1, INSERT, "1"), one, other)
    send(here, change(2, INSERT, "2"), one)
    taken = here.taken([one])
    there.give(same, taken[one])
    assert [sent(there, key, same) for key in ("1", "2")] == [[(EVERY, Position(1, 0))], [(EVERY, Position(2, 0))]]
    assert sent(there, "1", other) == []
    send(there, change(3, DELETE, old="1"), same)
    passage = passing(here, change(4, TRUNCATE))
    passage.close()
    here.give(one, there.taken([same])[same])
    assert (sent(there, "1", same), sent(here, "2", one)) == ([], [])


def test_who_was_sent_a_row_is_known_with_the_subscriptions_and_the_last_time() -> None:
    memory: Memory[Holder] = Memory(10)
    one, other = Holder(), Holder()
    send(memory, change(1, INSERT, "1"), one, other, through=(EVERY, RED))
    send(memory, change(2, UPDATE, "1"), one)
    assert sent(memory, "1", one) == [(RED, Position(1, 0)), (EVERY, Position(2, 0))]
    assert sent(memory, "1", other) == [(EVERY, Position(1, 0)), (RED, Position(1, 0))]
    assert sent(memory, "2", one) == []
    assert memory.concerned([change(3, DELETE, old="1")], frozenset([DELETE])) == {one: None, other: None}
    assert memory.concerned([change(3, UPDATE, "1")], frozenset([DELETE])) == {}


@pytest.mark.parametrize(
    "taking",
    [
        change(2, DELETE, old="1"),
        change(2, UPDATE, "9", old="1"),
        change(2, INSERT, "1"),
        change(2, TRUNCATE),
        change(2, DELETE),
    ],
    ids=["deleted", "its key changed", "the key was given again", "the table was emptied", "nobody knows which one"],
)
@pytest.mark.parametrize("noticed", [True, False], ids=["planned", "passed by"])
def test_what_takes_a_row_away_takes_it_from_everybody(taking: Change, noticed: bool) -> None:
    memory: Memory[Holder] = Memory(10)
    one = Holder()
    send(memory, change(1, INSERT, "1"), one)
    if noticed:
        passing(memory, taking).close()
    else:
        memory.pass_by([taking])
    assert sent(memory, "1", one) == []
    assert sent(memory, "9", one) == []


def test_an_update_that_leaves_the_key_alone_takes_nothing_away() -> None:
    memory: Memory[Holder] = Memory(10)
    one = Holder()
    send(memory, change(1, INSERT, "1"), one)
    memory.pass_by([change(2, UPDATE, "1"), change(3, UPDATE, "1", old="1")])
    passing(memory, change(4, UPDATE, "1")).close()
    assert sent(memory, "1", one) == [(EVERY, Position(1, 0))]


def test_rows_that_were_sent_longest_ago_are_forgotten_first() -> None:
    memory: Memory[Holder] = Memory(3)
    one, other = Holder(), Holder()
    send(memory, change(1, INSERT, "1"), one)
    send(memory, change(2, INSERT, "2"), one)
    send(memory, change(3, UPDATE, "1"), one)
    send(memory, change(4, INSERT, "3"), one, other)
    assert [bool(sent(memory, key, one)) for key in ("1", "2", "3")] == [True, False, True]
    assert len(memory) == 3


def test_a_memory_of_none_remembers_nothing() -> None:
    memory: Memory[Holder] = Memory(0)
    one = Holder()
    send(memory, change(1, INSERT, "1"), one)
    assert (sent(memory, "1", one), len(memory)) == ([], 0)


def test_a_table_whose_rows_are_found_by_another_key_is_another_table() -> None:
    memory: Memory[Holder] = Memory(10)
    one = Holder()
    send(memory, change(1, INSERT, "1"), one)
    memory.table(1, ("body",), "")
    assert sent(memory, "1", one) == []
    send(memory, change(2, INSERT, "1"), one)
    memory.table(1, ("id",), "another type")
    assert sent(memory, "1", one) == []


def test_nobody_is_kept_alive() -> None:
    memory: Memory[Holder] = Memory(10)
    send(memory, change(1, INSERT, "1"), Holder())
    gc.collect()
    assert memory.concerned([change(2, DELETE, old="1")], frozenset([DELETE])) == {}


def test_the_whole_old_row_names_the_key_too() -> None:
    full = Relation(1, "public", "notes", ReplicaIdentity.FULL, (Column("id", 23, -1, True), Column("body", 25, -1, True)))
    memory: Memory[Holder] = Memory(10)
    table = memory.table(1, ("id",), "")
    assert found_row(Change(Position(1, 0), DELETE, full, None, ("1", None), True), table) == (table, "1")
    assert found_row(Change(Position(1, 0), UPDATE, full, ("2", "x"), ("1", "x"), True), table) == (table, "1")
    assert found_row(Change(Position(1, 0), INSERT, full, ("2", "x")), table) == (table, "2")


KEYS = st.sampled_from(["1", "2", "3"])
VIEWERS = st.fixed_dictionaries({key: st.sets(st.integers(0, 2)) for key in ("1", "2", "3")})
BATCHES = st.lists(st.tuples(st.lists(st.tuples(KEYS, KEYS, st.booleans(), st.booleans()), max_size=5), VIEWERS), max_size=8)


@given(BATCHES, st.sampled_from([0, 1, 2, 4, 100]))
def test_it_never_claims_more_than_what_was_sent_and_nothing_less_while_there_is_room(
    batches: list[tuple[list[tuple[str, str, bool, bool]], dict[str, set[int]]]], limit: int
) -> None:
    """Against a model that keeps everything. Who sees a row is drawn for each batch, for all that happened to it in there."""
    memory: Memory[Holder] = Memory(limit)
    holders = [Holder() for _ in range(3)]
    model: dict[tuple[str, int], Position] = {}
    stored: set[str] = set()
    number = 0
    for steps, viewers in batches:
        changes = [_happens(number + n, stored, *step) for n, step in enumerate(steps)]
        number += len(changes)
        passage = passing(memory, *changes, standing=frozenset(stored))
        for place, holder in enumerate(holders):
            _decided(passage, holder, [c.new is not None and place in viewers[str(c.new[0])] for c in changes])
        passage.close()
        for each in changes:
            _modelled(model, each, viewers, stored)
        for key in ("1", "2", "3"):
            for place, holder in enumerate(holders):
                known = [position for _, position in sent(memory, key, holder)]
                expected = [model[key, place]] if (key, place) in model else []
                assert known == expected or (limit < 100 and known == [])
        assert len(memory) <= limit


def _happens(number: int, stored: set[str], key: str, other: str, deletes: bool, empties: bool) -> Change:
    """One change that can follow: what is not stored is inserted, what is may be deleted or updated."""
    if deletes and empties:
        stored.clear()
        return change(number, TRUNCATE)
    if key not in stored:
        stored.add(key)
        return change(number, INSERT, key)
    if deletes:
        stored.remove(key)
        return change(number, DELETE, old=key)
    if other in stored:
        return change(number, UPDATE, key)
    stored.symmetric_difference_update((key, other))
    return change(number, UPDATE, other, key)


def _decided(passage: Passage[Holder], holder: Holder, visible: list[bool]) -> None:
    recall = passage.recall(holder, (EVERY, RED))
    for number, sees in enumerate(visible):
        reaches = sees and passage.reached[number] is not None
        if reaches or number in recall.numbers:
            if recall.parted(number):
                recall.forget(number)
            if reaches:
                recall.record(number, (EVERY,))


def _modelled(model: dict[tuple[str, int], Position], each: Change, viewers: dict[str, set[int]], stored: set[str]) -> None:
    if each.operation is TRUNCATE:
        model.clear()
    if each.old is not None:
        for place in range(3):
            model.pop((str(each.old[0]), place), None)
    if each.new is not None and each.new[0] in stored:
        for place in viewers[str(each.new[0])]:
            model[str(each.new[0]), place] = each.position
