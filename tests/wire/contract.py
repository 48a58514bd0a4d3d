"""Compares answers with the description of the HTTP interface: their status and body must be described, and nothing left out."""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml
from jsonschema import Draft202012Validator

PAGE = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"
PARAMETER = re.compile(r"\{\w+\}")


@cache
def page() -> dict[str, Any]:
    """The description as docs/openapi.yaml has it."""
    return dict(yaml.safe_load(PAGE.read_text()))


def assert_described(answer: httpx.Response) -> None:
    """The answer is one that the page describes for its request."""
    kind = answer.headers.get("content-type", "")
    path = urlsplit(str(answer.request.url)).path
    assert_fits(page(), answer.request.method, path, answer.status_code, kind, answer.content)


def assert_fits(document: Mapping[str, Any], method: str, path: str, status: int, kind: str, body: bytes) -> None:
    """The same of an answer in parts."""
    told = f"{method} {path}: {status} {body[:500]!r}"
    found = [described for template, described in document["paths"].items() if _fits(template, path)]
    if not found or method.lower() not in found[0]:
        assert status in (404, 405), f"not described: {told}"
        return
    responses = found[0][method.lower()]["responses"]
    assert str(status) in responses, f"status not described: {told}"
    content = responses[str(status)].get("content", {})
    if not body:
        assert status == 202 or not content, f"no body: {told}"
        return
    kind = kind.partition(";")[0]
    assert kind in content, f"media type not described: {told}"
    if kind == "application/json":
        schema = {**_closed(content[kind]["schema"]), "components": _closed(document["components"])}
        problems = [error.message for error in Draft202012Validator(schema).iter_errors(json.loads(body))]
        assert problems == [], told


def _fits(template: str, path: str) -> bool:
    pattern = "[^/]+".join(re.escape(part) for part in PARAMETER.split(template))
    return re.fullmatch(pattern, path) is not None


def _closed(schema: Any) -> Any:
    """The schema, in which objects have no other fields than those that it names."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(each) for name, each in schema.items()}
    return {"additionalProperties": False, **closed} if isinstance(schema.get("properties"), dict) else closed
