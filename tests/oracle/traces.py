"""Random policies, rows and identities, and for each pair the trace beside what a plain SELECT of that identity shows."""

import random
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from realtime_inspector.identity.tokens import canonical
from realtime_inspector.model import Change, Identity, Transaction
from realtime_inspector.pipeline.inquiry import Inquirer
from realtime_inspector.pipeline.receivers import Receivers
from realtime_inspector.ports import Outlet
from realtime_inspector.settings import Settings
from realtime_inspector.visibility import caveats
from realtime_inspector.visibility.asking import Question
from realtime_inspector.visibility.explanation import Explanation
from realtime_inspector.visibility.index import Index
from tests.oracle.people import OWNERS
from tests.postgres.conftest import Engine

ROLES = ("anon", "authenticated", "limited", "service_role", "trace_team", "trace_heir", "trace_loner", "trace_owner")
SCHEMA = """
do $$ begin
  create role trace_team nologin;
  create role trace_heir nologin inherit in role trace_team;
  create role trace_loner nologin noinherit in role trace_team;
  create role trace_owner nologin;
exception when duplicate_object then null; end $$;
grant trace_team, trace_heir, trace_loner, trace_owner to engine_evaluator;
grant usage on schema auth, public to trace_team, trace_heir, trace_loner, trace_owner;
create function auth.jwt() returns json stable language sql as
  $$ select nullif(current_setting('request.jwt.claims', true), '')::json $$;
create table member (who uuid, tag text); alter table member enable row level security;
create policy own on member using (who = auth.uid());
grant select on member to authenticated, limited, trace_heir, trace_owner;
create table held (who uuid, role text);
create table hidden (id int);
create function has_role(wanted text) returns boolean stable security definer set search_path = '' language sql as
  $$ select exists (select from public.held where who = auth.uid() and role = wanted) $$;
create function writes() returns boolean language plpgsql as
  $$ begin insert into public.member values (null, null); return true; end $$;
"""
COLUMNS = """id int primary key, owner uuid, tag text, n int, flag boolean, body text, meta jsonb,
  twice int generated always as (n * 2) stored"""
LEAVES = (
    "owner = auth.uid()",
    "owner = (select auth.uid())",
    "auth.jwt() ->> 'aal' = 'aal2'",
    "auth.jwt() -> 'app_metadata' ->> 'role' = 'admin'",
    "(select auth.jwt() -> 'tags')::jsonb ? tag",
    "tag = any (array['red', 'blue'])",
    "tag in (select m.tag from member m where m.who = auth.uid())",
    "exists (select from member m where m.who = auth.uid() and m.tag = {}.tag)",
    "has_role('editor')",
    "n between 1 and 5",
    "n % 2 = 0",
    "flag",
    "flag is null",
    "flag is not true",
    "body like 'a%'",
    "body is distinct from tag",
    "meta ->> 'k' = 'v'",
    "meta @> '{{\"a\": 1}}'",
    "twice > 4",
    "current_user = 'limited'",
    "case when n > 3 then flag else owner is null end",
    "coalesce(flag, false)",
    "(tag, n) = ('red', 2)",
    "n <> all (array[1, 2])",
    "n > (select count(*) from member)",
    "true",
    "false",
    "null::boolean",
)
ODD = (
    "{} is not null",
    "to_jsonb({}) ->> 'tag' = 'red'",
    "{}.tableoid::regclass::text <> 'x'",
    "{}.xmin is not null",
    "1 / (n - 3) > 0",
    "body::int > 0",
    "random() < 0.5",
    "writes()",
    "exists (select from hidden)",
    "exists (select from {} other where other.n = 1)",
)
"""What raises, cannot be repeated, or has no meaning outside of the table."""


@dataclass
class Comparison:
    """What was compared. `differing`: pairs that a caveat explains, by its code; `violations`: those that nothing explains."""

    pairs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    differing: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def people() -> list[Identity]:
    """Identities of every kind."""
    alice, bob = OWNERS[:2]
    known: list[tuple[str, dict[str, object]]] = [
        ("authenticated", {"sub": alice, "tags": ["red"]}),
        ("authenticated", {"sub": bob, "app_metadata": {"role": "admin"}, "aal": "aal2"}),
        ("authenticated", {}),
        ("authenticated", {"sub": "no uuid", "app_metadata": "no object", "tags": {}}),
        ("limited", {"sub": alice, "tags": ["blue"]}),
        ("anon", {}),
        ("trace_heir", {"sub": alice}),
        ("trace_loner", {"sub": bob}),
        ("trace_owner", {"sub": bob, "aal": "aal2"}),
        ("service_role", {}),
    ]
    return [Identity(role, canonical({"role": role, **claims}).decode()) for role, claims in known]


class Gallery:
    """Tables with random policies in one database."""

    def __init__(self, engine: Engine, seed: int, *, tables: int, rows: int, odd: bool = True) -> None:
        self.engine = engine
        self.seed = seed
        self._chance = random.Random(seed)
        self.names = [f"t{number}" if number % 5 else f'T {number} "x"' for number in range(tables)]
        self.rows = rows
        self._odd = odd

    def condition(self, table: str) -> str:
        """A random one, of what can be repeated and has a meaning outside of the table. `table`: as SQL writes it."""
        return self._condition(table, odd=False)

    def coin(self) -> bool:
        """Heads or tails."""
        return self._chance.random() < 0.5

    def build(self) -> None:
        """Everything is made anew."""
        made = [SCHEMA, *(self._table(name) for name in self.names)]
        made += [f"insert into member values ('{owner}', '{self._chance.choice(('red', 'blue'))}')" for owner in OWNERS[:2]]
        made.append(f"insert into held values ('{OWNERS[0]}', 'editor')")
        self.engine.run(";".join(made))

    def _table(self, name: str) -> str:
        chance, quoted = self._chance, f'"{name.replace(chr(34), chr(34) * 2)}"'
        partitioned = chance.random() < 0.15
        made = [f"create table {quoted} ({COLUMNS}){' partition by range (id)' if partitioned else ''}"]
        if partitioned:
            made.append(f'create table {quoted[:-1]}_all" partition of {quoted} default')
        made += [
            f"insert into {quoted} (id, owner, tag, n, flag, body, meta) values ({self._row(id_)})" for id_ in range(self.rows)
        ]
        if chance.random() < 0.95:
            made.append(f"alter table {quoted} enable row level security")
        if chance.random() < 0.3:
            made.append(f"alter table {quoted} owner to trace_owner")
            if chance.random() < 0.5:
                made.append(f"alter table {quoted} force row level security")
        readers = [role for role in ROLES if role != "limited" and chance.random() < 0.9]
        made += [f"grant select on {quoted} to {role}" for role in readers]
        if chance.random() < 0.9:
            made.append(f"grant select (id, tag, n) on {quoted} to limited")
        odd = chance.random() < 0.25 and self._odd
        return ";".join([*made, *(self._policy(quoted, number, odd) for number in range(chance.choice((0, 1, 1, 2, 2, 3, 4))))])

    def _row(self, id_: int) -> str:
        chance = self._chance
        owner = chance.choice([*(f"'{owner}'" for owner in OWNERS[:3]), "null"])
        tag, body = chance.choice(("'red'", "'blue'", "null")), chance.choice(("'abc'", "'7'", "null", "'it''s (\\\"x\\\")'"))
        meta = chance.choice(('\'{"k": "v", "a": 1}\'', "'[]'", "null"))
        flag = chance.choice(("true", "false", "null"))
        return f"{id_}, {owner}, {tag}, {chance.choice((1, 2, 3, 4, 'null'))}, {flag}, {body}, {meta}"

    def _policy(self, table: str, number: int, odd: bool) -> str:
        chance = self._chance
        kind = "restrictive" if chance.random() < 0.3 else "permissive"
        command = chance.choice(("select", "select", "all", "all", "update"))
        roles = chance.choice(
            ("public", "public", "authenticated", "authenticated, anon, limited", "trace_team", "trace_owner, limited")
        )
        name = f"{chance.choice('abcxyz')}{number}"
        return f"create policy {name} on {table} as {kind} for {command} to {roles} using ({self._condition(table, odd=odd)})"

    def _condition(self, table: str, *, odd: bool, depth: int = 0) -> str:
        chance = self._chance
        if depth < 2 and chance.random() < 0.45:
            parts = [self._condition(table, odd=odd, depth=depth + 1) for _ in range(chance.choice((2, 2, 3)))]
            joined = chance.choice((" and ", " or ")).join(parts)
            return f"({joined})"
        if chance.random() < 0.1:
            return f"(not {self._condition(table, odd=odd, depth=depth + 1)})"
        leaves = ODD if odd and chance.random() < 0.3 else LEAVES
        return f"({chance.choice(leaves).format(table)})"


async def compare(gallery: Gallery, *, pairs: int) -> Comparison:
    """Every row of every table for everybody, until there are so many pairs."""
    comparison = Comparison()
    engine = gallery.engine
    settings = Settings(reader_url=engine.reader, evaluator_url=engine.evaluator, allowed_roles=ROLES, search_path="public")
    index: Index[Outlet] = Index()
    inquirer = Inquirer(settings, _nothing, Receivers.open(settings, index))
    connection = psycopg.connect(engine.admin, autocommit=True)
    try:
        for name in gallery.names:
            for identity in people():
                for id_ in range(gallery.rows):
                    if comparison.pairs >= pairs:
                        return comparison
                    began = time.perf_counter()
                    asked = Question(identity, schema="public", table=name, key={"id": str(id_)})
                    explanation = await inquirer.why(asked)
                    comparison.seconds.append(time.perf_counter() - began)
                    _hold(comparison, gallery, name, id_, explanation, _select(connection, name, id_, identity))
    finally:
        connection.close()
        await inquirer.close()
    return comparison


async def _nothing(_: str) -> tuple[Transaction, Change] | None:
    return None


def _select(connection: psycopg.Connection[tuple[object, ...]], table: str, id_: int, identity: Identity) -> str:
    """What the identity itself is shown, or which error. The row is found by its index, so that no other row is looked at."""
    rows = sql.SQL("select count(*) from public.{} where id = %s").format(sql.Identifier(table))
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("set transaction read only")
            connection.execute("set local search_path = public, pg_temp")
            connection.execute("set local enable_seqscan = off")
            become = sql.SQL("set local role {}").format(sql.Identifier(identity.role))
            connection.execute(become)
            connection.execute("select set_config('request.jwt.claims', %s, true)", [identity.claims])
            found = connection.execute(rows, [id_]).fetchone()
            return "allowed" if found and found[0] else "denied"
    except psycopg.Error as error:
        return f"raised {error.sqlstate}"


def _hold(comparison: Comparison, gallery: Gallery, table: str, id_: int, told: Explanation, shown: str) -> None:
    """The trace, and the verdict that is told, against what was shown."""
    comparison.pairs += 1
    where = f"seed {gallery.seed}, {table} id {id_}, {told.identity.role} {told.identity.claims}: SELECT {shown}"
    comparison.outcomes[f"{told.told}, SELECT {shown}"] += 1
    judged = told.judged
    found: Sequence[caveats.Caveat] = judged.caveats if judged else ()
    explained = [each.code for each in found if caveats.explaining([each])]
    if told.told == "no_privilege":
        if shown != "raised 42501":
            _differs(comparison, f"{where}, told {told.told}", explained)  # planning comes before the privileges are checked
        return
    if told.told != shown.split()[0]:
        _differs(comparison, f"{where}, told {told.told}", explained)
    if judged is None or judged.outcome is None:
        return
    if judged.outcome.sighted.value != shown.split()[0]:
        _differs(comparison, f"{where}, traced {judged.outcome.sighted}", explained)
        if judged.agrees is not False and "volatile" not in explained and told.told == shown.split()[0]:
            comparison.violations.append(f"{where}, traced {judged.outcome.sighted} and not flagged")


def _differs(comparison: Comparison, what: str, explained: Sequence[str]) -> None:
    if explained:
        comparison.differing[", ".join(sorted(explained))] += 1
    else:
        comparison.violations.append(what)


async def timed(engine: Engine, policies: int = 10, times: int = 100) -> tuple[float, float]:
    """Seconds, as medians: of an answer about a table with so many policies, and of a plain SELECT of the same row."""
    gallery = Gallery(engine, 0, tables=0, rows=1)
    gallery.build()
    made = [f"create table ten ({COLUMNS}); alter table ten enable row level security; grant select on ten to authenticated"]
    made.append(f"insert into ten (id, owner, tag, n) values (0, '{OWNERS[0]}', 'red', 2)")
    made += [f"create policy p{n} on ten using ({LEAVES[n].format('ten')} and n > {n})" for n in range(policies)]
    engine.run(";".join(made))
    settings = Settings(reader_url=engine.reader, evaluator_url=engine.evaluator, allowed_roles=ROLES, search_path="public")
    index: Index[Outlet] = Index()
    inquirer = Inquirer(settings, _nothing, Receivers.open(settings, index))
    identity, seconds, reference = people()[0], [], []
    with psycopg.connect(engine.admin, autocommit=True) as connection:
        for _ in range(times):
            began = time.perf_counter()
            await inquirer.why(Question(identity, schema="public", table="ten", key={"id": "0"}))
            middle = time.perf_counter()
            _select(connection, "ten", 0, identity)
            seconds.append(middle - began)
            reference.append(time.perf_counter() - middle)
    await inquirer.close()
    return statistics.median(seconds), statistics.median(reference)
