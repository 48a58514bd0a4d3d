"""The two spellings of the Realtime protocol, and which one a client asked for."""

import re
from enum import StrEnum

from realtime_inspector.errors import UnsupportedVersion


class Serializer(StrEnum):
    """1.0.0 sends JSON objects; 2.0.0 sends JSON arrays, and user broadcasts as binary frames."""

    V1 = "1.0.0"
    V2 = "2.0.0"


_PATCH = re.compile(r"(1|2)\.0\.(?:0|[1-9][0-9]{0,8})", re.ASCII)


def choose(vsn: str | None) -> Serializer:
    """The serializer for the `vsn` query parameter: none means 1.0.0, any patch release of a known version is that version.

    Raises UnsupportedVersion, which the handshake answers with HTTP 403.
    """
    if vsn is None:
        return Serializer.V1
    match = _PATCH.fullmatch(vsn)
    if match is None:
        raise UnsupportedVersion
    return Serializer.V1 if match[1] == "1" else Serializer.V2
