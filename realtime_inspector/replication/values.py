"""Turns the text of Postgres' output functions into JSON, as Postgres' to_json does for the same value.

The text must come from a session with DateStyle ISO, TimeZone UTC, IntervalStyle postgres, extra_float_digits 1 and bytea_output
hex. Whatever the text, the result is valid JSON: what is not a text of its type becomes a JSON string. Differences from to_json:
bytea loses its `\\x`, as the Realtime protocol wants it (also within arrays and composites); json that is nested deeper than
clients can read becomes a string; types that somebody gave a cast to json, other than hstore, stay strings.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec
import orjson

Encoder = Callable[[str], bytes]
"""From the text of a value that is not NULL to its JSON."""


class Kind(StrEnum):
    """How the text of a type is built."""

    BASE = "base"
    ENUM = "enum"
    RANGE = "range"
    DOMAIN = "domain"
    ARRAY = "array"
    COMPOSITE = "composite"


@dataclass(frozen=True, slots=True)
class PgType:
    """A type as pg_type describes it. `name`: its typname.

    `element`: the oid of an array's elements or of a domain's base type. `delimiter`: what an array's text has between its
    elements. `fields`: name and type oid of each attribute of a composite, in order, without dropped ones.
    """

    oid: int
    name: str
    kind: Kind = Kind.BASE
    element: int = 0
    delimiter: str = ","
    fields: tuple[tuple[str, int], ...] = ()


class TypeCatalog:
    """The types of a database by oid: those that every Postgres has, and those given."""

    def __init__(self, types: Mapping[int, PgType] = MappingProxyType({})) -> None:
        self._types = {**BUILT_IN, **types}
        self._encoders: dict[int, Encoder] = {}

    def __getitem__(self, oid: int) -> PgType:
        return self._types[oid]

    def knows(self, oid: int) -> bool:
        """Whether the type is here; if not, it was created after the catalogue was read."""
        return oid in self._types

    def name(self, oid: int) -> str:
        """The type's typname, such as "int8" or "_text"; "unknown" for a type that is not here."""
        return self._types[oid].name if oid in self._types else "unknown"

    def composites(self, oids: Iterable[int]) -> dict[int, str]:
        """The composite types that values of these types contain, each with its fields, one per line: DDL on them goes unsaid."""
        found: dict[int, str] = {}
        seen: set[int] = set()
        waiting = list(oids)
        while waiting:
            oid = waiting.pop()
            known = self._types.get(oid)
            if known is None or oid in seen or oid in BUILT_IN:
                continue
            seen.add(oid)
            waiting += [known.element, *(field for _, field in known.fields)]
            if known.kind is Kind.COMPOSITE:
                found[oid] = "\n".join(f"{name} {field}" for name, field in known.fields)
        return found

    def moved(self, before: "TypeCatalog") -> list[int]:
        """The types that had other fields before."""
        return [oid for oid, own in self._types.items() if oid in before._types and before._types[oid].fields != own.fields]

    def encoder(self, oid: int) -> Encoder:
        """The encoder of a type; that of an unknown type gives JSON strings."""
        if oid not in self._encoders:
            self._encoders[oid] = _string  # a type that contains itself, which Postgres refuses to create, ends here
            self._encoders[oid] = self._make(self._types.get(oid) or PgType(oid, "unknown"))
        return self._encoders[oid]

    def _make(self, kind: PgType) -> Encoder:
        match kind.kind:
            case Kind.BASE:
                return _hstore if kind.name == "hstore" else _BY_OID.get(kind.oid, _string)
            case Kind.DOMAIN:
                return self.encoder(kind.element)
            case Kind.ARRAY:
                element = self.encoder(kind.element)
                return _vector(element) if kind.name in _VECTORS else _array(element, kind.delimiter)
            case Kind.COMPOSITE:
                return _composite([(name, self.encoder(oid)) for name, oid in kind.fields])
            case Kind.ENUM | Kind.RANGE:
                return _string


def build_catalog(rows: Iterable[Sequence[object]]) -> TypeCatalog:
    """From the rows of the query `types`: oid, name, kind, element, delimiter, field_names, field_types.

    The last two may be NULL. Raises msgspec.ValidationError for rows of another shape.
    """
    types = {}
    for oid, name, kind, element, delimiter, names, oids in msgspec.convert(list(rows), list[_CatalogRow]):
        types[oid] = PgType(oid, name, kind, element, delimiter, tuple(zip(names or (), oids or (), strict=True)))
    return TypeCatalog(types)


_CatalogRow = tuple[int, str, Kind, int, str, list[str] | None, list[int] | None]


def _string(text: str) -> bytes:
    try:
        return orjson.dumps(text)
    except orjson.JSONEncodeError:  # surrogates, which UTF-8 cannot hold
        return orjson.dumps(text.encode("utf-8", "replace").decode())


_is_number = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?").fullmatch


def _number(text: str) -> bytes:
    """The digits as they are, so that a numeric keeps its scale; NaN and the infinities, which JSON lacks, as strings."""
    return text.encode() if _is_number(text) else _string(text)


def _boolean(text: str) -> bytes:
    return b"true" if text == "t" else b"false" if text == "f" else _string(text)


_check_json = msgspec.json.Decoder(msgspec.Raw).decode


def _json(text: str) -> bytes:
    """Verbatim, as long as it cannot break the document that it is put into."""
    try:
        verbatim = text.encode()
        _check_json(verbatim)
    except (UnicodeEncodeError, msgspec.DecodeError, RecursionError):
        return _string(text)
    return verbatim


def _bytea(text: str) -> bytes:
    return _string(text.removeprefix("\\x"))


def _timestamp(text: str) -> bytes:
    return _string(text.replace(" ", "T", 1) if text[:1].isdigit() else text)


def _timestamptz(text: str) -> bytes:
    if not text[:1].isdigit():  # infinity, -infinity
        return _string(text)
    return _string(text.replace(" ", "T", 1).replace("+00", "+00:00", 1))  # a BC may follow


_unescape = re.compile(r"\\(.)", re.DOTALL).sub
_QUOTED = r'"([^"\\]*(?:\\.[^"\\]*)*)"'
_bounds = re.compile(r"(?:\[-?\d+:-?\d+\])+=").match


def _array(encode: Encoder, delimiter: str) -> Encoder:
    """The syntax of https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO, as array_out writes it."""
    mark = re.escape(delimiter)
    match_element = re.compile(rf'(?:{_QUOTED}|([^"\\{{}}{mark}]+))(?=[{mark}}}])', re.DOTALL).match
    is_flat = re.compile(rf'[^"\\{{}}{mark}]+(?:{mark}[^"\\{{}}{mark}]+)*').fullmatch

    def element(text: str) -> bytes:
        return b"null" if text == "NULL" else encode(text)

    def dimension(text: str, position: int) -> tuple[bytes, int]:
        """The array that opens before `position`, and the offset after it."""
        parts: list[bytes] = []
        while text[position] != "}" or parts:
            if text[position] == "{":
                part, position = dimension(text, position + 1)
            elif found := match_element(text, position):
                quoted, bare = found.groups()
                part, position = element(bare) if quoted is None else encode(_unescape(r"\1", quoted)), found.end()
            else:
                raise ValueError
            parts.append(part)
            if text[position] == "}":
                break
            if text[position] != delimiter:
                raise ValueError
            position += 1
        return b"[" + b",".join(parts) + b"]", position + 1

    def encode_array(text: str) -> bytes:
        bounds = _bounds(text)
        start = bounds.end() if bounds else 0
        inside = text[start + 1 : -1]
        if text[start : start + 1] != "{":
            return _string(text)
        if text.endswith("}") and is_flat(inside):
            return b"[" + b",".join([element(bare) for bare in inside.split(delimiter)]) + b"]"
        try:
            encoded, end = dimension(text, start + 1)
        except (IndexError, ValueError, RecursionError):
            return _string(text)
        return encoded if end == len(text) else _string(text)

    return encode_array


def _vector(encode: Encoder) -> Encoder:
    """int2vector and oidvector: arrays by their kind, but written with blanks and without braces."""

    def encode_vector(text: str) -> bytes:
        return b"[" + b",".join([encode(part) for part in text.split()]) + b"]"

    return encode_vector


_match_field = re.compile(r'(?:"([^"\\]*(?:(?:\\.|"")[^"\\]*)*)"|([^"\\(),]*))([,)])', re.DOTALL).match
_undouble = re.compile(r'["\\](.)', re.DOTALL).sub


def _composite(fields: Sequence[tuple[str, Encoder]]) -> Encoder:
    """The syntax of https://www.postgresql.org/docs/current/rowtypes.html#ROWTYPES-IO-SYNTAX, as record_out writes it."""
    keys = [_string(name) + b":" for name, _ in fields]
    encoders = [encode for _, encode in fields]

    def encode_composite(text: str) -> bytes:
        values = _split(text) if keys else [] if text == "()" else None
        if values is None or len(values) != len(keys):
            return _string(text)
        pairs = zip(keys, encoders, values, strict=True)
        return b"{" + b",".join([key + (b"null" if value is None else encode(value)) for key, encode, value in pairs]) + b"}"

    return encode_composite


def _split(text: str) -> list[str | None] | None:
    """The fields of a composite's text; None when it is none."""
    values: list[str | None] = []
    position, sign = 1, "," if text.startswith("(") else ""
    while sign == ",":
        found = _match_field(text, position)
        if found is None:
            return None
        quoted, bare, sign = found.groups()
        values.append((bare or None) if quoted is None else _undouble(r"\1", quoted))
        position = found.end()
    return values if sign and position == len(text) else None


_match_pair = re.compile(rf'{_QUOTED}=>(?:NULL|{_QUOTED})(?:, (?=")|\Z)', re.DOTALL).match


def _hstore(text: str) -> bytes:
    """As hstore's cast to json: all values are strings."""
    pairs = []
    position = 0
    while found := _match_pair(text, position):
        key, value = (None if part is None else _string(_unescape(r"\1", part)) for part in found.groups())
        pairs.append((key or b"") + b":" + (value or b"null"))
        position = found.end()
    return b"{" + b",".join(pairs) + b"}" if position == len(text) else _string(text)


_NAMES = """
bool:16:1000 bytea:17:1001 char:18:1002 name:19:1003 int8:20:1016 int2:21:1005 int2vector:22:1006 int4:23:1007 regproc:24:1008
text:25:1009 oid:26:1028 tid:27:1010 xid:28:1011 cid:29:1012 oidvector:30:1013 json:114:199 xml:142:143 point:600:1017
lseg:601:1018 path:602:1019 box:603:1020 polygon:604:1027 line:628:629 cidr:650:651 float4:700:1021 float8:701:1022
circle:718:719 macaddr8:774:775 money:790:791 macaddr:829:1040 inet:869:1041 aclitem:1033:1034 bpchar:1042:1014
varchar:1043:1015 date:1082:1182 time:1083:1183 timestamp:1114:1115 timestamptz:1184:1185 interval:1186:1187 timetz:1266:1270
bit:1560:1561 varbit:1562:1563 numeric:1700:1231 refcursor:1790:2201 regprocedure:2202:2207 regoper:2203:2208
regoperator:2204:2209 regclass:2205:2210 regtype:2206:2211 uuid:2950:2951 txid_snapshot:2970:2949 pg_lsn:3220:3221
tsvector:3614:3643 tsquery:3615:3645 regconfig:3734:3735 regdictionary:3769:3770 jsonb:3802:3807 jsonpath:4072:4073
regnamespace:4089:4090 regrole:4096:4097 regcollation:4191:4192 pg_snapshot:5038:5039 xid8:5069:271
"""
_RANGES = """
int4range:3904:3905 numrange:3906:3907 tsrange:3908:3909 tstzrange:3910:3911 daterange:3912:3913 int8range:3926:3927
int4multirange:4451:6150 nummultirange:4532:6151 tsmultirange:4533:6152 tstzmultirange:4534:6153 datemultirange:4535:6155
int8multirange:4536:6157
"""
_VECTORS = {"int2vector": 21, "oidvector": 26}


def _built_in() -> Mapping[int, PgType]:
    """name:oid:oid of its array type, as src/include/catalog/pg_type.dat has fixed them."""
    types = {}
    for kind, entries in ((Kind.BASE, _NAMES), (Kind.RANGE, _RANGES)):
        for name, oid, array in (entry.split(":") for entry in entries.split()):
            own = kind if name not in _VECTORS else Kind.ARRAY
            types[int(oid)] = PgType(int(oid), name, own, _VECTORS.get(name, 0))
            delimiter = ";" if name == "box" else ","
            types[int(array)] = PgType(int(array), f"_{name}", Kind.ARRAY, int(oid), delimiter)
    return MappingProxyType(types)


BUILT_IN: Final = _built_in()
_BY_OID: Final[Mapping[int, Encoder]] = MappingProxyType(
    {
        16: _boolean,
        17: _bytea,
        **dict.fromkeys((20, 21, 23, 700, 701, 1700), _number),
        **dict.fromkeys((114, 3802), _json),
        1114: _timestamp,
        1184: _timestamptz,
    }
)
