"""The nouns that cross rooms: what Postgres said, who is asking, what they asked for, and where in the stream we are."""

from dataclasses import dataclass, field
from enum import Enum, IntEnum, StrEnum
from typing import Final, Literal, NamedTuple, TypedDict

import msgspec


class Operation(StrEnum):
    """What a change did to its row; the spelling is the one of the Realtime protocol."""

    INSERT = "INSERT"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    TRUNCATE = "TRUNCATE"


class ReplicaIdentity(StrEnum):
    """pg_class.relreplident: which old columns Postgres writes to the log for UPDATE and DELETE."""

    DEFAULT = "d"
    NOTHING = "n"
    FULL = "f"
    INDEX = "i"


class Unchanged(Enum):
    """The stand-in for a TOASTed value that an UPDATE did not touch: Postgres does not repeat it in the stream."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED
Value = str | None | Literal[Unchanged.UNCHANGED]
"""One column's value: the text of its type's output function, None for NULL, or UNCHANGED."""
Row = tuple[Value, ...]
"""One row's values in the order of its relation's columns."""


class Position(msgspec.Struct, frozen=True, order=True):
    """Where a change stands: the LSN of its commit and its index in the transaction, from 0.

    The LSN alone is not a key: rows of one COPY share it, and a COMMIT shares it with the next BEGIN. Two indexes are no
    change's: BEFORE the first one, and AFTER the last.
    """

    commit_lsn: int
    index: int


BEFORE: Final = -1
AFTER: Final = 0xFFFF_FFFE
BEGINNING: Final = Position(0, BEFORE)


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the stream's Relation message describes it; `is_key`: part of the replica identity."""

    name: str
    type_oid: int
    type_modifier: int = -1
    is_key: bool = False


@dataclass(frozen=True, slots=True)
class Relation:
    """A published table as the stream's Relation message describes it, valid until the next one with its oid."""

    oid: int
    schema: str
    name: str
    replica_identity: ReplicaIdentity
    columns: tuple[Column, ...]


class Change(msgspec.Struct, frozen=True):
    """One row change. `new` is None for DELETE; `old` holds what the replica identity wrote, else None.

    `old_is_full`: `old` has every column (REPLICA IDENTITY FULL); otherwise only its key columns are meaningful
    and the others are None. For TRUNCATE both rows are None.
    """

    position: Position
    operation: Operation
    relation: Relation
    new: Row | None = None
    old: Row | None = None
    old_is_full: bool = False


@dataclass(frozen=True, slots=True)
class Loss:
    """Changes of this table are missing."""

    relation: Relation
    reason: str


@dataclass(frozen=True, slots=True)
class Transaction:
    """A committed transaction, or the next piece of a large one, in commit order.

    `xid`: None when whoever hears of it sees it. `committed_at`: microseconds since 1970 UTC. `end_lsn`: the LSN after the
    commit record, which is what may be acknowledged once every change was handed over; None while more pieces of the same
    transaction follow. `lost`: what is missing since the one before.
    """

    xid: int | None
    commit_lsn: int
    committed_at: int
    changes: tuple[Change, ...]
    end_lsn: int | None
    lost: tuple[Loss, ...] = ()

    @property
    def before(self) -> Position:
        """Where the stream stood before this piece."""
        return Position(self.commit_lsn, self.changes[0].position.index - 1 if self.changes else BEFORE)


class Identity(msgspec.Struct, frozen=True):
    """Who asks, as Postgres will see it: a database role and the canonical JSON text of the verified claims."""

    role: str
    claims: str


LEGACY: Final = 0


@dataclass(frozen=True, slots=True)
class Binding:
    """One postgres_changes entry of a join. `event`: an Operation's value or '*'; `table`: a name or '*'.

    `id` is what the client matches events by: a non-zero integer that equal entries share (protocol: ids that are 0
    never fire in the official clients, strings are refused by the Python one). LEGACY: the topic itself is the entry, and its
    changes come in the form of clients before 2022.
    """

    id: int
    event: str
    schema: str
    table: str
    filter: str | None = None
    select: tuple[str, ...] | None = None


class Extension(StrEnum):
    """What a private channel is used for; a row of realtime.messages has one of them, and its policies tell them apart."""

    BROADCAST = "broadcast"
    PRESENCE = "presence"
    PERSISTENCE = "persistence"


class Right(StrEnum):
    """What the policies of a private channel are asked about: READ by those for SELECT, WRITE by those for INSERT."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Rights:
    """What an identity may do on a private channel. `raised`: the name of the error that a policy raised, as the log has it."""

    right: Right
    extensions: frozenset[Extension]
    raised: str = ""


class Forum(NamedTuple):
    """A topic, public or private: two forums of one name have nothing in common."""

    topic: str
    private: bool = False

    @property
    def name(self) -> str:
        """What it is called in policies and in the database."""
        return self.topic.removeprefix("realtime:")

    @property
    def key(self) -> str:
        """One text for both, on the way between processes. A public topic that is joined begins with `realtime:`."""
        return f"private:{self.topic}" if self.private else self.topic


class Reason(StrEnum):
    """Why an event was, or was not, delivered to an identity. Every non-delivery has one."""

    DELIVERED = "delivered"
    FILTERED = "filtered"
    FILTER_FAILED = "filter_failed"
    NO_PRIVILEGE = "no_privilege"
    HIDDEN_BY_POLICY = "hidden_by_policy"
    POLICY_RAISED = "policy_raised"
    ROW_GONE = "row_gone"
    NO_KEY = "no_key"
    OLD_ROW_UNKNOWN = "old_row_unknown"
    COLUMNS_CHANGED = "columns_changed"
    LOOKUP_TOO_SLOW = "lookup_too_slow"
    LEFT_VIEW = "left_view"
    UNSUPPORTED_RELATION = "unsupported_relation"
    INTERNAL_ERROR = "internal_error"


class Told(IntEnum):
    """How much a channel is told of changes that it does not receive.

    OWN: what its own filters kept back, of rows that it may see; nothing that another's policies or rights decide for one row.
    """

    NOTHING = 0
    EVERYTHING = 1
    OWN = 2

    def of(self, reason: Reason) -> bool:
        """Whether such a channel is told this reason for a single change."""
        if self is Told.OWN:
            return reason in (Reason.FILTERED, Reason.FILTER_FAILED)
        return self is Told.EVERYTHING and reason is not Reason.DELIVERED


class GaveUp(NamedTuple):
    """A socket that was closed because its peer did not read. `at`: seconds since 1970."""

    connection: str
    identity: Identity
    at: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided for one change and one identity. `detail` is safe to show to an inspector's admin only."""

    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """A refusal that a client can read: stable code, one sentence, and what to do about it."""

    code: str
    text: str
    hint: str = ""

    @property
    def reason(self) -> str:
        """The form that official clients show: 'Code: text'."""
        return f"{self.code}: {self.text}"

    @property
    def told(self) -> dict[str, str]:
        """What is added to the sentence wherever a refusal is told; `docs`: where docs/errors.md speaks of the code."""
        return {"code": self.code, "hint": self.hint, "docs": f"errors.md#:~:text={self.code}"}


@dataclass(frozen=True, slots=True)
class Token:
    """A verified token: whom it speaks for, until when (seconds since 1970), and whether somebody impersonates.

    `session_id` and `actor` are set on tokens that this service issued for an impersonation. `login`: the sign-in of an admin
    that the token comes from, if there was one.
    """

    identity: Identity
    expires_at: float
    claims: dict[str, object] = field(hash=False, compare=False)
    session_id: str | None = None
    actor: str | None = None
    login: str | None = None

    @property
    def person(self) -> str | None:
        """Who is behind it: the admin who impersonates, otherwise the subject."""
        subject = self.claims.get("sub")
        return self.actor or (subject if isinstance(subject, str) else None)


class PublishedColumn(TypedDict):
    """`type`: as Postgres writes it; `key`: whether it is part of the primary key."""

    name: str
    type: str
    key: bool


class PublishedTable(TypedDict):
    """A table of the publication; partitions go by their root."""

    schema: str
    name: str
    rls: bool
    replica_identity: Literal["default", "nothing", "full", "index"]
    columns: list[PublishedColumn]
