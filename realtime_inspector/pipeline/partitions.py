"""Puts the changes of partitions under the name of their root: subscriptions, policies and grants are the root's."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from msgspec import structs

from realtime_inspector.model import Change, Relation, ReplicaIdentity, Row, Transaction
from realtime_inspector.postgres.catalog import Root


def relations_of(batch: Sequence[Transaction]) -> list[Relation]:
    """The relations as the stream described them, each description once."""
    return list({id(change.relation): change.relation for transaction in batch for change in transaction.changes}.values())


def under_roots(batch: Sequence[Transaction], roots: Mapping[int, Root]) -> Sequence[Transaction]:
    """The same changes, of the relations that stand for theirs. `roots`: by id of the relation, without those that stay."""
    if not roots:
        return batch
    return [replace(transaction, changes=tuple([_under(c, roots) for c in transaction.changes])) for transaction in batch]


def _under(change: Change, roots: Mapping[int, Root]) -> Change:
    root = roots.get(id(change.relation))
    if root is None:
        return change
    new, old = _ordered(change.new, root), _ordered(change.old, root)
    full = change.old_is_full and root.relation.replica_identity is ReplicaIdentity.FULL
    if not full and not _has_key(old, root.relation):
        old = None
    return structs.replace(change, relation=root.relation, new=new, old=old, old_is_full=full)


def _ordered(row: Row | None, root: Root) -> Row | None:
    return row if row is None or root.order is None else tuple([row[place] for place in root.order])


def _has_key(old: Row | None, root: Relation) -> bool:
    """Whether the log has the root's key of the old row; a partition may have an identity of its own."""
    values = [value for column, value in zip(root.columns, old or (), strict=False) if column.is_key]
    return bool(values) and None not in values
