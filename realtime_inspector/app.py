"""Builds the service from its settings, says when it is ready, and ends it within seconds."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import structlog

from realtime_inspector.broker.local import LocalBroker
from realtime_inspector.channel.limits import Limits
from realtime_inspector.errors import SetupError
from realtime_inspector.hub import Hub
from realtime_inspector.hub.channels import NoChannels
from realtime_inspector.hub.endings import Watch
from realtime_inspector.hub.witness import Witness, not_noted
from realtime_inspector.lasting import Work, lasting
from realtime_inspector.model import LEGACY, Binding, Identity
from realtime_inspector.pipeline import Pipeline
from realtime_inspector.pipeline.inquiry import Inquirer
from realtime_inspector.pipeline.receivers import Receivers
from realtime_inspector.pipeline.rehearsal import Rehearsal
from realtime_inspector.ports import Outlet
from realtime_inspector.postgres.audit import Audit
from realtime_inspector.postgres.channels import Channels
from realtime_inspector.postgres.connect import Pool, open_pool
from realtime_inspector.postgres.console import Console
from realtime_inspector.postgres.lints import catalogue, lint
from realtime_inspector.postgres.permissions import Permissions
from realtime_inspector.postgres.published import published_tables
from realtime_inspector.postgres.trail import Trail
from realtime_inspector.postgres.upkeep import keep_partitions
from realtime_inspector.postgres.users import Users
from realtime_inspector.replication.retention import Retention
from realtime_inspector.server import admin, inspecting, logs, policies
from realtime_inspector.server.assistant import Assistant
from realtime_inspector.server.broadcasts import Delivery
from realtime_inspector.server.connection import Wire
from realtime_inspector.server.deps import Dependencies
from realtime_inspector.server.garbage import collect, unhurried
from realtime_inspector.server.http import Site, application
from realtime_inspector.server.keys import Keys
from realtime_inspector.server.metrics import Metrics
from realtime_inspector.server.outbox import Outbox
from realtime_inspector.server.refusals import Refusals
from realtime_inspector.server.rest import Door
from realtime_inspector.server.serving import Server
from realtime_inspector.settings import Settings
from realtime_inspector.visibility.index import Index
from realtime_inspector.visibility.subscription import Authorized

ADMIN_CONNECTIONS: Final = 4
CLOSE_SECONDS: Final = 0.5
AT_MOST_ONCE: Final = "Changes come from triggers: at most once, with a gap notice after every reconnection"
_log = structlog.get_logger(__name__)

Ready = Callable[[str, int], None]
"""Is told the service's URL and port."""


async def run(settings: Settings, *, on_ready: Ready, stop: asyncio.Event) -> None:
    """Serves until `stop` is set. `on_ready` is called once, when HTTP is up and the replication stream is attached.

    Raises InvalidInput for unusable keys, and SetupError when the address is taken or the database is not prepared.
    Without a reader_url there are no changes and no admin interface; broadcast and presence work.
    """
    logs.configure(settings.log_level)
    keys = Keys(settings)
    index: Index[Outlet] = Index()
    metrics = Metrics()
    with unhurried():
        async with _database(settings, index, keys, metrics) as database:
            hub, server = _build(settings, keys, index, metrics, database)
            try:
                await _serve(server, hub, database, on_ready, stop)
            finally:
                await hub.close()
                await keys.close()


async def _serve(server: Server, hub: Hub, database: "_Database | None", on_ready: Ready, stop: asyncio.Event) -> None:
    async def prepare() -> None:
        if database is not None:
            await database.prepare()
        _log.info("ready", url=server.url)
        on_ready(server.url, server.port)

    hub.start(garbage=collect, **(database.company(hub) if database else {}))
    serving, stopping, preparing = (asyncio.create_task(work) for work in (server.serve(), stop.wait(), prepare()))
    try:
        await asyncio.wait({serving, stopping, preparing}, return_when=asyncio.FIRST_COMPLETED)
        if preparing.done() and not preparing.exception():
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        server.stop()
        stopping.cancel()
        preparing.cancel()
        outcomes = await asyncio.gather(preparing, serving, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


def _build(
    settings: Settings, keys: Keys, index: Index[Outlet], metrics: Metrics, database: "_Database | None"
) -> tuple[Hub, Server]:
    slow = metrics.counter("slow_consumers", "Sockets closed because they did not read.")

    def count_slow() -> None:
        slow.value += 1

    wire = Wire(Outbox(asyncio.get_running_loop()), settings.queue_bytes, settings.queue_seconds, count_slow)
    hub = Hub(
        outbox=wire.outbox,
        index=index,
        broker=LocalBroker(),
        verifier=keys,
        authorize=database.pipeline.authorize if database else _refuse_changes,
        channels=database.channels if database else NoChannels(),
        moment=database.pipeline.moment if database else str,
        limits=limits(settings),
        metrics=metrics,
        arrears_seconds=settings.arrears_seconds,
        recheck_seconds=settings.recheck_seconds,
        note_join=database.witness.joined if database else not_noted,
    )
    if database is not None:
        database.pipeline.letters.receiver = hub
    site = Site(
        settings=settings,
        wire=wire,
        verifier=keys,
        serve=hub.serve,
        gate=hub.gate,
        delivery=Delivery(hub.publish, hub.persist, (database.channels if database else NoChannels()).ask),
        unready=database.unready if database else list,
        metrics=metrics,
        admin=database.routes(hub) if database else (),
        notes=database.notes if database else list,
    )
    if database is not None:
        database.receivers.names = hub.names
        database.receivers.sent = database.pipeline.receivers
        database.receivers.gave_up = hub.gave_up
    return hub, Server(application(site), settings, wire)


def limits(settings: Settings) -> Limits:
    """What clients may ask for by the settings."""
    return Limits(
        channels=settings.channels_per_socket,
        messages_per_second=settings.messages_per_second,
        presence_calls=settings.presence_calls,
        presence_seconds=settings.presence_seconds,
        presence_per_second=settings.presence_per_second,
        joins_per_second=settings.joins_per_second,
        connections=settings.connections,
        connections_per_address=settings.connections_per_address,
        private_only=settings.private_only,
    )


async def _refuse_changes(_identity: Identity, bindings: tuple[Binding, ...], _topic: str, _resume: str | None) -> Authorized:
    if all(binding.id == LEGACY for binding in bindings):  # the topic need not mean a table
        return Authorized(())
    raise SetupError("This service runs without a database", hint="Set RTI_READER_URL and RTI_EVALUATOR_URL.")


@dataclass(frozen=True, slots=True)
class _Database:
    """What there is only with a database."""

    settings: Settings
    keys: Keys
    pool: Pool
    pipeline: Pipeline
    receivers: Receivers
    inquirer: Inquirer
    channels: Channels
    rehearsal: Rehearsal
    audit: Audit
    watch: Watch
    witness: Witness
    refusals: Refusals

    def company(self, hub: Hub) -> dict[str, Work]:
        """What goes on as long as the hub lives, by name."""

        def end(session_id: str) -> None:
            hub.close_session(session_id)
            self.witness.forget(session_id)

        return {"endings": partial(self.watch.run, end), "witness": self.witness.run, "refusals": self.refusals.run}

    async def prepare(self) -> None:
        """Returns when changes flow and it is known what was ended and revoked."""
        await self.pipeline.attached()
        await self.watch.known.wait()

    def unready(self) -> Sequence[str]:
        """Why the service does not serve."""
        status = self.pipeline.status()
        if not status["attached"]:
            return [f"The stream of changes is not attached: {status['fault']}"]
        return [] if self.keys.knows_revoked else ["It is not known what was ended or revoked"]

    def notes(self) -> Sequence[str]:
        """What whoever runs the service should know."""
        promise = [AT_MOST_ONCE] if self.settings.source == "notify" else []
        return [*promise, note] if (note := self.pipeline.guard.note) else promise

    def routes(self, hub: Hub) -> list[Any]:
        """What admins can ask for."""
        looking = inspecting.Inspecting(
            self.settings, self.keys, self.door, self.audit, self.inquirer, lambda: lint(self.settings)
        )
        editing = policies.Editing(looking, self.rehearsal, lambda: catalogue(self.settings), Assistant(self.settings))
        return [*admin.routes(self.dependencies(hub)), *inspecting.routes(looking), *policies.routes(editing)]

    @property
    def door(self) -> Door:
        """Who may ask."""
        return Door(self.keys.authenticate, self.settings.allowed_origins, self.refusals.note)

    def dependencies(self, hub: Hub) -> Dependencies:
        """What the admin interface asks of the rest."""
        return Dependencies(
            settings=self.settings,
            keys=self.keys,
            door=self.door,
            audit=self.audit,
            users=Users(self.pool, self.settings.users_query),
            tables=lambda: published_tables(self.pool, self.settings.publication),
            close_session=hub.close_session,
            trail=Trail(self.pool),
            console=Console(
                self.settings.evaluator_url,
                statement_timeout_ms=self.settings.statement_timeout_ms,
                search_path=self.settings.search_path,
            ),
            connections=hub.connections,
            disconnect=hub.disconnect,
            refresh_endings=self.watch.look,
        )


@asynccontextmanager
async def _database(settings: Settings, index: Index[Outlet], keys: Keys, metrics: Metrics) -> AsyncIterator[_Database | None]:
    if not settings.reader_url:
        _log.warning("no_database", consequence="changes of tables and the admin interface are not available")
        yield None
        return
    pool = await open_pool(
        settings.reader_url, purpose="admin", statement_timeout_ms=settings.statement_timeout_ms, connections=ADMIN_CONNECTIONS
    )
    keys.knows_revoked = False
    pipeline = await Pipeline.open(settings, index)
    permissions = Permissions(
        settings.evaluator_url,
        connections=settings.permission_connections,
        statement_timeout_ms=settings.statement_timeout_ms,
        search_path=settings.search_path,
        privileged=settings.privileged_roles,
    )
    _show(pipeline, index, metrics)
    receivers = Receivers.open(settings, index)
    inquirer, rehearsal = Inquirer(settings, pipeline.event, receivers), Rehearsal(settings)
    channels = Channels(permissions, pool, pipeline.letters.flowing)
    upkeep = asyncio.create_task(lasting("partitions", partial(keep_partitions, pool, settings.messages_hours)))
    try:
        audit = Audit(pool)
        keys.recorded = audit.recorded
        company = (Watch(audit, keys), Witness(audit.record, pipeline.tally.seen), Refusals(audit.record))
        yield _Database(settings, keys, pool, pipeline, receivers, inquirer, channels, rehearsal, audit, *company)
    finally:
        upkeep.cancel()
        closing: list[Any] = [inquirer.close(), rehearsal.close(), pipeline.close(), permissions.close(), pool.close()]
        await asyncio.wait([asyncio.ensure_future(each) for each in closing], timeout=CLOSE_SECONDS)
        pool.terminate()


def _show(pipeline: Pipeline, index: Index[Outlet], metrics: Metrics) -> None:
    metrics.counters("changes", "Events decided for a socket, by reason.", "reason", lambda: pipeline.tally.reasons.items())
    metrics.counters("gaps", "Gap notices to a socket, by reason.", "reason", lambda: pipeline.gaps.items())
    counts = pipeline.letters.counts
    metrics.counters("database_broadcasts", "Messages of the database, by what became of them.", "outcome", counts.items)
    metrics.gauge("slot_retained_bytes", "Log that the slot holds back.", lambda: float(_retention(pipeline).retained))
    metrics.gauge("slot_limit_bytes", "How much it may hold back; 0 without a limit.", lambda: float(_retention(pipeline).limit))
    metrics.gauge("subscriptions", "Channels that ask for changes.", lambda: len(index))
    metrics.gauge("attached", "Whether the replication stream flows.", lambda: float(bool(pipeline.status()["attached"])))
    metrics.gauge("lag_seconds", "From the last batch's commit to its hand-over.", lambda: float(str(pipeline.status()["lag"])))


def _retention(pipeline: Pipeline) -> Retention:
    return pipeline.guard.retention or Retention(0, 0)
