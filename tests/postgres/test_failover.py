"""A standby takes over: what the slot's reader gave out is still in the log, or everybody is told that it may not be."""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import psycopg
import pytest

from realtime_inspector.postgres import binaries
from realtime_inspector.postgres.embedded import EmbeddedPostgres
from tests.postgres.conftest import Engine, login, prepared
from tests.postgres.river import SERVICE, Start, start

__all__ = ["start"]

SCHEMA = """
create table tweets (id int primary key, body text); grant select on tweets to service_role;
create publication supabase_realtime for table tweets;
"""
SYNCHRONIZED = {"hot_standby_feedback": "on", "sync_replication_slots": "on", "primary_slot_name": "standby"}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place that every account may pass to."""
    path = Path(tempfile.mkdtemp(prefix="standby-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
async def primary() -> AsyncIterator[EmbeddedPostgres]:
    async with EmbeddedPostgres() as primary:
        with psycopg.connect(primary.url, autocommit=True) as admin:
            admin.execute("select pg_create_physical_replication_slot('standby')")
        yield primary


@asynccontextmanager
async def following(primary: EmbeddedPostgres, folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A standby of the primary, which synchronizes its slots."""
    data = folder / "data"
    programs = binaries.choose(None)
    subprocess.run([programs / "pg_basebackup", "-D", data, "-d", primary.url, "-R", "-X", "stream"], check=True)
    if os.geteuid() == 0:
        account = pwd.getpwnam("nobody")
        for path in (data, *data.rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid)
    (folder / "postgres.json").write_bytes(orjson.dumps({"password": primary.password, "port": 0}))
    conninfo = f"host=127.0.0.1 port={primary.port} user=postgres password={primary.password} dbname=postgres"
    async with EmbeddedPostgres(folder, settings={**SYNCHRONIZED, "primary_conninfo": conninfo}) as standby:
        yield standby


def either(primary: EmbeddedPostgres, standby: EmbeddedPostgres) -> Engine:
    """The database, wherever it can be written to."""
    places = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
    urls = [login(primary.url, *who) for who in (("postgres", primary.password), ("engine_reader", "reader"))]
    urls.append(login(primary.url, "engine_evaluator", "evaluator"))
    return Engine(
        *[url.replace(urlsplit(url).netloc.rpartition("@")[2], places) + "?target_session_attrs=primary" for url in urls]
    )


async def synchronized(primary: EmbeddedPostgres, standby: EmbeddedPostgres) -> None:
    """Returns when the standby would go on with the slot; for that the slot has to move on the primary."""
    query = "select synced and not temporary from pg_replication_slots where slot_name = 'test_slot'"
    async with asyncio.timeout(60):
        with psycopg.connect(primary.url, autocommit=True) as writer, psycopg.connect(standby.url, autocommit=True) as asker:
            while asker.execute(query).fetchone() != (True,):
                writer.execute("select pg_log_standby_snapshot()")
                writer.execute("insert into marker default values")
                await asyncio.sleep(0.2)


async def promote(primary: EmbeddedPostgres, standby: EmbeddedPostgres) -> None:
    await primary.stop()
    with psycopg.connect(standby.url, autocommit=True) as admin:
        admin.execute("select pg_promote()")


async def test_a_failover_that_loses_nothing_is_no_gap(start: Start, primary: EmbeddedPostgres, folder: Path) -> None:
    engine = prepared(primary.url)
    async with following(primary, folder) as standby:
        service = await start(SCHEMA, on=either(primary, standby), resume_seconds=0)
        before = service.pipeline.state
        tweets = await service.join(SERVICE, "tweets")
        engine.run("insert into tweets values (1)")
        await tweets.until(1)
        await synchronized(primary, standby)
        await promote(primary, standby)
        service.engine.run("insert into tweets values (2)")
        await tweets.until(2)
        await service.settled()
        assert tweets.story == [1, 2]
        assert service.pipeline.state is not None
        assert before is not None
        assert service.pipeline.state.epoch == before.epoch
        await service.pipeline.close()


async def test_a_failover_without_the_slot_is_one_gap(start: Start, primary: EmbeddedPostgres, folder: Path) -> None:
    engine = prepared(primary.url)
    async with following(primary, folder) as standby:
        with psycopg.connect(standby.url, autocommit=True) as admin:
            admin.execute("alter system set sync_replication_slots = off")
            admin.execute("select pg_reload_conf()")
        service = await start(SCHEMA, on=either(primary, standby))
        tweets = await service.join(SERVICE, "tweets")
        engine.run("insert into tweets values (1)")
        await tweets.until(1)
        await promote(primary, standby)
        service.engine.run("insert into tweets values (2)")
        await service.flowing()
        await tweets.until(2)
        service.engine.run("insert into tweets values (3)")
        await tweets.until(3)
        await service.settled()
        assert tweets.story == [1, "slot_lost", 3]
        await service.pipeline.close()


async def test_a_failover_while_no_service_ran_is_a_gap_for_whoever_comes_back(
    start: Start, primary: EmbeddedPostgres, folder: Path
) -> None:
    """How far clients had come is not known: the other log may never have had what they were sent."""
    engine = prepared(primary.url)
    async with following(primary, folder) as standby:
        either_one = either(primary, standby)
        service = await start(SCHEMA, on=either_one, resume_seconds=0)
        tweets = await service.join(SERVICE, "tweets")
        engine.run("insert into tweets values (1)")
        await tweets.until(1)
        await synchronized(primary, standby)
        await service.pipeline.close()
        await promote(primary, standby)
        again = await start("", on=either_one, resume_seconds=0)
        back = await again.join(SERVICE, "tweets", resume=tweets.resume)
        assert back.unknown
        service.engine.run("insert into tweets values (2)")
        await back.until(1)
        await again.pipeline.close()
        once_more = await start("", on=either_one, resume_seconds=0)
        assert not (await once_more.join(SERVICE, "tweets", resume=back.resume)).unknown
        await once_more.pipeline.close()
