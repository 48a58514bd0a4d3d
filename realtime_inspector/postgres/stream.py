"""Reads committed transactions from a replication slot, and tells Postgres what has been dealt with."""

import asyncio
import math
import time
from collections.abc import Callable
from struct import Struct
from typing import Final

import psycopg
from psycopg.errors import Diagnostic, ObjectNotInPrerequisiteState
from psycopg.pq.abc import PGconn

from realtime_inspector.errors import SlotLost, SourceError, StreamEnded
from realtime_inspector.model import Position, Transaction
from realtime_inspector.postgres import slot as slots
from realtime_inspector.postgres.arrivals import Arrivals
from realtime_inspector.postgres.readable import watch
from realtime_inspector.replication.assembler import Assembler
from realtime_inspector.replication.pgoutput import EPOCH, MalformedMessage, decode

FAIR = 250
"""Messages per callback, about 2 ms: then the loop's other work has its turn."""
PIECE_BYTES = 262_144
PIECE_OVERHEAD = 1_024
"""What a piece counts for beside its bytes, so that many empty ones are bounded too."""
LONGEST_INTERVAL = 10.0
"""Seconds between status reports; shorter where wal_sender_timeout is less than three times as long."""
FIRST_SILENCE = 3.0
"""Seconds of silence after which a network is taken for dead, though Postgres may only be busy with a large transaction: twice as
long each time that nothing comes after it, until it is as long as Postgres itself would wait for us."""
ATTACH_SECONDS = 30.0
"""For everything that is said until the stream flows; making a slot has a limit of its own."""
PROMPTLY = 0.1
"""Seconds between status reports while acknowledgements keep coming."""
IDLE_BYTES = 2_097_152
"""So much log of other tables and databases is not acknowledged by the interval alone: Postgres would keep all of it."""

# https://www.postgresql.org/docs/current/protocol-replication.html: XLogData, primary keepalive, standby status update.
_DATA, _KEEPALIVE = b"wk"
_DATA_HEAD = 25
_read_lsn = Struct("!Q").unpack_from
_read_keepalive = Struct("!xQqB").unpack_from
_STATUS = Struct("!cQQQqB")


class ReplicationStream:
    """A ports.Source over one slot, which it makes when it is missing. For one consumer.

    `attach` connects, and connects again after a fault, as often as wanted. Between attachments within one process nothing is
    given out twice and nothing is left out, whatever the slot has forgotten (a crash of Postgres takes its confirmed position
    back to the last checkpoint). What `next` returned counts as given out, so the consumer has to hold on to it.

    SlotLost is the exception: it says that changes were lost, and the next `attach` begins anew, with a new slot if the old
    one is of no use. Not more than about `queue_bytes` of the log wait here for `next`; beyond that nothing is read, while
    status reports go on, so that Postgres keeps the connection and the log.
    """

    begins_with: Final = ""

    def __init__(
        self,
        url: str,
        *,
        slot: str,
        publication: str,
        beside: tuple[str, ...] = (),
        piece: int = 500,
        queue_bytes: int = 1_048_576,
        on_silence: Callable[[], None] = lambda: None,
    ) -> None:
        """`beside`: other publications, of which those are read too that exist when it attaches. `on_silence`: is told that
        Postgres says nothing any more.
        """
        self._url = url
        self._wanted = slots.Wanted(slot, publication, beside)
        self._piece = piece
        self._arrivals = Arrivals(queue_bytes, self._make_room, StreamEnded("The replication stream is not attached"))
        self._on_silence = on_silence
        self._connection: slots.Connection | None = None
        self._socket = -1
        self._left = 0
        """The server's process that may still read the slot for us, unaware that nobody is there."""
        self._sender_timeout = math.inf
        self._trust = FIRST_SILENCE
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._turn: asyncio.Handle | None = None
        self._begun = False
        self._paused = False
        self._broken = 0
        self._forget()

    def _forget(self) -> None:
        """Nothing that was known of the slot's contents holds any more."""
        self._assembler = Assembler(self._piece)
        self._log: slots.Log | None = None
        self._arrivals.clear()
        self._collected = 0
        self._received = 0
        self._last_end = 0
        self._acknowledged = 0

    async def attach(self, start_lsn: int = 0) -> None:
        """Connects and lets the stream flow.

        `start_lsn`: at the first call, the position that an earlier process had acknowledged; afterwards the stream knows
        better. Raises SlotLost, SlotInUse (another reader has the slot), SetupError, DatabaseUnavailable, SourceError.
        """
        self._disconnect()
        if isinstance(self._arrivals.fault, SlotLost):
            self._forget()
        self._arrivals.fault = StreamEnded("The replication stream is not attached")
        connection = await slots.connect(self._url)
        try:
            async with asyncio.timeout(ATTACH_SECONDS):
                await self._start(connection, 0 if self._begun else start_lsn)
        except TimeoutError as error:
            await connection.close()
            raise StreamEnded(f"Postgres said nothing for {ATTACH_SECONDS:.0f} seconds") from error
        except BaseException as error:
            await connection.close()  # at once: a reader that is connected and does not read keeps the slot busy
            if isinstance(error, SlotLost):
                self._begun, self._arrivals.fault = True, error
            raise
        self._begun, self._arrivals.fault = True, None

    async def _start(self, connection: slots.Connection, start_lsn: int) -> None:
        log = await slots.identify(connection)
        start = max(start_lsn, self._acknowledged)
        if self._log is not None and (log.system, log.timeline) != (self._log.system, self._log.timeline):
            switch = await slots.switch_point(connection, log, self._log)
            if switch is None or switch < max(self._received, self._last_end, self._acknowledged):
                what = "Postgres continues another log, after a failover or a restore; changes in between may be lost"
                raise SlotLost(what, gap="failover")
        if log.flushed < max(start, self._last_end):
            raise SlotLost("Postgres has lost the end of its log; changes in between may be lost", gap="failover")
        known = self._log is not None or start_lsn > 0
        try:
            await slots.release(connection, self._wanted.slot, self._left)
            confirmed = await slots.prepare(connection, self._wanted, known=known, broken=self._broken)
            self._sender_timeout = await slots.sender_timeout(connection)
            await slots.start(connection, self._wanted, max(start, confirmed))
        except SlotLost:
            self._broken = log.flushed
            raise
        if self._log is not None and confirmed > max(start, self._last_end):  # the slot is good for what comes now
            raise SlotLost("Another process has read the replication slot; changes in between are lost here", gap="taken_over")
        self._log, self._acknowledged, self._left = log, max(start, confirmed), 0
        self._last_end = max(self._last_end, self._acknowledged)
        self._received = self._acknowledged
        self._collected = 0
        self._assembler.restart()
        self._connection, self._socket = connection, connection.pgconn.socket
        connection.add_notice_handler(self._notice)
        self._resume()
        self._report_within(0)

    async def next(self) -> Transaction:
        """The next piece. What arrived before a fault is given out first, then the fault is raised: StreamEnded or SlotLost."""
        return await self._arrivals.next()

    def next_nowait(self) -> Transaction | None:
        """The next piece if it is here already."""
        return self._arrivals.next_nowait()

    def acknowledge(self, end_lsn: int) -> None:
        """Everything up to there is done with and need not come again; told to Postgres within a tenth of a second.

        Older positions, and those from before a SlotLost, are ignored.
        """
        if self._acknowledged < end_lsn <= self._last_end:
            self._acknowledged = end_lsn
            if self._connection is not None:
                self._report_within(PROMPTLY)

    def lose(self, loss: SlotLost) -> None:
        """Gives the slot up; what arrived is given out, then the loss is raised, and the next `attach` makes a new slot."""
        self._fail(loss)

    @property
    def flows(self) -> bool:
        """Whether it is attached."""
        return self._connection is not None

    @property
    def acknowledged(self) -> int:
        """Everything up to there is done with."""
        return self._acknowledged

    @property
    def received(self) -> int:
        """How far the log has come, as Postgres says."""
        return self._received

    @property
    def log(self) -> str:
        """System and timeline: after a failover another one."""
        return "" if self._log is None else f"{self._log.system}/{self._log.timeline}"

    @property
    def durable(self) -> int:
        """How much of the log was on disk when it was attached."""
        return 0 if self._log is None else self._log.flushed

    @property
    def queued_bytes(self) -> int:
        """How much of the log waits here for `next`."""
        return self._arrivals.size_bytes

    def joined(self, position: Position) -> Position:
        """The log's own order."""
        return position

    async def close(self) -> None:
        """Ends the connection; the slot stays. Who waits in `next` gets StreamEnded."""
        self._fail(StreamEnded("The replication stream was closed"))

    def _make_room(self) -> None:
        if self._paused:
            self._resume()

    def _pause(self) -> None:
        self._paused = True
        asyncio.get_running_loop().remove_reader(self._socket)

    def _resume(self) -> None:
        self._paused = False
        loop = asyncio.get_running_loop()
        self._heard_at = loop.time()
        watch(loop, self._socket, self._read)
        self._turn = loop.call_soon(self._read)  # libpq may hold messages that the socket will not tell about

    def _read(self) -> None:
        """Takes what has arrived, as far as there is room for it and the loop's other work does not have to wait."""
        assert self._connection is not None
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self._heard_at = asyncio.get_running_loop().time()
        try:
            if self._drain(self._connection.pgconn):
                self._turn = asyncio.get_running_loop().call_soon(self._read)
        except SourceError as fault:
            self._fail(fault)
        except Exception as error:  # whatever it is: the socket stays readable, so it would be raised again for ever
            self._fail(_broke(error))

    def _drain(self, pgconn: PGconn) -> bool:
        """Whether there may be more."""
        fruitless = 0
        for _ in range(FAIR):
            length, data = pgconn.get_copy_data(1)
            if length > 0:
                fruitless = 0
                self._take(data)
                if self._arrivals.full:
                    self._pause()
                    return False
            elif length < 0:
                raise slots.ended(pgconn.get_result())
            elif fruitless > pgconn.ssl_in_use:
                watch(asyncio.get_running_loop(), self._socket, self._read)
                return False
            else:
                # Takes one buffer of libpq's, 16 kB; with TLS, as much may wait in OpenSSL while the socket is not readable.
                pgconn.consume_input()
                fruitless += 1
        return True

    def _notice(self, told: Diagnostic) -> None:
        # Postgres 18 no longer fails without the publication, it only says so: the changes are left out, and lost.
        if told.sqlstate == ObjectNotInPrerequisiteState.sqlstate and self._connection is not None:
            said = f"{told.message_primary}. {told.message_detail}"
            loss = SlotLost(f"The publication was missing; changes in between are lost: {said}", gap="publication")
            asyncio.get_running_loop().call_soon(self._fail, loss)  # not from within libpq's callback

    def _take(self, data: memoryview) -> None:
        if data[0] == _DATA:
            (lsn,) = _read_lsn(data, 9)
            if lsn > self._received:
                self._received = lsn
            payload = bytes(data[_DATA_HEAD:])
            self._collected += len(payload)
            piece = self._assembler.receive(decode(payload))
            if piece is not None:
                self._enqueue(piece)
            elif self._collected >= PIECE_BYTES:
                self._enqueue(self._assembler.cut())
        elif data[0] == _KEEPALIVE:
            lsn, _, wants_reply = _read_keepalive(data)
            self._received = max(self._received, lsn)
            if wants_reply:  # an answer to every keepalive would be answered with a keepalive
                self._report()
            elif self._received - self._acknowledged >= IDLE_BYTES and self._idle:
                self._report_within(PROMPTLY)
        else:
            raise MalformedMessage(f"unknown kind of replication message {data[0]:#04x}")

    def _enqueue(self, piece: Transaction | None) -> None:
        size, self._collected = self._collected + PIECE_OVERHEAD, 0
        if piece is not None:
            self._trust = FIRST_SILENCE
            self._arrivals.put(piece, size)
            self._last_end = max(self._last_end, piece.end_lsn or 0)

    def _report_within(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        if self._timer is None or self._timer.when() > when:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_at(when, self._tick)

    def _tick(self) -> None:
        silent = self._silent
        if silent > self._patience and self._connection is not None:
            self._trust *= 2
            self._left = self._connection.pgconn.backend_pid
            self._fail(StreamEnded(f"Postgres has said nothing for {silent:.0f} seconds"))
            self._on_silence()
            return
        try:
            self._report(asks=silent >= self._interval / 2)
        except psycopg.Error as error:
            self._fail(_broke(error))

    @property
    def _silent(self) -> float:
        """Seconds since Postgres said something, as far as it was listened to."""
        return 0.0 if self._paused else asyncio.get_running_loop().time() - self._heard_at

    @property
    def _patience(self) -> float:
        """Seconds of silence that are nothing yet."""
        return min(self._sender_timeout, self._trust)

    @property
    def _interval(self) -> float:
        """Seconds between status reports."""
        return min(LONGEST_INTERVAL, self._patience / 3)

    @property
    def _idle(self) -> bool:
        return self._acknowledged >= self._last_end and not self._assembler.in_transaction

    def _report(self, *, asks: bool = False) -> None:
        """Says how far we are; the next report is due after the interval. `asks`: for a sign of life."""
        assert self._connection is not None
        if self._idle:
            # Nothing of ours is under way, so the log of other tables and databases need not be kept for us.
            self._acknowledged = self._last_end = max(self._received, self._last_end)
        flushed, clock = self._acknowledged, time.time_ns() // 1_000 - EPOCH
        self._connection.pgconn.put_copy_data(_STATUS.pack(b"r", max(self._received, flushed), flushed, flushed, clock, asks))
        self._connection.pgconn.flush()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._report_within(min(self._interval, max(PROMPTLY, self._patience - self._silent)))

    def _fail(self, fault: SourceError) -> None:
        self._disconnect()
        if isinstance(fault, SlotLost):
            self._broken = max(self._received, self._acknowledged)
        self._arrivals.fail(fault)

    def _disconnect(self) -> None:
        """Before anything else when something is wrong: a reader that is connected and does not read keeps the slot busy."""
        for handle in (self._timer, self._turn):
            if handle is not None:
                handle.cancel()
        self._timer = self._turn = None
        self._paused = False
        if self._connection is not None:
            asyncio.get_running_loop().remove_reader(self._socket)  # before the number can become another socket's
            self._connection.pgconn.finish()
            self._connection = None


def _broke(error: Exception) -> StreamEnded:
    return StreamEnded(f"The replication stream broke: {' '.join(str(error).split())}")
