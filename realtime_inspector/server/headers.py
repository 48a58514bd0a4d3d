"""Which headers of a request the policies of private channels may read."""

from typing import Final

import orjson
from starlette.datastructures import Headers

LARGEST: Final = 4_096
"""Bytes of all of them together; what is beyond that is left out."""


def policy_headers(headers: Headers) -> str:
    """Those whose names begin with `x-`, as a JSON object's text; of several with one name the last counts, as upstream."""
    kept: dict[str, str] = {}
    size = 0
    for name, value in headers.items():
        size += len(name) + len(value)
        if name.startswith("x-") and size <= LARGEST:
            kept[name] = value
    return orjson.dumps(kept).decode()
