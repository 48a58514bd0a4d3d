"""The examples run as they stand, and print the row that a test writes."""

import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.provision import javascript_clients, node, python_client
from tests.wire.demo import Demo

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PATIENCE = 60.0


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("watch.*")))
def test_an_example_prints_what_its_account_may_see(
    demo: Demo, admin: psycopg.Connection[Any], tmp_path: Path, name: str
) -> None:
    alice, bob = demo.person("alice"), demo.person("bob")
    variables = os.environ | {"RTI_URL": demo.url, "RTI_KEY": alice.token}
    command = _command(EXAMPLES / name, tmp_path)
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True) as example:
        assert example.stdout is not None
        deadline = threading.Timer(PATIENCE, example.kill)  # its output then ends
        deadline.start()
        try:
            assert "SUBSCRIBED" in example.stdout.readline()
            for author, content in ((bob, "hidden from Alice"), (alice, "Hello, Alice")):
                admin.execute("insert into tweets (user_id, content) values (%s, %s)", [author.id, content])
            assert "Hello, Alice" in example.stdout.readline()
        finally:
            deadline.cancel()
            example.kill()


def _command(example: Path, folder: Path) -> list[str]:
    if example.suffix == ".py":
        return [str(python_client()), str(example)]
    (folder / "node_modules").symlink_to(javascript_clients() / "node_modules")
    copy = folder / example.name
    copy.write_text(example.read_text())
    return [str(node()), str(copy)]
