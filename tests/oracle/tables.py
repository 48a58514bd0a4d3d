"""The tables of the oracle's worlds: of every kind that is served, under random policies and grants, and filters over them."""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.oracle.people import OWNERS

Row = Mapping[str, Any]
Key = tuple[Any, ...]
"""Of a row, by which the service finds it again. A table without one is given the id, of which the service knows nothing."""
POLICIES = (
    "owner = (select auth.uid())",
    "owner = auth.uid()",
    "(current_setting('request.jwt.claims', true)::jsonb #>> '{app_metadata,role}') = 'admin' or owner = auth.uid()",
    "(current_setting('request.jwt.claims', true)::jsonb -> 'tags') ? tag",
    "exists (select from member m where m.who = auth.uid() and m.tag = TABLE.tag)",
    "is_member(tag)",
    "has_role('editor') or n = 2",
    "current_user = 'limited'",
    "n % 2 = 0",
    "true",
    "false",
)
RAISES = 3
"""The value of `n` for which it raises."""
RAISING = f"1 / (n - {RAISES}) is not null and owner = auth.uid()"
SCHEMA = """
create table member (who uuid, tag text); grant select on member to authenticated, limited, anon;
create table held (who uuid, role text);
create function is_member(wanted text) returns boolean stable security definer set search_path = '' language sql as
  $$ select exists (select from public.member where who = auth.uid() and tag = wanted) $$;
create function has_role(wanted text) returns boolean stable security definer set search_path = '' language sql as
  $$ select exists (select from public.held where who = auth.uid() and role = wanted) $$;
create publication supabase_realtime;
"""
COLUMNS = "id int, code int not null, owner uuid, tag text not null, n int, price numeric, body text"
LIMITED = "id, code, owner, tag, n"
KINDS = {
    "plain": "create table {0} ({1}, primary key (id))",
    "pair": "create table {0} ({1}, primary key (id, code))",
    "index": "create table {0} ({1}, primary key (id)); create unique index {0}_code on {0} (code);"
    "alter table {0} replica identity using index {0}_code",
    "keyless": "create table {0} ({1})",
    "generated": "create table {0} ({1}, double int generated always as (n * 2) stored, primary key (id))",
    "toast": "create table {0} ({1}, primary key (id)); alter table {0} alter body set storage external",
    "partitioned": "create table {0} ({1}, primary key (id, tag)) partition by list (tag);"
    "create table {0}_red partition of {0} for values in ('red'); create table {0}_rest partition of {0} default",
}
KEYS = {"pair": ("id", "code"), "index": ("code",), "keyless": (), "partitioned": ("id", "tag")}
UNREADABLE = frozenset({"price", "body"})
"""Columns that some roles may not read at first."""


@dataclass(frozen=True)
class Table:
    """`full`: the log has whole old rows. `key`: the columns by which the service knows a row."""

    name: str
    kind: str
    full: bool

    @property
    def key(self) -> tuple[str, ...]:
        return KEYS.get(self.kind, ("id",))

    def key_of(self, row: Row) -> Key:
        """What tells the row from others."""
        return tuple(row[name] for name in self.key or ("id",))

    @property
    def stores_large(self) -> bool:
        return self.kind == "toast"


@dataclass(frozen=True)
class Filter:
    """A filter as a client writes it, None for every row, and what it means for a row that has the columns."""

    text: str | None = None
    columns: tuple[str, ...] = ()
    holds: Callable[[Row], bool] = lambda _: True

    def passes(self, row: Row) -> bool:
        """Nothing passes by a column that cannot be read."""
        return all(column in row for column in self.columns) and self.holds(row)


EVERYTHING = Filter()


def filters() -> list[Filter]:
    """One for each operator, most of them plain and negated, and two combined."""

    def known(column: str, test: Callable[[Any], bool]) -> Callable[[Row], bool]:
        return lambda row: row[column] is not None and test(row[column])

    return [
        Filter("id=eq.5", ("id",), known("id", lambda v: v == 5)),
        Filter("tag=eq.red", ("tag",), known("tag", lambda v: v == "red")),
        Filter("tag=neq.red", ("tag",), known("tag", lambda v: v != "red")),
        Filter("n=lt.3", ("n",), known("n", lambda v: v < 3)),
        Filter("n=lte.3", ("n",), known("n", lambda v: v <= 3)),
        Filter("n=not.gt.3", ("n",), known("n", lambda v: v <= 3)),
        Filter("price=gt.1.5", ("price",), known("price", lambda v: v > 1.5)),
        Filter("price=gte.1.50", ("price",), known("price", lambda v: v >= 1.5)),
        Filter("price=eq.1.5", ("price",), known("price", lambda v: v == 1.5)),
        Filter("n=in.(1,2,5)", ("n",), known("n", lambda v: v in (1, 2, 5))),
        Filter("n=not.in.(1,2,5)", ("n",), known("n", lambda v: v not in (1, 2, 5))),
        Filter("tag=like.b%", ("tag",), known("tag", lambda v: v.startswith("b"))),
        Filter("tag=not.ilike.B%", ("tag",), known("tag", lambda v: not v.startswith("b"))),
        Filter("body=match.^body [0-4]", ("body",), known("body", lambda v: bool(re.match("body [0-4]", v)))),
        Filter("body=imatch.^BODY [5-9]", ("body",), known("body", lambda v: bool(re.match("body [5-9]", v)))),
        Filter("owner=is.null", ("owner",), lambda row: row["owner"] is None),
        Filter("owner=not.is.null", ("owner",), lambda row: row["owner"] is not None),
        Filter(f"owner=eq.{OWNERS[0]}", ("owner",), known("owner", lambda v: v == OWNERS[0])),
        Filter(f"owner=isdistinct.{OWNERS[1]}", ("owner",), lambda row: row["owner"] != OWNERS[1]),
        Filter("n=gt.1,id=lt.9", ("n", "id"), lambda row: row["n"] is not None and row["n"] > 1 and row["id"] < 9),
        Filter("code=gte.3", ("code",), known("code", lambda v: v >= 3)),
    ]


def random_tables(chance: random.Random) -> list[Table]:
    """A plain one with each replica identity, and some of the other kinds."""
    kinds = ["plain", "plain", *chance.sample([kind for kind in KINDS if kind != "plain"], 4)]
    return [Table(f"t{n}", kind, _is_full(chance, n, kind)) for n, kind in enumerate(kinds)]


def _is_full(chance: random.Random, number: int, kind: str) -> bool:
    if kind in ("keyless", "index", "generated"):  # Postgres 18 refuses what is not in the log as part of the identity
        return kind == "keyless"
    return number == 1 or (number > 1 and chance.random() < 0.5)


def definition(chance: random.Random, table: Table, *, raising: bool) -> str:
    """The table with its policies and grants, in the publication."""
    name, choice = table.name, [*POLICIES, *([RAISING] * 2 if raising else ())]
    made = [KINDS[table.kind].format(name, COLUMNS)]
    for n, expression in enumerate(chance.sample(choice, chance.randint(1, 2))):
        made.append(f"create policy p{n} on {name} for select using ({expression.replace('TABLE', name)})")
    for expression in chance.sample(POLICIES[:-1], chance.choice((0, 0, 1))):
        made.append(f"create policy r on {name} as restrictive for select using ({expression.replace('TABLE', name)})")
    if table.full:
        made.append(f"alter table {name} replica identity full")
        if table.kind == "partitioned":
            made += [f"alter table {name}_{part} replica identity full" for part in ("red", "rest")]
    if chance.random() < 0.9:
        made.append(f"alter table {name} enable row level security")
    made.append(f"grant select on {name} to authenticated, anon, service_role; grant select ({LIMITED}) on {name} to limited")
    made.append(f"alter publication supabase_realtime add table {name}")
    return ";\n".join(made) + ";\n"
