"""What the service's two logins must be, and how far a role is from it; `init` repairs what `doctor` reports."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

READER: Final = "realtime_inspector_reader"
EVALUATOR: Final = "realtime_inspector_evaluator"
READ_ALL_DATA: Final = "pg_read_all_data"
OPTIONS_SINCE: Final = 160_000
"""server_version_num since which a membership has options of its own (INHERIT, SET), and each grantor's grant counts."""

READER_ATTRIBUTES: Final[Mapping[str, bool]] = MappingProxyType(
    {
        "login": True,
        "replication": True,
        "bypassrls": True,
        "superuser": False,
        "inherit": True,
        "createdb": False,
        "createrole": False,
    }
)
EVALUATOR_ATTRIBUTES: Final[Mapping[str, bool]] = MappingProxyType(
    {
        "login": True,
        "replication": False,
        "bypassrls": False,
        "superuser": False,
        "inherit": False,
        "createdb": False,
        "createrole": False,
    }
)


@dataclass(frozen=True, slots=True)
class Membership:
    """One grant of `role` (`sql`: its name as SQL writes it) by `grantor`.

    `inherit` is None before Postgres 16: there the member's attribute decides, and SET is always allowed.
    """

    role: str
    sql: str
    grantor: str
    admin: bool = False
    inherit: bool | None = None
    set: bool = True


@dataclass(frozen=True, slots=True)
class Role:
    """A role as pg_roles shows it, with the roles that it is a direct member of. `sql`: its name as SQL writes it."""

    name: str
    sql: str
    login: bool = False
    superuser: bool = False
    bypassrls: bool = False
    replication: bool = False
    inherit: bool = True
    createrole: bool = False
    createdb: bool = False
    memberships: tuple[Membership, ...] = ()


@dataclass(frozen=True, slots=True)
class Distance:
    """What separates a role from what it must be: words for ALTER ROLE, grants to take away, roles to grant."""

    attributes: tuple[str, ...]
    surplus: tuple[Membership, ...]
    missing: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.attributes or self.surplus or self.missing)


def attribute_words(wanted: Mapping[str, bool], role: Role | None = None) -> tuple[str, ...]:
    """The words of CREATE ROLE, or of ALTER ROLE only those that differ: naming an attribute alone may ask for a superuser."""
    return tuple(
        name.upper() if value else f"NO{name.upper()}"
        for name, value in wanted.items()
        if role is None or getattr(role, name) is not value
    )


def reader_attributes(*, replicates: bool) -> Mapping[str, bool]:
    """Who only listens needs no REPLICATION, and may keep it."""
    return {name: value for name, value in READER_ATTRIBUTES.items() if replicates or name != "replication"}


def reader_distance(role: Role, *, replicates: bool = True) -> Distance:
    """The reader must inherit pg_read_all_data; what else it is a member of is not decided here."""
    granted = any(held.role == READ_ALL_DATA and held.inherit is not False for held in role.memberships)
    return Distance(attribute_words(reader_attributes(replicates=replicates), role), (), () if granted else (READ_ALL_DATA,))


def evaluator_distance(role: Role, assumable: Collection[str]) -> Distance:
    """The evaluator is a member of exactly the assumable roles: it may SET them, inherits nothing and cannot grant them on."""
    fit = tuple(held for held in role.memberships if held.role in assumable and held.set and not held.inherit and not held.admin)
    surplus = tuple(held for held in role.memberships if held not in fit)
    missing = set(assumable).difference(held.role for held in fit)
    return Distance(attribute_words(EVALUATOR_ATTRIBUTES, role), surplus, tuple(sorted(missing)))
