"""Keeps a piece of a transaction as one string of bytes, without what its rows contain as far as they can be found without it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from realtime_inspector.model import UNCHANGED, Change, Operation, Position, Relation, ReplicaIdentity, Row, Transaction

_Kept = list[str | bool | None]
"""Values; False stands for UNCHANGED."""


class _Change(msgspec.Struct, array_like=True, frozen=True):
    """`relation`: its place among those of the piece. `new`: of the key only where the stream names it."""

    index: int
    operation: int
    relation: int
    new: _Kept | None
    old: _Kept | None
    old_is_full: bool


class _Head(msgspec.Struct, array_like=True, frozen=True):
    xid: int | None
    committed_at: int
    changes: list[_Change]


_OPERATIONS: Final = tuple(Operation)
_NUMBERS: Final = {operation: number for number, operation in enumerate(_OPERATIONS)}
_encode_into: Final = msgspec.msgpack.Encoder().encode_into
_decode: Final = msgspec.msgpack.Decoder(_Head).decode


@dataclass(frozen=True, slots=True)
class Packed:
    """A transaction or a piece of one: what is asked often, and all the rest in `content`."""

    commit_lsn: int
    end_lsn: int | None
    relations: tuple[Relation, ...]
    content: bytes

    def unpacked(self) -> Transaction:
        """As it was, with rows of which only the key is kept UNCHANGED in their other columns."""
        head = _decode(self.content)
        places = [key_places(relation) for relation in self.relations]
        changes = [self._change(kept, places[kept.relation]) for kept in head.changes]
        return Transaction(head.xid, self.commit_lsn, head.committed_at, tuple(changes), self.end_lsn)

    def _change(self, kept: _Change, places: Sequence[int]) -> Change:
        relation = self.relations[kept.relation]
        new, old = (None if values is None else _row(values) for values in (kept.new, kept.old))
        if new is not None and places:
            row: list[str | object | None] = [UNCHANGED] * len(relation.columns)
            for place, value in zip(places, new, strict=True):
                row[place] = value
            new = tuple(row)  # type: ignore[arg-type]
        position = Position(self.commit_lsn, kept.index)
        return Change(position, _OPERATIONS[kept.operation], relation, new, old, kept.old_is_full)


def pack(transaction: Transaction, known: dict[tuple[int, ...], tuple[Relation, ...]]) -> Packed:
    """`known`: relations by their ids in memory, so that pieces share one tuple of them."""
    relations: dict[int, tuple[int, Relation, Sequence[int]]] = {}  # hashing their columns would cost more than all else
    changes = []
    for change in transaction.changes:
        named = relations.get(id(change.relation))
        if named is None:
            named = relations[id(change.relation)] = len(relations), change.relation, key_places(change.relation)
        number, _, places = named
        new, old = change.new, change.old
        if new is not None:
            new = tuple([new[place] for place in places]) if places else new
        kept = None if new is None else _values(new), None if old is None else _values(old)
        changes.append((change.position.index, _NUMBERS[change.operation], number, *kept, change.old_is_full))
    shared = known.setdefault(tuple(relations), tuple([relation for _, relation, _ in relations.values()]))
    content = bytearray()  # an encoder's own bytes may have room for half as many again
    _encode_into((transaction.xid, transaction.committed_at, changes), content)
    return Packed(transaction.commit_lsn, transaction.end_lsn, shared, bytes(content))


def key_places(relation: Relation) -> Sequence[int]:
    """By which columns rows are found; none where the stream does not name a key, so that all of a row has to be kept."""
    if relation.replica_identity not in (ReplicaIdentity.DEFAULT, ReplicaIdentity.INDEX):
        return ()
    return [place for place, column in enumerate(relation.columns) if column.is_key]


def _values(row: Row) -> Sequence[str | bool | None]:
    return [False if value is UNCHANGED else value for value in row] if UNCHANGED in row else row  # type: ignore[return-value]


def _row(values: _Kept) -> Row:
    return tuple([UNCHANGED if value is False else value for value in values])  # type: ignore[misc]
