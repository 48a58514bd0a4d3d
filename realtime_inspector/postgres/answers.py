"""Runs one statement over libpq and keeps a bounded part of the rows that it answers."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from realtime_inspector.errors import StatementFailed
from realtime_inspector.postgres.readable import watch

TEXT: Final = 0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of an answer is kept: rows, bytes of them; and seconds until it is given up."""

    rows: int
    size: int
    seconds: float


@dataclass(slots=True)
class Answer:
    """What has come: names, types and modifiers of the columns, rows as texts, the tag of the command."""

    columns: tuple[tuple[str, int, int], ...] = ()
    rows: list[tuple[str | None, ...]] = field(default_factory=list)
    row_count: int = 0
    truncated: bool = False
    command: str = ""
    milliseconds: float = 0.0
    size: int = 0


async def ask(pgconn: PGconn, text: str, bounds: Bounds, parameters: Sequence[str] = ()) -> Answer:
    """Runs exactly one statement: the extended protocol takes no second one in the same message.

    Raises StatementFailed with the position in this text, DatabaseUnavailable when the connection is lost. After an answer that
    was given up, the connection can only be closed.
    """
    began = monotonic()
    pgconn.send_query_params(text.encode(), [value.encode() for value in parameters] or None, result_format=TEXT)
    pgconn.set_single_row_mode()
    try:
        async with asyncio.timeout(bounds.seconds):
            answer = await _received(pgconn, bounds)
    except TimeoutError as error:
        raise StatementFailed("The statement takes too long", sqlstate="57014") from error
    answer.milliseconds = round((monotonic() - began) * 1_000, 2)
    return answer


async def _received(pgconn: PGconn, bounds: Bounds) -> Answer:
    loop, socket = asyncio.get_running_loop(), pgconn.socket
    answer, failed, arrived = Answer(), list[StatementFailed](), asyncio.Event()
    try:
        while True:
            while not pgconn.is_busy():
                result = pgconn.get_result()
                if result is None:
                    if failed:
                        raise failed[0]
                    return answer
                _take(answer, result, bounds, failed)
            arrived.clear()
            watch(loop, socket, arrived.set)
            await arrived.wait()
            loop.remove_reader(socket)
            pgconn.consume_input()
    finally:
        loop.remove_reader(socket)


def _take(answer: Answer, result: PGresult, bounds: Bounds, failed: list[StatementFailed]) -> None:
    if result.status in (ExecStatus.SINGLE_TUPLE, ExecStatus.TUPLES_OK):
        names = range(result.nfields)
        if not answer.columns:
            described = ((result.fname(n) or b"").decode(errors="replace") for n in names)
            answer.columns = tuple((name, result.ftype(n), result.fmod(n)) for n, name in zip(names, described, strict=True))
        for row in range(result.ntuples):
            _keep(answer, [result.get_value(row, n) for n in names], bounds)
    if result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        answer.command = (result.command_status or b"").decode()
        changed = result.command_tuples
        answer.row_count = changed if changed is not None else answer.row_count
    elif result.status in (ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH):
        raise StatementFailed("COPY is not accepted", sqlstate="0A000")  # libpq gives this result again and again
    elif result.status != ExecStatus.SINGLE_TUPLE:
        failed.append(_failure(result))


def _keep(answer: Answer, row: list[bytes | None], bounds: Bounds) -> None:
    answer.row_count += 1
    size = sum(len(value) for value in row if value is not None)
    if answer.truncated or len(answer.rows) >= bounds.rows or answer.size + size > bounds.size:
        answer.truncated = True  # what follows is received and dropped, so that a change is done whole
        return
    answer.size += size
    answer.rows.append(tuple(None if value is None else value.decode(errors="replace") for value in row))


def _failure(result: PGresult) -> StatementFailed:
    def said(part: DiagnosticField) -> str:
        return (result.error_field(part) or b"").decode(errors="replace")

    position = said(DiagnosticField.STATEMENT_POSITION)
    return StatementFailed(
        said(DiagnosticField.MESSAGE_PRIMARY) or "The statement cannot be run",
        sqlstate=said(DiagnosticField.SQLSTATE),
        position=int(position) if position.isdigit() else None,
        detail=said(DiagnosticField.MESSAGE_DETAIL),
        hint=said(DiagnosticField.MESSAGE_HINT),
    )
