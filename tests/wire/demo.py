"""A running demo as its tests see it: its addresses, its people, and what each of them can SELECT."""

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from realtime_inspector.identity.tokens import sign

Rows = dict[Any, dict[str, Any]]
"""Rows as JSON, by their id."""


@dataclass(frozen=True)
class Person:
    """Somebody who looks at the database. `name`: of a sample account, "anon" or "service"; `token`: what they prove it with."""

    name: str
    token: str

    @property
    def claims(self) -> dict[str, Any]:
        payload = self.token.split(".")[1]
        return dict(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))

    @property
    def id(self) -> str:
        return str(self.claims["sub"])

    @property
    def privileged(self) -> bool:
        """Whether policies do not apply to them."""
        return bool(self.claims["role"] == "service_role")


@dataclass(frozen=True)
class Demo:
    """`told`: what it printed when it was ready."""

    told: Mapping[str, Any]

    @property
    def url(self) -> str:
        return str(self.told["url"])

    @property
    def database_url(self) -> str:
        return str(self.told["database_url"])

    @property
    def anon_key(self) -> str:
        return str(self.told["anon_key"])

    def person(self, name: str) -> Person:
        """A sample account, "anon" or "service"."""
        keys = {"anon": self.told["anon_key"], "service": self.told["service_role_key"]}
        tokens = {user["email"].split("@")[0]: user["access_token"] for user in self.told["users"]}
        return Person(name, (tokens | keys)[name])

    def people(self) -> list[Person]:
        """Everybody."""
        return [self.person(name) for name in ("alice", "bob", "carol", "dave", "vera", "anon", "service")]

    def token(self, person: Person, seconds: int = 3600, /, **claims: object) -> str:
        """Another token of a person, for so many seconds from now, with further claims."""
        return sign(person.claims | {"exp": int(time.time()) + seconds} | claims, str(self.told["jwt_secret"]))


def select(admin: psycopg.Connection[Any], person: Person, *tables: str) -> dict[str, Rows]:
    """What plain SELECTs show this person now, by table."""
    rows = sql.SQL("select {}, to_json(t) from {} as t")
    each = [rows.format(table, sql.Identifier("public", table)) for table in tables]
    seen: dict[str, Rows] = {table: {} for table in tables}
    with admin.transaction(force_rollback=True):
        admin.execute(
            "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
            [person.claims["role"], json.dumps(person.claims)],
        )
        for table, row in admin.execute(sql.SQL(" union all ").join(each)):
            seen[table][row["id"]] = row
    return seen
