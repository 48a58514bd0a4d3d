"""Says what an expression reads of the claims, and understands the bodies of functions such as auth.uid()."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from realtime_inspector.errors import InvalidInput

Path = tuple[str, ...]
"""Where a claim stands, from the outermost key; the empty path is all of the claims."""

CLAIMS = "request.jwt.claims"
"""The setting that differs between identities of one role; no other one does."""
WHOLE: Path = ()
ALL: frozenset[Path] = frozenset({WHOLE})
"""What is said to be read by whatever cannot be understood."""


@dataclass(frozen=True, slots=True)
class Reads:
    """What a value depends on. `plain`: it is the text of the claim itself; `open`: a key of it is a claim further inside.

    After a nullif or a coalesce a key depends on the whole: which of two values it is taken from follows from all of it.
    """

    paths: frozenset[Path]
    plain: bool = False
    open: bool = False

    def key(self, keys: Sequence[str], *, text: bool) -> "Reads":
        """What stands under these keys."""
        if not self.open or not self.paths:
            return Reads(self.paths)
        return Reads(frozenset((*path, *keys) for path in self.paths), plain=text, open=True)

    def closed(self) -> "Reads":
        """The value, or another one. The claims as a whole are never missing or empty, so that nothing takes their place."""
        return replace(self, open=self.open and self.paths == ALL)


def declarations(texts: Iterable[str]) -> dict[str, frozenset[Path]]:
    """By schema and name, what functions read: `schema.function=claim.key+claim`. Raises InvalidInput."""
    declared: dict[str, frozenset[Path]] = {}
    for text in texts:
        name, sign, named = (part.strip() for part in text.partition("="))
        paths = [tuple(path.strip().split(".")) for path in named.split("+")] if named else []
        if not sign or name.count(".") != 1 or not all(map(all, [name.split("."), *paths])):
            hint = "Write schema.function=claim, with more claims after a +, or nothing after the = for none."
            raise InvalidInput(f"claims_read: {text!r} does not say what a function reads", hint=hint)
        declared[name] = frozenset(paths)
    return declared


def setting(name: str) -> Reads:
    """current_setting(name). Names of settings are compared without case (guc_name_compare, src/backend/utils/misc/guc.c)."""
    return Reads(ALL, open=True) if name.lower() == CLAIMS else Reads(frozenset())


def body(text: str) -> Reads | None:
    """What a SQL function without arguments reads; None when its text is none of the forms that are understood here."""
    tokens = [(str(match.lastgroup), match[0]) for match in _TOKEN.finditer(text)]
    parser = _Parser([token for token in tokens if token[0] != "space"])
    try:
        return parser.body()
    except _NotUnderstood:
        return None


_TOKEN = re.compile(
    r"(?ais)(?P<space>\s+)|(?P<string>'[^'\\]*')|(?P<word>[a-z_]+)|(?P<sign>::|->>|->|#>>|#>|[(),.;])|(?P<other>.)"
)
_KEYS = re.compile(r"\{[A-Za-z_][\w-]*(?:,[A-Za-z_][\w-]*)*\}", re.ASCII)
_TYPES = frozenset({"uuid", "text", "json", "jsonb"})


class _NotUnderstood(Exception):
    """The text is none of the forms."""


class _Parser:
    """select <value>, where a value is a setting, a key or a cast of a value, or nullif or coalesce of values."""

    def __init__(self, tokens: Sequence[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0

    def body(self) -> Reads:
        self._expect("select")
        value = self._value()
        self._accept(";")
        if self._at != len(self._tokens):
            raise _NotUnderstood
        return value

    def _value(self) -> Reads:
        value = self._first()
        while (sign := self._next_of("::", "->", "->>", "#>", "#>>")) is not None:
            if sign == "::":
                self._type()
            else:
                text = self._string()
                if "#" in sign and not _KEYS.fullmatch(text):
                    raise _NotUnderstood
                keys = text[1:-1].split(",") if "#" in sign else [text]
                value = value.key(keys, text=sign.endswith(">>"))
        return value

    def _first(self) -> Reads:
        if self._accept("("):
            self._accept("select")
            value = self._value()
        elif self._accept("nullif"):
            self._expect("(")
            value = self._value().closed()
            self._expect(",")
            if self._string() != "":
                value = Reads(value.paths)
        elif self._accept("coalesce"):
            self._expect("(")
            value = self._coalesce()
        else:
            if self._accept("pg_catalog"):
                self._expect(".")
            self._expect("current_setting")
            self._expect("(")
            value = setting(self._string())
            if self._accept(",") and self._next_of("true", "false") is None:
                raise _NotUnderstood
        self._expect(")")
        return value

    def _coalesce(self) -> Reads:
        """Settings that nobody sets may come first, as in the functions of older versions; the claim is plain all the same."""
        values = [self._value()]
        while self._accept(","):
            values.append(self._value())
        reading = [value for value in values if value.paths]
        if len(reading) != 1:
            return Reads(frozenset[Path]().union(*(value.paths for value in reading)))
        return replace(reading[0].closed(), plain=reading[0].plain and reading[0] is values[-1])

    def _type(self) -> None:
        if self._accept("pg_catalog"):
            self._expect(".")
        if self._next_of(*_TYPES) is None:
            raise _NotUnderstood

    def _string(self) -> str:
        if self._at < len(self._tokens) and self._tokens[self._at][0] == "string":
            self._at += 1
            return self._tokens[self._at - 1][1][1:-1]
        raise _NotUnderstood

    def _next_of(self, *texts: str) -> str | None:
        if self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            if kind in ("word", "sign") and text.lower() in texts:
                self._at += 1
                return text.lower()
        return None

    def _accept(self, text: str) -> bool:
        return self._next_of(text) is not None

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise _NotUnderstood
