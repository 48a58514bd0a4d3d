import asyncio
import contextlib
import itertools
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import psycopg
import pytest

from bench.proxy import proxied
from realtime_inspector.errors import DatabaseUnavailable, SetupError, SlotInUse, SlotLost, SourceError, StreamEnded
from realtime_inspector.model import UNCHANGED, Change, Operation, Transaction
from realtime_inspector.postgres import slot as slots
from realtime_inspector.postgres.embedded import EmbeddedPostgres
from realtime_inspector.postgres.stream import ReplicationStream

NUMBERS = itertools.count(1)
TABLES = """
create table notes (id int primary key, body text);
create table elsewhere (id int);
create publication followed for table notes;
"""


@dataclass
class Followed:
    """A database, a stream that follows it, and what was received."""

    url: str
    slot: str = field(default_factory=lambda: f"stream_{next(NUMBERS)}")
    publication: str = "followed"
    streams: list[ReplicationStream] = field(default_factory=list)
    received: list[Transaction] = field(default_factory=list)

    def run(self, statements: str, *parameters: object) -> list[tuple[object, ...]]:
        """Runs statements, each in a transaction of its own unless they say otherwise; gives the rows of the last one."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statements.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def stream(self, options: str = "", **settings: int) -> ReplicationStream:
        url = f"{self.url}?options={quote(options)}" if options else self.url
        stream = ReplicationStream(url, slot=self.slot, publication=self.publication, **settings)
        self.streams.append(stream)
        return stream

    async def attached(self, options: str = "", **settings: int) -> ReplicationStream:
        stream = self.stream(options, **settings)
        await stream.attach()
        return stream

    async def changes(self, stream: ReplicationStream, count: int) -> list[Change]:
        """The next changes, `count` and the rest of the last piece; acknowledges what is complete."""
        found: list[Change] = []
        async with asyncio.timeout(20):
            while len(found) < count:
                piece = await stream.next()
                self.received.append(piece)
                found += piece.changes
                if piece.end_lsn is not None:
                    stream.acknowledge(piece.end_lsn)
        return found

    async def until(self, condition: str, *parameters: object) -> None:
        """Returns when the condition about the slot `s` holds."""
        query = f"select {condition} from pg_replication_slots s where slot_name = %s"
        async with asyncio.timeout(20):
            while self.run(query, *parameters, self.slot) != [(True,)]:  # noqa: ASYNC110, nobody tells
                await asyncio.sleep(0.02)

    async def reattach(self, stream: ReplicationStream) -> None:
        """As a consumer does it: tries again until the server is back and the old reader gone."""
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(DatabaseUnavailable, SlotInUse, StreamEnded):
                    return await stream.attach()
                await asyncio.sleep(0.05)

    @property
    def confirmed(self) -> str:
        return str(self.run("select confirmed_flush_lsn from pg_replication_slots where slot_name = %s", self.slot)[0][0])


@pytest.fixture
async def followed(database: str) -> AsyncIterator[Followed]:
    followed = Followed(database)
    followed.run(TABLES)
    yield followed
    for stream in followed.streams:
        await stream.close()


def ids(changes: list[Change]) -> list[int]:
    return [int(str(change.new[0])) for change in changes if change.new]


@pytest.mark.every_version
async def test_every_kind_of_change_arrives(followed: Followed) -> None:
    stream = await followed.attached()
    followed.run("insert into notes values (1, 'a'), (2, null)")
    followed.run("update notes set body = 'b' where id = 1; update notes set id = 3 where id = 2; delete from notes where id = 1")
    followed.run("truncate notes")
    changes = await followed.changes(stream, 6)
    assert [(change.operation, change.new, change.old) for change in changes] == [
        (Operation.INSERT, ("1", "a"), None),
        (Operation.INSERT, ("2", None), None),
        (Operation.UPDATE, ("1", "b"), None),
        (Operation.UPDATE, ("3", None), ("2", None)),
        (Operation.DELETE, None, ("1", None)),
        (Operation.TRUNCATE, None, None),
    ]
    (relation,) = {change.relation for change in changes}
    assert (relation.schema, relation.name) == ("public", "notes")
    assert [(c.name, c.type_oid, c.is_key) for c in relation.columns] == [("id", 23, True), ("body", 25, False)]
    assert [change.position.index for change in changes] == [0, 1, 0, 1, 2, 0]
    lsns = [piece.commit_lsn for piece in followed.received]
    assert lsns == sorted(set(lsns))


@pytest.mark.every_version
async def test_an_unchanged_long_value_is_not_repeated_unless_the_old_row_is_full(followed: Followed) -> None:
    followed.run("alter table notes alter body set storage external")
    stream = await followed.attached()
    followed.run("insert into notes values (1, repeat('x', 9000))")
    followed.run("update notes set id = 2")
    followed.run("alter table notes replica identity full")
    followed.run("update notes set id = 3")
    followed.run("delete from notes")
    long = "x" * 9000
    assert [(change.new, change.old, change.old_is_full) for change in await followed.changes(stream, 4)] == [
        (("1", long), None, False),
        (("2", UNCHANGED), ("1", None), False),
        (("3", long), ("2", long), True),
        (None, ("3", long), True),
    ]


@pytest.mark.every_version
async def test_a_table_may_change_in_between(followed: Followed) -> None:
    stream = await followed.attached()
    followed.run(
        """
        begin;
        insert into notes values (1, 'a');
        alter table notes add more int[] default '{7}', add length int generated always as (length(body)) stored;
        insert into notes values (2, 'b');
        alter table notes drop length, drop body, alter id type text;
        alter table notes rename to letters;
        insert into letters values ('3');
        commit
    """
    )
    changes = await followed.changes(stream, 3)
    assert [change.new for change in changes] == [("1", "a"), ("2", "b", "{7}"), ("3", "{7}")]
    assert [(c.relation.name, [column.name for column in c.relation.columns]) for c in changes] == [
        ("notes", ["id", "body"]),
        ("notes", ["id", "body", "more"]),
        ("letters", ["id", "more"]),
    ]
    assert len({change.relation.oid for change in changes}) == 1


@pytest.mark.every_version
async def test_logical_messages_and_changes_of_other_tables_are_no_changes(followed: Followed) -> None:
    stream = await followed.attached()
    followed.run("select pg_logical_emit_message(false, 'app', 'outside')")
    followed.run("select pg_logical_emit_message(true, 'app', 'inside')")
    followed.run("insert into elsewhere values (1)")
    followed.run("insert into notes values (1)")
    assert ids(await followed.changes(stream, 1)) == [1]


async def test_text_does_not_depend_on_the_settings_of_the_database(followed: Followed) -> None:
    followed.run(
        """
        create table measured (moment timestamptz primary key, day date, span interval, real float8, bytes bytea, kind regtype);
        alter publication followed add table measured;
        do $$ begin execute format('alter database %I set datestyle = ''German''', current_database());
          execute format('alter database %I set timezone = ''Asia/Kolkata''', current_database());
          execute format('alter database %I set intervalstyle = ''iso_8601''', current_database());
          execute format('alter database %I set extra_float_digits = -9', current_database());
          execute format('alter database %I set bytea_output = ''escape''', current_database()); end $$
    """
    )
    stream = await followed.attached(options="-c timezone=America/New_York")
    followed.run(
        "insert into measured values"
        " ('2026-01-02 03:04:05+00', '2026-01-02', '1 month', 0.1::float8 + 0.2::float8, 'a', 'public.notes')"
    )
    (change,) = await followed.changes(stream, 1)
    row = ("2026-01-02 03:04:05+00", "2026-01-02", "1 mon", "0.30000000000000004", "\\x61", "public.notes")
    assert change.new == row


@pytest.mark.parametrize("name", ['od"d', "o'dd", "od\\d", "o,dd", "ödd %s"])
async def test_a_publication_may_have_any_name(followed: Followed, name: str) -> None:
    followed.publication = name
    quoted = name.replace('"', '""')
    followed.run(f'create publication "{quoted}" for table notes')
    stream = await followed.attached()
    followed.run("insert into notes values (1)")
    assert ids(await followed.changes(stream, 1)) == [1]


async def test_a_large_transaction_waits_for_its_reader_outside_of_this_process(followed: Followed) -> None:
    stream = await followed.attached("-c wal_sender_timeout=2s", queue_bytes=500_000)
    followed.run("insert into notes select n, repeat('x', 100) from generate_series(1, 50000) n")
    changes = await followed.changes(stream, 500)
    most = 0
    for _ in range(35):  # much longer than the two seconds after which Postgres gives up on who does not report
        await asyncio.sleep(0.1)
        most = max(most, stream.queued_bytes)
    assert 400_000 < most < 800_000
    changes += await followed.changes(stream, 49_500)
    assert ids(changes) == list(range(1, 50_001))
    assert {len(piece.changes) for piece in followed.received} == {500}
    followed.run("insert into notes values (0)")
    assert ids(await followed.changes(stream, 1)) == [0]
    assert [piece.end_lsn for piece in followed.received[:100]] == [None] * 100
    assert [bool(piece.end_lsn) for piece in followed.received[100:]] == [True, True]


async def test_pieces_of_long_rows_have_fewer_of_them(followed: Followed) -> None:
    stream = await followed.attached()
    followed.run("insert into notes select n, repeat('x', 100000) from generate_series(1, 30) n")
    changes = await followed.changes(stream, 30)
    assert ids(changes) == list(range(1, 31))
    assert {len(piece.changes) for piece in followed.received[:-1]} == {3}


@pytest.mark.every_version
async def test_what_was_acknowledged_is_confirmed_and_does_not_come_again(followed: Followed) -> None:
    stream = await followed.attached()
    followed.run("insert into notes values (1)")
    await followed.changes(stream, 1)
    end = followed.received[-1].end_lsn
    await followed.until("confirmed_flush_lsn - '0/0' >= %s", end)
    await stream.close()
    other = followed.stream()
    await followed.reattach(other)
    followed.run("insert into notes values (2)")
    assert ids(await followed.changes(other, 1)) == [2]


async def test_what_was_not_acknowledged_comes_again_to_the_next_process(followed: Followed) -> None:
    stream = await followed.attached()
    followed.run("insert into notes values (1)")
    first = await stream.next()
    await stream.close()
    other = followed.stream()
    await followed.reattach(other)
    assert await other.next() == first
    await other.close()
    assert first.end_lsn is not None
    third = followed.stream()
    async with asyncio.timeout(60):
        await third.attach(first.end_lsn)
    followed.run("insert into notes values (2)")
    assert ids(await followed.changes(third, 1)) == [2]


async def test_the_log_of_other_tables_is_not_kept_when_nothing_is_under_way(followed: Followed) -> None:
    stream = await followed.attached("-c wal_sender_timeout=3s")
    followed.run("insert into elsewhere select generate_series(1, 1000)")
    ((end,),) = followed.run("select pg_current_wal_lsn()")
    waiting = asyncio.ensure_future(stream.next())
    await followed.until("confirmed_flush_lsn >= %s::pg_lsn", end)
    assert not waiting.done()
    followed.run("insert into notes values (1)")
    assert ids([*(await waiting).changes]) == [1]


@pytest.mark.parametrize("taken", [False, True])
async def test_nothing_is_confirmed_past_a_transaction_that_is_under_way(followed: Followed, taken: bool) -> None:
    stream = await followed.attached("-c wal_sender_timeout=600ms")
    followed.run("insert into notes values (1)")
    piece = await stream.next() if taken else None
    ((before,),) = followed.run("select pg_current_wal_lsn() - '0/0'")
    followed.run("insert into elsewhere select generate_series(1, 1000)")
    for _ in range(10):
        await asyncio.sleep(0.1)
        followed.run("insert into elsewhere values (1)")
    assert slots.parse_lsn(followed.confirmed) < int(str(before))
    piece = piece or await stream.next()
    assert slots.parse_lsn(followed.confirmed) < (piece.end_lsn or 0)
    stream.acknowledge(piece.end_lsn or 0)
    await followed.until("confirmed_flush_lsn - '0/0' > %s", before)


async def test_a_position_that_was_never_given_out_is_not_acknowledged(followed: Followed) -> None:
    stream = await followed.attached("-c wal_sender_timeout=600ms")
    followed.run("insert into notes values (1)")
    piece = await stream.next()
    stream.acknowledge((piece.end_lsn or 0) + 1_000_000)
    await asyncio.sleep(0.5)
    assert slots.parse_lsn(followed.confirmed) < (piece.end_lsn or 0)


@pytest.mark.every_version
async def test_a_slot_has_one_reader(followed: Followed) -> None:
    first = await followed.attached()
    ((pid,),) = followed.run("select active_pid from pg_replication_slots where slot_name = %s", followed.slot)
    second = followed.stream()
    with pytest.raises(SlotInUse, match=str(pid)):
        await second.attach()
    await first.close()
    await followed.reattach(second)


@pytest.mark.every_version
async def test_after_a_cut_the_stream_goes_on_without_loss_or_repetition(followed: Followed) -> None:
    stream = await followed.attached()
    followed.run("insert into notes values (1)")
    followed.run("insert into notes values (2)")
    first, second = await stream.next(), await stream.next()
    followed.run("select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = %s", followed.slot)
    with pytest.raises(StreamEnded, match="administrator"):
        await asyncio.wait_for(stream.next(), 10)
    with pytest.raises(StreamEnded):
        await stream.next()
    followed.run("insert into notes values (3)")
    await followed.reattach(stream)
    stream.acknowledge(first.end_lsn or 0)
    assert ids([*second.changes, *await followed.changes(stream, 1)]) == [2, 3]


async def test_a_large_transaction_that_was_cut_goes_on_where_it_was(followed: Followed) -> None:
    stream = await followed.attached(queue_bytes=100_000)
    followed.run("insert into notes select n, repeat('x', 1000) from generate_series(1, 20000) n")
    await followed.changes(stream, 1_000)
    followed.run("select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = %s", followed.slot)
    with pytest.raises(StreamEnded):
        await followed.changes(stream, 19_001)
    received = sum(len(piece.changes) for piece in followed.received)
    assert 1_000 < received < 20_000
    await followed.reattach(stream)
    await followed.changes(stream, 20_000 - received)
    assert ids([change for piece in followed.received for change in piece.changes]) == list(range(1, 20_001))


async def test_what_arrived_before_a_cut_is_given_out(followed: Followed) -> None:
    stream = await followed.attached()
    followed.run("insert into notes values (1)")
    async with asyncio.timeout(60):
        while not stream.queued_bytes:  # noqa: ASYNC110, nobody tells
            await asyncio.sleep(0.01)
    await stream.close()
    assert ids(list((await stream.next()).changes)) == [1]
    assert stream.next_nowait() is None
    with pytest.raises(StreamEnded, match="closed"):
        await stream.next()


async def test_a_lost_slot_is_told_and_then_made_anew(followed: Followed) -> None:
    stream = await followed.attached()
    followed.run("insert into notes values (1)")
    await followed.changes(stream, 1)
    await stream.close()
    async with asyncio.timeout(60):
        await followed.until("not active")
    followed.run("select pg_drop_replication_slot(%s)", followed.slot)
    followed.run("insert into notes values (2)")
    with pytest.raises(SlotLost, match="is gone"):
        await stream.attach()
    await stream.attach()
    followed.run("insert into notes values (3)")
    assert ids(await followed.changes(stream, 1)) == [3]


async def test_a_known_position_without_a_slot_is_a_loss(followed: Followed) -> None:
    with pytest.raises(SlotLost, match="is gone"):
        await followed.stream().attach(1)


@pytest.mark.every_version
async def test_a_publication_that_was_dropped_and_made_again_costs_the_slot(followed: Followed) -> None:
    stream = await followed.attached()
    followed.run("drop publication followed; insert into notes values (1)")
    with pytest.raises(SlotLost, match="followed"):
        await asyncio.wait_for(stream.next(), 10)
    with pytest.raises(SetupError, match="There is no publication followed"):
        await stream.attach()
    followed.run("create publication followed for table notes")
    await followed.reattach(stream)
    followed.run("insert into notes values (2)")
    assert ids(await followed.changes(stream, 1)) == [2]


async def test_what_is_not_prepared_is_named(followed: Followed) -> None:
    followed.publication = "nowhere"
    with pytest.raises(SetupError, match="There is no publication nowhere"):
        await followed.stream().attach()
    followed.publication = "followed"
    followed.run("select pg_create_logical_replication_slot(%s, 'test_decoding')", followed.slot)
    with pytest.raises(SetupError, match="serves somebody else"):
        await followed.stream().attach()
    followed.slot = "Not A Name"
    with pytest.raises(SetupError, match="invalid character"):
        await followed.stream().attach()


async def test_an_open_transaction_that_holds_up_the_slot_is_named(followed: Followed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "CREATION_SECONDS", 1)
    stream = followed.stream()
    with psycopg.connect(followed.url) as writer:
        writer.execute("insert into notes values (1)")
        with pytest.raises(SourceError, match=rf"transactions are open in process .*\b{writer.info.backend_pid}\b"):
            await stream.attach()
    await stream.attach()
    followed.run("insert into notes values (2)")
    assert ids(await followed.changes(stream, 1)) == [2]


async def test_nobody_at_home() -> None:
    stream = ReplicationStream("postgresql://127.0.0.1:1/none?sslmode=disable", slot="s", publication="p")
    with pytest.raises(StreamEnded, match="not attached"):
        await stream.next()
    with pytest.raises(DatabaseUnavailable, match="refused"):
        await stream.attach()


async def test_waiting_may_be_cancelled_and_ended(followed: Followed) -> None:
    stream = await followed.attached()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stream.next(), 0.01)
    followed.run("insert into notes values (1)")
    assert ids(await followed.changes(stream, 1)) == [1]
    waiting = asyncio.ensure_future(stream.next())
    await asyncio.sleep(0)
    await stream.close()
    with pytest.raises(StreamEnded, match="closed"):
        await waiting


@pytest.mark.every_version
async def test_attaching_may_be_cancelled_at_any_moment(followed: Followed) -> None:
    stream = followed.stream()
    for delay in (0.0, 0.001, 0.003, 0.006, 0.01, 0.02, 0.05):
        with contextlib.suppress(TimeoutError, SlotInUse, StreamEnded):
            await asyncio.wait_for(stream.attach(), delay)
    await followed.reattach(stream)
    followed.run("insert into notes values (1)")
    assert ids(await followed.changes(stream, 1)) == [1]


async def test_many_small_transactions_are_bounded_too(followed: Followed) -> None:
    stream = await followed.attached(queue_bytes=50_000)
    followed.run("do $$ begin for n in 1..300 loop insert into notes values (n); commit; end loop; end $$")
    await asyncio.sleep(0.5)
    assert 40_000 < stream.queued_bytes < 60_000
    assert ids(await followed.changes(stream, 300)) == list(range(1, 301))


@pytest.fixture
async def own() -> AsyncIterator[EmbeddedPostgres]:
    """A cluster that may be harmed."""
    async with EmbeddedPostgres(settings={"max_slot_wal_keep_size": "16MB", "wal_keep_size": "0"}) as own:
        yield own


async def test_a_crash_of_postgres_loses_and_repeats_nothing(own: EmbeddedPostgres) -> None:
    followed = Followed(own.url)
    followed.run(TABLES)
    stream = await followed.attached(queue_bytes=20_000)
    received: list[int] = []

    async def consume() -> None:
        while True:
            try:
                piece = await stream.next()
            except StreamEnded:
                await followed.reattach(stream)
            else:
                received.extend(ids(list(piece.changes)))
                if piece.end_lsn is not None and piece.xid % 20 == 0:  # leaves most to be acknowledged with later ones
                    stream.acknowledge(piece.end_lsn)

    consumer = asyncio.create_task(consume())
    numbers = itertools.count(1)
    for _ in range(3):
        assert own.process is not None
        async with await psycopg.AsyncConnection.connect(own.url, autocommit=True) as writer:
            killer = asyncio.get_running_loop().call_later(0.3, own.process.kill)
            with contextlib.suppress(psycopg.OperationalError):
                while True:
                    await writer.execute("insert into notes values (%s), (%s)", [next(numbers), next(numbers)])
            killer.cancel()
        await own.wait()
        await own.start()
    followed.run("insert into notes values (%s)", next(numbers))
    written = [int(str(number)) for (number,) in followed.run("select id from notes order by id")]
    async with asyncio.timeout(20):
        while len(received) < len(written):  # noqa: ASYNC110, nobody tells
            await asyncio.sleep(0.02)
    consumer.cancel()
    await stream.close()
    assert len(written) > 100
    assert received == written


async def test_a_slot_that_fell_too_far_behind_is_told_and_then_replaced(own: EmbeddedPostgres) -> None:
    followed = Followed(own.url)
    followed.run(TABLES)
    stream = await followed.attached()
    await stream.close()
    for _ in range(4):
        followed.run("insert into elsewhere values (1); select pg_switch_wal()")
    followed.run("checkpoint")
    await followed.until("wal_status = 'lost'")
    for reader in (stream, followed.stream()):  # also in a process that knows nothing of it
        with pytest.raises(SlotLost, match="removed log"):
            await reader.attach()
    await stream.attach()
    followed.run("insert into notes values (1)")
    assert ids(await followed.changes(stream, 1)) == [1]
    await stream.close()


async def test_another_log_is_a_loss(own: EmbeddedPostgres) -> None:
    """A new cluster in the place of the old one stands for a restore: positions in the old one's log mean nothing to it."""
    followed = Followed(own.url)
    followed.run(TABLES)
    stream = await followed.attached()
    await own.stop()
    with pytest.raises(StreamEnded):
        await stream.next()
    restored = EmbeddedPostgres()
    restored.port, restored.password = own.port, own.password
    async with restored:
        followed.run(TABLES)
        followed.run("select pg_create_logical_replication_slot(%s, 'pgoutput')", followed.slot)
        followed.run("insert into notes values (7)")
        with pytest.raises(SlotLost, match="another log"):
            await stream.attach()
        await stream.attach()
        assert ids(await followed.changes(stream, 1)) == [7]
        await stream.close()
        with pytest.raises(SlotLost, match="lost the end of its log"):
            await followed.stream().attach(2**40)


async def test_a_server_that_shuts_down_is_not_held_up(own: EmbeddedPostgres) -> None:
    followed = Followed(own.url)
    followed.run(TABLES)
    stream = await followed.attached()
    followed.run("insert into elsewhere values (1); insert into notes values (1)")
    await followed.changes(stream, 1)
    assert own.process is not None
    own.process.send_signal(signal.SIGINT)
    with pytest.raises(StreamEnded):
        await asyncio.wait_for(stream.next(), 5)
    assert await asyncio.wait_for(own.wait(), 5) == 0


async def test_a_network_that_falls_silent_is_noticed_and_one_without_changes_is_not(followed: Followed) -> None:
    parts = urlsplit(followed.url)
    async with proxied(lambda: parts.port or 0) as network:
        quiet = await followed.attached("-c wal_sender_timeout=3s")
        host = f"{parts.netloc.rpartition(':')[0]}:{network.port}"
        told: list[bool] = []
        cut = ReplicationStream(
            parts._replace(netloc=host).geturl(), slot="cut", publication="followed", on_silence=lambda: told.append(cut.flows)
        )
        followed.streams.append(cut)
        await cut.attach()
        network.freeze()
        with pytest.raises(StreamEnded, match="said nothing"):
            await asyncio.wait_for(cut.next(), 20)
        assert told == [False]
        followed.run("insert into notes values (1)")
        await cut.attach()  # Postgres has not noticed that nobody reads there any more
        assert ids(await followed.changes(cut, 1)) == [1]
    assert quiet.flows
    assert ids(await followed.changes(quiet, 1)) == [1]
