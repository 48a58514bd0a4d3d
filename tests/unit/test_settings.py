"""Settings come from four layers in a fixed order, and whatever is wrong is named with its remedy."""

import pytest

from realtime_inspector.errors import InvalidInput
from realtime_inspector.settings import OTHER_VARIABLES, Settings, load_settings


def test_defaults_bind_to_this_machine_only() -> None:
    assert load_settings({}) == Settings()
    assert Settings().host == "127.0.0.1"


def test_later_layers_win() -> None:
    settings = load_settings({"RTI_PORT": "2", "RTI_SLOT": "b"}, {"slot": "c", "host": None}, 'port = 1\nslot = "a"\nhost = "h"')
    assert (settings.port, settings.slot, settings.host) == (2, "c", "h")


def test_lists_are_separated_by_commas() -> None:
    assert load_settings({"RTI_ALLOWED_ROLES": "anon, editor,"}).allowed_roles == ("anon", "editor")


def test_other_variables_are_left_alone() -> None:
    assert load_settings({"PATH": "/bin", **dict.fromkeys(OTHER_VARIABLES, "shop.env")}) == Settings()


@pytest.mark.parametrize(
    ("environment", "toml", "message", "hint"),
    [
        ({"RTI_PORT": "many"}, None, "port", "docs/settings.md"),
        ({"RTI_PORT": "70000"}, None, "port", "docs/settings.md"),
        ({"RTI_QUEUE_BYTES": "0"}, None, "queue_bytes", "docs/settings.md"),
        ({"RTI_DELETES": "all"}, None, "deletes", "docs/settings.md"),
        ({"RTI_JWT_SECERT": "x"}, None, "no setting 'jwt_secert'", "RTI_JWT_SECRET"),
        ({}, "prot = 1", "no setting 'prot'", "port"),
        ({}, "port = ", "not valid TOML", ""),
    ],
)
def test_what_is_wrong_is_named(environment: dict[str, str], toml: str | None, message: str, hint: str) -> None:
    with pytest.raises(InvalidInput, match=message) as refusal:
        load_settings(environment, None, toml)
    assert hint in refusal.value.remedy
