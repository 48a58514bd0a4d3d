"""Who is present on one topic: several owners may share a key, each with one entry; every change answers with a difference."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from realtime_inspector.model import Problem

MAX_KEY_BYTES: Final = 255
RESERVED_META: Final = frozenset(("phx_ref", "phx_ref_prev"))
_RESERVED_KEYS: Final = frozenset(
    (
        "ids",  # realtime-js takes any payload with this key for a change of a table, and throws
        "__proto__",  # the rest is what every JavaScript object inherits: realtime-js up to 2.15 takes it for a known presence
        "__defineGetter__",
        "__defineSetter__",
        "__lookupGetter__",
        "__lookupSetter__",
        "constructor",
        "hasOwnProperty",
        "isPrototypeOf",
        "propertyIsEnumerable",
        "toLocaleString",
        "toString",
        "valueOf",
    )
)


def check_key(key: str) -> Problem | None:
    """Why this presence key is refused: one such key would break the clients of everybody else on the topic."""
    if key in _RESERVED_KEYS:
        return Problem("InvalidPresenceKey", f"The presence key {key!r} breaks JavaScript clients", "Choose another key.")
    if len(key.encode()) > MAX_KEY_BYTES:
        return Problem("InvalidPresenceKey", f"The presence key is longer than {MAX_KEY_BYTES} bytes", "Choose a shorter key.")
    return None


@dataclass(frozen=True, slots=True)
class Meta:
    """One entry: its unique reference, what its owner says (a JSON object's text), and the reference it replaced."""

    ref: str
    payload: bytes
    previous: str | None = None


Metas = Mapping[str, tuple[Meta, ...]]
"""Entries by presence key."""


@dataclass(frozen=True, slots=True)
class Diff:
    """What changed. An update is a join with the new entry and a leave with the old one, as in Phoenix."""

    joins: Metas
    leaves: Metas


class PresenceState:
    """The entries of one topic. An owner (one channel of one socket) has at most one."""

    def __init__(self) -> None:
        self._keys: dict[str, dict[Hashable, Meta]] = {}
        self._owned: dict[Hashable, tuple[str, Meta]] = {}

    def __len__(self) -> int:
        return len(self._owned)

    def track(self, key: str, owner: Hashable, payload: bytes, ref: str) -> Diff | None:
        """Sets the owner's entry; None if that changes nothing. `payload`: a JSON object's text, compared byte by byte."""
        known_key, known = self._owned.get(owner, (None, None))
        if known is not None and known_key == key and known.payload == payload:
            return None
        leaves = self._remove(owner)
        meta = Meta(ref, payload, known.ref if known is not None and known_key == key else None)
        self._owned[owner] = key, meta
        self._keys.setdefault(key, {})[owner] = meta
        return Diff({key: (meta,)}, leaves)

    def untrack(self, owner: Hashable) -> Diff | None:
        """Removes the owner's entry; None if it has none."""
        leaves = self._remove(owner)
        return Diff({}, leaves) if leaves else None

    def state(self) -> Metas:
        """All entries, oldest first within a key."""
        return {key: tuple(owners.values()) for key, owners in self._keys.items()}

    def _remove(self, owner: Hashable) -> Metas:
        if owner not in self._owned:
            return {}
        key, meta = self._owned.pop(owner)
        owners = self._keys[key]
        del owners[owner]
        if not owners:
            del self._keys[key]
        return {key: (meta,)}


def encode_state(metas: Metas) -> bytes:
    """The payload of presence_state: `{key: {"metas": [{"phx_ref": …, …what the owner says}]}}`, `{}` if nobody is there."""
    return orjson.dumps({key: {"metas": [orjson.Fragment(_encode(meta)) for meta in entries]} for key, entries in metas.items()})


def encode_diff(diff: Diff) -> bytes:
    """The payload of presence_diff; clients demand both keys."""
    joins, leaves = (orjson.Fragment(encode_state(metas)) for metas in (diff.joins, diff.leaves))
    return orjson.dumps({"joins": joins, "leaves": leaves})


def clean(payload: Mapping[str, object]) -> bytes:
    """What an owner says of itself as one canonical text, without the names that only the server may use."""
    own: Iterable[tuple[str, object]] = ((name, value) for name, value in payload.items() if name not in RESERVED_META)
    return orjson.dumps(dict(own), option=orjson.OPT_SORT_KEYS)


def _encode(meta: Meta) -> bytes:
    """The owner's fields stand beside the references, so the texts are joined at the brace."""
    references = {"phx_ref": meta.ref} if meta.previous is None else {"phx_ref": meta.ref, "phx_ref_prev": meta.previous}
    head = orjson.dumps(references)
    return head if meta.payload == b"{}" else head[:-1] + b"," + meta.payload[1:]
