"""What `init` makes of a database: exactly the rights that the service needs, the same again the second time."""

import asyncio
import base64
import secrets
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote, urlsplit

import psycopg
import pytest
from psycopg import errors

from realtime_inspector.errors import DatabaseUnavailable, InvalidInput, SetupError
from realtime_inspector.postgres import scram
from realtime_inspector.postgres.embedded import EmbeddedPostgres
from realtime_inspector.postgres.setup import Options, Prepared, prepare

SUPABASE = Options(supabase_roles=True)


def ask(url: str, statement: str, *parameters: object) -> list[tuple[object, ...]]:
    """Runs one statement by itself; gives its rows."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []


def address(url: str, *, user: str | None = None, password: str = "secret", database: str | None = None) -> str:
    """The same server for another user, or another database of it."""
    parts = urlsplit(url)
    place = parts.netloc if user is None else f"{quote(user)}:{quote(password)}@{parts.hostname}:{parts.port}"
    return parts._replace(netloc=place, path=parts.path if database is None else f"/{database}").geturl()


def user(url: str) -> str:
    return unquote(urlsplit(url).username or "")


@dataclass(frozen=True)
class Logins:
    """The two logins of a prepared database."""

    reader: str
    evaluator: str


def logins(prepared: Prepared) -> Logins:
    return Logins(prepared.env["RTI_READER_URL"], prepared.env["RTI_EVALUATOR_URL"])


CATALOGS = (
    "select rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolpassword"
    " from pg_authid order by 1",
    "select to_jsonb(m) - 'oid' from pg_auth_members m order by m.roleid, m.member, m.grantor",
    "select nspname, nspacl::text from pg_namespace where nspname !~ '^pg_(toast_)?temp' order by 1",
    "select relname, relkind, relacl::text, relrowsecurity from pg_class c join pg_namespace n on n.oid = relnamespace"
    " where nspname !~ '^pg_' order by nspname, relname",
    "select proname, pg_get_function_identity_arguments(p.oid), proacl::text, prosrc from pg_proc p"
    " join pg_namespace n on n.oid = pronamespace where nspname !~ '^pg_' order by nspname, proname, 2",
    "select tgname, tgenabled, tgrelid::regclass::text from pg_trigger order by 1, 3",
    "select pubname, pubviaroot, puballtables from pg_publication order by 1",
    "select prrelid::regclass::text from pg_publication_rel order by 1",
    "select datacl::text from pg_database where datname = current_database()",
)


def dump(url: str) -> list[list[tuple[object, ...]]]:
    """Everything that `init` could have changed."""
    return [ask(url, statement) for statement in CATALOGS]


def make_tables(url: str) -> None:
    """Tables to publish, or not."""
    ask(url, "create table public.tweets (id int primary key, body text)")
    ask(url, 'create table public."Odd ""Name" (id int primary key)')
    ask(url, "create table public.keyless (body text)")
    ask(url, "create view public.seen as select 1 as one")


def assert_least_privilege(url: str, made: Logins) -> None:
    """Both logins have exactly the attributes and memberships that they need."""
    attributes = (
        "select rolcanlogin, rolsuper, rolbypassrls, rolreplication, rolinherit, rolcreaterole, rolcreatedb,"
        " array(select roleid::regrole::text from pg_auth_members where member = r.oid order by 1)"
        " from pg_roles r where rolname = %s"
    )
    assert ask(url, attributes, user(made.reader)) == [(True, False, True, True, True, False, False, ["pg_read_all_data"])]
    held = ["anon", "authenticated"]
    assert ask(url, attributes, user(made.evaluator)) == [(True, False, False, False, False, False, False, held)]
    assert ask(url, "select from pg_auth_members where member::regrole::text = %s and admin_option", user(made.evaluator)) == []
    with pytest.raises(errors.InsufficientPrivilege):
        ask(made.evaluator, "set role service_role")


@pytest.mark.every_version
async def test_the_second_time_changes_nothing(database: str) -> None:
    first = await prepare(database, SUPABASE)
    before = dump(database)
    second = await prepare(database, replace(SUPABASE, existing=first.env))
    assert second.env == first.env
    assert dump(database) == before
    assert not any(statement.startswith(("CREATE ", "ALTER ROLE", "REVOKE anon")) for statement in second.statements)


@pytest.mark.every_version
async def test_a_dry_run_changes_nothing_and_shows_no_password(database: str) -> None:
    before = dump(database)
    planned = await prepare(database, replace(SUPABASE, dry_run=True))
    assert dump(database) == before
    text = "\n".join(planned.statements)
    assert "PASSWORD '********'" in text
    assert "SCRAM" not in text
    assert not any(unquote(urlsplit(url).password or "") in text for url in (logins(planned).reader, logins(planned).evaluator))
    assert (await prepare(database, SUPABASE)).statements == planned.statements


@pytest.mark.every_version
async def test_the_logins_have_exactly_the_rights_that_they_need(database: str) -> None:
    assert_least_privilege(database, logins(await prepare(database, SUPABASE)))


@pytest.mark.every_version
async def test_the_reader_reads_what_is_made_later_and_writes_nothing(database: str) -> None:
    made = logins(await prepare(database, SUPABASE))
    ask(database, "create schema later")
    ask(database, "create table later.hidden as select 7 as id")
    ask(database, "alter table later.hidden enable row level security")
    assert ask(made.reader, "select id from later.hidden") == [(7,)]
    with pytest.raises(errors.InsufficientPrivilege):
        ask(made.reader, "insert into later.hidden values (8)")
    with psycopg.connect(made.reader, replication="database", autocommit=True) as stream:  # type: ignore[arg-type]
        stream.execute("CREATE_REPLICATION_SLOT tried TEMPORARY LOGICAL pgoutput")


async def test_the_reader_keeps_the_audit_trail_but_cannot_rewrite_it(database: str) -> None:
    made = logins(await prepare(database, SUPABASE))
    ask(made.reader, "select realtime_inspector.record_audit('refused', 'carol', null, '{}', null, null)")
    assert ask(made.reader, "select action, admin_user_id from realtime_inspector.audit_log") == [("refused", "carol")]
    for statement in ("delete from", "truncate", "update", "insert into"):
        tail = {"update": "set action = 'stopped'", "insert into": "(action) values ('stopped')"}.get(statement, "")
        with pytest.raises(errors.InsufficientPrivilege):
            ask(made.reader, f"{statement} realtime_inspector.audit_log {tail}")


@pytest.mark.every_version
async def test_the_evaluator_is_nobody_until_it_becomes_somebody(database: str) -> None:
    made = logins(await prepare(database, SUPABASE))
    ask(database, "create table public.tweets as select 1 as id")
    ask(database, "grant select on public.tweets to anon, authenticated, service_role")
    for statement in (
        "select id from public.tweets",
        "select id from realtime_inspector.audit_log",
        "select realtime_inspector.record_audit('refused', 'mallory', null, '{}', null, null)",
        "create table public.mine (id int)",
        "create schema mine",
        "set role service_role",
        f"set role {user(made.reader)}",
        "set role postgres",
        "set role pg_read_all_data",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            ask(made.evaluator, statement)
    with psycopg.connect(made.evaluator, autocommit=True) as evaluator:
        evaluator.execute("create function pg_temp.one() returns int language sql as 'select 1'")
        for role in (b"anon", b"authenticated"):
            evaluator.execute(b"set role " + role)
            assert evaluator.execute("select id from public.tweets").fetchall() == [(1,)]
            evaluator.execute("reset role")


@pytest.mark.every_version
async def test_what_a_login_has_too_much_of_is_taken_away(database: str) -> None:
    first = await prepare(database, SUPABASE)
    evaluator, reader = user(logins(first).evaluator), user(logins(first).reader)
    ask(database, f"alter role {evaluator} superuser bypassrls inherit createrole createdb replication")
    ask(database, f"alter role {reader} nobypassrls createdb")
    ask(database, f"grant service_role, pg_read_all_data to {evaluator}")
    ask(database, f"grant anon to {evaluator} with admin option")
    await prepare(database, replace(SUPABASE, existing=first.env))
    assert_least_privilege(database, logins(first))


@pytest.mark.every_version
async def test_a_membership_granted_by_somebody_else_is_taken_away_too(database: str) -> None:
    first = await prepare(database, SUPABASE)
    evaluator = user(logins(first).evaluator)
    granting = f"granting_{secrets.token_hex(4)}"
    ask(database, f"create role {granting} createrole")
    ask(database, f"grant service_role, anon to {granting} with admin option")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"set role {granting}".encode())
        connection.execute(f"grant service_role, anon to {evaluator}".encode())
    await prepare(database, replace(SUPABASE, existing=first.env))
    ask(database, f"drop owned by {granting}")
    assert_least_privilege(database, logins(first))


async def test_only_the_named_roles_can_be_assumed(database: str) -> None:
    await prepare(database, SUPABASE)
    ask(database, "do $$ begin if to_regrole('tenant') is null then create role tenant; end if; end $$")
    made = await prepare(database, Options(allowed_roles=("tenant", "service_role"), privileged_roles=("service_role",)))
    assert made.env["RTI_ALLOWED_ROLES"] == "tenant,service_role"
    ask(logins(made).evaluator, "set role tenant")
    for role in ("anon", "authenticated", "service_role"):
        with pytest.raises(errors.InsufficientPrivilege):
            ask(logins(made).evaluator, f"set role {role}")


async def test_passwords_stay_as_long_as_the_settings_know_them(database: str) -> None:
    first = await prepare(database, SUPABASE)
    ask(database, f"alter role {user(logins(first).reader)} password 'changed by somebody'")
    with pytest.raises(psycopg.OperationalError):
        ask(logins(first).reader, "select 1")
    again = await prepare(database, replace(SUPABASE, existing=first.env))
    assert again.env == first.env
    assert ask(logins(again).reader, "select 1") == [(1,)]
    fresh = await prepare(database, SUPABASE)
    assert fresh.env != first.env
    assert any("new password" in warning for warning in fresh.warnings)
    assert ask(logins(fresh).reader, "select 1") == [(1,)]
    with pytest.raises(psycopg.OperationalError):
        ask(logins(first).reader, "select 1")


async def test_the_settings_of_another_database_are_not_taken_for_ours(database: str) -> None:
    elsewhere = address(database, user="realtime_inspector_reader", password="not-for-us", database="elsewhere")
    made = await prepare(database, replace(SUPABASE, existing={"RTI_READER_URL": elsewhere}))
    assert "not-for-us" not in made.env["RTI_READER_URL"]
    foreign = address(database, user="postgres", password="whatever")
    made = await prepare(database, replace(SUPABASE, existing={"RTI_READER_URL": foreign}))
    assert user(made.env["RTI_READER_URL"]).startswith("realtime_inspector_reader")


async def test_a_new_address_is_told(database: str) -> None:
    first = await prepare(database, SUPABASE)
    moved = {name: value.replace("127.0.0.1", "db.internal") for name, value in first.env.items()}
    again = await prepare(database, replace(SUPABASE, existing=moved))
    assert again.env == first.env
    assert any("db.internal" in warning and "127.0.0.1" in warning for warning in again.warnings)


@pytest.mark.every_version
async def test_databases_of_one_cluster_do_not_share_logins(postgres: EmbeddedPostgres, database: str) -> None:
    names = [f"shared_{secrets.token_hex(4)}" for _ in range(3)]
    for name in names:
        ask(postgres.url, f"create database {name}")
    try:
        urls = [database, *(address(postgres.url, database=name) for name in names)]
        made = await asyncio.gather(*(prepare(url, SUPABASE) for url in urls))
        for key in ("RTI_READER_URL", "RTI_EVALUATOR_URL"):
            assert len({user(prepared.env[key]) for prepared in made}) == len(urls)
            assert all(ask(prepared.env[key], "select 1") == [(1,)] for prepared in made)
        assert len({prepared.env["RTI_SLOT"] for prepared in made}) == len(urls)
        again = await asyncio.gather(
            *(prepare(url, replace(SUPABASE, existing=known.env)) for url, known in zip(urls, made, strict=True))
        )
        assert [prepared.env for prepared in again] == [prepared.env for prepared in made]
    finally:
        for name in names:
            ask(postgres.url, f"drop database {name} with (force)")


async def test_several_setups_at_once_in_a_new_cluster_agree() -> None:
    async with EmbeddedPostgres() as cluster:
        ask(cluster.url, "create database second")
        urls = [cluster.url, cluster.url, address(cluster.url, database="second"), address(cluster.url, database="second")]
        made = await asyncio.gather(*(prepare(url, SUPABASE) for url in urls))
        assert {user(prepared.env["RTI_READER_URL"]) for prepared in made[:2]}.isdisjoint(
            user(prepared.env["RTI_READER_URL"]) for prepared in made[2:]
        )
        for prepared in made:
            ask(cluster.url, "select from pg_roles where rolname = %s and rolbypassrls", user(prepared.env["RTI_READER_URL"]))


@pytest.mark.every_version
async def test_tables_are_published_only_when_named(database: str) -> None:
    make_tables(database)
    published = "select tablename from pg_publication_tables where pubname = 'supabase_realtime' order by 1"
    first = await prepare(database, SUPABASE)
    assert ask(database, published) == []
    assert ask(database, "select distinct pubviaroot from pg_publication") == [(True,)]
    named = replace(SUPABASE, existing=first.env, tables=("public.tweets", 'public."Odd ""Name"'))
    await prepare(database, named)
    assert ask(database, published) == [('Odd "Name',), ("tweets",)]
    assert (await prepare(database, named)).env == first.env


@pytest.mark.parametrize(
    ("table", "failure", "remedy"),
    [
        ("public.keyless", SetupError, "REPLICA IDENTITY FULL"),
        ("public.seen", InvalidInput, "underneath"),
        ("public.absent", InvalidInput, "public.tweets"),
        ("tweets", InvalidInput, "public.tweets"),
        ('public."', InvalidInput, "public.tweets"),
    ],
)
async def test_what_cannot_be_published_is_refused_and_nothing_is_changed(
    database: str, table: str, failure: type[SetupError | InvalidInput], remedy: str
) -> None:
    make_tables(database)
    before = dump(database)
    with pytest.raises(failure) as refused:
        await prepare(database, replace(SUPABASE, tables=("public.tweets", table)))
    assert remedy in refused.value.remedy
    assert dump(database) == before


async def test_a_published_table_without_identity_is_told(database: str) -> None:
    make_tables(database)
    ask(database, "create publication supabase_realtime for table public.keyless")
    made = await prepare(database, SUPABASE)
    text = "\n".join(made.warnings)
    assert "ALTER TABLE public.keyless REPLICA IDENTITY FULL;" in text


TRIGGERS = (
    "select tgrelid::regclass::text, count(*) from pg_trigger where tgfoid = 'realtime_inspector.announce'::regproc group by 1"
)


@pytest.mark.every_version
async def test_triggers_are_made_once_and_taken_away_again(database: str) -> None:
    make_tables(database)
    notify = replace(SUPABASE, source="notify", tables=("public.tweets", 'public."Odd ""Name"'))
    planned = await prepare(database, replace(notify, dry_run=True))
    first = await prepare(database, notify)
    assert planned.statements == first.statements
    assert first.env["RTI_SOURCE"] == "notify"
    before = dump(database)
    assert sorted(ask(database, TRIGGERS)) == [('"Odd ""Name"', 2), ("tweets", 2)]
    second = await prepare(database, replace(SUPABASE, existing=first.env))
    assert (second.env, dump(database)) == (first.env, before)
    assert not any("TRIGGER" in statement.upper() for statement in second.statements if "function" not in statement)
    back = await prepare(database, replace(SUPABASE, source="replication", existing=first.env))
    assert back.env["RTI_SOURCE"] == "replication"
    assert ask(database, "select proname from pg_proc where proname = 'announce'") == []
    assert ask(database, "select tgname from pg_trigger where tgname like '%realtime_inspector%'") == []


async def test_triggers_are_repaired_and_follow_the_publication(database: str) -> None:
    make_tables(database)
    notify = replace(SUPABASE, source="notify", tables=("public.tweets", 'public."Odd ""Name"'))
    env = (await prepare(database, notify)).env
    state = "select tgname, tgenabled, tgargs from pg_trigger where tgrelid = 'tweets'::regclass order by 1"
    healthy = ask(database, state)
    for damage in ("disable trigger user", 'enable trigger "00_realtime_inspector_row"'):
        ask(database, f"alter table tweets {damage}")
        await prepare(database, replace(SUPABASE, existing=env))
        assert ask(database, state) == healthy
    ask(database, "alter table tweets rename id to number")
    ask(database, 'alter publication supabase_realtime drop table public."Odd ""Name"')
    await prepare(database, replace(SUPABASE, existing=env))
    assert ask(database, TRIGGERS) == [("tweets", 2)]
    told = "select encode(tgargs, 'escape') from pg_trigger where tgrelid = 'tweets'::regclass and tgnargs = 1"
    assert "number" in str(ask(database, told))


async def test_a_missing_role_is_created_only_when_asked(database: str) -> None:
    absent = f"absent_{secrets.token_hex(4)}"
    before = dump(database)
    with pytest.raises(SetupError) as refused:
        await prepare(database, Options(allowed_roles=(absent,)))
    assert absent in refused.value.text
    assert "--with-supabase-roles" in refused.value.remedy
    assert dump(database) == before


async def test_powerful_roles_are_refused(database: str) -> None:
    await prepare(database, SUPABASE)
    with pytest.raises(SetupError, match="postgres is a superuser"):
        await prepare(database, Options(allowed_roles=("anon", "postgres"), privileged_roles=("postgres",)))
    with pytest.raises(SetupError, match="service_role passes by row-level security"):
        await prepare(database, Options(allowed_roles=("anon", "service_role"), privileged_roles=()))


async def test_helpers_that_are_there_are_left_alone(database: str) -> None:
    ask(database, "create schema auth")
    ask(database, "create function auth.uid() returns uuid language sql as $$ select gen_random_uuid() $$")
    await prepare(database, SUPABASE)
    assert "gen_random_uuid" in str(ask(database, "select prosrc from pg_proc where oid = 'auth.uid()'::regprocedure"))
    assert ask(database, "select auth.jwt(), auth.role()") == [(None, None)]


async def test_the_helpers_read_the_claims_also_when_they_are_gone(database: str) -> None:
    await prepare(database, SUPABASE)
    claims = '{"sub": "a11ce000-0000-4000-8000-000000000001", "role": "authenticated"}'
    with psycopg.connect(database, autocommit=True) as connection:
        with connection.transaction():
            connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
            told = connection.execute("select auth.uid()::text, auth.role(), auth.jwt() ->> 'sub'").fetchall()
            assert told == [("a11ce000-0000-4000-8000-000000000001", "authenticated", "a11ce000-0000-4000-8000-000000000001")]
        assert connection.execute("select current_setting('request.jwt.claims', true)").fetchall() == [("",)]
        assert connection.execute("select auth.uid(), auth.role(), auth.jwt()").fetchall() == [(None, None, None)]


@pytest.mark.every_version
async def test_an_administrator_without_the_rights_learns_the_remedy(database: str) -> None:
    limited = f"limited_{secrets.token_hex(4)}"
    ask(database, f"create role {limited} login createrole password 'secret'")
    before = dump(database)
    with pytest.raises(SetupError) as refused:
        await prepare(address(database, user=limited), SUPABASE)
    assert limited in refused.value.text
    assert "--dry-run" in refused.value.remedy
    assert dump(database) == before


@pytest.mark.every_version
async def test_logins_that_the_provider_made_are_used_by_an_owner_without_their_rights(database: str) -> None:
    first = await prepare(database, SUPABASE)
    owner = f"owner_{secrets.token_hex(4)}"
    name = urlsplit(database).path[1:]
    ask(database, f"create role {owner} login password 'secret'")
    ask(database, f"alter database {name} owner to {owner}")
    ask(database, "drop schema realtime_inspector cascade")
    ask(database, "drop publication supabase_realtime")
    again = await prepare(address(database, user=owner), Options(existing=first.env))
    assert again.env == first.env
    assert ask(database, "select nspowner::regrole::text from pg_namespace where nspname = 'realtime_inspector'") == [(owner,)]
    ask(database, f"alter database {name} owner to postgres")


async def test_a_key_is_made_only_where_there_is_none(database: str) -> None:
    made = await prepare(database, SUPABASE)
    assert len(made.env["RTI_JWT_SECRET"]) >= 32
    kept = await prepare(database, replace(SUPABASE, existing=made.env | {"RTI_JWT_SECRET": "k" * 40}))
    assert kept.env["RTI_JWT_SECRET"] == "k" * 40
    asymmetric = await prepare(database, replace(SUPABASE, existing={"RTI_JWKS_URL": "https://keys.example/jwks.json"}))
    assert "RTI_JWT_SECRET" not in asymmetric.env


async def test_an_address_where_nobody_answers_is_told() -> None:
    with pytest.raises(DatabaseUnavailable, match="Cannot log in"):
        await prepare("postgresql://postgres:secret@127.0.0.1:1/postgres", SUPABASE)


async def test_the_verifier_is_the_one_that_postgres_makes(database: str) -> None:
    name = f"plain_{secrets.token_hex(4)}"
    ask(database, f"create role {name} password 'correct horse'")
    ((made,),) = ask(database, "select rolpassword from pg_authid where rolname = %s", name)
    salt = base64.b64decode(str(made).split(":")[1].split("$")[0])
    assert scram.verifier("correct horse", salt) == made
