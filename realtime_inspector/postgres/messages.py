"""Prepares a database for private channels and for broadcasts of its own, and leaves alone what Supabase has made there."""

from collections.abc import Iterator, Sequence

import msgspec

from realtime_inspector.doctor.facts import MESSAGES, Messages
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.connect import Connection
from realtime_inspector.postgres.sql import quote_identifier
from realtime_inspector.postgres.step import Step

FUNCTIONS = ("topic", "ensure_partition", "send", "send_binary", "broadcast_changes")
"""Each stands in sql/realtime_<name>.sql."""


async def read_messages(connection: Connection) -> Messages:
    """What there is now."""
    (row,) = await connection.fetch(sql.load("messages"), MESSAGES)
    return msgspec.convert(dict(row), Messages)


def message_steps(now: Messages, roles: Sequence[str], reader: str, evaluator: str, *, replicates: bool) -> Iterator[Step]:
    """In an order in which each finds what it needs; nothing where the table has another form. `roles`: those of tokens."""
    if now.objection:
        return
    if not now.schema_exists:
        yield Step("CREATE SCHEMA realtime")
    if not now.table_exists:
        yield Step(sql.load("messages_table"))
    yield Step(sql.load("messages_upkeep"))
    for name in FUNCTIONS:
        if f"realtime.{name}" not in now.theirs:
            yield Step(sql.load(f"realtime_{name}"))
    if roles and (now.ours or not now.table_exists):
        named = ", ".join(map(quote_identifier, roles))
        yield Step(f"GRANT USAGE ON SCHEMA realtime TO {named}")
        yield Step(f"GRANT SELECT, INSERT, UPDATE ON realtime.messages TO {named}")
    yield Step(f"GRANT USAGE ON SCHEMA realtime, realtime_inspector TO {quote_identifier(evaluator)}")
    for name in ("probe_rows(text)", "probe(text, text, text, text, boolean)"):
        yield Step(f"GRANT EXECUTE ON FUNCTION realtime_inspector.{name} TO {quote_identifier(evaluator)}")
    yield Step(f"GRANT INSERT, UPDATE ON realtime_inspector.broadcast_marks TO {quote_identifier(reader)}")
    if not now.today:
        yield Step("SELECT realtime_inspector.keep_partitions(72)")
    if not replicates:
        yield Step(f"GRANT INSERT, UPDATE ON realtime_inspector.sent_marks TO {quote_identifier(reader)}")
        yield Step(sql.load("messages_notify"))
    elif now.noted:
        yield Step("DROP FUNCTION realtime_inspector.note_message() CASCADE")
    if replicates and not now.publication_exists:
        yield Step(
            f"CREATE PUBLICATION {quote_identifier(MESSAGES)} FOR TABLE realtime.messages "
            "WITH (publish = 'insert', publish_via_partition_root = true)"
        )
    elif replicates and not now.published:
        yield Step(f"ALTER PUBLICATION {quote_identifier(MESSAGES)} ADD TABLE realtime.messages")
