"""What must be known about a relation and its roles before anything of it may be shown."""

from dataclasses import dataclass
from enum import StrEnum

from realtime_inspector.model import ReplicaIdentity
from realtime_inspector.visibility.filters import Comparable
from realtime_inspector.visibility.reads import ALL, Path


class Kind(StrEnum):
    """pg_class.relkind, as far as it can occur in a publication or in a join."""

    TABLE = "r"
    PARTITIONED_TABLE = "p"
    VIEW = "v"
    MATERIALIZED_VIEW = "m"
    FOREIGN_TABLE = "f"


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """One column. `type_sql`: its type, domains resolved, as SQL without a length; `category`: pg_type.typcategory.

    `generated`: computed from other columns, so that the log does not have to have it.
    """

    name: str
    type_oid: int
    type_name: str
    type_sql: str
    category: str
    comparable: Comparable
    collation: str | None = None
    generated: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """The lasting facts of a relation; they change with DDL, and the stream then repeats its Relation message.

    `key`: the columns by which a row can be found again (primary key, or the index named as replica identity); where there are
    none, it is found by its whole content.
    `key_operators`: for each of them the operator, as SQL, by which that index tells values equal. `key_leakproof`: policies
    may be asked after all of these.
    `layout`: the columns' names in the order in which they were ever added, None for dropped ones.
    `storage`: another one once all rows were written anew, perhaps with other keys, of which the log says nothing.
    `replica_identity`: of a partitioned table FULL only if all its partitions have it, because they write the log.
    """

    oid: int
    schema: str
    name: str
    kind: Kind
    is_partition: bool
    replica_identity: ReplicaIdentity
    columns: tuple[ColumnFacts, ...]
    key: tuple[str, ...]
    key_operators: tuple[str, ...]
    layout: tuple[str | None, ...] = ()
    key_leakproof: bool = False
    storage: str = ""

    def column(self, name: str) -> ColumnFacts | None:
        """The column of that name, if there is one."""
        return next((column for column in self.columns if column.name == name), None)

    @property
    def partitioned(self) -> bool:
        """Whether the rows are stored in partitions, so that a ctid alone names none of them."""
        return self.kind is Kind.PARTITIONED_TABLE

    @property
    def signature(self) -> str:
        """What statements about the relation rely on, written as unmoved.sql writes it."""
        return "\n".join([str(self.oid), *(f"{column.name} {column.type_oid}" for column in self.columns), "", *self.key])

    @property
    def refusal(self) -> str | None:
        """Why nothing of this relation can be served, if so; the sentence names the remedy."""
        if not self.columns:
            return "the table does not exist any more"
        if self.is_partition:
            return "a partition is served through its root table only; subscribe to the root"
        if self.kind not in (Kind.TABLE, Kind.PARTITIONED_TABLE):
            return "only tables can be published; subscribe to the tables underneath"
        if not self.key and self.replica_identity is not ReplicaIdentity.FULL:
            return "the table has no primary key, so a changed row cannot be found again; add one, or set REPLICA IDENTITY FULL"
        return None


@dataclass(frozen=True, slots=True)
class Access:
    """What a role may read of a relation at this moment. `columns`: the readable ones, None for all of them.

    `bypasses`: superuser or BYPASSRLS. `checked`: row-level security applies to this role here. `claims`, `folds`, `owners`,
    `plain`: see Dependence. `version`: of what these are derived from.
    """

    bypasses: bool
    checked: bool
    columns: frozenset[str] | None
    claims: frozenset[Path] = ALL
    folds: bool = False
    owners: frozenset[str] | None = None
    plain: bool = False
    version: str = ""

    def reads(self, column: str) -> bool:
        """Whether the role may read the column."""
        return self.columns is None or column in self.columns
