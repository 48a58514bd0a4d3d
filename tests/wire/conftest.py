"""Gives wire tests a real demo service, one for each test process."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.wire.demo import Demo

PATIENCE = 60.0


@pytest.fixture(scope="session")
def demo() -> Iterator[Demo]:
    """A demo in which nothing happens but what a test does; at the end it must stop without an error."""
    command = [sys.executable, "-m", "realtime_inspector", "demo", "--port", "0", "--no-activity", "--ready-json"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RTI_")}
    with subprocess.Popen(command, env=kept | {"RTI_LOG_LEVEL": "warning"}, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        line = service.stdout.readline()
        assert line, f"the demo ended with status {service.wait()} before it was ready"
        try:
            yield Demo(json.loads(line))
        finally:
            service.terminate()
            try:
                status = service.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                service.kill()
                raise
        assert status == 0


@pytest.fixture
def admin(demo: Demo) -> Iterator[psycopg.Connection[Any]]:
    """The superuser's connection to the demo's database, in UTC; every statement commits."""
    with psycopg.connect(demo.database_url, autocommit=True, options="-c timezone=UTC") as connection:
        yield connection
