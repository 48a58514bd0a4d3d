"""Describes the HTTP interface as OpenAPI 3.1, from the routes that are served: a route that is added describes itself."""

import re
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Any, Final, NoReturn, get_args, get_type_hints

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from realtime_inspector import __version__

PATH: Final = "/api/openapi.json"
_Schema = dict[str, Any]

_ERROR: Final[_Schema] = {
    "type": "object",
    "description": "A refusal; docs/errors.md lists the codes.",
    "required": ["error", "code", "hint", "docs"],
    "properties": {
        "error": {"type": "string", "description": "one sentence"},
        "code": {"type": "string"},
        "hint": {"type": "string", "description": "what to do about it"},
        "docs": {"type": "string", "description": "where the documentation speaks of the code"},
    },
}
_STATEMENT_ERROR: Final[_Schema] = {
    "type": "object",
    "description": "A refusal, with what Postgres says of the statement.",
    "required": [*_ERROR["required"], "sqlstate", "position", "detail"],
    "properties": {
        **_ERROR["properties"],
        "sqlstate": {"type": "string"},
        "position": {"type": ["integer", "null"], "description": "characters from 1"},
        "detail": {"type": "string"},
    },
}
_UNSENT: Final[_Schema] = {
    "type": "object",
    "description": "Why a broadcast was not sent, as Supabase Realtime says it, with code and hint where there is more to say.",
    "required": ["docs"],
    "properties": {
        "message": {"type": "string"},
        "error": {"type": "string"},
        "errors": {"type": "object", "description": "by field: texts, or for `messages` one object of such for each message"},
        "code": {"type": "string"},
        "hint": {"type": "string"},
        "docs": {"type": "string"},
    },
}
_MESSAGE: Final[_Schema] = {
    "type": "object",
    "required": ["topic", "event", "payload"],
    "properties": {
        "topic": {"type": "string", "minLength": 1, "description": "without realtime:, at most 246 bytes"},
        "event": {"type": "string", "minLength": 1},
        "payload": {"type": "object"},
        "private": {"type": "boolean"},
        "id": {"type": "string", "description": "comes as meta.id"},
    },
}
_REFUSED: Final = {
    "401": "the token is missing, or refused",
    "403": "not allowed",
    "413": "the body is too large",
    "422": "something is wrong with a message; `errors` says what with which",
    "429": "too many messages; see the headers x-rate-limit, x-rate-rolling and x-rate-limit-remaining",
    "500": "a fault of the service",
    "503": "the keys that tokens are verified with, or the database, cannot be reached",
}
_REFERENCE: Final = "#/components/schemas/{name}"
_HEALTH: Final[_Schema] = {"type": "object", "required": ["status"], "properties": {"status": {"const": "ok"}}}
_TEXTS: Final[_Schema] = {"type": "array", "items": {"type": "string"}}
_READY: Final[_Schema] = {
    "type": "object",
    "required": ["ready", "reasons", "notes"],
    "properties": {"ready": {"type": "boolean"}, "reasons": _TEXTS, "notes": _TEXTS},
}
_KEPT: Final[_Schema] = {
    "type": "object",
    "description": "of a message that is kept; otherwise there is no body",
    "required": ["id"],
    "properties": {"id": {"type": "string", "description": "the same as in meta.id"}},
}
_OPEN: Final[dict[str, _Schema]] = {
    "/healthz": {"application/json": {"schema": _HEALTH}},
    "/readyz": {"application/json": {"schema": _READY}},
    "/metrics": {"text/plain": {"schema": {"type": "string"}}},
    PATH: {"application/json": {"schema": {"type": "object", "required": ["openapi", "info", "paths"]}}},
}
"""What is answered to anybody."""


def document(routes: Iterable[BaseRoute]) -> _Schema:
    """The whole of it, for these routes; sockets and the page are no part of it."""
    routes = tuple(routes)
    paths: dict[str, _Schema] = {}
    for route in routes:
        if isinstance(route, Route) and (described := _operations(route)):
            paths.setdefault(_plain(route.path), {}).update(described)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "realtime_inspector",
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "The HTTP side of the service. docs/asyncapi.yaml describes the socket, docs/protocol.md both.",
        },
        "servers": [{"url": "/"}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {
                "Error": _ERROR,
                "StatementError": _STATEMENT_ERROR,
                "Unsent": _UNSENT,
                "Message": _MESSAGE,
                **_forms(routes),
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "any token that counts"},
                "apikey": {"type": "apiKey", "in": "header", "name": "apikey"},
                "admin": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "a token of the admin role"},
            },
        },
    }


def route(described: list[BaseRoute]) -> Route:
    """Serves the document of these routes, and of itself."""

    async def openapi(_: Request) -> Response:
        """This document."""
        return JSONResponse(document(described))

    made = Route(PATH, openapi)
    described.append(made)
    return made


def _operations(route: Route) -> _Schema:
    """By method; nothing for what is not for programs."""
    if route.path.endswith("/api/broadcast"):
        return {"post": _batch()}
    if "/api/broadcast/" in route.path:
        return {"post": _single()}
    acts: Mapping[str, Any] | None = getattr(route.endpoint, "acts", None)
    if acts is not None:
        strangers = bool(getattr(route.endpoint, "strangers", False))
        return {method.lower(): _act(method, act, route.path, strangers=strangers) for method, act in acts.items()}
    if route.path in _OPEN:
        return {"get": _open(route)}
    return {}


def _forms(routes: Iterable[BaseRoute]) -> _Schema:
    """The bodies that acts read and answer, by name, and what these are made of."""
    acts = [act for route in routes for act in getattr(getattr(route, "endpoint", None), "acts", {}).values()]
    forms = {act.form for act in acts if hasattr(act, "form")} | {answer for act in acts for answer in _answers(act)}
    _, schemas = msgspec.json.schema_components(sorted(forms, key=lambda form: form.__name__), ref_template=_REFERENCE)
    public: _Schema = msgspec.json.decode(msgspec.json.encode(schemas).replace(b"/schemas/_", b"/schemas/"))
    return {name.lstrip("_"): {**schema, "title": name.lstrip("_")} for name, schema in public.items()}


def _answers(act: Any) -> tuple[type, ...]:
    """What an act says that it returns, if that is JSON: one form, or one of several."""
    returned = get_type_hints(act)["return"]
    forms = get_args(returned) if isinstance(returned, UnionType) else (returned,)
    return tuple(form for form in forms if form is not NoReturn and not issubclass(form, Response))


def _success(act: Any) -> _Schema:
    """What is answered when all goes well; nothing for an act that only ever refuses."""
    if media_types := getattr(act, "media_types", ()):
        return {"200": {"description": "done", "content": {kind: {"schema": {"type": "string"}} for kind in media_types}}}
    forms = [{"$ref": _REFERENCE.format(name=form.__name__)} for form in _answers(act)]
    if not forms:
        return {}
    schema = forms[0] if len(forms) == 1 else {"anyOf": forms}
    return {"200": {"description": "done", "content": {"application/json": {"schema": schema}}}}


def _act(method: str, act: Any, path: str, *, strangers: bool) -> _Schema:
    refusals = {"400": "the body or a parameter is not what this expects", "401": "no bearer, or one that is refused"}
    refusals |= {"403": "not an admin's token", "404": "no such thing", "503": "the database cannot be asked"}
    refusals |= {"500": "a fault of the service, or of how it is set up"}
    if strangers:
        refusals |= {"429": "too many attempts"}
    if method != "GET":
        refusals |= {"413": "the body is too large", "415": "the body is not JSON"}
    described: _Schema = {
        "summary": _summary(act),
        "tags": ["admin"],
        "security": [] if strangers else [{"admin": []}],
        "responses": _success(act) | {status: _refusal(why) for status, why in refusals.items()},
    }
    if refused := getattr(act, "refused", None):
        status, why, schema = refused
        described["responses"][status] = _refusal(why, {"$ref": _REFERENCE.format(name=schema)})
    if names := re.findall(r"\{(\w+)(?::\w+)?\}", path):
        described["parameters"] = [_parameter(name, "path", {"type": "string", "minLength": 1}) for name in names]
    if form := getattr(act, "form", None):
        schema = {"$ref": _REFERENCE.format(name=form.__name__.lstrip("_"))}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return described


def _batch() -> _Schema:
    messages = {"type": "array", "minItems": 1, "maxItems": 100, "items": {"$ref": "#/components/schemas/Message"}}
    body = {"type": "object", "required": ["messages"], "properties": {"messages": messages}}
    return _broadcast("Sends up to 100 messages, each to all members of a topic.", {"application/json": {"schema": body}})


def _single() -> _Schema:
    content: _Schema = {"application/json": {"schema": {}}, "application/octet-stream": {"schema": {}}}
    described = _broadcast("Sends one message, whose payload is the body.", content)
    described["parameters"] = [
        _parameter("topic", "path", {"type": "string", "minLength": 1}),
        _parameter("event", "path", {"type": "string", "minLength": 1}),
        _parameter("private", "query", {"type": "boolean"}),
    ]
    described["responses"]["202"]["content"] = {"application/json": {"schema": _KEPT}}
    described["responses"]["404"] = _unsent("the path is not topic, events, event")
    described["responses"]["415"] = _unsent("neither JSON nor octet-stream")
    return described


def _broadcast(summary: str, content: _Schema) -> _Schema:
    return {
        "summary": summary,
        "tags": ["broadcast"],
        "security": [{"token": []}, {"apikey": []}],
        "requestBody": {"required": True, "content": content},
        "responses": {
            "202": {"description": "taken over"},
            **{status: _unsent(why) for status, why in _REFUSED.items()},
        },
    }


def _open(route: Route) -> _Schema:
    content = _OPEN[route.path]
    responses: _Schema = {"200": {"description": "yes", "content": content}}
    if route.path == "/readyz":
        responses["503"] = {"description": "not ready; `reasons` says why", "content": content}
    if route.path == PATH:
        responses["403"] = _refusal("the host name or the origin is not known")
    return {"summary": _summary(route.endpoint), "tags": ["health"], "security": [], "responses": responses}


def _unsent(why: str) -> _Schema:
    return _refusal(why, {"$ref": _REFERENCE.format(name="Unsent")})


def _refusal(why: str, schema: _Schema | None = None) -> _Schema:
    named = schema or {"$ref": "#/components/schemas/Error"}
    return {"description": why, "content": {"application/json": {"schema": named}}}


def _parameter(name: str, place: str, schema: _Schema) -> _Schema:
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


def _plain(path: str) -> str:
    """The path as OpenAPI writes it."""
    return path.replace("{rest:lines}", "{topic}/events/{event}") if "/api/broadcast/" in path else re.sub(r":\w+\}", "}", path)


def _summary(act: Any) -> str:
    text = (getattr(act, "__doc__", None) or act.__name__.replace("_", " ")).strip()
    return str(text.partition("\n")[0])
