"""Decides by which SQL steps a database becomes ready for the service, given what it is now; `setup` reads and runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from realtime_inspector.doctor.facts import Messages, Table
from realtime_inspector.doctor.logins import (
    EVALUATOR_ATTRIBUTES,
    OPTIONS_SINCE,
    READ_ALL_DATA,
    Role,
    attribute_words,
    evaluator_distance,
    reader_attributes,
    reader_distance,
)
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.announced import ROW_TRIGGER, TABLE_TRIGGER, Announcement
from realtime_inspector.postgres.messages import message_steps
from realtime_inspector.postgres.sql import quote_identifier, quote_literal
from realtime_inspector.postgres.step import Step

SCHEMA = "realtime_inspector"
ANNOUNCE = f"{SCHEMA}.announce()"


@dataclass(frozen=True, slots=True)
class Login:
    """One of the two logins. `verifier`: the password's, if it must be set; `now`: the role as it is, if it exists."""

    name: str
    now: Role | None
    verifier: str | None


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted of the database `database`. `publication_exists` and `unpublished` say how far it is there.

    `announcing`: the tables that have triggers of ours; `announced`: those that shall have them. `messages`: how far private
    channels are prepared; `allowed`: the roles that may use them.
    """

    version: int
    database: str
    reader: Login
    evaluator: Login
    assumable: tuple[str, ...]
    supabase_roles: bool
    publication: str
    publication_exists: bool
    unpublished: tuple[Table, ...]
    source: Literal["replication", "notify"] = "replication"
    announcing: tuple[Announcement, ...] = ()
    announced: tuple[Announcement, ...] = ()
    messages: Messages = field(default_factory=Messages)
    allowed: tuple[str, ...] = ()


def steps(goal: Goal) -> Iterator[Step]:
    """In an order in which each finds what it needs; running them again changes nothing."""
    if goal.supabase_roles:
        yield Step(sql.load("supabase_roles"))
    yield from _reader(goal)
    yield from _evaluator(goal)
    yield Step(sql.load("schema"))
    if goal.source == "notify":
        yield Step(sql.load("announce"))
    replicates = goal.source == "replication"
    yield from message_steps(goal.messages, goal.allowed, goal.reader.name, goal.evaluator.name, replicates=replicates)
    yield from _grants(goal)
    yield from _publication(goal)
    yield from _announcements(goal)


def _reader(goal: Goal) -> Iterator[Step]:
    role = goal.reader.now or _newborn(goal.reader.name)
    replicates = goal.source == "replication"
    yield from _attributes(goal.reader, attribute_words(reader_attributes(replicates=replicates), goal.reader.now))
    if reader_distance(role, replicates=replicates).missing:
        options = " WITH INHERIT TRUE" if goal.version >= OPTIONS_SINCE else ""
        yield Step(f"GRANT {READ_ALL_DATA} TO {role.sql}{options}")


def _evaluator(goal: Goal) -> Iterator[Step]:
    role = goal.evaluator.now or _newborn(goal.evaluator.name)
    yield from _attributes(goal.evaluator, attribute_words(EVALUATOR_ATTRIBUTES, goal.evaluator.now))
    distance, options = evaluator_distance(role, goal.assumable), goal.version >= OPTIONS_SINCE
    for held in distance.surplus:
        by = f" GRANTED BY {quote_identifier(held.grantor)}" if options else ""
        yield Step(f"REVOKE {held.sql} FROM {role.sql}{by}")
    for name in distance.missing:
        yield Step(f"GRANT {quote_identifier(name)} TO {role.sql}{' WITH INHERIT FALSE, SET TRUE' if options else ''}")


def _newborn(name: str) -> Role:
    return Role(name, quote_identifier(name))


def _attributes(login: Login, words: Sequence[str]) -> Iterator[Step]:
    verb = "CREATE" if login.now is None else "ALTER"
    start = " ".join([f"{verb} ROLE {quote_identifier(login.name)}", *words])
    if login.verifier is not None:
        yield Step(f"{start} PASSWORD {quote_literal(login.verifier)}", shown=f"{start} PASSWORD '********'")
    elif words:
        yield Step(start)


def _grants(goal: Goal) -> Iterator[Step]:
    """Functions are open to PUBLIC when they are made; the ones here belong to the reader alone."""
    database, reader, evaluator = (quote_identifier(name) for name in (goal.database, goal.reader.name, goal.evaluator.name))
    yield Step(f"GRANT CONNECT ON DATABASE {database} TO {reader}")
    yield Step(f"GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {evaluator}")
    yield Step(f"REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {SCHEMA} FROM PUBLIC")
    yield Step(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {reader}")
    yield Step(f"GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO {reader}")
    yield Step(f"GRANT INSERT, UPDATE ON {SCHEMA}.slots TO {reader}")
    yield Step(f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {SCHEMA} TO {reader}")


def _publication(goal: Goal) -> Iterator[Step]:
    name = quote_identifier(goal.publication)
    if not goal.publication_exists:
        yield Step(f"CREATE PUBLICATION {name} WITH (publish_via_partition_root = true)")
    if goal.unpublished:
        yield Step(f"ALTER PUBLICATION {name} ADD TABLE {', '.join(table.sql for table in goal.unpublished)}")


def _announcements(goal: Goal) -> Iterator[Step]:
    """Triggers where notifications are the source, and none where they are not."""
    if goal.source == "replication":
        if goal.announcing:
            yield Step(f"DROP FUNCTION {ANNOUNCE} CASCADE")
        return
    wanted, present = ({each.oid: each for each in several} for several in (goal.announced, goal.announcing))
    for table in goal.announcing:
        if table.oid not in wanted:
            yield Step(f"DROP TRIGGER IF EXISTS {quote_identifier(ROW_TRIGGER)} ON {table.sql}")
            yield Step(f"DROP TRIGGER IF EXISTS {quote_identifier(TABLE_TRIGGER)} ON {table.sql}")
    for table in goal.announced:
        if present.get(table.oid) != table:
            yield from triggers(table)


def triggers(table: Announcement) -> Iterator[Step]:
    """Makes a table announce its changes. ALWAYS: also those that a subscription of Postgres itself applies."""
    row, truncate = quote_identifier(ROW_TRIGGER), quote_identifier(TABLE_TRIGGER)
    runs = f"EXECUTE FUNCTION {SCHEMA}.announce({quote_literal(table.key)})"
    yield Step(f"CREATE OR REPLACE TRIGGER {row} AFTER INSERT OR UPDATE OR DELETE ON {table.sql} FOR EACH ROW {runs}")
    yield Step(f"CREATE OR REPLACE TRIGGER {truncate} AFTER TRUNCATE ON {table.sql} EXECUTE FUNCTION {ANNOUNCE}")
    yield Step(f"ALTER TABLE {table.sql} ENABLE ALWAYS TRIGGER {row}, ENABLE ALWAYS TRIGGER {truncate}")
