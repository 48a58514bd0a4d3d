"""Opens replication connections, and makes, judges and replaces the slot that they read."""

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import AsyncClientCursor, AsyncConnection
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import DiagnosticField
from psycopg.pq.abc import PGresult
from psycopg.rows import TupleRow

from realtime_inspector.errors import (
    RealtimeError,
    SetupError,
    SlotInUse,
    SlotLost,
    SourceError,
    StreamEnded,
)
from realtime_inspector.postgres import sql
from realtime_inspector.postgres.connect import CONNECT_SECONDS, PINNED
from realtime_inspector.postgres.failures import unreachable
from realtime_inspector.postgres.sql import quote_identifier

Connection = AsyncConnection[TupleRow]

CREATION_SECONDS = 10
FAILOVER_SINCE = 170_000


@dataclass(frozen=True, slots=True)
class Log:
    """Which write-ahead log it is, and how far it is written. LSNs of different timelines cannot be compared."""

    system: str
    timeline: int
    flushed: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """The slot to read and the publication to read through it. `beside`: other ones, as far as they exist."""

    slot: str
    publication: str
    beside: tuple[str, ...] = ()


async def connect(url: str) -> Connection:
    """A connection for logical replication, which also takes simple SQL. Raises DatabaseUnavailable.

    The URL's own `options` stay in force, except for the settings on which the text of values depends.
    """
    settings = {**PINNED, "client_encoding": "UTF8", "statement_timeout": f"{CREATION_SECONDS}s"}
    try:
        theirs = conninfo_to_dict(url).get("options")
        ours = " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in settings.items())
        return await AsyncConnection.connect(
            url,
            autocommit=True,
            cursor_factory=AsyncClientCursor,  # a walsender knows no extended protocol, so parameters are put in on our side
            replication="database",
            client_encoding="UTF8",
            options=f"{theirs or ''} {ours}",
            connect_timeout=CONNECT_SECONDS,
            application_name="realtime_inspector stream",
            # A dead network is noticed in about 30 seconds; until Postgres notices too, nobody else can have the slot.
            keepalives=1,
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=30_000,
        )
    except (psycopg.Error, OSError) as error:
        raise unreachable("The replication connection failed", _said(error)) from error


async def identify(connection: Connection) -> Log:
    """Where the server stands."""
    system, timeline, flushed, _ = await _row(connection, "IDENTIFY_SYSTEM")
    return Log(str(system), int(timeline), parse_lsn(str(flushed)))


async def switch_point(connection: Connection, log: Log, former: Log) -> int | None:
    """Where the log went over from a former timeline to this one; None when that one is not its past."""
    if log.system != former.system or log.timeline <= former.timeline:
        return None
    try:
        cursor = await connection.execute(f"TIMELINE_HISTORY {log.timeline}".encode())
        row = await cursor.fetchone()
    except psycopg.Error as error:
        raise explain(error) from error
    history = row[1] if row else ""  # bytes up to 17
    # One line for each timeline before this one: its number, the LSN at which it ended, and why.
    for line in (history if isinstance(history, str) else bytes(history).decode()).splitlines():
        match line.split("\t"):
            case [timeline, end, *_] if timeline.strip() == str(former.timeline):
                return parse_lsn(end)
    return None


async def prepare(connection: Connection, wanted: Wanted, *, known: bool, broken: int) -> int:
    """Makes sure of the slot and returns its confirmed position.

    `known`: it was there before, so that its absence is a loss and not a first start. `broken`: where the log ended when the
    slot was found to be of no use; a slot confirmed up to there at most is still that one, and gives place to a new one.
    Raises SlotLost, SlotInUse, SetupError, SourceError.
    """
    try:
        await _check_publication(connection, wanted.publication)
        query = sql.load("reader_slot")
        found = await _found(connection, query, wanted.slot)
        if found is not None:
            ours, lost, confirmed, survives_failover = found
            if not ours:
                raise SetupError(
                    f"The replication slot {wanted.slot} serves somebody else", hint="Choose another name in RTI_SLOT."
                )
            if confirmed > broken and not lost:
                if not survives_failover:
                    await connection.execute(f"ALTER_REPLICATION_SLOT {quote_identifier(wanted.slot)} (FAILOVER true)".encode())
                return int(confirmed)
            if confirmed > broken:
                raise SlotLost(
                    f"Postgres removed log that the replication slot {wanted.slot} had yet to read: too much for its limits"
                )
            await connection.execute("select pg_drop_replication_slot(%s)", [wanted.slot])
        elif known:
            raise SlotLost(f"The replication slot {wanted.slot} is gone; changes in between are lost")
        return await _create(connection, wanted.slot)
    except psycopg.Error as error:
        raise explain(error) from error


async def release(connection: Connection, slot: str, backend: int) -> None:
    """Ends our own former reader of the slot: Postgres may not have noticed yet that nobody is there, and nobody else gets it."""
    query: LiteralString = "select pg_terminate_backend(active_pid, 2000) from pg_replication_slots"
    with suppress(psycopg.errors.InsufficientPrivilege):
        await connection.execute(f"{query} where slot_name = %s and active_pid = %s", [slot, backend])


async def start(connection: Connection, wanted: Wanted, lsn: int) -> None:
    """Puts the connection into COPY both. Raises SlotInUse, SlotLost, StreamEnded."""
    # Replication commands know neither parameters nor E'' strings: a backslash stands for itself.
    query = "select array(select pubname::text from pg_publication where pubname = any (%s) order by 1)"
    (beside,) = await _row(connection, query, list(wanted.beside))
    names = ", ".join(map(quote_identifier, [wanted.publication, *beside])).replace("'", "''")
    options = f"proto_version '1', publication_names '{names}', messages 'true'"
    command = f"START_REPLICATION SLOT {quote_identifier(wanted.slot)} LOGICAL {format_lsn(lsn)} ({options})"
    try:
        await connection.execute(command.encode())
    except psycopg.errors.ObjectNotInPrerequisiteState as error:  # it was invalidated
        raise SlotLost(f"The replication slot {wanted.slot} cannot be read any more: {_said(error)}") from error
    except psycopg.Error as error:
        raise explain(error) from error


def ended(result: PGresult | None) -> SourceError:
    """Why the server ended COPY both."""
    if result is None or not (state := result.error_field(DiagnosticField.SQLSTATE)):
        return StreamEnded("Postgres ended the replication stream: it shuts down")
    said = result.get_error_message().strip()
    match state.decode():
        # The publication is gone, and stays so for this slot: decoding looks it up as it was when the change was made.
        case psycopg.errors.UndefinedObject.sqlstate:
            return SlotLost(f"The replication slot cannot go on; changes in between are lost: {said}", gap="publication")
        case psycopg.errors.UndefinedFile.sqlstate:  # "requested WAL segment has already been removed"
            return SlotLost(f"The replication slot cannot go on; changes in between are lost: {said}")
    return StreamEnded(f"Postgres ended the replication stream: {said}")


def explain(error: psycopg.Error) -> RealtimeError:
    """Our error for what Postgres answered to a command."""
    match error:
        case psycopg.errors.ObjectInUse():
            return SlotInUse(f"Standing by while another process reads the slot: {_said(error)}")
        case psycopg.errors.InsufficientPrivilege() | psycopg.errors.ConfigurationLimitExceeded() | psycopg.errors.InvalidName():
            return SetupError(_said(error))
        case psycopg.errors.ObjectNotInPrerequisiteState():  # wal_level
            return SetupError(_said(error), hint="Set wal_level = logical and restart Postgres.")
        case psycopg.errors.UndefinedObject():
            return SlotLost(f"The replication slot is gone; changes in between are lost: {_said(error)}")
        case _:
            return StreamEnded(f"The replication stream could not be started: {_said(error)}")


def parse_lsn(text: str) -> int:
    """The number of an LSN that is written as in "16/B374D848"."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def format_lsn(lsn: int) -> str:
    """The form that commands take."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


async def sender_timeout(connection: Connection) -> float:
    """Seconds of silence after which Postgres takes the other end for gone; infinite when it never does."""
    (timeout,) = await _row(connection, "select setting::int from pg_settings where name = 'wal_sender_timeout'")
    return int(timeout) / 1_000 or math.inf


async def _check_publication(connection: Connection, publication: str) -> None:
    if await _found(connection, "select from pg_publication where pubname = %s", publication) is None:
        # A slot made before its publication would fail at the first change, for ever.
        raise SetupError(f"There is no publication {publication}", hint="Run `realtime-inspector init`, or set RTI_PUBLICATION.")


async def _create(connection: Connection, slot: str) -> int:
    try:
        # From 17 on a standby that synchronizes slots takes it over; where none does, this changes nothing.
        if connection.info.server_version >= FAILOVER_SINCE:
            query: LiteralString = "pg_create_logical_replication_slot(%s, 'pgoutput', failover => true)"
        else:
            query = "pg_create_logical_replication_slot(%s, 'pgoutput')"
        made = await _row(connection, f"select (lsn - '0/0')::int8 from {query}", slot)
    except psycopg.errors.QueryCanceled as error:
        # A slot begins where no transaction is half done, so its creation waits for all that have written something.
        query = "select string_agg(distinct pid::text, ', ') from pg_locks where locktype = 'transactionid' and granted"
        (holders,) = await _row(connection, query)
        raise SourceError(
            f"The replication slot was not made within {CREATION_SECONDS} seconds: transactions are open in process {holders}",
            hint="End those transactions; the service tries again by itself.",
        ) from error
    return int(made[0])


async def _row(connection: Connection, query: LiteralString, *parameters: object) -> TupleRow:
    row = await _found(connection, query, *parameters)
    assert row is not None
    return row


async def _found(connection: Connection, query: LiteralString, *parameters: object) -> TupleRow | None:
    cursor = await connection.execute(query, parameters or None)
    return await cursor.fetchone()


def _said(error: BaseException) -> str:
    return " ".join(str(error).split())
