"""Reads pg_node_tree, the text in which Postgres keeps the expressions of policies (src/backend/nodes/outfuncs.c, read.c)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

_TOKEN = re.compile(r"[(){}]|(?:\\.|[^\s(){}\\])+", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_HEADER = 4
"""Bytes of the length before a value of a type of variable length, as the parser makes constants."""
_DIMENSIONS = 20
"""Bytes before the elements of an array of one dimension without NULLs: length, dimensions, offset, type, size, lower bound."""
_TEXT = 25
_Order = Literal["little", "big"]
_ORDERS: Final[tuple[_Order, ...]] = ("little", "big")


class Malformed(ValueError):
    """The text is none of the forms that are known here."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node: what it is, and the values of each of its fields."""

    label: str
    fields: dict[str, tuple["Item", ...]]

    def number(self, name: str) -> int:
        """The value of a field that is an oid or another number. Raises Malformed."""
        match self.fields.get(name):
            case (str(text),) if text.removeprefix("-").isdecimal():
                return int(text)
        raise Malformed(f"{self.label} without {name}")

    def node(self, name: str) -> "Node":
        """The value of a field that is a node. Raises Malformed."""
        match self.fields.get(name):
            case (Node() as node,):
                return node
        raise Malformed(f"{self.label} without {name}")

    def nodes(self, name: str) -> tuple["Node", ...]:
        """The elements of a field that is a list of nodes; none when it is empty. Raises Malformed."""
        value = self.fields.get(name)
        if value == ("<>",):
            return ()
        if value is not None and len(value) == 1 and isinstance(value[0], tuple):
            found = tuple(item for item in value[0] if isinstance(item, Node))
            if len(found) == len(value[0]):
                return found
        raise Malformed(f"{self.label} without {name}")

    def children(self) -> Iterator["Node"]:
        """All nodes directly underneath, whatever the field."""
        for value in self.fields.values():
            yield from _nodes(value)


Item = str | Node | tuple["Item", ...]


def parse(text: str) -> Node:
    """The node that the text describes. Raises Malformed."""
    tokens = _TOKEN.findall(text)
    node, end = _item(tokens, 0)
    if not isinstance(node, Node) or end != len(tokens):
        raise Malformed("more than a node")
    return node


def constant(node: Node) -> bytes | None:
    """The bytes of a CONST, None for NULL. Raises Malformed."""
    if node.fields.get("constisnull") == ("true",):
        return None
    match node.fields.get("constvalue", ()):
        case (str(), "[", *values, "]"):
            return bytes(int(value) & 0xFF for value in values if isinstance(value, str))
    raise Malformed("a constant of another form")


def text_constant(node: Node) -> str | None:
    """The text of a CONST of type text, None for NULL. Raises Malformed."""
    value = constant(node)
    return None if value is None else _text(value)


def texts_constant(node: Node) -> list[str]:
    """The elements of a CONST of type text[]. Raises Malformed."""
    value = constant(node) or b""
    heads = {order: [int.from_bytes(value[at : at + 4], order) for at in range(4, _DIMENSIONS, 4)] for order in _ORDERS}
    order = next((order for order, head in heads.items() if head[:3] == [1, 0, _TEXT]), None)
    if order is None:
        raise Malformed("an array of another form")
    texts, at = [], _DIMENSIONS + 4
    for _ in range(heads[order][3]):
        size = _size(value[at : at + _HEADER], order)
        texts.append(_text(value[at : at + size]))
        at += -(-size // 4) * 4
    return texts


def _size(header: bytes, order: _Order) -> int:
    """A length with two flags that are 0, in the byte order of the server (src/include/varatt.h)."""
    number = int.from_bytes(header, order)
    if order == "big":
        return number
    return number >> 2 if number % 4 == 0 else -1


def _text(value: bytes) -> str:
    if all(_size(value[:_HEADER], order) != len(value) for order in _ORDERS):
        raise Malformed("a text of another form")
    try:
        return value[_HEADER:].decode()
    except UnicodeDecodeError as error:
        raise Malformed("a text of another encoding") from error


def _nodes(item: Item) -> Iterator[Node]:
    if isinstance(item, Node):
        yield item
    elif isinstance(item, tuple):
        for each in item:
            yield from _nodes(each)


def _item(tokens: list[str], at: int) -> tuple[Item, int]:
    if at >= len(tokens) or tokens[at] in (")", "}"):
        raise Malformed("it ends too early")
    if tokens[at] == "{":
        return _node(tokens, at + 1)
    if tokens[at] != "(":
        return _ESCAPED.sub(r"\1", tokens[at]), at + 1
    items, at = [], at + 1
    while at < len(tokens) and tokens[at] != ")":
        item, at = _item(tokens, at)
        items.append(item)
    if at >= len(tokens):
        raise Malformed("it ends too early")
    return tuple(items), at + 1


def _node(tokens: list[str], at: int) -> tuple[Node, int]:
    """A field whose name comes twice is refused: a name that somebody chose may look like the name of a field."""
    if at >= len(tokens) or not tokens[at].isidentifier():
        raise Malformed("a node without a name")
    label, at = tokens[at], at + 1
    fields: dict[str, list[Item]] = {}
    name, values = "", list[Item]()
    while at < len(tokens) and tokens[at] != "}":
        if tokens[at].startswith(":"):
            if tokens[at] in fields:
                raise Malformed(f"{label} with {tokens[at]} twice")
            name, values = tokens[at], []
            fields[name] = values
            at += 1
        elif not name:
            raise Malformed(f"{label} with a value of no field")
        else:
            item, at = _item(tokens, at)
            values.append(item)
    if at >= len(tokens):
        raise Malformed("it ends too early")
    return Node(label, {name[1:]: tuple(values) for name, values in fields.items()}), at + 1
