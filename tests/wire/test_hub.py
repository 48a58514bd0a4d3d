"""The hub over real sockets: questions to the world, late and wrong answers, impersonations that end, faults of one socket."""

import asyncio
import contextlib
import gc
import time
import typing
import weakref
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from uvicorn import Config, Server

from realtime_inspector.app import limits
from realtime_inspector.broker.local import LocalBroker
from realtime_inspector.channel.effects import Effect
from realtime_inspector.channel.limits import Limits
from realtime_inspector.errors import DatabaseUnavailable
from realtime_inspector.hub import QUESTIONS, SESSION_ENDED, Hub
from realtime_inspector.hub.channels import NoChannels, PrivateChannels
from realtime_inspector.identity.tokens import NAMESPACE
from realtime_inspector.model import Binding, Identity, Position
from realtime_inspector.server import serving as listening
from realtime_inspector.server.broadcasts import Delivery
from realtime_inspector.server.connection import Wire
from realtime_inspector.server.http import Handshake, Site, application
from realtime_inspector.server.keys import Keys
from realtime_inspector.server.metrics import Metrics
from realtime_inspector.server.outbox import Outbox
from realtime_inspector.settings import Settings
from realtime_inspector.visibility.index import Index
from realtime_inspector.visibility.subscription import Authorized, Subscription
from tests.wire.service import SECRET, VERSIONS, Client, Service, client, serving, stalled, token, until

ROOM = "realtime:room"
TWEETS = {"event": "*", "schema": "public", "table": "tweets"}
HELLO = {"type": "broadcast", "event": "hello", "payload": {}}


class World:
    """Where the hub's questions go: each waits until the test lets it be answered."""

    def __init__(self) -> None:
        self.asked: list[tuple[Identity, tuple[Binding, ...]]] = []
        self.resumed: list[tuple[str, str | None]] = []
        self.answer: asyncio.Future[Authorized] = asyncio.get_running_loop().create_future()

    async def authorize(self, identity: Identity, bindings: tuple[Binding, ...], topic: str, resume: str | None) -> Authorized:
        self.asked.append((identity, bindings))
        self.resumed.append((topic, resume))
        return await asyncio.shield(self.answer)


@dataclass(slots=True)
class Parts:
    """A hub behind a real server, with what a test wants to look at."""

    hub: Hub
    index: Index[Any]
    keys: Keys
    metrics: Metrics
    broker: LocalBroker
    service: Service


@contextlib.asynccontextmanager
async def parts(
    world: World | None = None, *, relayed: bool = False, channels: PrivateChannels | None = None, **given: Any
) -> AsyncIterator[Parts]:
    """`relayed`: uvicorn without our protocol, as any other ASGI server would be."""
    settings = Settings(port=0, jwt_secret=SECRET, **given)
    outbox, index, metrics, keys, broker = (
        Outbox(asyncio.get_running_loop()),
        Index[Any](),
        Metrics(),
        Keys(settings),
        LocalBroker(),
    )
    slow = metrics.counter("slow_consumers", "Sockets closed because they did not read.")

    def count() -> None:
        slow.value += 1

    hub = Hub(
        outbox=outbox,
        index=index,
        broker=broker,
        verifier=keys,
        authorize=(world or World()).authorize,
        channels=channels or NoChannels(),
        moment=lambda: "now",
        limits=limits(settings),
        metrics=metrics,
    )
    wire = Wire(outbox, settings.queue_bytes, settings.queue_seconds, count)
    site = Site(settings, wire, keys, hub.serve, hub.gate, Delivery(hub.publish, hub.persist, NoChannels().ask), list, metrics)
    hub.start()
    stop = asyncio.Event()
    try:
        async with _plain(site) if relayed else _ours(site) as url:
            yield Parts(hub, index, keys, metrics, broker, Service(url, stop, asyncio.ensure_future(asyncio.sleep(0))))
    finally:
        await hub.close()


@contextlib.asynccontextmanager
async def _ours(site: Site) -> AsyncIterator[str]:
    server = listening.Server(application(site), site.settings, site.wire)
    task = asyncio.create_task(server.serve())
    try:
        yield server.url
    finally:
        server.stop()
        await task


@contextlib.asynccontextmanager
async def _plain(site: Site) -> AsyncIterator[str]:
    routes = [WebSocketRoute("/socket/websocket", Handshake(site).answer)]
    server = Server(Config(Starlette(routes=routes), port=0, log_config=None, timeout_graceful_shutdown=2, lifespan="off"))
    task = asyncio.create_task(server._serve())
    await until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


def test_every_effect_has_its_method() -> None:
    async def kinds() -> set[type]:
        hub = Hub(
            outbox=Outbox(asyncio.get_running_loop()),
            index=Index(),
            broker=LocalBroker(),
            verifier=Keys(Settings(jwt_secret=SECRET)),
            authorize=World().authorize,
            channels=NoChannels(),
            moment=str,
            limits=Limits(),
            metrics=Metrics(),
        )
        return set(hub._execute)

    assert asyncio.run(kinds()) == set(typing.get_args(Effect))


async def ask(member: Client, topic: str = ROOM, **more: Any) -> str:
    """Sends a join that asks for changes."""
    config = {"presence": {"enabled": False}, "postgres_changes": [TWEETS]}
    return await member.send(topic, "phx_join", {"config": config, **more})


@pytest.mark.parametrize("vsn", VERSIONS)
async def test_a_join_waits_for_its_authorization_and_others_do_not(vsn: str) -> None:
    world = World()
    async with parts(world) as running, client(running.service, vsn) as member, client(running.service) as other:
        ref = await ask(member)
        await until(lambda: world.asked)
        await member.alive()
        await other.alive()
        assert len(running.index) == 0
        identity, bindings = world.asked[0]
        world.answer.set_result(Authorized((Subscription(bindings[0]),)))
        _, answered, _, event, payload = await member.next()
        assert (answered, event, payload["status"]) == (ref, "phx_reply", "ok")
        assert payload["response"]["postgres_changes"] == [{**TWEETS, "id": bindings[0].id}]
        assert (identity.role, len(running.index)) == ("anon", 1)
        assert (await member.event())[1]["message"] == "Subscribed to PostgreSQL"
    assert len(running.index) == 0


async def test_an_answer_for_a_socket_that_is_gone_changes_nothing() -> None:
    world = World()
    async with parts(world) as running:
        async with client(running.service) as member:
            await ask(member)
            await until(lambda: world.asked)
        await until(lambda: not list(running.hub.connections()))
        world.answer.set_result(Authorized((Subscription(world.asked[0][1][0]),)))
        async with client(running.service) as other:
            await other.alive()
        assert len(running.index) == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [(DatabaseUnavailable(), "UnableToConnectToProject"), (ZeroDivisionError("secret"), "UnknownErrorOnChannel")],
)
async def test_a_question_that_fails_is_a_refusal(error: Exception, code: str) -> None:
    world = World()
    async with parts(world) as running, client(running.service) as member, client(running.service) as other:
        world.answer.set_exception(error)
        await ask(member)
        event, payload = await member.event()
        assert (event, payload["status"], payload["response"]["code"]) == ("phx_reply", "error", code)
        assert "secret" not in str(payload)
        await member.alive()
        await other.alive()


async def test_without_a_database_changes_are_refused_with_a_reason() -> None:
    async with serving() as service, client(service) as member:
        await ask(member)
        event, payload = await member.event()
        assert (event, payload["status"]) == ("phx_reply", "error")
        assert payload["response"]["reason"] == "SetupError: This service runs without a database"
        assert "RTI_READER_URL" in payload["response"]["hint"]
        await member.join()


async def test_a_flood_of_questions_makes_its_socket_wait_and_loses_nothing() -> None:
    world = World()
    async with parts(world) as running, client(running.service) as member, client(running.service) as other:
        config = {"config": {"presence": {"enabled": False}, "postgres_changes": [TWEETS]}}
        for number in range(50):
            await member.send(f"{ROOM}:{number}", "phx_join", config)
        await until(lambda: len(world.asked) == QUESTIONS)
        for _ in range(5):
            await other.alive()
        assert len(world.asked) == QUESTIONS
        world.answer.set_result(Authorized(()))
        replies = [await member.next() for _ in range(50)]
        assert {reply[4]["status"] for reply in replies} == {"ok"}
        assert [reply[2] for reply in replies] == [f"{ROOM}:{number}" for number in range(50)]
        await member.alive()


async def test_a_fault_of_ours_closes_its_socket_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with parts() as running, client(running.service) as unlucky, client(running.service) as other:
        await unlucky.join()
        await other.join()

        def fail(*_: object) -> None:
            raise ZeroDivisionError("secret")

        monkeypatch.setattr(running.index, "unsubscribe", fail)
        await unlucky.send(ROOM, "phx_leave", {})
        code, reason = await unlucky.closed()
        assert code == 1011
        assert reason is not None
        assert reason.startswith("internal error ")
        monkeypatch.undo()
        await other.alive()
        assert len(list(running.hub.connections())) == 1


async def test_an_ended_impersonation_closes_its_sockets_and_no_other() -> None:
    borrowed = token(**{NAMESPACE: {"session_id": "s1", "actor": "ann"}})
    lent_again = token(**{NAMESPACE: {"session_id": "s2", "actor": "ann"}})
    async with (
        parts() as running,
        client(running.service, key=borrowed) as by_key,
        client(running.service) as by_join,
        client(running.service) as by_refresh,
        client(running.service, key=lent_again) as another,
        client(running.service) as honest,
    ):
        await by_join.send(ROOM, "phx_join", {"config": {}, "access_token": borrowed})
        assert (await by_join.event())[1]["status"] == "ok"
        await by_refresh.join()
        await by_refresh.send(ROOM, "access_token", {"access_token": borrowed})
        for each in (by_refresh, another, honest):
            await each.alive()
        running.hub.close_session("s1")
        for each in (by_key, by_join, by_refresh):
            assert await each.closed() == (SESSION_ENDED, "the impersonation has ended")
        for each in (another, honest):
            await each.alive()
        running.hub.close_session("s1")
        running.hub.close_session("unknown")


async def test_only_who_looks_through_somebodys_eyes_is_told_the_services_clock() -> None:
    borrowed = token(**{NAMESPACE: {"session_id": "s1", "actor": "ann"}})
    async with parts() as running, client(running.service, key=borrowed) as looking, client(running.service) as honest:
        before = time.time() * 1000
        await looking.send("phoenix", "heartbeat", {})
        told = (await looking.event())[1]["response"]
        assert before <= told["time"] <= time.time() * 1000
        await honest.send("phoenix", "heartbeat", {})
        assert (await honest.event())[1]["response"] == {}


async def test_a_token_that_expires_ends_its_channel() -> None:
    async with serving() as service, client(service) as member:
        await member.send(ROOM, "phx_join", {"config": {"presence": {"enabled": False}}, "access_token": token(seconds=1.5)})
        assert (await member.event())[1]["status"] == "ok"
        event, payload = await member.event()
        assert (event, payload["status"]) == ("system", "error")
        assert payload["message"].startswith("Token has expired")
        assert (await member.event())[0] == "phx_close"
        await member.send(ROOM, "broadcast", HELLO)
        assert (await member.event())[1]["response"] == {"reason": "unmatched topic"}


async def test_connections_are_listed() -> None:
    began = time.time()
    async with parts() as running, client(running.service, "1.0.0", key=token(role="authenticated")) as member:
        await member.join()
        (listed,) = running.hub.connections()
        assert listed["opened_at"] >= began  # type: ignore[operator]
        assert {
            "peer": "127.0.0.1",
            "vsn": "1.0.0",
            "role": "authenticated",
            "topics": [ROOM],
            "queued_bytes": 0,
        }.items() <= listed.items()
    assert list(running.hub.connections()) == []


async def test_what_the_broker_brings_from_elsewhere_reaches_everybody() -> None:
    async with parts() as running, client(running.service) as member:
        await member.join()
        sent: list[bytes] = []
        deliver = running.hub._post.deliver
        running.broker.listen(lambda topic, message: (sent.append(message), deliver(topic, message))[1])
        await member.send(ROOM, "broadcast", HELLO)
        await until(lambda: sent)
        await member.alive()
        elsewhere = sent[0].replace(
            next(str(each["id"]) for each in running.hub.connections()).encode(), b"elsewhere!"[:10].ljust(10)
        )
        await running.broker.publish(ROOM, elsewhere)
        assert (await member.event())[1] == HELLO
        with pytest.raises(ValueError, match="malformed"):
            await running.broker.publish(ROOM, b"\xc1 garbage")
        await member.alive()


@pytest.mark.parametrize("vsn", VERSIONS)
async def test_any_asgi_server_will_do(vsn: str) -> None:
    async with parts(relayed=True) as running, client(running.service, vsn) as member, client(running.service) as other:
        await member.join(broadcast={"self": True, "ack": True})
        await other.join()
        for number in range(300):
            await member.send(ROOM, "broadcast", {**HELLO, "payload": {"number": number}})
        for number in range(300):
            assert (await other.event())[1]["payload"] == {"number": number}
        answers = [await member.event() for _ in range(600)]
        assert [payload["payload"]["number"] for event, payload in answers if event == "broadcast"] == list(range(300))
        await member.connection.send("garbage")
        await member.connection.send(b"garbage")
        await member.alive()
        running.hub.close_session("unknown")
        for socket in running.hub._sockets.values():
            socket.link.close(4001, "enough")
        assert await member.closed() == (4001, "enough")
        assert await other.closed() == (4001, "enough")
    assert list(running.hub.connections()) == []


async def test_any_asgi_server_drops_who_does_not_read() -> None:
    async with (
        parts(relayed=True, queue_bytes=1_000_000) as running,
        stalled(running.service),
        client(running.service) as sender,
    ):
        await sender.join()
        for _ in range(60):
            await sender.send(ROOM, "broadcast", {**HELLO, "payload": "x" * 200_000})
            await sender.alive()
        await until(lambda: len(list(running.hub.connections())) == 1)
        assert b"realtime_inspector_slow_consumers_total 1.0" in running.metrics.render()
        await sender.alive()


async def test_a_refusal_needs_no_extension() -> None:
    async with parts(relayed=True) as running, httpx.AsyncClient(trust_env=False) as http:
        headers = {
            "upgrade": "websocket",
            "connection": "Upgrade",
            "sec-websocket-version": "13",
            "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        answer = await http.get(f"{running.service.url}/socket/websocket", headers=headers)
        assert (answer.status_code, answer.json()["error"], answer.json()["code"]) == (401, "API key is missing", "MalformedJWT")


@pytest.mark.parametrize("vsn", VERSIONS)
async def test_a_heartbeat_tells_the_moment_to_those_who_were_told_how_to_come_back(vsn: str) -> None:
    world = World()
    async with parts(world) as running, client(running.service, vsn) as member, client(running.service) as other:
        await ask(member)
        subscription = Subscription(Binding(1, "*", "public", "tweets"))
        world.answer.set_result(Authorized((subscription,), resume_token="TOKEN"))
        assert (await member.event())[1]["response"]["resume"] == "TOKEN"
        assert (await member.event())[0] == "system"
        ref = await member.send("phoenix", "heartbeat", {})
        assert (await member.next())[1:] == (ref, "phoenix", "phx_reply", {"status": "ok", "response": {"moment": "now"}})
        await other.alive()


async def test_who_still_catches_up_is_told_no_moment() -> None:
    world = World()
    async with parts(world) as running, client(running.service) as member:
        await ask(member)
        subscription = Subscription(Binding(1, "*", "public", "tweets"))
        world.answer.set_result(Authorized((subscription,), resume_token="TOKEN", returns=True))
        for _ in ("reply", "system"):
            await member.next()
        await member.alive()
        running.index.begin_round()
        await member.alive()
        running.index.end_round(Position(9, 0))
        await member.send("phoenix", "heartbeat", {})
        assert (await member.event())[1]["response"] == {"moment": "now"}


@pytest.mark.parametrize("vsn", VERSIONS)
async def test_a_join_says_how_it_comes_back_and_is_told_if_that_means_nothing(vsn: str) -> None:
    world = World()
    async with parts(world) as running, client(running.service, vsn) as member:
        config = {"presence": {"enabled": False}, "postgres_changes": [TWEETS], "broadcast": {"resume": "OLD"}}
        await member.send(ROOM, "phx_join", {"config": config})
        await until(lambda: world.asked)
        assert world.resumed == [(ROOM, "OLD")]
        subscription = Subscription(Binding(1, "*", "public", "tweets"))
        world.answer.set_result(Authorized((subscription,), resume_token="NEW", gap="MOMENT"))
        messages = [(await member.event())[1] for _ in range(3)]
        assert messages[0]["response"]["resume"] == "NEW"
        assert [message["message"] for message in messages[1:]] == ["Subscribed to PostgreSQL", "gap: unknown_position"]
        assert (messages[2]["status"], messages[2]["extension"]) == ("ok", "resume")
        assert messages[2]["gap"] == {"reason": "unknown_position", "schema": None, "table": None, "from": None, "to": "MOMENT"}


@pytest.mark.parametrize("vsn", VERSIONS)
async def test_what_a_socket_was_is_free_when_it_ends(vsn: str) -> None:
    """Without the garbage collector, which would stop everybody else when thousands leave."""
    gc.disable()
    try:
        async with parts() as running:
            async with client(running.service, vsn) as member:
                config = {"presence": {"enabled": True, "key": "a"}, "broadcast": {"self": True}}
                await member.send("realtime:room", "phx_join", {"config": config})
                await member.send("realtime:room", "presence", {"event": "track", "payload": {}}, "1")
                await member.send("realtime:room", "broadcast", {"event": "e", "payload": {}}, "1")
                await until(lambda: running.hub._presences._present != {})
                (socket,) = running.hub._sockets.values()
                session, protocol = weakref.ref(socket.session), weakref.ref(socket.link._protocol)  # type: ignore[attr-defined]
                parser = weakref.ref(protocol().conn.parser)  # type: ignore[union-attr]
                del socket
                member.connection.transport.abort()
            await until(lambda: not running.hub._sockets)
            await until(lambda: (session(), protocol(), parser()) == (None, None, None))
    finally:
        gc.enable()
