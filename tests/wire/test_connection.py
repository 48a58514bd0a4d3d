"""What a WebSocket survives, what closes it, and that nobody else notices."""

import asyncio
import contextlib
import socket
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from realtime_inspector.server.connection import IDLE_SECONDS, MESSAGES_PER_TICK, PING_SECONDS, SLOW_CONSUMER, Connection, Wire
from realtime_inspector.server.outbox import Outbox
from realtime_inspector.server.websocket import FRAGMENTS
from tests.wire.service import (
    V1,
    V2,
    VERSIONS,
    Service,
    client,
    counted,
    figure,
    handshake,
    masked,
    read_to_end,
    serving,
    stalled,
    until,
)

ROOM = "realtime:room"
GARBAGE = [
    "",
    "hello",
    "null",
    "[]",
    "{}",
    '["1","1"]',
    '["1","1",5,"phx_join",{}]',
    '{"topic":1,"event":[],"payload":null,"ref":{}}',
    "[" * 3_000,
    '["1","1","realtime:room","phx_join",{"a":' + "[" * 900 + "]" * 900 + "}]",
    b"",
    b"\x03",
    b"\x03\xff\xff\xff\xff\xff\x01short",
    b"\x00\x01\x01\x01abc",
    bytes(range(256)),
]


@pytest.mark.parametrize("vsn", VERSIONS)
async def test_frames_that_are_no_messages_are_dropped_and_the_socket_lives_on(vsn: str) -> None:
    async with serving() as service, client(service, vsn) as socket_:
        for garbage in GARBAGE:
            await socket_.connection.send(garbage)
        await socket_.alive()
        assert await figure(service, "messages_malformed_total") == len(GARBAGE)


async def test_a_frame_that_is_too_large_closes_its_socket_alone() -> None:
    async with serving(frame_bytes=10_000) as service, client(service) as large, client(service) as other:
        await large.connection.send("x" * 10_001)
        assert (await large.closed())[0] == 1009
        await other.alive()


async def test_the_close_frame_arrives_although_the_peer_still_sends() -> None:
    """A close with unread input would be a reset, which overtakes the frame that says why."""
    async with serving(frame_bytes=10_000) as service:
        reader, writer = await opened(service)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(masked(b"x" * 4_000_000))
        answer = await reader.read()
        assert (answer[0], int.from_bytes(answer[2:4], "big")) == (0x88, 1009)
        writer.close()


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (masked(b"\xff\xfe"), 1007),
        (masked(b"", fin=False) + masked(b"", 0, fin=False) * FRAGMENTS, 1008),
        (masked(b"", 0), 1002),
        (b"\x83\x80" + bytes(4), 1002),
        (b"\x81\x05hello", 1002),
        (masked(b"x" * 126, 9), 1002),
        (b"\xc1\x80" + bytes(4), 1002),
    ],
    ids=["no UTF-8", "fragments", "no beginning", "opcode", "no mask", "long ping", "compressed"],
)
async def test_what_breaks_the_rules_of_websockets_closes_with_their_code(frames: bytes, code: int) -> None:
    async with serving() as service, client(service) as broken, client(service) as other:
        broken.connection.transport.write(frames)
        assert (await broken.closed())[0] == code
        await other.alive()


async def test_a_message_in_fragments_is_one_message() -> None:
    async with serving() as service, client(service) as sender:
        whole = orjson.dumps([None, "5", "phoenix", "heartbeat", {}])
        pieces = [masked(whole[:9], fin=False), masked(b"ping", 9), masked(whole[9:20], 0, fin=False), masked(whole[20:], 0)]
        sender.connection.transport.write(b"".join(pieces))
        assert (await sender.next())[1] == "5"


async def test_compression_is_not_offered() -> None:
    async with serving() as service:
        reader, writer = await opened(service, "Sec-WebSocket-Extensions: permessage-deflate\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101")
        assert b"permessage-deflate" not in head
        writer.close()


async def test_pings_are_answered() -> None:
    async with serving() as service, client(service) as pinger:
        async with asyncio.timeout(20):
            await (await pinger.connection.ping(b"are you there"))


async def opened(service: Service, more: str = "") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A handshake written by hand."""
    parts = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(handshake(service, more))
    return reader, writer


async def test_a_reader_that_stalls_is_closed_and_delays_nobody() -> None:
    messages = [{"type": "broadcast", "event": "n", "payload": {"n": n, "filler": "x" * 200_000}} for n in range(40)]
    async with (
        serving(queue_bytes=1_000_000) as service,
        contextlib.AsyncExitStack() as stack,
        stalled(service) as raw,
        client(service) as sender,
    ):
        healthy = [await stack.enter_async_context(client(service, (V1, V2)[n % 2])) for n in range(20)]
        await asyncio.gather(*(each.join() for each in healthy))
        await sender.join(broadcast={"self": True})
        for message in messages:
            await sender.send(ROOM, "broadcast", message)
            assert (await sender.event())[1] == message
            for each in healthy:
                assert (await each.event())[1] == message
        assert await figure(service, "slow_consumers_total") == 1
        received = await read_to_end(raw)
        assert len(received) < len(orjson.dumps(messages))
        await counted(service, "sockets", 21)
        for each in healthy:
            await each.alive()


async def test_the_kernel_does_not_hide_that_nobody_reads() -> None:
    """Left alone it would take some megabytes of what a peer does not read."""
    message = {"type": "broadcast", "event": "n", "payload": {"filler": "x" * 40_000}}
    async with serving(queue_bytes=500_000) as service, stalled(service) as raw, client(service) as sender:
        await sender.join()
        for _ in range(20):
            await sender.send(ROOM, "broadcast", message)
        await sender.alive()
        await counted(service, "slow_consumers_total", 1)
        await read_to_end(raw)


async def test_a_reader_that_makes_no_progress_is_closed_even_if_little_is_queued() -> None:
    """The seconds without progress count, not only the bytes."""
    message = {"type": "broadcast", "event": "n", "payload": {"filler": "x" * 250_000}}
    async with serving(queue_bytes=100_000_000, queue_seconds=1) as service, stalled(service) as raw, client(service) as sender:
        await sender.join()
        for _ in range(40):
            await sender.send(ROOM, "broadcast", message)
        await sender.alive()
        await counted(service, "slow_consumers_total", 1)
        await read_to_end(raw)
        await counted(service, "sockets", 1)


@pytest.mark.parametrize("vsn", VERSIONS)
async def test_a_service_that_stops_tells_its_sockets(vsn: str) -> None:
    async with serving() as service, client(service, vsn) as member:
        await member.join()
        service.stop.set()
        assert await member.closed() == (1012, "the service restarts")
        await service.ended


async def test_a_service_stops_although_somebody_does_not_read() -> None:
    message = {"type": "broadcast", "event": "n", "payload": {"filler": "x" * 250_000}}
    async with serving(queue_bytes=100_000_000, queue_seconds=60) as service, stalled(service), client(service) as sender:
        await sender.join()
        for _ in range(40):
            await sender.send(ROOM, "broadcast", message)
        await sender.alive()
        service.stop.set()
        async with asyncio.timeout(5):  # the promise of the command line
            await service.ended


class Peer(asyncio.Protocol):
    """The protocol of a connection without WebSocket around it."""

    connection: Connection

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.connection = Connection(transport, self._wire, self)

    def connection_lost(self, _: Exception | None) -> None:
        self.connection.lost()

    def pause_writing(self) -> None:
        self.connection.blocked()

    def resume_writing(self) -> None:
        self.connection.unblocked()

    def data_received(self, data: bytes) -> None:
        self.connection.heard()
        for byte in data:
            self.connection.feed(bytes([byte]))

    def detach(self) -> None:
        """Nothing to let go of."""

    def close_frame(self, code: int, reason: str) -> bytes:
        return f"<{code} {reason}>".encode()


@contextlib.asynccontextmanager
async def paired(queue_bytes: int = 1_000_000, queue_seconds: float = 10) -> Any:
    """A Connection and the other end of its socket."""
    loop = asyncio.get_running_loop()
    wire = Wire(Outbox(loop), queue_bytes, queue_seconds, lambda: None)
    near, far = socket.socketpair()
    far.setblocking(False)
    transport, peer = await loop.connect_accepted_socket(lambda: Peer(wire), near)
    try:
        yield peer.connection, far
    finally:
        transport.abort()
        far.close()
        await asyncio.sleep(0)


async def test_nothing_follows_a_close_frame() -> None:
    async with paired() as (connection, far):
        connection.send(b"one ")
        connection.close(1000, "done")
        connection.send(b"two ")
        connection.close(1001, "again")
        connection.control(b"pong ")
        await asyncio.sleep(0)
        assert far.recv(1_000) == b"one <1000 done>"


async def test_what_waits_for_a_slow_peer_is_closed_after_it_was_taken() -> None:
    blob = b"x" * 900_000
    async with paired(5_000_000) as (connection, far):
        connection.send(blob)
        await asyncio.sleep(0)
        connection.send(b"last ")
        connection.close(1000, "done")
        received = bytearray()
        while not received.endswith(b">"):
            received += await asyncio.get_running_loop().sock_recv(far, 1 << 20)
        assert received == blob + b"last <1000 done>"


async def test_too_much_unread_closes() -> None:
    async with paired(queue_bytes=500_000) as (connection, far):
        for _ in range(20):
            connection.send(b"x" * 100_000)
            await asyncio.sleep(0)
        assert connection.pending is None
        assert connection.queued_bytes < 700_000
        await connection.drained()  # of a closed connection: at once
        received = bytearray()
        while not received.endswith(b">"):
            received += await asyncio.get_running_loop().sock_recv(far, 1 << 20)
        assert bytes(received).strip(b"x").startswith(f"<{SLOW_CONSUMER} slow consumer".encode())


async def test_pongs_do_not_pile_up_for_a_peer_that_does_not_read() -> None:
    async with paired(5_000_000) as (connection, _):
        connection.control(b"pong")
        connection.send(b"x" * 2_000_000)
        await asyncio.sleep(0)
        queued = connection.queued_bytes
        assert queued > 0
        for _ in range(100):
            connection.control(b"pong")
        assert connection.queued_bytes == queued


async def test_drained_waits_until_the_peer_has_read() -> None:
    async with paired(5_000_000) as (connection, far):
        connection.send(b"x" * 2_000_000)
        waiting = asyncio.create_task(connection.drained())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
        assert connection.queued_bytes > 0
        left = 2_000_000
        while left:
            left -= len(await asyncio.get_running_loop().sock_recv(far, 1 << 20))
        await waiting
        assert connection.queued_bytes == 0


async def test_each_socket_gets_its_share_of_a_turn_and_loses_nothing() -> None:
    async with paired() as (connection, far):
        received: list[bytes] = []
        await connection.run(received.append, lambda: None)
        far.send(bytes(range(200)))
        await until(lambda: received)
        assert len(received) == MESSAGES_PER_TICK
        await until(lambda: len(received) == 200)
        assert b"".join(received) == bytes(range(200))


async def test_a_held_connection_keeps_what_comes_for_later() -> None:
    async with paired() as (connection, far):
        received: list[bytes] = []

        def receive(message: bytes) -> None:
            received.append(message)
            if message == b"b":
                connection.hold(True)

        await connection.run(receive, lambda: None)
        far.send(b"abcd")
        await until(lambda: len(received) == 2)
        for _ in range(10):
            await asyncio.sleep(0)
        assert received == [b"a", b"b"]
        connection.hold(False)
        far.send(b"e")
        await until(lambda: len(received) == 5)
        assert received == [b"a", b"b", b"c", b"d", b"e"]


async def test_a_silent_peer_is_pinged_and_then_closed() -> None:
    async with paired() as (connection, far):
        lost: list[bool] = []
        await connection.run(lambda _: None, lambda: lost.append(True))
        began = asyncio.get_running_loop().time()
        for seconds in (1, PING_SECONDS + 1, PING_SECONDS + 2, 2 * PING_SECONDS + 1):
            connection.sweep(began + seconds)
            await asyncio.sleep(0)
        assert far.recv(100) == b"\x89\x00\x89\x00"
        connection.sweep(began + IDLE_SECONDS + 1)
        assert far.recv(100) == b"<1001 no frame came for a minute>"
        assert not lost
        connection.sweep(began + 2 * IDLE_SECONDS)  # it did not answer
        await until(lambda: lost)


async def test_a_peer_that_answers_is_not_closed() -> None:
    async with paired() as (connection, far):
        received: list[bytes] = []
        await connection.run(received.append, lambda: None)
        long_ago = asyncio.get_running_loop().time()
        far.send(b"x")
        await until(lambda: received)
        connection.sweep(long_ago + IDLE_SECONDS)
        assert connection.pending is not None


async def test_members_that_fail_are_dropped_and_the_others_served() -> None:
    class Broken:
        pending: bytes | None = b""
        aborted = 0

        def flush(self) -> None:
            raise OSError("broken")

        def sweep(self, _: float) -> None:
            raise OSError("broken")

        def abort(self) -> None:
            self.aborted += 1
            self.pending = None

    async with paired() as (connection, far):
        outbox, broken = connection._wire.outbox, Broken()
        outbox.send([broken, connection], b"hello")
        await asyncio.sleep(0)
        assert far.recv(10) == b"hello"
        assert broken.aborted == 1
