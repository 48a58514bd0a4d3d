"""Derives from a role's policies on which claims their answers can depend, and whose row an owner's policy can show.

Rules of this room: what is not known to depend on certain claims only depends on all of them. One identity's answer is given
to all whose claims agree where it matters, so that a mistake here would show them somebody else's rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from realtime_inspector.visibility.nodes import Item, Malformed, Node, parse, text_constant, texts_constant
from realtime_inspector.visibility.reads import ALL, Path, Reads, body, setting

FIRST_OF_THE_APPLICATION: Final = 16_384
"""FirstNormalObjectId (src/include/access/transam.h): smaller oids are those of built-in objects."""
UNDERSTOOD: Final = frozenset(
    """
    AGGREF ALIAS ARRAY ARRAYCOERCEEXPR ARRAYEXPR BOOLEANTEST BOOLEXPR CASE CASEEXPR CASETESTEXPR CASEWHEN COALESCE
    COALESCEEXPR COERCEVIAIO COLLATE COLLATEEXPR COMMONTABLEEXPR CONST DISTINCTEXPR FROMEXPR FUNCEXPR JOINEXPR MINMAX
    MINMAXEXPR NAMEDARGEXPR NULLIFEXPR NULLTEST OPEXPR PARAM QUERY RANGETBLENTRY RANGETBLFUNCTION RANGETBLREF RELABELTYPE
    RTE RTEPERMISSIONINFO SCALARARRAYOPEXPR SETOPERATIONSTMT SORTGROUPCLAUSE SQLVALUEFUNCTION SUBLINK SUBSCRIPTINGREF
    TARGETENTRY VAR WHEN
    """.split()  # noqa: SIM905 - a line for each would be a page
)
"""Nodes that run nothing but what their fields name: not comparisons of rows, casts to domains or tables made by functions."""
RUN: Final = ("funcid", "opfuncid", "aggfnoid")
SORTED_BY: Final = ("eqop", "sortop")
KEY: Final = {
    "json_object_field": False,
    "json_object_field_text": True,
    "jsonb_object_field": False,
    "jsonb_object_field_text": True,
}
KEYS: Final = {
    "json_extract_path": False,
    "json_extract_path_text": True,
    "jsonb_extract_path": False,
    "jsonb_extract_path_text": True,
}
"""Functions that take a key, or several, out of an object, and whether they give its text."""
EQUAL: Final = ("uuid_eq", "texteq")
TEXTUAL: Final = (25, 1043, 2950)
"""text, varchar, uuid: casts between them keep an owner's id as it is."""
BYTEWISE: Final = (0, 100, 950)
"""No collation, the database's and C: texts are equal when their bytes are."""
OWNER: Final = frozenset({("sub",)})


class Called(msgspec.Struct, frozen=True):
    """A function that a policy names. `pure`: the same arguments give everybody the same; `body`: the text of one in SQL without
    arguments; `inlined`: Postgres may put it into the plan.
    """

    name: str
    built_in: bool
    pure: bool
    immutable: bool
    inlined: bool
    body: str | None = None


class Policy(msgspec.Struct, frozen=True):
    """A SELECT policy that applies to the role, of the relation itself or of one that its policies read."""

    relation: int
    permissive: bool
    expression: str


class Facts(msgspec.Struct, frozen=True):
    """What the catalogue says.

    `types`: those of the application that run no code; `stored`: those that run none when they are read. `tables`: what policies
    read that has no code of its own. `columns`: of the relation, by number. `shadowed`: something of the application may stand in
    for what the body of a function means. `liars`: the application has functions that are declared immutable.
    """

    shadowed: bool
    liars: bool
    policies: tuple[Policy, ...] = ()
    functions: dict[int, Called] = {}
    tables: frozenset[int] = frozenset()
    types: frozenset[int] = frozenset()
    stored: frozenset[int] = frozenset()
    columns: dict[int, str] = {}


@dataclass(frozen=True, slots=True)
class Dependence:
    """What the policies of one role depend on. `claims`: all that can make a difference.

    `folds`: a plan would keep the first identity's result. `owners`: the columns of which one must equal the claim `sub` for a
    row to be visible; None when rows are visible otherwise as well. `plain`: they run no code of the application but what is
    known by its text, so that nothing but an error of theirs can outlast the asking.
    """

    claims: frozenset[Path]
    folds: bool
    owners: frozenset[str] | None
    plain: bool = False


def dependence(relation: int, facts: Facts, declared: Mapping[str, frozenset[Path]]) -> Dependence:
    """`declared`: by schema and name, what the functions of the application read according to who runs the service."""
    reading = _Reading(facts, declared)
    folds = any(reading.folds(function) for function in facts.functions.values())
    try:
        expressions = [(policy, parse(policy.expression)) for policy in facts.policies]
        permissive = [node for policy, node in expressions if policy.relation == relation and policy.permissive]
        nodes = [node for _, node in expressions]
        plain = not folds and _Reading(facts, {}).of_all(nodes) != ALL
        return Dependence(reading.of_all(nodes), folds, reading.owners_of_any(permissive), plain)
    except (Malformed, RecursionError):
        return Dependence(ALL, folds, None)


class _Opaque(Exception):
    """Nobody can tell what this depends on."""


class _Reading:
    """Reads expressions, knowing the facts."""

    def __init__(self, facts: Facts, declared: Mapping[str, frozenset[Path]]) -> None:
        self._facts = facts
        self._declared = declared

    def folds(self, function: Called) -> bool:
        """Whether a plan may keep a result: a function that is wrongly declared immutable, or calls one where it is planned."""
        return function.immutable or (function.inlined and self._facts.liars and self._understood(function) is None)

    def of_all(self, nodes: Sequence[Node]) -> frozenset[Path]:
        """Every claim that any of them can depend on."""
        try:
            return frozenset(path for node in nodes for path in self._reads(node))
        except (_Opaque, Malformed):
            return ALL

    def owners_of_any(self, nodes: Sequence[Node]) -> frozenset[str] | None:
        """The columns of which one must be the owner's for one of the expressions to hold."""
        found = [self._owners(node) for node in nodes]
        return None if None in found else frozenset(name for names in found if names is not None for name in names)

    def _reads(self, node: Node) -> Iterator[Path]:
        value = self._value(node)
        if value is not None:
            yield from value.paths
            return
        self._check(node)
        if node.label == "FUNCEXPR":
            yield from self._declared.get(self._function(node, "funcid").name, ())
        for child in node.children():
            yield from self._reads(child)

    def _check(self, node: Node) -> None:
        """Raises _Opaque when the node may run or read something that is not known."""
        if node.label not in UNDERSTOOD:
            raise _Opaque
        for name in RUN:
            if name in node.fields and not self._is_known(self._function(node, name)):
                raise _Opaque
        if any(name in node.fields and node.number(name) >= FIRST_OF_THE_APPLICATION for name in SORTED_BY):
            raise _Opaque
        harmless = self._facts.types | self._facts.stored if node.label == "VAR" else self._facts.types
        for oid in _types(node):
            if oid >= FIRST_OF_THE_APPLICATION and oid not in harmless:
                raise _Opaque
        if "relid" in node.fields and node.number("relid") not in (0, *self._facts.tables):
            raise _Opaque

    def _is_known(self, function: Called) -> bool:
        return function.pure or function.name in self._declared

    def _function(self, node: Node, field: str) -> Called:
        known = self._facts.functions.get(node.number(field))
        if known is None:
            raise _Opaque
        return known

    def _value(self, node: Node) -> Reads | None:
        """What the node's value is among the claims; None for anything else, which is then looked at part by part."""
        match node.label:
            case "FUNCEXPR":
                return self._of_call(node)
            case "OPEXPR":
                function = self._function(node, "opfuncid")
                return self._of_key(function, node) if function.built_in else None
            case "COERCEVIAIO" | "RELABELTYPE":
                value = self._value(node.node("arg"))
                textual = value is not None and value.plain and node.number("resulttype") in TEXTUAL
                return None if value is None or not _built_in(node) else replace(value, plain=textual)
            case "NULLIFEXPR" | "COALESCE" | "COALESCEEXPR":
                return self._of_first(node)
            case "SUBLINK":
                return self._of_select(node)
        return None

    def _of_call(self, node: Node) -> Reads | None:
        function = self._function(node, "funcid")
        if not function.built_in:
            return self._understood(function) if function.name not in self._declared and _built_in(node) else None
        if function.name != "current_setting":
            return self._of_key(function, node)
        name, *others = node.nodes("args")
        if any(each.label != "CONST" for each in (name, *others)):
            return None
        return setting(text_constant(name) or "")

    def _understood(self, function: Called) -> Reads | None:
        return None if self._facts.shadowed or function.body is None else body(function.body)

    def _of_key(self, function: Called, node: Node) -> Reads | None:
        text = KEY.get(function.name, KEYS.get(function.name))
        if text is None:
            return None
        container, *keys = node.nodes("args")
        value = self._value(container)
        if value is None or any(key.label != "CONST" for key in keys) or len(keys) != 1:
            return None
        names = texts_constant(keys[0]) if function.name in KEYS else [text_constant(keys[0])]
        return value.key([name for name in names if name is not None], text=text)

    def _of_first(self, node: Node) -> Reads | None:
        """One value of the claims, with nothing but constants beside it."""
        self._check(node)
        first, *others = node.nodes("args")
        value = self._value(first)
        if value is None or any(other.label != "CONST" for other in others):
            return None
        empty = node.label != "NULLIFEXPR" or text_constant(others[0]) == ""
        return replace(value.closed(), plain=False) if empty else Reads(value.paths)

    def _of_select(self, node: Node) -> Reads | None:
        """(select <value>), which is how policies are written for speed."""
        query = node.node("subselect")
        nothing = ("rtable", "cteList", "groupClause", "havingQual", "limitOffset", "limitCount", "setOperations", "sortClause")
        targets = query.nodes("targetList")
        if node.number("subLinkType") != 4 or len(targets) != 1 or any(query.fields.get(name) != ("<>",) for name in nothing):
            return None
        source = query.node("jointree").fields
        return self._value(targets[0].node("expr")) if source.get("quals") == source.get("fromlist") == ("<>",) else None

    # Owners.

    def _owners(self, node: Node) -> frozenset[str] | None:
        try:
            match node.label:
                case "BOOLEXPR" if node.fields["boolop"] == ("or",):
                    return self.owners_of_any(node.nodes("args"))
                case "BOOLEXPR" if node.fields["boolop"] == ("and",):
                    return next((found for arg in node.nodes("args") if (found := self._owners(arg)) is not None), None)
                case "OPEXPR":
                    return self._equal(node)
        except (_Opaque, Malformed):
            pass
        return None

    def _equal(self, node: Node) -> frozenset[str] | None:
        function = self._function(node, "opfuncid")
        if not function.built_in or function.name not in EQUAL or node.number("inputcollid") not in BYTEWISE:
            return None
        left, right = node.nodes("args")
        for column, claim in ((left, right), (right, left)):
            name, value = self._column(column), self._value(claim)
            if name is not None and value is not None and value.plain and value.paths == OWNER:
                return frozenset({name})
        return None

    def _column(self, node: Node) -> str | None:
        """The column of the policy's own relation."""
        if node.label == "RELABELTYPE":
            return self._column(node.node("arg"))
        if node.label != "VAR" or node.number("varno") != 1 or node.number("varlevelsup") != 0:
            return None
        return self._facts.columns.get(node.number("varattno"))


def _built_in(node: Node) -> bool:
    return all(oid < FIRST_OF_THE_APPLICATION for oid in _types(node))


def _types(node: Node) -> Iterator[int]:
    """The oids of all types that the node names."""
    for name, values in node.fields.items():
        if "typ" in name.lower() and "typmod" not in name.lower():
            yield from _numbers(values)


def _numbers(item: Item) -> Iterator[int]:
    if isinstance(item, tuple):
        for each in item:
            yield from _numbers(each)
    elif isinstance(item, str) and item.isdecimal():
        yield int(item)
