"""Puts pgoutput's messages together into transactions, large ones in pieces, each change once."""

from typing import assert_never

from realtime_inspector.model import AFTER, UNCHANGED, Change, Operation, Position, Relation, Row, Transaction
from realtime_inspector.replication.pgoutput import (
    Begin,
    Commit,
    Delete,
    Insert,
    LogicalMessage,
    Message,
    Origin,
    Truncate,
    TypeName,
    Update,
)


class UnexpectedMessage(ValueError):
    """A message that cannot come at this point of the stream."""


class Assembler:
    """What was received of one slot, and how much of it was given out.

    It outlives connections: after `restart` the stream may repeat transactions, and what was given out before is left out.
    Only complete transactions arrive, in commit order (protocol 1), so the commit's LSN, which BEGIN already tells, and the
    index in the transaction say what was seen. A transaction is given out in pieces of at most `piece` changes, except that
    the relations of one TRUNCATE stay together.
    """

    def __init__(self, piece: int = 500) -> None:
        self._piece = piece
        self._given = Position(0, AFTER)
        self.restart()

    def restart(self) -> None:
        """A new connection: it will describe its relations anew and begin with a transaction."""
        self._relations: dict[int, Relation] = {}
        self._begin: Begin | None = None
        self._changes: list[Change] = []
        self._index = 0
        self._skip = 0

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction was begun whose commit has not come yet."""
        return self._begin is not None

    def receive(self, message: Message) -> Transaction | None:
        """The piece that the message completes, if it does; raises UnexpectedMessage.

        A transaction without changes is given out too, because it can be acknowledged. The relation of a change is the one
        described last, which Postgres repeats after every change of the table's definition.
        """
        match message:
            case Insert():
                return self._add(Operation.INSERT, message.relation_oid, message.new, None, False)
            case Update():
                new = _filled(message.new, message.old) if message.old is not None and message.old_is_full else message.new
                return self._add(Operation.UPDATE, message.relation_oid, new, message.old, message.old_is_full)
            case Delete():
                return self._add(Operation.DELETE, message.relation_oid, None, message.old, message.old_is_full)
            case Begin():
                self._open(message)
            case Commit():
                return self._close(message)
            case Relation():
                self._relations[message.oid] = message
            case Truncate():
                return self._empty(message)
            case Origin() | TypeName() | LogicalMessage():
                pass  # say nothing about rows
            case _:
                assert_never(message)
        return None

    def cut(self) -> Transaction | None:
        """The changes received since the last piece, before there are `piece` of them; None when there are none."""
        if self._begin is None or not self._changes:
            return None
        self._given = Position(self._begin.commit_lsn, self._index - 1)
        return self._take(self._begin, None)

    def _open(self, begin: Begin) -> None:
        if self._begin is not None:
            raise UnexpectedMessage("BEGIN inside of a transaction")
        self._begin = begin
        self._index = 0
        if begin.commit_lsn > self._given.commit_lsn:
            self._skip = 0
        elif begin.commit_lsn == self._given.commit_lsn and self._given.index != AFTER:
            self._skip = self._given.index + 1
        else:
            self._skip = AFTER

    def _close(self, commit: Commit) -> Transaction | None:
        begin = self._opened("COMMIT")
        if commit.commit_lsn != begin.commit_lsn:
            raise UnexpectedMessage("COMMIT of another transaction than BEGIN")
        self._begin = None
        if self._skip == AFTER:
            return None
        self._given = Position(begin.commit_lsn, AFTER)
        return self._take(begin, commit.end_lsn)

    def _take(self, begin: Begin, end_lsn: int | None) -> Transaction:
        changes, self._changes = tuple(self._changes), []
        return Transaction(begin.xid, begin.commit_lsn, begin.committed_at, changes, end_lsn)

    def _add(
        self, operation: Operation, relation_oid: int, new: Row | None, old: Row | None, old_is_full: bool
    ) -> Transaction | None:
        begin = self._begin or self._opened(operation)
        relation = self._relations.get(relation_oid) or self._described(relation_oid)
        width = len(relation.columns)
        if (new is not None and len(new) != width) or (old is not None and len(old) != width):
            raise UnexpectedMessage(f"a row of another width than {relation.schema}.{relation.name}, which has {width} columns")
        index = self._index
        self._index = index + 1
        if index >= self._skip:
            change = Change(Position(begin.commit_lsn, index), operation, relation, new, old, old_is_full)
            self._changes.append(change)
            if len(self._changes) >= self._piece:
                return self.cut()
        return None

    def _empty(self, truncate: Truncate) -> Transaction | None:
        begin = self._opened("TRUNCATE")
        for relation in [self._described(oid) for oid in truncate.relation_oids]:
            if self._index >= self._skip:
                self._changes.append(Change(Position(begin.commit_lsn, self._index), Operation.TRUNCATE, relation))
            self._index += 1
        return self.cut() if len(self._changes) >= self._piece else None

    def _opened(self, what: str) -> Begin:
        if self._begin is None:
            raise UnexpectedMessage(f"{what} outside of a transaction")
        return self._begin

    def _described(self, oid: int) -> Relation:
        if oid not in self._relations:
            raise UnexpectedMessage(f"a change of the relation {oid}, which was not described")
        return self._relations[oid]


def _filled(new: Row, old: Row) -> Row:
    """REPLICA IDENTITY FULL writes TOASTed values into the old row even where the new row only says "unchanged".

    NULL is never TOASTed: where the old row has it, a partition wrote less than its root's identity makes pgoutput say.
    """
    if UNCHANGED not in new or len(new) != len(old):
        return new
    return tuple(before if after is UNCHANGED and before is not None else after for after, before in zip(new, old, strict=True))
