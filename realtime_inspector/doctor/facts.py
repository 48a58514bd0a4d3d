"""What is known about a database, its logins and the settings, before anybody judges it."""

from dataclasses import dataclass, field
from typing import Literal

from realtime_inspector.doctor.logins import Role
from realtime_inspector.model import ReplicaIdentity


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
