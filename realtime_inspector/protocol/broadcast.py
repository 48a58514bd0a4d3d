"""A broadcast on its way from one sender to every member, whatever serializer each speaks."""

from dataclasses import dataclass
from enum import Enum


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
    """One user message: its event name and payload bytes; `meta` is a JSON object's text or empty."""

    event: str
    payload: bytes
    encoding: Encoding
    meta: bytes = b""
