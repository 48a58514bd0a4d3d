"""Reads requests and writes answers of the JSON interfaces: bounded, never cached, errors in one form, no foreign pages."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypedDict, TypeVar

import msgspec
import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from realtime_inspector.errors import (
    AuthenticationMissing,
    InvalidInput,
    MediaTypeUnsupported,
    PayloadTooLarge,
    RealtimeError,
)
from realtime_inspector.model import Identity, Token

LARGEST_BODY: Final = 65_536
_NEVER_KEPT: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
_Form = TypeVar("_Form", bound=msgspec.Struct)
_log = structlog.get_logger(__name__)


class Origin(TypedDict):
    """Where a request comes from, as the trail keeps it."""

    ip_address: str | None
    user_agent: str | None


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose bearer was verified."""

    request: Request
    token: Token

    @property
    def ip_address(self) -> str | None:
        """The peer as this process sees it: a forwarding header could claim anything."""
        return self.request.client.host if self.request.client else None

    @property
    def user_agent(self) -> str | None:
        """What the peer says it is, at most 300 characters of it."""
        agent = self.request.headers.get("user-agent")
        return agent[:300] if agent else None

    @property
    def origin(self) -> Origin:
        """Both."""
        return Origin(ip_address=self.ip_address, user_agent=self.user_agent)

    def text(self, name: str) -> str | None:
        """A query parameter; None when it is absent or empty."""
        return self.request.query_params.get(name) or None

    def number(self, name: str, default: int) -> int:
        """A query parameter that counts; raises InvalidInput."""
        text = self.text(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 9):
            raise InvalidInput(f"{name} must be a number, 0 or more")
        return int(text)

    def moment(self, name: str) -> datetime | None:
        """A query parameter that is a time, UTC if it does not say otherwise; raises InvalidInput."""
        text = self.text(name)
        try:
            moment = datetime.fromisoformat(text) if text else None
        except ValueError as error:
            raise InvalidInput(f"{name} must be a time such as 2026-11-30T20:15:00Z") from error
        return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment

    def flag(self, name: str) -> bool | None:
        """A query parameter that is true or false; raises InvalidInput."""
        text = (self.text(name) or "").lower()
        if text not in _FLAGS:
            raise InvalidInput(f"{name} must be true or false")
        return _FLAGS[text]

    async def body(self, form: type[_Form]) -> _Form:
        """The JSON body; raises PayloadTooLarge or InvalidInput."""
        body = bytearray()
        async for part in self.request.stream():
            body += part
            if len(body) > LARGEST_BODY:
                raise PayloadTooLarge(f"The body is larger than {LARGEST_BODY} bytes")
        try:
            return msgspec.json.decode(body, type=form)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidInput(f"The body is not what this expects: {error}") from error


_FLAGS: Final = {"": None, "true": True, "1": True, "false": False, "0": False}

STRANGER: Final = Token(Identity("", "{}"), 0.0, {})
"""Who asks where no bearer is wanted."""

Act = Callable[[Call], Awaitable[Mapping[str, object] | Response]]
_Marked = TypeVar("_Marked", bound=Callable[..., Awaitable[object]])


def takes(form: type[msgspec.Struct]) -> Callable[[_Marked], _Marked]:
    """Says which body an act reads, for the description of the interface."""

    def mark(act: _Marked) -> _Marked:
        vars(act).update(form=form)
        return act

    return mark


def gives(*media_types: str) -> Callable[[_Marked], _Marked]:
    """Says what an act answers that gives no JSON, for the description of the interface."""

    def mark(act: _Marked) -> _Marked:
        vars(act).update(media_types=media_types)
        return act

    return mark


def refuses(status: str, why: str, schema: str = "Error") -> Callable[[_Marked], _Marked]:
    """Says what an act refuses that others do not, for the description of the interface. `schema`: of the body."""

    def mark(act: _Marked) -> _Marked:
        vars(act).update(refused=(status, why, schema))
        return act

    return mark


@dataclass(frozen=True, slots=True)
class Door:
    """Who may come in: `authenticate` verifies a bearer at a time, None lets in anybody; pages of `origins` may use it too.

    `note` is told of every request that was refused although it brought a bearer.
    """

    authenticate: Callable[[str, float], Awaitable[Token]] | None
    origins: tuple[str, ...]
    note: Callable[[Call, RealtimeError], None]


def route(path: str, door: Door, **acts: Act) -> Route:
    """One path with an act per method, each for whom the door lets in.

    HEAD is answered as GET; OPTIONS without a token, because that is how browsers ask.
    """

    async def endpoint(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        response = Response(status_code=204) if method == "OPTIONS" else await _answer(request, door, acts[method])
        response.headers.update(_NEVER_KEPT | _sharing(request, door.origins, acts))
        return response

    vars(endpoint).update(acts=acts, strangers=door.authenticate is None)  # for the description of the interface
    return Route(path, endpoint, methods=[*acts, "OPTIONS"])


async def _answer(request: Request, door: Door, act: Act) -> Response:
    call = Call(request, STRANGER)
    try:
        if door.authenticate is not None:
            call = Call(request, await door.authenticate(_bearer(request), time.time()))
        if request.method not in {"GET", "HEAD"} and not _is_json(request):
            raise MediaTypeUnsupported
        answer = await act(call)
        return answer if isinstance(answer, Response) else _json(answer, 200)
    except RealtimeError as error:
        if door.authenticate is not None:
            door.note(call, error)
        return _refusal(error)
    except Exception:
        _log.exception("request_failed", method=request.method, path=request.scope["path"])
        return _refusal(RealtimeError("Internal error", hint="The log of the service says more."))


def _sharing(request: Request, origins: tuple[str, ...], acts: Mapping[str, Act]) -> dict[str, str]:
    """CORS headers for known origins. A page of any other can neither read an answer nor send JSON or a bearer."""
    origin = request.headers.get("origin", "")
    if origin not in origins:
        return {"vary": "origin"}
    return {
        "vary": "origin",
        "access-control-allow-origin": origin,
        "access-control-allow-methods": ", ".join(acts),
        "access-control-allow-headers": "authorization, content-type, apikey",
        "access-control-max-age": "600",
    }


def _json(value: object, status: int) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


def _refusal(error: RealtimeError) -> Response:
    response = _json({"error": error.text, **error.problem.told, **error.more}, error.status)
    if error.status == 401:
        response.headers["www-authenticate"] = "Bearer"
    return response


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise AuthenticationMissing
    return token


def _is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"
