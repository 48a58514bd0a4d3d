"""Turns what a trigger tells of a changed row, which is its key, into the change."""

from collections.abc import Iterable, Mapping, Set
from typing import Final

import msgspec

from realtime_inspector.model import UNCHANGED, Change, Loss, Operation, Position, Relation, Row, Value


class Told(msgspec.Struct, array_like=True, frozen=True):
    """A notification (postgres/sql/announce.sql). Without the keys of its operation, the trigger could not tell them.

    Keys are texts by column. `old` of an UPDATE: only if it is another one.
    """

    number: int
    xid: int
    table: int
    operation: Operation
    key: dict[str, str] | None = None
    old: dict[str, str] | None = None


UNTELLABLE: Final = "key_unknown"
_decoder: Final = msgspec.json.Decoder(Told, strict=False)


def decode(payload: str) -> Told | None:
    """None for what none of our triggers has sent: everybody who may connect to the database may notify."""
    try:
        told = _decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return None
    if "\\u0000" in payload and any("\x00" in text for key in (told.key, told.old) if key for text in key.values()):
        return None  # no value in Postgres has one
    return told


def understood(
    told: Iterable[Told], relations: Mapping[int, Relation], commit_lsn: int
) -> tuple[tuple[Change, ...], tuple[Loss, ...]]:
    """The changes of one transaction, and the tables of which changes are missing. Tables without a relation are not served."""
    changes: list[Change] = []
    lost: dict[Loss, None] = {}
    names = {oid: {column.name for column in relation.columns if column.is_key} for oid, relation in relations.items()}
    for each in told:
        relation = relations.get(each.table)
        if relation is None:
            continue
        change = _change(each, relation, names[each.table], Position(commit_lsn, len(changes)))
        if change is None:
            lost[Loss(relation, UNTELLABLE)] = None
        else:
            changes.append(change)
    return tuple(changes), tuple(lost)


def _change(told: Told, relation: Relation, names: Set[str], position: Position) -> Change | None:
    """None when the keys are not there, or are of columns that are not the key any more."""
    if told.operation is Operation.TRUNCATE:
        return Change(position, told.operation, relation)
    deleted = told.operation is Operation.DELETE
    new, old = None if deleted else told.key, None if told.operation is Operation.INSERT else told.old
    if not names or (old if deleted else new) is None or any(key is not None and key.keys() != names for key in (new, old)):
        return None
    return Change(position, told.operation, relation, _row(new, relation, UNCHANGED), _row(old, relation, None))


def _row(key: Mapping[str, Value] | None, relation: Relation, others: Value) -> Row | None:
    return None if key is None else tuple([key.get(column.name, others) for column in relation.columns])
