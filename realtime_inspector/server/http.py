"""The HTTP side of the service: the WebSocket handshake, health, metrics, the admin interface and the page.

Who may use it from a browser. The socket and broadcasts: a page of any origin, because it must bring a token and no cookie is
ever read, so that no page can borrow somebody's right (official clients usually live on another origin). The admin interface and
the page: their own origin and the configured ones, under a host name that is known, so that DNS rebinding finds no way in.
"""

import ipaddress
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import urlsplit

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from realtime_inspector.channel.limits import Gate
from realtime_inspector.errors import Forbidden, RealtimeError, TokenMissing
from realtime_inspector.model import Token
from realtime_inspector.ports import TokenVerifier
from realtime_inspector.protocol.serializer import Serializer, choose
from realtime_inspector.server import broadcasts, contract, page
from realtime_inspector.server.connection import Wire
from realtime_inspector.server.headers import policy_headers
from realtime_inspector.server.metrics import CONTENT_TYPE, Metrics
from realtime_inspector.server.outbox import Link
from realtime_inspector.server.relay import Relay
from realtime_inspector.server.turnstile import Turnstile
from realtime_inspector.server.websocket import EXTENSION
from realtime_inspector.settings import Settings

SOCKET_PATHS: Final = ("/socket/websocket", "/realtime/v1/websocket")
RETRY_AFTER: Final = "5"
"""Seconds; official clients do not read it and come back after 1, 2, 5 and then 10."""
LONGEST_PATH: Final = 200
"""Characters of a path that are logged; ours are shorter."""
_GUARDED: Final = ("/api/", "/inspector")
_UNREMARKABLE: Final = ("/healthz", "/readyz", "/metrics", "/inspector")
_DENIAL: Final = "websocket.http.response"

Serve = Callable[[Link, Serializer, str, Token, str, str], Awaitable[None]]
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Site:
    """What HTTP asks of the rest. `unready`: why the service does not serve yet, nothing if it does; `notes`: other news."""

    settings: Settings
    wire: Wire
    verifier: TokenVerifier
    serve: Serve
    gate: Gate
    delivery: broadcasts.Delivery
    unready: Callable[[], Sequence[str]]
    metrics: Metrics
    admin: Sequence[BaseRoute] = ()
    notes: Callable[[], Sequence[str]] = list


def application(site: Site) -> ASGIApp:
    """The whole of it as one ASGI application."""

    async def healthz(_: Request) -> Response:
        """Whether the process is there."""
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        """Whether it serves, why not, and other news."""
        reasons = list(site.unready())
        return JSONResponse({"ready": not reasons, "reasons": reasons, "notes": list(site.notes())}, 503 if reasons else 200)

    async def metrics(_: Request) -> Response:
        """Figures for Prometheus."""
        return Response(site.metrics.render(), media_type=CONTENT_TYPE)

    handshake = Handshake(site)
    routes: list[BaseRoute] = [
        *(WebSocketRoute(path, handshake.answer) for path in SOCKET_PATHS),
        *(Route(f"/{endpoint.__name__}", endpoint) for endpoint in (healthz, readyz, metrics)),
        *broadcasts.routes(site.verifier, site.delivery, site.gate, site.settings.frame_bytes),
        *site.admin,
        *page.routes(page.find_page()),
    ]
    contract.route(routes)
    guard = Guard(site.settings)
    return Starlette(routes=routes, middleware=[Middleware(_Logged), Middleware(_Guarded, guard=guard)])


class Handshake:
    """Lets a WebSocket in, or says in plain HTTP why not."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._origins = frozenset(site.settings.socket_origins)
        self._turnstile = Turnstile()

    async def answer(self, websocket: WebSocket) -> None:
        """The query has `apikey` (the header x-api-key wins) and `vsn`; what else clients write into it is ignored."""
        peer = websocket.client.host if websocket.client else ""
        await self._turnstile.turn()
        try:
            self._check_origin(websocket)
            serializer = choose(websocket.query_params.get("vsn"))
            apikey = websocket.headers.get("x-api-key") or websocket.query_params.get("apikey")
            if not apikey:
                raise TokenMissing
            token = await self._site.verifier.verify(apikey, time.time())
            self._site.gate.enter(peer, time.time(), reserved=token.session_id is not None)
        except RealtimeError as error:
            await self._refuse(websocket, error)
            return
        try:
            await websocket.accept()
        except BaseException:
            self._site.gate.leave(peer)
            raise
        headers = policy_headers(websocket.headers)
        link = websocket.scope["extensions"].get(EXTENSION) or Relay(websocket, self._site.wire)
        await self._site.serve(cast(Link, link), serializer, apikey, token, peer, headers)

    def _check_origin(self, websocket: WebSocket) -> None:
        """Only browsers name an origin, and they cannot lie about it; the page of the service itself is always welcome."""
        origin = websocket.headers.get("origin")
        if origin is None or not self._origins or origin in self._origins:
            return
        if not _same(origin, websocket.headers.get("host", "")):
            raise Forbidden("This origin is not allowed", hint="Add it to RTI_SOCKET_ORIGINS.")

    async def _refuse(self, websocket: WebSocket, error: RealtimeError) -> None:
        _log.info("socket_refused", status=error.status, reason=error.text)
        if _DENIAL in websocket.scope.get("extensions", {}):
            body = {"error": error.text, **error.problem.told}
            headers = {"retry-after": RETRY_AFTER} if error.status in (429, 503) else {}
            await websocket.send_denial_response(JSONResponse(body, error.status, headers))
        else:
            await websocket.close()  # which ASGI servers answer with 403


class Guard:
    """Decides whether a page may talk to the admin interface."""

    def __init__(self, settings: Settings) -> None:
        self._origins = frozenset(settings.allowed_origins)
        names = {urlsplit(origin).hostname for origin in self._origins} | {settings.host.strip("[]"), "localhost"}
        self._names = frozenset(name.lower() for name in names if name)

    def objection(self, connection: HTTPConnection) -> RealtimeError | None:
        """A host name that is not ours was made to point here by somebody else; an address cannot be."""
        host = connection.headers.get("host", "")
        if not self._is_ours(host):
            hint = "Open the page by its address or as localhost, or add its origin to RTI_ALLOWED_ORIGINS."
            return Forbidden("This host name is not known to the service", hint=hint)
        origin = connection.headers.get("origin")
        if origin is not None and origin not in self._origins and not _same(origin, host):
            return Forbidden("This origin is not allowed", hint="Add it to RTI_ALLOWED_ORIGINS.")
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self._names or _is_address(name)


def _same(origin: str, host: str) -> bool:
    """Whether a page of this origin was loaded from the host that it now talks to."""
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class _Guarded:
    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        objection = None
        if scope["type"] == "http" and scope["path"].startswith(_GUARDED) and not scope["path"].startswith(broadcasts.PATHS):
            objection = self._guard.objection(Request(scope))
        if objection is None:
            await self._app(scope, receive, send)
        else:
            body = {"error": objection.text, **objection.problem.told}
            await JSONResponse(body, objection.status)(scope, receive, send)


class _Logged:
    """Logs requests by their path alone: queries carry tokens."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        status = 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            log = _log.debug if scope["path"].startswith(_UNREMARKABLE) else _log.info
            milliseconds = round((time.monotonic() - began) * 1_000, 1)
            log("request", method=scope["method"], path=scope["path"][:LONGEST_PATH], status=status, milliseconds=milliseconds)
