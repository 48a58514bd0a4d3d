"""Reads the payload of phx_join as leniently as upstream does: what has a wrong shape counts as its default.

Only the entries of `postgres_changes` are answered one by one, because a subscription that silently is none misleads.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Final, TypeGuard

import orjson

from realtime_inspector.model import LEGACY, Binding, Operation, Problem

_MAX_ID: Final = 0x7FFF_FFFF
_EVENTS: Final = frozenset((Operation.INSERT, Operation.UPDATE, Operation.DELETE))
_SHOWN: Final = 200
_MAX_SINCE: Final = 1 << 52
"""Beyond it Postgres has no timestamps."""
_Settings = Mapping[str, object]

REPLAY_REFUSED: Final = Problem(
    "UnableToReplayMessages",
    "Replay is not allowed for public channels",
    "Leave `config.broadcast.replay` out, or join privately.",
)
BAD_REPLAY: Final = Problem(
    "UnableToReplayMessages",
    "Replay params are not valid",
    'Send {"since": milliseconds since 1970, "limit": 1 to 25}.',
)
MOST_REPLAYED: Final = 25
NOT_AN_OBJECT: Final = Problem(
    "InvalidJoinPayload",
    "An entry of `postgres_changes` is not an object",
    'Send {"event": "*", "schema": "public", "table": "…"}.',
)
BAD_NAME: Final = Problem(
    "InvalidJoinPayload", "Error parsing `schema` or `table` params: expected a string", "Send the name as text without NUL."
)
BAD_FILTER: Final = Problem(
    "InvalidJoinPayload", "Error parsing `filter` params: expected a string", "Send a text without NUL such as id=eq.1."
)
BAD_SELECT: Final = Problem(
    "InvalidJoinPayload",
    'Error parsing `select` params: expected a list of column name strings, e.g. select: ["col1", "col2"]',
    "Send a list of names, or leave `select` out.",
)
SELECT_NEEDS_TABLE: Final = Problem(
    "InvalidJoinPayload",
    "Column selection is not supported for wildcard subscriptions. Provide an explicit schema and table name.",
    "Name one table, or leave `select` out.",
)
BAD_OPTIONS: Final = Problem(
    "InvalidJoinPayload",
    "Error parsing `postgres_changes_options` params: expected {wait: true or false, timeout: milliseconds}",
    'Send {"wait": true, "timeout": 15000}, or leave it out: the reply waits anyway.',
)


@dataclass(frozen=True, slots=True)
class Replay:
    """What to send of the past: the newest `limit` messages since then (milliseconds since 1970)."""

    since: int
    limit: int


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """What a client asks for with a join.

    `private`: whoever means it, however it was spelled, is never put on a public channel. `replication_ready`: say when
    broadcasts from the database arrive. `presence_key` "": one that the server makes. `verdicts`, `debug`: tell also why events
    were not delivered, all of them or those that the client's own filters kept back.
    `resume`: what a former join of the channel was given, to be sent what it missed. `token` None: the handshake's.
    Of `postgres_changes` and its options: `echo` is the JSON to answer for each entry, at its index; `bindings` and `problems`
    are what was and was not understood, equal ones once.
    """

    private: bool
    replay: Replay | None
    replication_ready: bool
    receives_own: bool
    ack: bool
    presence_key: str
    presence: bool
    verdicts: bool
    debug: bool
    resume: str | None
    token: str | None
    refusal: Problem | None
    echo: tuple[bytes, ...]
    bindings: tuple[Binding, ...]
    problems: tuple[Problem, ...]

    def answered(self) -> "JoinRequest":
        """The same without what only the reply needed."""
        return replace(self, echo=(), problems=(), resume=None, replay=None, replication_ready=False)


def parse_join(payload: object, topic: str = "") -> JoinRequest:
    """Never raises. A join without `config` is one of clients before 2022, whose topic was the subscription."""
    join = _object(payload)
    if "config" not in join:
        return _legacy(join, topic)
    config = _object(join.get("config"))
    broadcast = _object(config.get("broadcast"))
    presence = _object(config.get("presence"))
    echo, wanted = _entries(config.get("postgres_changes"))
    options = _options(config.get("postgres_changes_options"))
    private = _not_false(config.get("private"))
    replay = _replay(private, broadcast.get("replay"))
    return JoinRequest(
        private=private,
        replay=replay if isinstance(replay, Replay) else None,
        replication_ready=_true(broadcast.get("replication_ready")),
        receives_own=_true(broadcast.get("self")),
        ack=_true(broadcast.get("ack")),
        presence_key=_key(presence.get("key")),
        presence=_presence(presence.get("enabled")),
        verdicts=_true(config.get("verdicts")),
        debug=_true(config.get("debug")) or _true(broadcast.get("debug")),
        resume=_resume(config, broadcast),
        token=_token(join),
        refusal=replay if isinstance(replay, Problem) else None,
        echo=tuple(echo),
        bindings=tuple({binding.id: binding for binding in wanted if isinstance(binding, Binding)}.values()),
        problems=tuple(dict.fromkeys(problem for problem in [*wanted, options] if isinstance(problem, Problem))),
    )


def _legacy(join: _Settings, topic: str) -> JoinRequest:
    """`realtime:schema[:table[:filter]]`; whatever else such a channel is called names a schema that has no tables."""
    schema, table, condition = (*topic.removeprefix("realtime:").split(":", 2), "", "")[:3]
    binding = Binding(LEGACY, "*", schema or "*", table or "*", condition or None)
    return JoinRequest(
        private=False,
        replay=None,
        replication_ready=False,
        receives_own=False,
        ack=False,
        presence_key="",
        presence=True,
        verdicts=False,
        debug=False,
        resume=None,
        token=_token(join),
        refusal=None,
        echo=(),
        bindings=(binding,) if topic and "\0" not in topic else (),
        problems=(),
    )


def _replay(private: bool, asked: object) -> "Replay | Problem | None":
    """Asked for and not to be had is refused: whoever waits for the past must not take its absence for silence."""
    if asked is None:
        return None
    if not private:
        return REPLAY_REFUSED
    since, limit = (asked.get("since"), asked.get("limit", MOST_REPLAYED)) if isinstance(asked, dict) else (None, None)
    if not _is_count(since) or not _is_count(limit) or since > _MAX_SINCE:
        return BAD_REPLAY
    return Replay(since, max(1, min(limit, MOST_REPLAYED)))


def _options(asked: object) -> Problem | None:
    """They change nothing here, but who gets them wrong waits for something else than it thinks."""
    if asked is None:
        return None
    if not isinstance(asked, dict):
        return BAD_OPTIONS
    wait, timeout = asked.get("wait"), asked.get("timeout")
    understood = wait is None or isinstance(wait, bool) or _lower(wait) in ("true", "false")
    return None if understood and (timeout is None or _is_count(timeout)) else BAD_OPTIONS


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _object(value: object) -> _Settings:
    return value if isinstance(value, dict) else {}


def _true(value: object) -> bool:
    """Some clients send booleans as text: "true", "False"."""
    return value is True or _lower(value) in ("true", "1")


def _not_false(value: object) -> bool:
    """For `private`: whoever meant it must not find itself on a public channel, however it was spelled."""
    return bool(value) and _lower(value) not in ("false", "0", "")


def _lower(value: object) -> str | None:
    return value.strip().lower() if isinstance(value, str) else None


def _resume(config: _Settings, broadcast: _Settings) -> str | None:
    """Official clients send only what they know, but everything within `broadcast`, and that again when they join again."""
    for text in (config.get("resume"), broadcast.get("resume")):
        if isinstance(text, str) and text:
            return text
    return None


def _presence(enabled: object) -> bool:
    """On when absent: clients up to realtime-js 2.11 know no `enabled`, and their presence would stay silent."""
    return enabled is None or _true(enabled)


def _key(value: object) -> str:
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _token(join: _Settings) -> str | None:
    """`user_token` is the old name and wins. An `sb_` key is no JWT: gateways translate it in the handshake, not here."""
    candidates = (join.get("user_token"), join.get("access_token"))
    return next((text for text in candidates if isinstance(text, str) and not text.startswith("sb_")), None)


def _entries(entries: object) -> tuple[list[bytes], list[Binding | Problem]]:
    """Clients compare the echo with what they sent, index by index, so nothing in it is normalised, and null stays null."""
    echo: list[bytes] = []
    wanted: list[Binding | Problem] = []
    taken: dict[int, bytes] = {}
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            asked = _binding(entry)
            number = _claim(orjson.dumps(entry if isinstance(asked, Problem) else asked), taken)
            echo.append(orjson.dumps({**entry, "id": number}))
            wanted.append(asked if isinstance(asked, Problem) else replace(asked, id=number))
        else:
            echo.append(orjson.dumps(entry))
            wanted += () if entry is None else (NOT_AN_OBJECT,)
    return echo, wanted


def _claim(key: bytes, taken: dict[int, bytes]) -> int:
    """The same number for the same key, on every socket, so that their frames are shared; the next free one on collision.

    Never 0, which no official client fires, and within 31 bits, which every JSON reader keeps exactly.
    """
    number = int.from_bytes(blake2b(key, digest_size=4).digest()) & _MAX_ID or 1
    while taken.setdefault(number, key) != key:
        number = number % _MAX_ID + 1
    return number


def _binding(raw: _Settings) -> Binding | Problem:
    """What the entry asks for, with upstream's defaults; its id is not known yet."""
    schema, table, condition, columns = (raw.get(name) for name in ("schema", "table", "filter", "select"))
    if schema is None and table is None:
        return _no_params(raw)
    schema = "public" if schema is None else schema
    table = "*" if table is None else table
    condition = "" if condition is None else condition
    columns = [] if columns is None else columns
    if not _is_text(schema) or not _is_text(table):
        return BAD_NAME
    if not _is_text(condition):
        return BAD_FILTER
    if not isinstance(columns, list) or not all(map(_is_text, columns)):
        return BAD_SELECT
    if columns and "*" in (schema, table):
        return SELECT_NEEDS_TABLE
    return Binding(0, _event(raw.get("event")), schema, table, condition if condition.strip() else None, tuple(columns) or None)


def _event(value: object) -> str:
    """Upstream takes an unknown event for all of them."""
    name = value.upper() if isinstance(value, str) else "*"
    return name if name in _EVENTS else "*"


def _is_text(value: object) -> TypeGuard[str]:
    """Postgres has no NUL in a text: it would answer with an error of its own."""
    return isinstance(value, str) and "\0" not in value


def _no_params(raw: _Settings) -> Problem:
    shown = orjson.dumps(raw).decode()[:_SHOWN]
    text = "No subscription params provided. Please provide at least a `schema` or `table` to subscribe to"
    return Problem("InvalidJoinPayload", f"{text}: {shown}", "Name a schema, a table or both.")
