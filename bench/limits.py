"""Limits that no benchmark reaches, unless they are what it measures."""

from typing import Final

PLENTY: Final = 1_000_000
LIMITS: Final = {
    "connections": PLENTY,
    "handshakes_per_address": PLENTY,
    "joins_per_second": PLENTY,
    "messages_per_second": PLENTY,
    "presence_calls": PLENTY,
    "presence_per_second": PLENTY,
}
VARIABLES: Final = {f"RTI_{name.upper()}": str(value) for name, value in LIMITS.items()}
