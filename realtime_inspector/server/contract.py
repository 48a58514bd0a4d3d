"""Describes the HTTP interface as OpenAPI 3.1, from the routes that are served: a route that is added describes itself."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

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
    "503": "the keys that tokens are verified with, or the database, cannot be reached",
}
_REFERENCE: Final = "#/components/schemas/{name}"
_STATUS: Final[_Schema] = {"type": "object"}


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
            "schemas": {"Error": _ERROR, "Message": _MESSAGE, **_forms(routes)},
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
    if route.path in ("/healthz", "/readyz", "/metrics", PATH):
        return {"get": _open(route)}
    return {}


def _forms(routes: Iterable[BaseRoute]) -> _Schema:
    """The bodies that acts read, by name, and what these are made of."""
    acts = (act for route in routes for act in getattr(getattr(route, "endpoint", None), "acts", {}).values())
    forms = {act.form for act in acts if hasattr(act, "form")}
    _, schemas = msgspec.json.schema_components(sorted(forms, key=lambda form: form.__name__), ref_template=_REFERENCE)
    public: _Schema = msgspec.json.decode(msgspec.json.encode(schemas).replace(b"/schemas/_", b"/schemas/"))
    return {name.lstrip("_"): {**schema, "title": name.lstrip("_")} for name, schema in public.items()}


def _act(method: str, act: Any, path: str, *, strangers: bool) -> _Schema:
    refusals = {"400": "the body or a parameter is not what this expects", "401": "no bearer, or one that is refused"}
    refusals |= {"403": "not an admin's token", "404": "no such thing", "503": "the database cannot be asked"}
    if method != "GET":
        refusals |= {"413": "the body is too large", "415": "the body is not JSON"}
    described: _Schema = {
        "summary": _summary(act),
        "tags": ["admin"],
        "security": [] if strangers else [{"admin": []}],
        "responses": {"200": {"description": "done"}, **{status: _refusal(why) for status, why in refusals.items()}},
    }
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
    described["responses"]["404"] = _refusal("the path is not topic, events, event")
    described["responses"]["415"] = _refusal("neither JSON nor octet-stream")
    return described


def _broadcast(summary: str, content: _Schema) -> _Schema:
    return {
        "summary": summary,
        "tags": ["broadcast"],
        "security": [{"token": []}, {"apikey": []}],
        "requestBody": {"required": True, "content": content},
        "responses": {
            "202": {"description": "taken over"},
            **{status: _refusal(why, {"type": "object"}) for status, why in _REFUSED.items()},
        },
    }


def _open(route: Route) -> _Schema:
    kind = "text/plain" if route.path == "/metrics" else "application/json"
    responses: _Schema = {"200": {"description": "yes", "content": {kind: {"schema": _STATUS if kind != "text/plain" else {}}}}}
    if route.path == "/readyz":
        responses["503"] = {"description": "not ready; `reasons` says why", "content": {kind: {"schema": _STATUS}}}
    if route.path == PATH:
        responses["403"] = _refusal("the host name or the origin is not known")
    return {"summary": _summary(route.endpoint), "tags": ["health"], "security": [], "responses": responses}


def _refusal(why: str, schema: _Schema | None = None) -> _Schema:
    named = schema or {"$ref": "#/components/schemas/Error"}
    return {"description": why, "content": {"application/json": {"schema": named}}}


def _parameter(name: str, place: str, schema: _Schema) -> _Schema:
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


def _plain(path: str) -> str:
    """The path as OpenAPI writes it."""
    return path.replace("{rest:path}", "{topic}/events/{event}") if "/api/broadcast/" in path else re.sub(r":\w+\}", "}", path)


def _summary(act: Any) -> str:
    text = (getattr(act, "__doc__", None) or act.__name__.replace("_", " ")).strip()
    return str(text.partition("\n")[0])
