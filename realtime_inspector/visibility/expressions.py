"""Takes the text of a policy's expression apart: into AND, OR and NOT, and what is left into an operator and its two sides.

pg_get_expr puts parentheses around every operation, so that no grammar of SQL is needed, only its quotes and parentheses. What
somebody wrote by hand has fewer of them: then precedence counts, and what is not plain stays whole.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from realtime_inspector.errors import InvalidInput

# Lexical rules: https://www.postgresql.org/docs/current/sql-syntax-lexical.html, with standard_conforming_strings on. Blanks are
# those of ASCII, and every character beyond ASCII is a letter (src/backend/parser/scan.l).
_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\n\r\f\v]+)
    |(?P<comment>--[^\n\r]*|/\*)
    |(?P<quoted>[eE]'(?:[^'\\]|''|\\.)*'|(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*'|(?:[uU]&)?"(?:[^"]|"")*"
        |\$(?P<tag>(?:[a-zA-Z_\x80-\U0010ffff][\w\x80-\U0010ffff]*)?)\$.*?\$(?P=tag)\$)
    |(?P<word>(?![eE]')[a-zA-Z_\x80-\U0010ffff][\w$\x80-\U0010ffff]*)
    |(?P<number>[0-9][0-9.]*)
    |(?P<open>[(\[])
    |(?P<close>[)\]])
    |(?P<operator>[-+*/<>=~!@\#%^&|`?]+)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_QUERY: Final = frozenset({"select", "with", "values", "table"})
_COMPARISONS: Final = frozenset({"=", "<>", "!=", "<", ">", "<=", ">="})
_WORDS: Final = frozenset({"is", "in", "like", "ilike", "similar", "between", "not"})
_LONGEST: Final = 20_000
_REMEMBERED: Final = 512
"""Texts that are not taken apart again: the policies of one table are asked about again and again."""
_HIDING: Final = re.compile(r"set_config|query_to_xml|[uU]&['\"]|\bts_(?:stat|rewrite)\b", re.IGNORECASE)
"""What could make somebody else of the identity: what changes settings, or hides that in a text."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A condition and what it is made of; a leaf is made of nothing that AND, OR or NOT join."""

    kind: Literal["and", "or", "not", "leaf"]
    text: str
    children: tuple["Tree", ...] = ()

    def leaves(self) -> Iterator["Tree"]:
        """All leaves, from left to right."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves()


@dataclass(frozen=True, slots=True)
class Sides:
    """A leaf whose top is an operator; `right` is None where there is nothing on that side (IS NULL)."""

    left: str
    operator: str
    right: str | None


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    depth: int

    @property
    def word(self) -> str:
        return self.text.lower() if self.kind == "word" else ""


@lru_cache(_REMEMBERED)
def tree(text: str) -> Tree:
    """The boolean tree of an expression."""
    text = _stripped(text)
    tokens = _tokens(text)
    top = [token for token in tokens if token.depth == 0]
    if not top or top[0].word in _QUERY:
        return Tree("leaf", f"({text})")
    for kind in ("or", "and"):
        parts = _split(text, top, kind)
        if len(parts) > 1:
            return Tree("or" if kind == "or" else "and", text, tuple(tree(part) for part in parts))
    if top[0].word == "not":
        return Tree("not", text, (tree(text[top[0].start + len("not") :]),))
    return Tree("leaf", text)


@lru_cache(_REMEMBERED)
def sides(text: str) -> Sides | None:
    """The operator at the top of a leaf and what stands beside it; None where that is not plain."""
    text = _stripped(text)
    top = [token for token in _tokens(text) if token.depth == 0]
    if not top or top[0].word in (*_QUERY, "exists", "case", "not"):
        return None
    found = _operator(top)
    if found is None:
        return None
    first, after = found
    end = top[after].start if after < len(top) else len(text)
    left, operator, right = text[: top[first].start].strip(), text[top[first].start : end].strip(), text[end:].strip()
    if not left or "\n" in operator:
        return None
    return Sides(left, " ".join(operator.split()), right or None)


def single(text: str) -> str:
    """A candidate's condition, if it is one expression and nothing else. Raises InvalidInput."""
    if not text.strip() or len(text) > _LONGEST or "\x00" in text:
        raise InvalidInput(f"The condition must have 1 to {_LONGEST} characters", hint="Write it as after USING.")
    if found := _HIDING.search(text):
        raise InvalidInput(f"{found[0]} could change the identity", hint="Ask with the role and the claims that you mean.")
    before = ""
    for token in _tokens(text):
        unfinished = token.kind == "other" and token.text in "'\"$eE"
        if token.kind == "quoted" and token.text.startswith("'") and before.endswith("'"):
            raise InvalidInput("A text is continued on another line", hint="Write it in one piece.")
        before = token.text if token.kind == "quoted" else ""
        if token.kind == "comment" or (token.kind == "operator" and ("--" in token.text or "/*" in token.text)):
            raise InvalidInput("A condition has no comments", hint="Leave out what comes after -- or /*.")
        if token.depth < 0 or unfinished or (token.kind == "other" and token.text in ";\\"):
            raise InvalidInput(
                "The condition is not one expression", hint="Write it as after USING, without a semicolon; close every quote."
            )
    if sum((token.kind == "open") - (token.kind == "close") for token in _tokens(text)):
        raise InvalidInput("The parentheses of the condition are not balanced")
    return text.strip()


def value_of(sides_: Sides) -> tuple[str, str | None]:
    """The expressions whose values are to be shown; a set that is compared with is shown as an array."""
    right = sides_.right
    a_set = right is not None and re.match(r"(?i)\(\s*(select|with|values)\b", right)
    compared = re.search(r"(?i)\b(any|some|all|in)$", sides_.operator)
    return sides_.left, f"array{right}" if a_set and compared else right


def _tokens(text: str) -> list[_Token]:
    """All but spaces. What stands in parentheses, or between CASE and END, is one deeper; they themselves are not."""
    found: list[_Token] = []
    depth = 0
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "other"
        kind = "quoted" if kind == "tag" else kind
        if kind == "space":
            continue
        word = match[0].lower() if kind == "word" else ""
        if kind == "close" or word == "end":
            depth -= 1
        found.append(_Token(kind, match[0], match.start(), depth))
        if kind == "open" or word == "case":
            depth += 1
    return found


def _stripped(text: str) -> str:
    """Without parentheses around the whole."""
    text = text.strip()
    while text.startswith("("):
        tokens = _tokens(text)
        closing = next((place for place, token in enumerate(tokens) if token.kind == "close" and token.depth == 0), None)
        if closing != len(tokens) - 1:
            break
        text = text[1:-1].strip()
    return text


def _split(text: str, top: Sequence[_Token], word: str) -> list[str]:
    """The parts between these words; the AND of a BETWEEN is none of them."""
    parts, begin, between = [], 0, False
    for token in top:
        if token.word == "between":
            between = True
        elif token.word == "and" and between:
            between = False
        elif token.word == word:
            parts.append(text[begin : token.start])
            begin = token.start + len(word)
    return [*parts, text[begin:]]


def _operator(top: Sequence[_Token]) -> tuple[int, int] | None:
    """Where the one operator begins that binds least, and where the tokens after it do."""
    for place, token in enumerate(top):
        if place and token.word in _WORDS and top[place - 1].text != ".":
            return _of_words(top, place)
    found = [place for place in range(1, len(top)) if _is_operator(top, place)]
    comparisons = [place for place in found if top[place].text in _COMPARISONS]
    chosen = found if len(found) == 1 else comparisons
    if len(chosen) != 1:
        return None
    (place,) = chosen
    after = place + 1
    if top[place].word == "operator":
        after += 2  # the parentheses around its name
    if after < len(top) and top[after].word in ("any", "some", "all"):
        after += 1
    return place, after


def _is_operator(top: Sequence[_Token], place: int) -> bool:
    if top[place].word == "operator":
        return top[place + 1 : place + 2] != [] and top[place + 1].text == "("
    return top[place].kind == "operator" and top[place - 1].text != "."  # t.* is a whole row


def _of_words(top: Sequence[_Token], place: int) -> tuple[int, int] | None:
    """IS [NOT] …, [NOT] IN, [NOT] LIKE; BETWEEN has three sides."""
    after = place
    while after < len(top) and top[after].word in (*_WORDS, "distinct", "from", "to", "null", "true", "false", "unknown"):
        after += 1
    words = [token.word for token in top[place:after]]
    if "between" in words or (words[0] == "not" and len(words) == 1):
        return None
    if words[0] == "is" and words[-1] in ("true", "false") and "distinct" in words:
        after -= 1  # a constant on the other side
    return place, after
