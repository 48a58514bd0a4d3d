"""Attacks through real sockets on the whole service with a real Postgres."""

import asyncio
import socket
import uuid
from typing import Any

import asyncpg
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from realtime_inspector.app import run
from realtime_inspector.identity.tokens import NAMESPACE
from realtime_inspector.postgres.setup import Options, prepare
from realtime_inspector.settings import Settings, load_settings
from tests.wire.service import SECRET, token


@pytest.fixture
async def settings(database: str) -> Settings:
    """Those of a database that is ready for the service, at a port of its own."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
    given = {"RTI_JWT_SECRET": SECRET, "RTI_PORT": str(port), "RTI_LOG_LEVEL": "warning"}
    prepared = await prepare(database, Options(existing=given, supabase_roles=True))
    return load_settings({**given, **prepared.env})


async def impersonate(database: str, *, ended: bool) -> str:
    """A token of an impersonation that is recorded, and was perhaps ended."""
    session = str(uuid.uuid4())
    admin = await asyncpg.connect(database)
    try:
        await admin.execute(
            "select realtime_inspector.start_impersonation($1, 'ann', null, 'custom', 'authenticated', '{}', 'ticket 42', "
            "now() + interval '5 minutes', null, null, true)",
            session,
        )
        if ended:
            await admin.execute("select realtime_inspector.end_impersonation('ann', $1, 'stopped', null, null)", session)
    finally:
        await admin.close()
    return token(300, role="authenticated", **{NAMESPACE: {"session_id": session, "actor": "ann"}})


async def handshake(settings: Settings, key: str) -> int:
    """The status that a client with this token is answered with; 101 when it is let in."""
    url = f"ws://127.0.0.1:{settings.port}/socket/websocket?vsn=2.0.0&apikey={key}"
    async with asyncio.timeout(20):
        while True:
            try:
                async with connect(url, proxy=None) as connection:
                    assert connection.response is not None
                    return connection.response.status_code
            except InvalidStatus as refusal:
                return refusal.response.status_code
            except OSError:  # it does not listen yet
                await asyncio.sleep(0.05)


async def test_no_impersonation_counts_before_it_is_known_which_were_ended(database: str, settings: Settings) -> None:
    """After a restart the trail has to be read first; here somebody else locks it until then."""
    ended, running = await impersonate(database, ended=True), await impersonate(database, ended=False)
    holder = await asyncpg.connect(database)
    await holder.execute("begin; lock table realtime_inspector.impersonation_sessions in access exclusive mode")
    ready, stop = asyncio.Event(), asyncio.Event()
    service = asyncio.create_task(run(settings, on_ready=lambda *_: ready.set(), stop=stop))
    try:
        statuses: list[Any] = [await handshake(settings, key) for key in (token(role="authenticated"), ended, running)]
        assert statuses == [101, 503, 503]
        await holder.close()
        async with asyncio.timeout(20):
            await ready.wait()
        assert [await handshake(settings, key) for key in (ended, running)] == [401, 101]
    finally:
        await holder.close()
        stop.set()
        await service
