"""Decides which SQL may be run as somebody: takes a text apart into statements and refuses what could leave the transaction.

Each statement is sent in a message of its own in which Postgres accepts no second one, so a text that is taken apart wrongly ends
in a syntax error and in nothing else. Allowed is what begins with one of ALLOWED: no such statement can end a transaction.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from realtime_inspector.errors import StatementRefused

Mode = Literal["read", "rollback", "commit"]
"""READ ONLY; done and taken back after its effect was shown; done."""

ALLOWED: Final = frozenset(
    {"select", "insert", "update", "delete", "merge", "values", "table", "with", "explain", "show", "truncate"}
)
MOST_STATEMENTS: Final = 20
LONGEST: Final = 20_000
"""Characters: as many as the trail keeps, so that nothing runs that it does not show."""

# Lexical rules: https://www.postgresql.org/docs/current/sql-syntax-lexical.html. A comment ends at a carriage return too,
# blanks are those of ASCII, and every character beyond ASCII is a letter (src/backend/parser/scan.l).
_TOKEN: Final = re.compile(
    r"""
    (?P<space>[ \t\n\r\f\v]+|--[^\n\r]*)
    |(?P<comment>/\*)
    |(?P<escaped>[eE]'(?:[^'\\]|\\.|'')*')
    |(?P<unfinished>[eE]')
    |(?P<unicode>[uU]&['"])
    |(?P<text>'(?:[^']|'')*')
    |(?P<quoted>"(?:[^"]|"")*")
    |(?P<dollar>\$(?P<tag>(?:[a-zA-Z_\x80-\U0010ffff][\w\x80-\U0010ffff]*)?)\$.*?\$(?P=tag)\$)
    |(?P<word>[a-zA-Z_\x80-\U0010ffff][\w$\x80-\U0010ffff]*)
    |(?P<end>;)
    |(?P<open>['"])
    |(?P<other>[0-9][0-9.]*|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_HIDING: Final = re.compile(r"set_config|query_to_xml|\bts_(?:stat|rewrite)\b", re.IGNORECASE)
"""What changes settings, and what runs the text of a query, in which that could be spelt in parts."""
_COMMENT: Final = re.compile(r"/\*|\*/")
_WORDS: Final = {
    **dict.fromkeys(("begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release"), "The transaction is ours"),
    **dict.fromkeys(("set", "reset", "discard"), "The session and its identity are fixed"),
    **dict.fromkeys(("do", "call", "execute", "prepare", "deallocate"), "Code that a statement hides from the trail is not run"),
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement as it was written, and where it begins in the whole text (characters from 0)."""

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class Shown:
    """What a statement gave: columns with the names of their types, rows as Postgres writes them.

    `row_count`: how many rows there were or were changed, though only the first may be here (`truncated`). `command`: the tag.
    """

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str | None, ...], ...]
    row_count: int
    truncated: bool
    command: str
    milliseconds: float


def split(text: str) -> tuple[Statement, ...]:
    """The statements of a text. Raises StatementRefused for what may not be run."""
    if len(text) > LONGEST or "\x00" in text:
        raise StatementRefused(f"The text is longer than {LONGEST} characters, or holds the character NUL")
    if found_word := _HIDING.search(text):
        raise StatementRefused(
            f"{found_word[0]} could change the identity", hint="Start an impersonation with the claims that you want."
        )
    found, begin, first, at = [], 0, "", 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match is not None, "every character is some token"
        kind, start, at = match.lastgroup if match.lastgroup != "tag" else "dollar", at, match.end()
        if kind == "comment":
            at = _behind_comment(text, at)
        elif kind == "unicode":
            raise StatementRefused("Escaped names and texts (U&) are not accepted", hint="Write the characters themselves.")
        elif kind in ("open", "unfinished"):
            raise StatementRefused(f"The {match[0]} at character {start + 1} is never closed", hint="Close it.")
        elif kind == "end":
            found += _statement(text, begin, start, first)
            begin, first = at, ""
        elif not first and kind != "space" and match[0] != "(":
            first = match[0].lower() if kind == "word" else match[0]
    found += _statement(text, begin, len(text), first)
    if not found:
        raise StatementRefused("There is no statement", hint="Write one, such as select * from tweets.")
    if len(found) > MOST_STATEMENTS:
        raise StatementRefused(f"There are more than {MOST_STATEMENTS} statements", hint="Run them in parts.")
    return tuple(found)


def _statement(text: str, begin: int, end: int, first: str) -> list[Statement]:
    if not first:
        return []
    if first not in ALLOWED:
        why = _WORDS.get(first, "Only statements about rows are run")
        raise StatementRefused(f"{why}: {first[:40]!r} is not accepted", hint=f"Begin with one of {', '.join(sorted(ALLOWED))}.")
    return [Statement(text[begin:end], begin)]


def _behind_comment(text: str, at: int) -> int:
    """Comments of Postgres can hold comments."""
    depth = 1
    while depth:
        match = _COMMENT.search(text, at)
        if match is None:
            raise StatementRefused("A comment is never closed", hint="Close it with */.")
        depth += 1 if match[0] == "/*" else -1
        at = match.end()
    return at
