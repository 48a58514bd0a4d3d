"""The description of the HTTP interface: valid, as the page has it, and kept by the service, whatever is asked.

`REWRITE=1 .venv/bin/python -m pytest tests/wire/test_contract.py` writes docs/openapi.yaml anew.
"""

import os
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import validate

from tests.wire.contract import PAGE, assert_fits
from tests.wire.demo import Demo

EXAMPLES = 10
"""Requests for each operation."""


@pytest.fixture
def document(demo: Demo) -> Any:
    answer = httpx.get(f"{demo.url}/api/openapi.json", trust_env=False)
    assert answer.status_code == 200
    return answer.json()


def test_the_description_is_valid_and_the_page_has_it(document: Any) -> None:
    validate(document)
    if os.environ.get("REWRITE"):
        head = "# The HTTP interface, as /api/openapi.json serves it. Written by tests/wire/test_contract.py.\n"
        PAGE.write_text(head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=130))
    assert yaml.safe_load(PAGE.read_text()) == document, "routes have changed: run this with REWRITE=1"


def test_every_route_for_programs_is_described(document: Any) -> None:
    described = {(path, method) for path, operations in document["paths"].items() for method in operations}
    assert ("/api/broadcast", "post") in described
    assert ("/realtime/v1/api/broadcast/{topic}/events/{event}", "post") in described
    assert ("/api/v1/auth/impersonate", "delete") in described
    assert ("/healthz", "get") in described
    admin = [
        operation
        for operations in document["paths"].values()
        for operation in operations.values()
        if "admin" in operation["tags"]
    ]
    forms = {
        operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        for operation in admin
        if "requestBody" in operation
    }
    assert {"#/components/schemas/Sql", "#/components/schemas/Why", "#/components/schemas/Start"} < forms
    assert all("requestBody" in operations["post"] for operations in document["paths"].values() if "post" in operations)
    assert all(operation["summary"] for operations in document["paths"].values() for operation in operations.values())


def test_whatever_is_asked_the_service_does_not_fail(demo: Demo, document: Any) -> None:
    """Requests that fit the description, with the right token: each answer is described, none is a 5xx, no body another form."""
    failures: list[str] = []
    asked = 0
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = result.ok()
        token = demo.anon_key if "broadcast" in operation.path else str(demo.told["admin_token"])
        for status, told in answers(document, operation, demo.url, token):
            asked += 1
            failures += [told] if status >= 500 or "The body is not what this expects" in told else []
    assert failures == []
    assert asked > EXAMPLES * 10
    assert httpx.get(f"{demo.url}/readyz", trust_env=False).json()["ready"] is True


def answers(document: Any, operation: Any, url: str, token: str) -> list[tuple[int, str]]:
    """What so many requests to one operation are answered: the status, and what it was about."""
    found = []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        answer = case.call(base_url=url, headers={"authorization": f"Bearer {token}"})
        kind = answer.headers.get("content-type", [""])[0]
        assert_fits(document, case.method, urlsplit(answer.request.url).path, answer.status_code, kind, answer.content)
        found.append((answer.status_code, f"{case.method} {case.path}: {answer.status_code} {answer.text[:300]}"))

    ask()
    return found
