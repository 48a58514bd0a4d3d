"""A database with tables of every kind of access, and the two logins that the engine uses."""

from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import psycopg
import pytest

from realtime_inspector.postgres import sql

ROLES = """
select pg_advisory_lock(4711);
do $$ begin
  if to_regrole('anon') is null then create role anon nologin; end if;
  if to_regrole('authenticated') is null then create role authenticated nologin; end if;
  if to_regrole('limited') is null then create role limited nologin; end if;
  if to_regrole('service_role') is null then create role service_role nologin bypassrls; end if;
  if to_regrole('engine_reader') is null then
    create role engine_reader login replication bypassrls password 'reader' in role pg_read_all_data;
  end if;
  if to_regrole('engine_evaluator') is null then
    create role engine_evaluator login noinherit password 'evaluator' in role anon, authenticated, limited;
  end if;
end $$;
select pg_advisory_unlock(4711);
create schema auth;
create function auth.uid() returns uuid stable language sql as
  $$ select (nullif(current_setting('request.jwt.claims', true), '')::json ->> 'sub')::uuid $$;
grant usage on schema auth, public to anon, authenticated, limited, service_role;
"""
OWN = """
grant usage on schema realtime_inspector to engine_reader;
grant insert, update on realtime_inspector.slots to engine_reader;
"""


@dataclass(frozen=True)
class Engine:
    """A prepared database: the superuser's URL and those of the two logins."""

    admin: str
    reader: str
    evaluator: str

    def run(self, statements: str, *parameters: object) -> list[tuple[object, ...]]:
        """Runs statements as the superuser; gives the rows of the last one, if it has any."""
        with psycopg.connect(self.admin, autocommit=True) as connection:
            cursor = connection.execute(statements.encode(), parameters or None)
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    def oid(self, table: str) -> int:
        """The oid of a table by its SQL name."""
        (row,) = self.run("select %s::regclass::oid::int8", table)
        assert isinstance(row[0], int)
        return row[0]


def login(url: str, user: str, password: str) -> str:
    """The same database as another user."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{quote(user)}:{quote(password)}@{parts.hostname}:{parts.port}").geturl()


def prepared(url: str) -> Engine:
    """A database as the engine needs it."""
    engine = Engine(url, login(url, "engine_reader", "reader"), login(url, "engine_evaluator", "evaluator"))
    engine.run(ROLES + sql.load("schema") + OWN)
    return engine


@pytest.fixture
def engine(database: str) -> Engine:
    """A fresh database with the roles of the engine."""
    return prepared(database)
