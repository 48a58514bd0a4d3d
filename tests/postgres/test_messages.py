"""What `init` makes of realtime.messages, and that it leaves alone what Supabase has made there."""

import asyncio
import secrets
import time
from collections.abc import Collection
from dataclasses import replace

import psycopg
import pytest
from psycopg import errors

from realtime_inspector.doctor.facts import MESSAGES
from realtime_inspector.model import (
    Change,
    Column,
    Extension,
    Forum,
    Identity,
    Operation,
    Position,
    Relation,
    ReplicaIdentity,
    Right,
    Transaction,
)
from realtime_inspector.pipeline.letters import Letters
from realtime_inspector.postgres.line import Line
from realtime_inspector.postgres.mark import Mark
from realtime_inspector.postgres.permissions import Permissions
from realtime_inspector.postgres.sent import SentMessages
from realtime_inspector.postgres.setup import Options, prepare
from realtime_inspector.protocol.broadcast import Broadcast
from tests.postgres.test_setup import SUPABASE, address, ask, dump

THEIRS = """
create schema realtime;
create table realtime.messages (
  topic text not null, extension text not null, payload jsonb, event text, private boolean default false,
  updated_at timestamp not null default now(), inserted_at timestamp not null default now(),
  id uuid not null default gen_random_uuid(), binary_payload bytea, primary key (id, inserted_at)
) partition by range (inserted_at);
alter table realtime.messages enable row level security;
create function realtime.topic() returns text language sql stable as 'select ''theirs''';
create function realtime.send(payload jsonb, event text, topic text, private boolean default true) returns void
  language sql as '
  insert into realtime.messages (payload, event, topic, private, extension) values ($1, $2, $3, $4, ''broadcast'')';
create publication supabase_realtime_messages_publication for table realtime.messages;
"""
FUNCTIONS = (
    "select proname, prosrc, proacl::text, proowner from pg_proc p where pronamespace = 'realtime'::regnamespace"
    " and proname in ('topic', 'send') order by 1"
)
TABLE = (
    "select relacl::text, relowner, array(select attname::text || pg_get_expr(adbin, adrelid) from pg_attribute"
    " left join pg_attrdef on adrelid = attrelid and adnum = attnum where attrelid = c.oid and attnum > 0)"
    " from pg_class c where oid = 'realtime.messages'::regclass"
)


async def may(url: str, right: Right) -> frozenset[Extension]:
    permissions = Permissions(url, connections=1, statement_timeout_ms=5_000, search_path="public", privileged=())
    try:
        return (await permissions.ask(Identity("anon", "{}"), "{}", "room", right)).extensions
    finally:
        await permissions.close()


@pytest.mark.every_version
async def test_what_supabase_made_is_left_as_it_is_and_serves(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(THEIRS.encode())
    before = [ask(database, query) for query in (FUNCTIONS, TABLE)]
    made = await prepare(database, SUPABASE)
    assert [ask(database, query) for query in (FUNCTIONS, TABLE)] == before
    assert ask(database, "select distinct pubname from pg_publication_tables where schemaname = 'realtime' order by 1") == [
        (MESSAGES,),
        ("supabase_realtime_messages_publication",),
    ]
    ask(database, "create policy p on realtime.messages for select using (true)")
    ask(database, "grant usage on schema realtime to anon")
    ask(database, "grant select on realtime.messages to anon")
    assert await may(made.env["RTI_EVALUATOR_URL"], Right.READ) == {Extension.BROADCAST, Extension.PRESENCE}
    assert ask(database, "select count(*) from realtime.messages") == [(0,)]
    ask(database, "select realtime_inspector.make_partition((now() at time zone 'utc')::date - 9)")
    assert ask(database, "select dropped from realtime_inspector.keep_partitions(72)") == [(0,)]
    after = dump(database)
    await prepare(database, replace(SUPABASE, existing=made.env))
    assert dump(database) == after


@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        ("create schema realtime; create table realtime.messages (id uuid, topic text)", "lacks binary_payload"),
        (THEIRS.replace(") partition by range (inserted_at)", ")"), "is not partitioned"),
    ],
)
async def test_a_table_of_another_form_is_told_and_left_alone(database: str, theirs: str, told: str) -> None:
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(theirs.encode())
    before = ask(database, TABLE)
    made = await prepare(database, SUPABASE)
    assert ask(database, TABLE) == before
    assert any(told in warning for warning in made.warnings)
    assert ask(database, "select from pg_publication where pubname = %s", MESSAGES) == []


async def test_who_does_not_own_it_is_told(database: str) -> None:
    owner = f"owner_{secrets.token_hex(4)}"
    ask(database, f"create role {owner} login superuser password 'secret'")
    first = await prepare(database, SUPABASE)
    ask(database, f"alter role {owner} nosuperuser")
    ask(database, f"alter database {database.rpartition('/')[2]} owner to {owner}")
    ask(database, "drop schema realtime_inspector cascade")
    ask(database, "drop publication supabase_realtime")
    again = await prepare(address(database, user=owner), Options(existing=first.env))
    assert any("belongs to somebody else" in warning for warning in again.warnings)


async def test_the_logins_can_do_nothing_to_it_but_what_they_need(database: str) -> None:
    made = await prepare(database, SUPABASE)
    evaluator, reader = made.env["RTI_EVALUATOR_URL"], made.env["RTI_READER_URL"]
    for statement in ("select from realtime.messages", "insert into realtime.messages (topic, extension) values ('a', 'b')"):
        with pytest.raises(errors.InsufficientPrivilege):
            ask(evaluator, statement)
    for statement in ("delete from realtime.messages", "drop table realtime.messages"):
        with pytest.raises(errors.InsufficientPrivilege):
            ask(reader, statement)
    for function in ("keep_partitions(1)", "make_partition('2026-01-01')"):
        with pytest.raises(errors.InsufficientPrivilege):
            ask(evaluator, f"select realtime_inspector.{function}")
    ask(database, "create role nobody_in_particular login password 'secret'")
    try:
        for function in ("probe_rows('a')", "keep_partitions(1)"):
            with pytest.raises(errors.InsufficientPrivilege):
                ask(address(database, user="nobody_in_particular"), f"select realtime_inspector.{function}")
    finally:
        ask(database, "drop role nobody_in_particular")


async def test_each_role_writes_only_where_a_policy_lets_it(database: str) -> None:
    await prepare(database, SUPABASE)
    ask(database, "create policy p on realtime.messages for insert to anon with check (topic = 'open')")
    with psycopg.connect(database, autocommit=True) as session:
        notices: list[str] = []
        session.add_notice_handler(lambda told: notices.append(str(told.message_primary)))
        session.execute("set role anon")
        session.execute("select realtime.send('{}', 'e', 'open'), realtime.send('{}', 'e', 'closed')")
        assert len(notices) == 1
        assert notices[0].startswith("WarnSendingBroadcastMessage: ")
        session.execute("reset role")
        assert session.execute("select topic, private, payload ->> 'id' = id::text from realtime.messages").fetchall() == [
            ("open", True, True)
        ]


class Listening:
    """Whoever receives messages."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def hand_over(self, _forum: Forum, sent: Broadcast, /) -> None:
        self.heard.append(sent.event)

    async def pace(self, _forums: Collection[Forum], /) -> None:
        pass


def logged(row: tuple[str, str, str], lsn: int) -> Transaction:
    """The insertion of a message as the log has it."""
    names = ("id", "event", "topic", "extension", "payload", "private")
    relation = Relation(1, "realtime", "messages", ReplicaIdentity.DEFAULT, tuple(Column(name, 25) for name in names))
    change = Change(Position(lsn, 0), Operation.INSERT, relation, (*row, "broadcast", "{}", "t"))
    return Transaction(None, lsn, int(time.time() * 1e6), (change,), lsn)


async def test_what_the_table_gave_for_a_lost_log_does_not_come_again_in_the_new_one(database: str) -> None:
    made = await prepare(database, SUPABASE)
    line, listening = Line(made.env["RTI_READER_URL"], purpose="test", statement_timeout_ms=5_000), Listening()
    letters = Letters(Mark(line, "slot"))
    letters.receiver = listening
    send = "select realtime.send('{}', event, 'room') from unnest(array[%s]) event"
    query = "select id::text, event, topic from realtime.messages order by inserted_at"
    try:
        await letters.begin("first", 0)
        ask(database, send % "'a', 'b'")
        a, b = ask(database, query)
        await letters.deliver([logged(a, 10)])
        letters.lose(0.0)
        ask(database, send % "'c'")
        await letters.begin("second", 20)
        assert listening.heard == ["a", "b", "c"]
        ask(database, send % "'d'")
        for lsn, row in enumerate((a, b, *ask(database, query)[2:]), 21):
            await letters.deliver([logged(row, lsn)])
        assert listening.heard == ["a", "b", "c", "d"]
    finally:
        await letters.close()
        line.close()


async def test_messages_of_a_transaction_that_was_open_for_long_when_the_log_was_lost_are_not_missing(database: str) -> None:
    made = await prepare(database, SUPABASE)
    line, listening = Line(made.env["RTI_READER_URL"], purpose="test", statement_timeout_ms=5_000), Listening()
    letters = Letters(Mark(line, "slot"))
    letters.receiver = listening
    late = """insert into realtime.messages (topic, extension, event, payload, private, inserted_at)
        values ('room', 'broadcast', 'late', '{}', true, (now() at time zone 'utc') - interval '10 minutes')"""
    try:
        await letters.begin("first", 0)
        await sent(database, letters, "a")
        with psycopg.connect(database) as long:
            long.execute(late)
            for event in "bcd":
                await sent(database, letters, event)
            letters.lose(0.0)
            ask(database, "select realtime.send('{}', 'e', 'room')")
        await letters.begin("second", 20)
        assert listening.heard == ["a", "b", "c", "d", "late", "e"]
    finally:
        await letters.close()
        line.close()


async def test_who_was_killed_when_the_log_was_lost_repeats_nothing(database: str) -> None:
    made = await prepare(database, SUPABASE)
    line = Line(made.env["RTI_READER_URL"], purpose="test", statement_timeout_ms=5_000)
    try:
        killed, later, listening = Letters(Mark(line, "slot")), Letters(Mark(line, "slot")), Listening()
        killed.receiver, later.receiver = Listening(), listening
        await killed.begin("first", 0)
        for event in "abcd":
            await sent(database, killed, event)
        ask(database, "select realtime.send('{}', 'e', 'room')")
        later.lose(time.time() - 120)
        await later.begin("second", 20)
        assert listening.heard == ["e"]
    finally:
        line.close()


async def sent(database: str, letters: Letters, event: str) -> None:
    """Sends a message, which is handed over out of the log; returns when that is written down."""
    ask(database, "select realtime.send('{}', %s, 'room')", event)
    ((*row, lsn),) = ask(
        database,
        "select id::text, event, topic, (pg_current_wal_lsn() - '0/0')::int8 from realtime.messages where event = %s",
        event,
    )
    await letters.deliver([logged((row[0], row[1], row[2]), lsn)])
    async with asyncio.timeout(20):
        while ask(database, "select commit_lsn from realtime_inspector.broadcast_marks") != [(lsn,)]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_log_that_another_process_has_gone_on_with_is_not_lost(database: str) -> None:
    made = await prepare(database, SUPABASE)
    line, listening = Line(made.env["RTI_READER_URL"], purpose="test", statement_timeout_ms=5_000), Listening()
    letters = Letters(Mark(line, "slot"))
    letters.receiver = listening
    try:
        await letters.begin("first", 0)
        ask(database, "select realtime.send('{}', 'a', 'room')")
        ask(database, "update realtime_inspector.broadcast_marks set epoch = 'second', commit_lsn = 10")
        letters.lose(time.time())
        await letters.begin("second", 20)
        assert listening.heard == []
    finally:
        await letters.close()
        line.close()


async def test_a_fault_of_ours_does_not_end_what_triggers_have_noted(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await prepare(database, replace(SUPABASE, source="notify"))
    line, listening = Line(made.env["RTI_READER_URL"], purpose="test", statement_timeout_ms=5_000), Listening()
    told, genuine, faults = asyncio.Event(), SentMessages.begin, iter([RuntimeError("planted")])

    async def begin(self: SentMessages) -> bool:
        for fault in faults:
            raise fault
        return await genuine(self)

    monkeypatch.setattr(SentMessages, "begin", begin)
    letters = Letters(None, SentMessages(line, "slot", told))
    letters.receiver = listening
    running = asyncio.create_task(letters.run())
    try:
        async with asyncio.timeout(20):
            await letters.attached.wait()
            ask(database, "select realtime.send('{}', 'a', 'room')")
            told.set()
            while not listening.heard:  # noqa: ASYNC110, nobody tells
                await asyncio.sleep(0.05)
        assert listening.heard == ["a"]
    finally:
        running.cancel()
        line.close()
