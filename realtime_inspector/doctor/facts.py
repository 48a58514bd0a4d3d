"""What is known about a database, its logins and the settings, before anybody judges it."""

from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal

from realtime_inspector.doctor.logins import Role
from realtime_inspector.model import ReplicaIdentity

MESSAGES: Final = "realtime_inspector_messages"
"""The publication of realtime.messages, of its own: who asks for changes of all tables is not meant."""
_COLUMNS: Final = frozenset(("topic", "extension", "payload", "event", "private", "inserted_at", "id", "binary_payload"))


@dataclass(frozen=True, slots=True)
class Server:
    """`version`: server_version_num; `database_sql`: the database's name as SQL writes it.

    Of replication slots and WAL senders: how many are used, and how many there can be.
    """

    version: int
    version_text: str
    database: str
    database_sql: str
    standby: bool
    wal_level: str
    slots_used: int
    slots_most: int
    senders_used: int
    senders_most: int


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot. `retained`: bytes of log it holds back; `safe`: bytes until it is lost, None without a limit."""

    name: str
    plugin: str
    database: str
    active: bool
    wal_status: str
    retained: int
    safe: int | None


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is, or may be, published. `sql`: its name as SQL writes it; `kind`: pg_class.relkind.

    `identified`: it has what the log needs to say which row an UPDATE or DELETE concerns; without, they fail once published.
    """

    oid: int
    schema: str
    name: str
    sql: str
    kind: str
    replica_identity: ReplicaIdentity
    row_security: bool
    primary_key: bool
    identified: bool

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Publication:
    """`sql`: its name as SQL writes it; `everything`: it publishes INSERT, UPDATE, DELETE and TRUNCATE."""

    name: str
    sql: str
    all_tables: bool
    everything: bool
    tables: tuple[Table, ...]


@dataclass(frozen=True, slots=True)
class Login:
    """One of the two logins, seen from its URL. `error`: why nobody can log in with it; then the rest is not known.

    `pooled`: something between us and Postgres hands out its connections. `replication_error`: why no replication connection
    opens (reader). `temporary`: it may make temporary objects (evaluator). `reaches`: roles that are superuser, BYPASSRLS or
    REPLICATION and that it could become through its memberships, directly or not.
    """

    name: str = ""
    error: str = ""
    role: Role | None = None
    pooled: bool = False
    replication_error: str = ""
    temporary: bool = False
    reaches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Announcing:
    """`silent`: published tables without our triggers; `queue_usage`: how full the queue of notifications is, from 0 to 1."""

    silent: tuple[Table, ...]
    queue_usage: float


@dataclass(frozen=True, slots=True)
class Messages:
    """The table of private channels and of what the database broadcasts, in the schema `realtime`.

    `ours`: init made it; `manageable`: it, or the schema, belongs to whoever looked; `theirs`: functions of these names that
    somebody else made; `today`: there is a partition for the running day; `published`: its rows go to the service, through a
    publication that `publication_exists` tells of; `noted`: a trigger of ours tells of them.
    """

    REMEDY: ClassVar[str] = (
        "Until it has the form of Supabase Realtime and init runs as a member of its owner, there are no private channels."
    )
    schema_exists: bool = False
    table_exists: bool = False
    ours: bool = False
    manageable: bool = True
    partitioned: bool = False
    row_security: bool = False
    columns: tuple[str, ...] = ()
    theirs: tuple[str, ...] = ()
    published: bool = False
    publication_exists: bool = False
    noted: bool = False
    today: bool = False
    policies: int = 0

    @property
    def missing_columns(self) -> tuple[str, ...]:
        """What the service needs and the table does not have."""
        return tuple(sorted(_COLUMNS.difference(self.columns)))

    @property
    def objection(self) -> str:
        """Why `init` leaves all of it alone; empty when it need not, or when there is no table."""
        return self.unfit if self.manageable else "The schema realtime belongs to somebody else"

    @property
    def unfit(self) -> str:
        """Why private channels cannot be had with the table that is there; empty when they can, or when there is none."""
        if not self.table_exists:
            return ""
        if self.missing_columns:
            return f"realtime.messages lacks {', '.join(self.missing_columns)}"
        return "" if self.partitioned else "realtime.messages is not partitioned"


@dataclass(frozen=True, slots=True)
class PathSchema:
    """A schema of the evaluator's search path. `writers`: assumable roles that may create objects in it, as SQL writes them."""

    name: str
    sql: str
    exists: bool
    writers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the settings ask for. `secret`: the HS256 key; `other_keys`: a JWKS, or where to fetch one, is configured."""

    slot: str
    publication: str
    allowed_roles: tuple[str, ...]
    privileged_roles: tuple[str, ...]
    secret: str = field(repr=False)
    other_keys: bool
    source: Literal["replication", "notify"] = "replication"


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the checks look at. Without `server` nobody could log in, and what stands in the database is not known.

    `roles`: those of the allowed roles that exist; `missing_objects`: tables of our schema that do not exist or cannot be read,
    and functions that the reader may not run. `announcing`: only where the source is notify.
    """

    wanted: Wanted
    reader: Login
    evaluator: Login
    server: Server | None = None
    slot: Slot | None = None
    publication: Publication | None = None
    roles: tuple[Role, ...] = ()
    search_path: tuple[PathSchema, ...] = ()
    missing_objects: tuple[str, ...] = ()
    announcing: Announcing | None = None
    messages: Messages | None = None
