"""Where SQL text comes from: named files beside this one, and the only place that quotes what cannot be a parameter."""

from functools import cache
from importlib.resources import files
from typing import LiteralString


@cache
def load(name: str) -> LiteralString:
    """The text of sql/<name>.sql. It ships with the package, so it counts as written by us."""
    return (files("realtime_inspector.postgres") / "sql" / f"{name}.sql").read_text("utf-8")


def quote_identifier(name: str) -> str:
    """A name as Postgres reads it back unchanged; NUL cannot occur in any identifier."""
    if "\x00" in name:
        raise ValueError("an identifier cannot contain NUL")
    return '"' + name.replace('"', '""') + '"'


def quote_table(schema: str, name: str) -> str:
    """A table's name with its schema."""
    return f"{quote_identifier(schema)}.{quote_identifier(name)}"


def quote_literal(text: str) -> str:
    """A string constant for statements that take no parameters (DDL); never used where a parameter can stand."""
    if "\x00" in text:
        raise ValueError("a string constant cannot contain NUL")
    quoted = "'" + text.replace("'", "''") + "'"
    return " E" + quoted.replace("\\", "\\\\") if "\\" in text else quoted
