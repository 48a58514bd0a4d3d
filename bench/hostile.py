"""Frames that no client would send, from a seed: mutated messages, raw bytes, wrong types, fragments, control frames."""

import random
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

TABLES: Final = ("tweets", "articles", "notes", "countries", "user_roles", "nowhere", '"', "a.b", "*")
FILTERS: Final = (
    "id=eq.1",
    "content=like.%a%",
    "id=in.(1,2,3)",
    'content=eq."\\"',
    "not.and(",
    "or=(id.eq.1,id.eq.2)",
    "a=b=c",
    "",
)
NAMES: Final = ("realtime:room", "realtime:public:tweets", "realtime:", "phoenix", "", "realtime:\0", "realtime:" + "é" * 120)
EVENTS: Final = (
    "phx_join",
    "phx_join",
    "broadcast",
    "presence",
    "access_token",
    "phx_leave",
    "heartbeat",
    "system",
    "phx_reply",
    "",
)
ODD: Final = (
    None,
    True,
    False,
    0,
    -1,
    2**53,
    1e308,
    "",
    "\0",
    "\ud7ff",
    "x" * 300,
    [],
    {},
    [[]],
    {"": ""},
    "true",
    "__proto__",
    "ids",
)


def masked(payload: bytes, first: int) -> bytes:
    """A client's frame whose first byte is given; the mask is all zero, which is legal."""
    size = len(payload)
    if size < 126:
        return bytes((first, 0x80 | size, 0, 0, 0, 0)) + payload
    if size < 65_536:
        return bytes((first, 0xFE)) + size.to_bytes(2, "big") + bytes(4) + payload
    return bytes((first, 0xFF)) + size.to_bytes(8, "big") + bytes(4) + payload


class Hostile:
    """Makes frames for one version of the protocol, the same for the same seed. `keys`: genuine tokens to make bad ones of."""

    def __init__(self, seed: object, vsn: str, keys: Sequence[str]) -> None:
        self._random = random.Random(f"{seed} {vsn}")
        self._first = vsn.startswith("1")
        self._keys = keys
        self._recorded = [self._message(event, topic) for event in EVENTS[1:7] for topic in NAMES[:2]]
        self._makers: list[tuple[int, Callable[[], bytes]]] = [
            (30, self._mutated),
            (30, self._valid),
            (15, self._binary),
            (10, self._fragments),
            (10, self._controls),
            (4, self._raw_payload),
            (1, self._raw_frame),
        ]

    def batch(self, frames: int) -> bytes:
        """So many frames or a few more, in one piece."""
        weights, makers = zip(*self._makers, strict=True)
        return b"".join(make() for make in self._random.choices(makers, weights, k=frames))

    # Kinds of frames.

    def _valid(self) -> bytes:
        """A message of the protocol that means anything."""
        return masked(self._message(self._random.choice(EVENTS), self._random.choice(NAMES)), 0x81)

    def _mutated(self) -> bytes:
        data = bytearray(self._random.choice(self._recorded))
        for _ in range(self._random.randint(1, 4)):
            at = self._random.randrange(len(data) + 1)
            match self._random.randrange(5):
                case 0:
                    data[at:at] = self._random.randbytes(self._random.randint(1, 4))
                case 1:
                    del data[at : at + self._random.randint(1, 20)]
                case 2:
                    data[at:at] = data[at // 2 : at]
                case 3:
                    data[at:at] = self._random.choice(
                        (b"[" * 300, b'{"a":' * 50, b"\\ud800", b"1e999", b"\\u0000", b'"ids":[1],')
                    )
                case _ if data:
                    data[at % len(data)] ^= 1 << self._random.randrange(8)
        text = bytes(data).decode(errors="ignore").encode()  # what is not UTF-8 closes the socket, which _raw_payload does
        return masked(text, 0x81)

    def _binary(self) -> bytes:
        sizes = [self._random.choice((0, 1, 13, 255)) for _ in range(5)]
        head = bytes((self._random.choice((3, 3, 3, 0, 4, 255)), *sizes, self._random.choice((0, 1, 7))))
        parts = b"1" + b"2" + b"realtime:room" + self._random.randbytes(self._random.choice((0, 40, 900)))
        return masked(head + parts, 0x82)

    def _fragments(self) -> bytes:
        message = self._message("broadcast", "realtime:room")
        cuts = sorted(self._random.randrange(len(message)) for _ in range(self._random.randint(1, 6)))
        pieces = [message[start:end] for start, end in zip([0, *cuts], [*cuts, len(message)], strict=True)]
        frames = [masked(piece, 0x00) for piece in pieces]
        frames[0] = masked(pieces[0], 0x01)
        frames[-1] = masked(pieces[-1], 0x80)
        if self._random.random() < 0.3:
            frames.insert(1, masked(b"between", 0x89))
        return b"".join(frames if self._random.random() < 0.97 else frames[:-1])

    def _controls(self) -> bytes:
        flood = self._random.choice((1, 1, 1, 5, 2_000))
        return masked(self._random.randbytes(self._random.randrange(126)), self._random.choice((0x89, 0x8A))) * flood

    def _raw_payload(self) -> bytes:
        return masked(self._random.randbytes(self._random.randrange(400)), self._random.choice((0x81, 0x82)))

    def _raw_frame(self) -> bytes:
        return self._random.choice(
            (
                self._random.randbytes(self._random.randrange(1, 60)),
                masked(b"", 0xC1),
                masked(b"\x03\xe8bye", 0x88),
                masked(b"x" * 300_000, 0x81),
                b"\x81\xff" + (1 << 62).to_bytes(8, "big"),
            )
        )

    # Messages.

    def _message(self, event: str, topic: str) -> bytes:
        payload = self._odd() if self._random.random() < 0.2 else self._payload(event)
        ref, join_ref = self._random.choice(("1", 7, None)), self._random.choice(("1", "stale", None))
        named = {"topic": topic, "event": event, "payload": payload, "ref": ref, "join_ref": join_ref}
        parts: list[Any] = [join_ref, ref, topic, event, payload]
        if self._random.random() < 0.1:
            parts[self._random.randrange(5)] = self._odd()
            named[self._random.choice(tuple(named))] = self._odd()
        return orjson.dumps(named if self._first else parts)

    def _payload(self, event: str) -> object:
        match event:
            case "phx_join":
                return {"config": self._config(), **self._maybe("access_token", self._token())}
            case "broadcast":
                return {"type": "broadcast", "event": self._or_odd("hello"), "payload": self._or_odd({"a": 1})}
            case "presence":
                return {"event": self._or_odd(self._random.choice(("track", "untrack"))), "payload": self._or_odd({"n": 1})}
            case "access_token":
                return {"access_token": self._or_odd(self._token())}
        return {}

    def _config(self) -> object:
        entry = {
            "event": self._or_odd("*"),
            "schema": self._or_odd("public"),
            "table": self._or_odd(self._random.choice(TABLES)),
            "filter": self._or_odd(self._random.choice(FILTERS)),
            **self._maybe("select", self._or_odd(["id"])),
        }
        return self._or_odd(
            {
                "broadcast": self._or_odd(
                    {"self": self._or_odd(True), "ack": self._or_odd(True), **self._maybe("resume", "x.y")}
                ),
                "presence": self._or_odd({"key": self._or_odd("k"), "enabled": self._or_odd(True)}),
                "postgres_changes": self._or_odd([self._or_odd(entry)] * self._random.randint(0, 3)),
                **self._maybe("private", self._random.choice(ODD)),
            }
        )

    def _token(self) -> str:
        key = self._random.choice(self._keys)
        at = self._random.randrange(len(key))
        return self._random.choice(
            (key, key[:at], key[:at] + "A" + key[at + 1 :], "", "sb_x", key.split(".")[0] + "..", "é" * 30)
        )

    def _odd(self) -> Any:
        return self._random.choice(ODD)

    def _or_odd(self, value: object) -> Any:
        return self._odd() if self._random.random() < 0.08 else value

    def _maybe(self, name: str, value: object) -> dict[str, object]:
        return {name: value} if self._random.random() < 0.3 else {}
