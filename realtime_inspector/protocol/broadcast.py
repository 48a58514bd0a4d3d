"""A broadcast on its way from one sender to every member, whatever serializer each speaks."""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Encoding(Enum):
    """How the payload was sent, which decides who receives it in which form.

    WRAPPED: a text push, relayed verbatim as text to everybody; `payload` is the whole {type, event, payload} JSON.
    JSON: a binary push with JSON inside; `payload` is the inner JSON; text for 1.0.0, kind 4 for 2.0.0.
    BINARY: a binary push with raw bytes; 2.0.0 only.
    """

    WRAPPED = "wrapped"
    JSON = "json"
    BINARY = "binary"


@dataclass(frozen=True, slots=True)
class Broadcast:
    """One user message: its event name and payload bytes; `meta` is a JSON object's text or empty.

    `id`: of one that the database keeps, whoever receives it, live or as the past, receives it once. `late`: it was committed
    while no service was there.
    """

    event: str
    payload: bytes
    encoding: Encoding
    meta: bytes = b""
    id: str = ""
    late: bool = False


@dataclass(frozen=True, slots=True)
class Persistence:
    """That a message is to be kept for replay, and for how many seconds; None: as long as all messages."""

    ttl: int | None = None


def kept_id(random: bytes) -> str:
    """An id for a message that was sent before it is stored. `random`: 16 bytes.

    It is a UUID of version 8, which Postgres never makes: so it is known, when the message comes out of the log, that it was
    sent, whichever process did that.
    """
    number = int.from_bytes(random)
    number = number & ~(0xF << 76) | (8 << 76)
    number = number & ~(3 << 62) | (2 << 62)
    text = f"{number:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def was_sent(number: str) -> bool:
    """Whether the id is one of those."""
    return number[14:15] == "8"


KEPT: Final = Persistence()
