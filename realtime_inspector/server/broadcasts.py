"""Broadcasts over HTTP: a batch of messages, or one message whose body is the payload itself.

Any page may call it, for it must bring a token and no cookie is read. Statuses and bodies are those of Supabase Realtime, whose
clients demand exactly 202; `code`, `hint` and `docs` are additions.
"""

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import msgspec
import orjson
import structlog
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from realtime_inspector.channel.limits import WINDOW, Bucket, Gate
from realtime_inspector.errors import PayloadTooLarge, RealtimeError, TokenMissing, TooManyMessages
from realtime_inspector.model import Extension, Forum, Identity, Problem, Right, Rights
from realtime_inspector.ports import TokenVerifier
from realtime_inspector.protocol.broadcast import KEPT, Broadcast, Encoding, Persistence
from realtime_inspector.server.headers import policy_headers

PATHS: Final = ("/api/broadcast", "/realtime/v1/api/broadcast")
DOCS: Final = "protocol.md#over-http"
"""Where the documentation speaks of refusals that have no code."""
BATCH: Final = 100
"""Messages in one request."""
LARGEST_TOPIC: Final = 255 - len("realtime:")
"""Bytes; a binary frame has one for the size of the whole topic."""
MEDIA_TYPE: Final = "Unsupported Media Type. Use application/json or application/octet-stream"
_ENCODINGS: Final = {"": Encoding.JSON, "application/json": Encoding.JSON, "application/octet-stream": Encoding.BINARY}
_SHARED: Final = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "POST",
    "access-control-allow-headers": "authorization, apikey, content-type, x-client-info",
    "access-control-max-age": "600",
}
_single: Final = re.compile(rb"/broadcast/([^/]+)/events/([^/]+)/?$").search
_log = structlog.get_logger(__name__)


class _Lines(PathConvertor):
    """The rest of a path; a topic may hold any character, and a dot stands for all but a line's end."""

    regex = "(?s:.*)"


register_url_convertor("lines", _Lines())


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where messages go. `publish`: to all members of a forum; False when there are too many already. `persist`: and keeps it.

    `ask`: what an identity with these headers (a JSON object's text) may send on a private channel of this name.
    """

    publish: Callable[[Forum, Broadcast], bool]
    persist: Callable[[Forum, Broadcast, Persistence], Awaitable[str]]
    ask: Callable[[Identity, str, str, Right], Awaitable[Rights]]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who was verified. `share`: of it messages are taken; `headers`: as policies read them."""

    identity: Identity
    share: Bucket
    headers: str


Act = Callable[[Request, Caller], Awaitable[Response]]
"""Answers a verified caller."""


class _Item(msgspec.Struct):
    topic: Any = None
    event: Any = None
    payload: msgspec.Raw = msgspec.Raw()
    private: Any = False
    id: Any = None


class _Batch(msgspec.Struct):
    messages: list[_Item]


class _Refused(Exception):
    def __init__(self, status: int, **body: object) -> None:
        super().__init__(status)
        self.response = _answer(status, {**body, "docs": body.get("docs", DOCS)})


def routes(verifier: TokenVerifier, delivery: Delivery, gate: Gate, largest: int) -> list[Route]:
    """Both forms under both prefixes. `largest`: bytes that a payload may have; a batch may have ten times as many."""

    async def batch(request: Request, caller: Caller) -> Response:
        """Private items that the caller may not send are left out without a word, as upstream."""
        items = _parse(await _body(request, 10 * largest), largest)
        _spend(caller.share, len(items))
        names = dict.fromkeys(str(item.topic) for item in items if item.private)
        allowed = {name for name in names if Extension.BROADCAST in (await _rights(caller, name)).extensions}
        for item in items:
            forum = Forum(f"realtime:{item.topic}", bool(item.private))
            if (not forum.private or item.topic in allowed) and not delivery.publish(forum, _wrapped(item)):
                raise _too_many()
        return Response(status_code=202)

    async def single(request: Request, caller: Caller) -> Response:
        topic, sent, persistence = await _message(request, largest)
        forum = Forum(f"realtime:{topic}", request.query_params.get("private", "").lower() in ("true", "1"))
        if persistence is not None and not forum.private:
            raise _Refused(422, errors={"persist": ["needs private=true"]})
        _spend(caller.share, 1)
        if forum.private:
            needed = {Extension.BROADCAST} if persistence is None else {Extension.BROADCAST, Extension.PERSISTENCE}
            _demand(caller, forum.name, needed, await _rights(caller, forum.name))
        if persistence is not None:
            number = await delivery.persist(forum, sent, persistence)
            return _answer(202, {"id": number})
        if not delivery.publish(forum, sent):
            raise _too_many()
        return Response(status_code=202)

    async def _rights(caller: Caller, name: str) -> Rights:
        return await delivery.ask(caller.identity, caller.headers, name, Right.WRITE)

    def route(path: str, act: Act) -> Route:
        async def endpoint(request: Request) -> Response:
            response = Response(status_code=204) if request.method == "OPTIONS" else await _admitted(request, verifier, gate, act)
            response.headers.update(_SHARED)
            return response

        return Route(path, endpoint, methods=["POST", "OPTIONS"])

    return [route(path + rest, act) for path in PATHS for rest, act in (("", batch), ("/{rest:lines}", single))]


async def _admitted(request: Request, verifier: TokenVerifier, gate: Gate, act: Act) -> Response:
    """What the act answers to a verified caller, whose measure the headers tell as upstream's do."""
    share = None
    try:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        token = bearer.strip() if scheme.lower() == "bearer" else request.headers.get("apikey", "")
        if not token:
            raise TokenMissing
        verified = await verifier.verify(token, time.time())
        share = gate.share(f"{verified.identity.role} {verified.identity.claims}", time.time())
        response = await act(request, Caller(verified.identity, share, policy_headers(request.headers)))
    except _Refused as refused:
        response = refused.response
    except RealtimeError as error:
        message = "Unauthorized" if error.status == 401 else error.text
        response = _answer(error.status, {"message": message, "error": error.text, **error.problem.told})
    except Exception:
        _log.exception("request_failed", method=request.method, path=request.scope["path"])
        response = _answer(500, {"message": "Internal error", "hint": "The log of the service says more.", "docs": DOCS})
    if share is not None:
        response.headers.update(_measure(share))
    return response


def _spend(share: Bucket, messages: int) -> None:
    if not share.take(time.time(), messages):
        error = TooManyMessages()
        raise _Refused(429, message="You have exceeded your rate limit", error=error.text, **error.problem.told)


def _measure(share: Bucket) -> dict[str, str]:
    """Per second: the average of late and what is allowed; and how many may come at once now."""
    rolling = (share.size - share.level) / WINDOW
    return {
        "x-rate-rolling": f"{rolling:.2f}",
        "x-rate-limit": f"{share.rate:g}",
        "x-rate-limit-remaining": f"{int(share.level)}",
    }


async def _message(request: Request, largest: int) -> tuple[str, Broadcast, Persistence | None]:
    """Topic, message, and whether it is to be kept, of the form whose body is the payload itself."""
    named = _single(request.scope["raw_path"])
    if named is None:
        raise _Refused(404, message="Not Found", hint="POST /api/broadcast/TOPIC/events/EVENT, both percent-encoded.")
    topic, event = (unquote(part.decode("latin-1")) for part in named.groups())
    encoding = _ENCODINGS.get(request.headers.get("content-type", "").partition(";")[0].strip().lower())
    if encoding is None:
        raise _Refused(415, error=MEDIA_TYPE)
    problems = {"topic": _name(topic, LARGEST_TOPIC), "event": _name(event, LARGEST_TOPIC)}
    payload = await _body(request, largest)
    if encoding is Encoding.JSON and not _is_json(payload):
        problems["payload"] = ["is no JSON"]
    if any(problems.values()):
        raise _Refused(422, errors={name: told for name, told in problems.items() if told})
    return topic, Broadcast(event, payload, encoding), _persistence(request)


def _persistence(request: Request) -> Persistence | None:
    """`persist=true`, or `persist[ttl]=60`."""
    ttl = request.query_params.get("persist[ttl]")
    if ttl is None:
        return KEPT if request.query_params.get("persist", "").lower() in ("true", "1") else None
    if not (ttl.isascii() and ttl.isdigit() and 0 < len(ttl) <= 9 and int(ttl) > 0):
        raise _Refused(422, errors={"persist": ["ttl must be a number of seconds"]})
    return Persistence(int(ttl))


def _demand(caller: Caller, name: str, needed: set[Extension], rights: Rights) -> None:
    missing = sorted(needed - rights.extensions)
    if not missing:
        return
    asked = f"INSERT on realtime.messages, extension {' and '.join(missing)}, topic {name!r}, role {caller.identity.role}"
    hint = f"No policy allows {asked}. See docs/policies.md#private-channels."
    if rights.raised:
        hint = f"A policy failed when it was asked for {asked}; the log of the service has the error {rights.raised}."
    raise _Refused(403, message="Unauthorized", **Problem("Unauthorized", "", hint).told)


async def _body(request: Request, largest: int) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > largest:
            raise PayloadTooLarge(f"The body is larger than {largest} bytes")
    return bytes(body)


def _parse(body: bytes, largest: int) -> list[_Item]:
    """The messages, each of which is right; the whole batch is refused where one is not."""
    try:
        body.decode()
        items = msgspec.json.decode(body, type=_Batch).messages
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Refused(422, errors={"messages": ["is invalid"]}, hint=f'Send {{"messages": [...]}}: {error}') from error
    if not items:
        raise _Refused(422, errors={"messages": ["can't be blank"]})
    if len(items) > BATCH:
        text = "Too many messages to broadcast, please reduce the batch size"
        raise _Refused(429, message=text, hint=f"At most {BATCH} messages fit into one request.")
    problems = [_problems(item, largest) for item in items]
    if any(problems):
        raise _Refused(422, errors={"messages": problems})
    return items


def _problems(item: _Item, largest: int) -> dict[str, list[str]]:
    payload = bytes(item.payload)
    told = {"topic": _name(item.topic, LARGEST_TOPIC), "event": _name(item.event, LARGEST_TOPIC)}
    if not payload or payload == b"null":
        told["payload"] = ["can't be blank"]
    elif not payload.startswith(b"{") or not _is_json(payload):
        told["payload"] = ["is invalid"]
    elif len(payload) > largest:
        told["payload"] = ["is too large"]
    return {name: problems for name, problems in told.items() if problems}


def _name(value: object, largest: int) -> list[str]:
    if value is None or value == "":
        return ["can't be blank"]
    if not isinstance(value, str) or "\0" in value or len(value.encode()) > largest:
        return ["is invalid"]
    return []


def _wrapped(item: _Item) -> Broadcast:
    """As a client would have sent it, so that it travels as text to everybody."""
    meta = {"meta": {"id": item.id}} if isinstance(item.id, str) else {}
    wrapped = {"type": "broadcast", "event": item.event, "payload": orjson.Fragment(bytes(item.payload)), **meta}
    return Broadcast(item.event, orjson.dumps(wrapped), Encoding.WRAPPED)


def _is_json(text: bytes) -> bool:
    try:
        orjson.loads(text)
    except ValueError:
        return False
    return True


def _too_many() -> _Refused:
    return _Refused(429, message="Too many requests", hint="Send fewer broadcasts at a time.")


def _answer(status: int, body: object) -> Response:
    return Response(orjson.dumps(body), status, media_type="application/json")
