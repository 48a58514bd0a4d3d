"""The locks: versions and hashes and no address, so that every machine installs the same from where it is used to."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from scripts.setup import HOME, entries

PYTHON_LOCKS = [*HOME.glob("requirements*.lock"), HOME / "tests/clients/python-requirements.lock"]
NPM_LOCK = HOME / "tests/clients/package-lock.json"


def pins(lock: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Version and hashes by package."""
    return {
        name: (text.split("==")[1].split()[0], frozenset(re.findall(r"sha256:[0-9a-f]{64}", text)))
        for name, text in entries(lock).items()
    }


@pytest.mark.parametrize("lock", [*PYTHON_LOCKS, NPM_LOCK], ids=lambda path: path.name)
def test_a_lock_names_no_address(lock: Path) -> None:
    assert re.findall(r"\w+://\S+|--\w*index\S*|--find-links|\"resolved\"", lock.read_text()) == []


@pytest.mark.parametrize("lock", PYTHON_LOCKS, ids=lambda path: path.name)
def test_every_python_package_has_hashes(lock: Path) -> None:
    assert pins(lock)
    assert [name for name, (_, hashes) in pins(lock).items() if not hashes] == []


def test_every_javascript_package_has_its_integrity() -> None:
    packages = json.loads(NPM_LOCK.read_text())["packages"]
    assert len(packages) > 7
    assert [name for name, package in packages.items() if name and "integrity" not in package] == []


@pytest.mark.parametrize("part", ["requirements-runtime.lock", "requirements-build.lock"])
def test_an_image_is_made_of_what_was_tested(part: str) -> None:
    assert pins(HOME / part).items() <= pins(HOME / "requirements.lock").items()


def test_the_runtime_lock_holds_what_the_service_needs_and_no_more() -> None:
    project = tomllib.loads((HOME / "pyproject.toml").read_text())
    needed = {re.split(r"[\[<>=;]", wanted)[0] for wanted in project["project"]["dependencies"]}
    only_tests = {re.split(r"[\[<>=;]", wanted)[0] for wanted in project["dependency-groups"]["dev"] if isinstance(wanted, str)}
    assert needed <= pins(HOME / "requirements-runtime.lock").keys()
    assert only_tests & pins(HOME / "requirements-runtime.lock").keys() == set()
