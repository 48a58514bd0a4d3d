"""Lints on a real Postgres: each finds its fault and nothing else of the kind, and the SQL that it gives makes it go away."""

from dataclasses import dataclass

import pytest

from realtime_inspector.doctor.lints import LINTS, Found, parse_levels
from realtime_inspector.errors import InvalidInput
from realtime_inspector.postgres.lints import lint
from realtime_inspector.settings import Settings
from tests.postgres.conftest import Engine

ROLES = """
do $$ begin
  create role lint_team nologin;
  create role lint_loner nologin noinherit in role lint_team;
  create role lint_owner nologin;
exception when duplicate_object then null; end $$;
grant lint_team, lint_loner, lint_owner to engine_evaluator;
grant usage on schema public, auth to lint_team, lint_loner, lint_owner;
create function auth.jwt() returns json stable language sql as
  $$ select nullif(current_setting('request.jwt.claims', true), '')::json $$;
create table auth.users (id uuid primary key, email text);
"""
T = "create table t (id int primary key, owner uuid, n int); grant select on t to authenticated;"
ON = "alter table t enable row level security;"
OWN = "create policy own on t for select to authenticated using (owner = (select auth.uid()));"
GOOD = T + ON + OWN
PUBLISHED = "create publication supabase_realtime for table t;"
FULL = "alter table t replica identity full;"


@dataclass(frozen=True)
class Case:
    """`wrong`: has the fault; `right`: the same as it should be; `mends`: the remedy can be run as it stands."""

    name: str
    wrong: str
    right: str
    mends: bool = True


CASES = [
    Case("rls_disabled", T, GOOD),
    Case("policies_without_rls", T + OWN, GOOD),
    Case("sensitive_columns", T + "alter table t add password_hash text", GOOD + "alter table t add password_hash text"),
    Case(
        "partition_unprotected",
        "create table p (id int primary key) partition by list (id); create table p1 partition of p for values in (1);"
        "alter table p enable row level security; grant select on p, p1 to anon",
        "create table p (id int primary key) partition by list (id); create table p1 partition of p for values in (1);"
        "alter table p enable row level security; grant select on p to anon",
    ),
    Case(
        "view_bypasses_rls",
        GOOD + "create view v as select * from t; grant select on v to anon",
        GOOD + "create view v with (security_invoker = true) as select * from t; grant select on v to anon",
    ),
    Case(
        "users_exposed",
        "create view v as select email from auth.users; grant select on v to anon",
        "create view v as select email from auth.users",
    ),
    Case(
        "materialized_view_exposed",
        "create materialized view m as select 1 as a; grant select on m to anon",
        "create materialized view m as select 1 as a",
    ),
    Case(
        "foreign_table_exposed",
        "create foreign data wrapper w; create server s foreign data wrapper w;"
        "create foreign table f (a int) server s; grant select on f to anon",
        "create foreign data wrapper w; create server s foreign data wrapper w; create foreign table f (a int) server s",
    ),
    Case(
        "user_metadata",
        T + ON + "create policy p on t using (auth.jwt() -> 'user_metadata' ->> 'role' = 'admin')",
        T + ON + "create policy p on t using (auth.jwt() -> 'app_metadata' ->> 'role' = 'admin')",
    ),
    Case(
        "always_true",
        GOOD + "create policy w on t for update to authenticated using (true) with check (true)",
        GOOD + "create policy w on t for update to authenticated using (n = 1); create policy r on t for select using (true)",
    ),
    Case("role_above_policies", GOOD + "alter table t owner to lint_owner", GOOD),
    Case(
        "unreadable_table",
        T + ON + "create table m (who uuid); create policy p on t using (exists (select from m where who = owner))",
        T + ON + "create table m (who uuid); create policy p on t using (exists (select from m where who = owner));"
        "grant select on m to authenticated",
    ),
    Case(
        "fails_to_plan",
        T + ON + "create policy p on t using (exists (select from t other where other.n = t.n))",
        GOOD,
        mends=False,
    ),
    Case(
        "key_unreadable",
        GOOD + PUBLISHED + "grant select (n) on t to limited",
        GOOD + PUBLISHED + "grant select (id, n) on t to limited",
    ),
    Case(
        "no_identity",
        "create table k (a int); create publication supabase_realtime for table k",
        "create table k (a int primary key); create publication supabase_realtime for table k",
    ),
    Case("no_policy", T + ON, GOOD, mends=False),
    Case("only_restrictive", T + ON + "create policy r on t as restrictive using (n = 1)", GOOD),
    Case(
        "hidden_table",
        T + ON + "create table m (who uuid); alter table m enable row level security; grant select on m to authenticated;"
        "create policy p on t using (exists (select from m where who = owner))",
        T + ON + "create table m (who uuid); alter table m enable row level security; grant select on m to authenticated;"
        "create policy p on t to authenticated using (exists (select from m where who = owner));"
        "create policy q on m to authenticated using (true)",
        mends=False,
    ),
    Case(
        "not_inherited",
        T + ON + "create policy p on t to lint_team using (true)",
        T + ON + "create policy p on t to lint_loner using (true)",
    ),
    Case(
        "volatile_policy",
        T + ON + "create policy p on t using (random() < 0.5)",
        T + ON + "create policy p on t using (n < 5)",
        mends=False,
    ),
    Case(
        "raises_without_claims",
        T + ON + "create policy p on t using (coalesce(auth.jwt() ->> 'tenant', 'none')::int = n)",
        T + ON + "create policy p on t using ((auth.jwt() ->> 'tenant')::int = n)",
        mends=False,
    ),
    Case(
        "raises_on_malformed_claims",
        GOOD,
        T + ON + "create policy p on t using (auth.jwt() ->> 'sub' = owner::text)",
        mends=False,
    ),
    Case(
        "search_path",
        T + ON + "create function d() returns boolean stable security definer language sql as 'select true';"
        "create policy p on t using (d())",
        T + ON + "create function d() returns boolean stable security definer set search_path = '' language sql as 'select true';"
        "create policy p on t using (d())",
    ),
    Case(
        "initplan",
        T + ON + "create policy p on t using (owner = auth.uid() or (select auth.uid()) is null"
        " or current_setting('request.jwt.claims', true) is null) with check (owner = auth.uid())",
        T + ON + "create policy p on t using (owner = (select auth.uid()) or owner is null)",
    ),
    Case(
        "several_permissive",
        T + ON + "create policy a on t for select using (n = 1); create policy b on t for select using (n = 2)",
        T + ON + "create policy a on t for select using (n = 1); create policy b on t for update using (n = 2)",
    ),
    Case("old_rows_unknown", GOOD + PUBLISHED, GOOD + PUBLISHED + FULL),
    Case(
        "column_not_in_log",
        T
        + ON
        + "alter table t add twice int generated always as (n * 2) stored;"
        + PUBLISHED
        + "create policy p on t using (twice > 2)",
        GOOD + PUBLISHED,
        mends=False,
    ),
]


async def found(engine: Engine, name: str | None = None, **more: object) -> list[Found]:
    settings = Settings(
        reader_url=engine.reader,
        evaluator_url=engine.evaluator,
        allowed_roles=("anon", "authenticated", "limited", "service_role", "lint_loner", "lint_owner"),
        search_path="public",
        **more,  # type: ignore[arg-type]
    )
    return [each for each in await lint(settings) if name in (None, each.name)]


def test_every_lint_has_a_case() -> None:
    assert [case.name for case in CASES] == [each.name for each in LINTS]


@pytest.mark.every_version
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_lint_finds_its_fault_and_the_remedy_mends_it(engine: Engine, case: Case) -> None:
    engine.run(ROLES + case.wrong)
    (fault,) = await found(engine, case.name)
    assert fault.remedy_sql
    assert fault.detail
    if case.mends:
        engine.run(fault.remedy_sql)
        assert await found(engine, case.name) == []
    else:
        assert all(line.startswith(("--", "DROP")) for line in fault.remedy_sql.splitlines())
    engine.run("alter role lint_loner noinherit; revoke lint_team from lint_loner; grant lint_team to lint_loner")


@pytest.mark.every_version
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_lint_is_silent_where_all_is_well(engine: Engine, case: Case) -> None:
    engine.run(ROLES + case.right)
    assert await found(engine, case.name) == []


async def test_levels_and_schemas_follow_the_settings(engine: Engine) -> None:
    engine.run(ROLES + T + "create schema app; create table app.u (id int); grant usage on schema app to anon;")
    engine.run("grant select on app.u to anon; create policy own on t using (owner = (select auth.uid()))")
    assert {each.subject for each in await found(engine)} == {"t"}
    assert {each.subject for each in await found(engine, lint_schemas=("app",))} == {"u"}
    assert await found(engine, lint_levels=("policies_without_rls=off",)) == []
    (fault,) = await found(engine, lint_levels=("policies_without_rls=info",))
    assert (fault.level, fault.told()["docs"]) == ("info", "docs/lints.md#policies_without_rls")
    for wrong in ("nothing=error", "no_policy=fatal", "no_policy"):
        with pytest.raises(InvalidInput):
            parse_levels([wrong])


async def test_names_that_need_quotes_come_out_quoted(engine: Engine) -> None:
    engine.run(ROLES + 'create table "T 1"" x" (id int primary key, owner uuid); grant select on "T 1"" x" to authenticated;')
    engine.run('create policy "it\'s" on "T 1"" x" using (owner = auth.uid())')
    for fault in await found(engine):
        if fault.level != "info":
            engine.run(fault.remedy_sql)
    assert [each.name for each in await found(engine) if each.level != "info"] == []
