"""Batches of statements over libpq: their order, their errors, and more bytes than a socket takes at once."""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

import psycopg
import pytest
import uvloop

from realtime_inspector.postgres.roundtrip import MOST_PREPARED, RoundTrips, Statement, Stuck, text_array

BEGIN, ROLLBACK = Statement("begin isolation level repeatable read read only"), Statement("rollback")


@pytest.fixture(params=[True, False], ids=["prepared", "unnamed"])
async def trips(request: pytest.FixtureRequest, database: str) -> AsyncIterator[RoundTrips]:
    opened = await RoundTrips.open(
        database, "test", {"statement_timeout": "2000", "search_path": '"$user", "a b"'}, prepares=request.param
    )
    yield opened
    opened.close()


async def test_each_statement_is_answered_in_order(trips: RoundTrips) -> None:
    for _ in range(3):
        _, first, second = await trips.ask(BEGIN, Statement("select 1, null"), Statement("show search_path"))
        assert (first.get_value(0, 0), first.get_value(0, 1), second.get_value(0, 0)) == (b"1", None, b'"$user", "a b"')
        trips.tell(ROLLBACK)
    (name,) = await trips.ask(Statement("select current_setting('application_name')"))
    assert name.get_value(0, 0) == b"realtime_inspector test"


async def test_more_is_sent_and_received_than_buffers_hold(trips: RoundTrips) -> None:
    values = [f'{n} "quoted" \\ ünï, {{}}' + "x" * 20_000 for n in range(500)]
    (sent, empty) = await trips.ask(
        Statement("select x from unnest($1::text[]) x", [text_array(values)]),
        Statement("select cardinality($1::text[])", [text_array([])]),
    )
    assert [(sent.get_value(row, 0) or b"").decode() for row in range(sent.ntuples)] == values
    assert empty.get_value(0, 0) == b"0"


async def test_only_so_many_statements_are_kept_prepared(trips: RoundTrips) -> None:
    for n in range(2 * MOST_PREPARED):
        (result,) = await trips.ask(Statement(f"select {n}"))
        assert result.get_value(0, 0) == b"%d" % n
    (kept,) = await trips.ask(Statement("select count(*) from pg_prepared_statements"))
    assert int(kept.get_value(0, 0) or b"") <= MOST_PREPARED + 1


async def test_the_first_error_is_raised(trips: RoundTrips) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        await trips.ask(BEGIN, Statement("select 1 / 0"), Statement("select sqrt(-1)"))


async def test_an_untold_error_is_raised_by_the_next_question(trips: RoundTrips) -> None:
    trips.tell(Statement("select 1 / 0"))
    with pytest.raises(psycopg.errors.DivisionByZero):
        await trips.ask(Statement("select 1"))


async def test_the_time_limit_is_each_statement_s_own(trips: RoundTrips) -> None:
    nap = Statement("select pg_sleep(0.8)")
    assert len(await trips.ask(BEGIN, nap, nap, nap)) == 4
    with pytest.raises(psycopg.errors.QueryCanceled):
        await trips.ask(Statement("select pg_sleep(5)"))


async def test_a_connection_that_ends_is_an_error(trips: RoundTrips, database: str) -> None:
    (pid,) = await trips.ask(Statement("select pg_backend_pid()"))
    asking = asyncio.ensure_future(trips.ask(Statement("select pg_sleep(0.1)"), Statement("select pg_sleep(0.1)")))
    await asyncio.sleep(0.02)
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("select pg_terminate_backend(%s)", [int(pid.get_value(0, 0) or 0)])
    with pytest.raises(psycopg.OperationalError):
        await asking
    with pytest.raises(psycopg.OperationalError):
        await trips.ask(Statement("select 1"))


async def _reset(listener: socket.socket, port: int, armed: asyncio.Event) -> None:
    """Forwards answers; once armed, a few bytes of the next one together with a reset."""
    loop = asyncio.get_running_loop()
    near, _ = await loop.sock_accept(listener)
    with near, socket.create_connection(("127.0.0.1", port)) as far:
        near.setblocking(False)
        far.setblocking(False)
        while True:
            await loop.sock_sendall(far, await loop.sock_recv(near, 65_536))
            answer = await loop.sock_recv(far, 65_536)
            if armed.is_set():
                break
            await loop.sock_sendall(near, answer)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        near.send(answer[:10])  # the client, in the same loop, has no turn before the reset


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_reset_that_comes_with_a_part_of_the_answer_is_noticed(
    database: str, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def work() -> None:
        parts = urlsplit(database)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            armed = asyncio.Event()
            relaying = asyncio.create_task(_reset(listener, parts.port or 0, armed))
            address = f"{parts.netloc.rpartition(':')[0]}:{listener.getsockname()[1]}"
            trips = await RoundTrips.open(parts._replace(netloc=address).geturl(), "test", {}, prepares=False)
            await trips.ask(Statement("select 1"))
            armed.set()
            with pytest.raises(psycopg.OperationalError):
                await asyncio.wait_for(trips.ask(Statement("select 1")), 10)
            trips.close()
            await relaying

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(work())


async def test_what_does_not_come_back_is_named_and_what_came_before_it_is_kept(trips: RoundTrips) -> None:
    nap = Statement("select pg_sleep(0.2)", promptly=True)
    assert len(await trips.ask(nap, nap, nap, patience=0.5)) == 3
    with pytest.raises(Stuck) as stuck:
        await trips.ask(Statement("select 1", promptly=True), nap, Statement("select pg_sleep(60)"), nap, patience=0.5)
    assert [result.get_value(0, 0) for result in stuck.value.results] == [b"1", b""]


async def test_who_had_no_time_to_look_takes_the_answer_that_came_meanwhile(trips: RoundTrips) -> None:
    asyncio.get_running_loop().call_later(0.05, time.sleep, 0.6)
    assert len(await trips.ask(Statement("select pg_sleep(0.2)"), patience=0.4)) == 1
