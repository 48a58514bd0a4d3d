"""Who asks in the oracle's worlds: a few users of three roles, whose claims the policies read in different ways."""

from typing import Any

import orjson

from realtime_inspector.model import Identity

OWNERS = [f"{n:08d}-0000-0000-0000-000000000000" for n in (1, 2, 3, 4)]


def _person(role: str, **claims: Any) -> Identity:
    return Identity(role, orjson.dumps({"role": role, **claims}, option=orjson.OPT_SORT_KEYS).decode())


PEOPLE = {
    "service": _person("service_role"),
    "alice": _person("authenticated", sub=OWNERS[0], tags=["red"]),
    "alice elsewhere": _person("authenticated", sub=OWNERS[0], tags=["red"], iat=1, session_id="another tab"),
    "bob": _person("authenticated", sub=OWNERS[1], tags=["red", "blue"], app_metadata={"role": "admin"}),
    "carol": _person("authenticated", sub=OWNERS[2], tags=[]),
    "dave": _person("authenticated", sub=OWNERS[3], app_metadata={"role": "editor"}),
    "nobody": _person("authenticated", tags=["blue"]),
    "alice, limited": _person("limited", sub=OWNERS[0], tags=["red"]),
    "bob, limited": _person("limited", sub=OWNERS[1], tags=["blue"], app_metadata={"role": "admin"}),
    "anon": _person("anon"),
}
WATCHING = "service"
"""Sees every change that can be seen at all, and the verdict on each other one, so that it tells what the log has."""
GRANTED = ("authenticated", "limited", "anon")
"""The roles whose privileges change."""
