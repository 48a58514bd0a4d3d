"""What lints judge: tables, views and policies as the catalogue has them, and what became of asking as a role."""

import msgspec


class Root(msgspec.Struct, frozen=True):
    """The partitioned table that a partition belongs to."""

    sql: str
    rls: bool


class Table(msgspec.Struct, frozen=True):
    """A relation. `kind`: pg_class.relkind; `exposed`: in one of the schemas that count as reachable.

    `readers`: roles with SELECT on all of it; `blind`: those that may read columns, but not all of the key; `owners`: those with
    the owner's privileges. `unlogged_columns`: of a published table, those of which the log says nothing. `underneath`: tables
    with row-level security, or of users, that a view shows.
    """

    schema: str
    name: str
    sql: str
    kind: str
    oid: int
    rls: bool
    forced: bool
    exposed: bool
    published: bool
    replica_identity: str
    keyed: bool
    key_sql: str = ""
    root: Root | None = None
    readers: tuple[str, ...] = ()
    blind: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    unlogged_columns: tuple[str, ...] = ()
    invoker: bool = False
    underneath: tuple[str, ...] = ()

    @property
    def is_table(self) -> bool:
        """An ordinary or partitioned table, the only ones that have policies."""
        return self.kind in ("r", "p")


class Read(msgspec.Struct, frozen=True):
    """A table that a policy reads. `denied`: roles without SELECT there; `hidden`: those that no policy shows anything of it."""

    sql: str
    rls: bool
    denied: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()


class Loner(msgspec.Struct, frozen=True):
    """A role that is a member of another one without its privileges."""

    role: str
    of: str
    role_sql: str
    of_sql: str


class Policy(msgspec.Struct, frozen=True):
    """A policy. `sql`: its name and table as SQL writes them; `applies`: to which roles; `columns`: those of its table;
    `unfixed`: SECURITY DEFINER functions without a search_path of their own; `volatile`: functions that may answer otherwise.
    """

    schema: str
    table: str
    name: str
    sql: str
    permissive: bool
    command: str
    roles: tuple[str, ...]
    applies: tuple[str, ...]
    using: str | None = None
    check: str | None = None
    not_inherited: tuple[Loner, ...] = ()
    columns: tuple[str, ...] = ()
    volatile: tuple[str, ...] = ()
    unfixed: tuple[str, ...] = ()
    reads: tuple[Read, ...] = ()


class Failed(msgspec.Struct, frozen=True):
    """Asking as a role ended in an error. `policy`: empty if it was the whole SELECT; `claims`: `none` or `malformed`."""

    schema: str
    table: str
    role: str
    sqlstate: str
    message: str
    policy: str = ""
    claims: str = "none"


class LintFacts(msgspec.Struct, frozen=True):
    """Everything. `roles`: those of subscribers that policies apply to, as SQL writes them; `bypassing`: above all policies."""

    tables: tuple[Table, ...] = ()
    policies: tuple[Policy, ...] = ()
    failures: tuple[Failed, ...] = ()
    roles: dict[str, str] = {}
    bypassing: tuple[str, ...] = ()
