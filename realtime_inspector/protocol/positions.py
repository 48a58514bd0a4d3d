"""Positions in the log as clients hold them: opaque, authenticated texts that tell nothing about order or volume.

An event's id is its position, the same for everybody who receives it; the events of one transaction have a commit id in common.
A channel's resume token is a position too, and is bound to its topic and to whom it was made for, so that it is of no use to
anybody else. All of them become void with the epoch: when the log that they point into is lost.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from hmac import compare_digest
from struct import Struct
from typing import Final

import orjson

from realtime_inspector.model import AFTER, BEFORE, Identity, Position

TAG: Final = 8
"""Bytes of authentication. Whoever guessed them would begin elsewhere in the log, and under its own rights all the same."""
NAME: Final = 12
"""Bytes of a commit's name."""
CHARACTERS: Final = 27
"""The length of a sealed position, which is safe in URLs and JSON."""
_POSITION: Final = Struct("!QI")
_BEFORE: Final = AFTER + 1
SEPARATOR: Final = "."


class PositionTokens:
    """Seals and opens positions with a secret that outlives the process, for one epoch of the log.

    Deterministic, as event ids have to be equal for all: the tag is a keyed hash of the position and what it is bound to, and
    the tag keys the stream that hides the position (the construction of RFC 5297, with BLAKE2b in place of AES).
    """

    def __init__(self, secret: bytes, epoch: str) -> None:
        """`secret`: 32 bytes. `epoch`: a text that differs whenever the positions of another log begin."""
        self._tagging = blake2b(b"tag", key=secret, digest_size=32).digest()
        self._hiding = blake2b(b"hide", key=secret, digest_size=32).digest()
        self._grouping = blake2b(b"commit", key=secret, digest_size=32).digest()
        self._epoch = epoch.encode() + b"\0"

    def event_id(self, position: Position) -> str:
        """The name of the change there."""
        return self._seal(position, b"")

    def commit_id(self, commit_lsn: int) -> str:
        """The name of the transaction whose commit is there. It cannot be opened: nobody comes back to a transaction."""
        named = self._epoch + commit_lsn.to_bytes(8)
        return urlsafe_b64encode(blake2b(named, key=self._grouping, digest_size=NAME).digest()).decode()

    def position(self, event_id: str) -> Position | None:
        """The change that has this name; None if it is none of this epoch's."""
        return self._open(event_id, b"")

    def resume_token(self, position: Position, topic: str, identity: Identity) -> str:
        """What returns a channel to the position. Of an identity, role and `sub` count: other claims change with each token."""
        return self._seal(position, _binding(topic, identity))

    def moment(self, position: Position, nonce: bytes) -> str:
        """A position that no two tellings show to be equal: that nothing was written would be something to know.

        `nonce`: 6 bytes that nobody can guess.
        """
        return urlsafe_b64encode(nonce).decode() + self._seal(position, nonce)

    def opened(self, resume: str, topic: str, identity: Identity) -> Position | None:
        """The position of `TOKEN`, `TOKEN.EVENT_ID` or `TOKEN.MOMENT`, the later of two; None if not ours, or not theirs."""
        token, _, reached = resume.partition(SEPARATOR)
        joined = self._open(token, _binding(topic, identity))
        if joined is None or not reached:
            return joined
        received = self._open(reached[-CHARACTERS:], _decoded(reached[:-CHARACTERS]))
        return None if received is None else max(joined, received)

    def _seal(self, position: Position, bound: bytes) -> str:
        plain = _POSITION.pack(position.commit_lsn, _BEFORE if position.index == BEFORE else position.index)
        tag = self._tag(plain, bound)
        return urlsafe_b64encode(tag + self._hide(tag, plain)).decode().rstrip("=")

    def _open(self, text: str, bound: bytes) -> Position | None:
        sealed = _decoded(text + "=")
        tag, plain = sealed[:TAG], self._hide(sealed[:TAG], sealed[TAG:])
        if len(plain) != _POSITION.size or len(text) != CHARACTERS or not compare_digest(tag, self._tag(plain, bound)):
            return None
        lsn, index = _POSITION.unpack(plain)
        return Position(lsn, BEFORE if index == _BEFORE else index)

    def _tag(self, plain: bytes, bound: bytes) -> bytes:
        return blake2b(self._epoch + plain + bound, key=self._tagging, digest_size=TAG).digest()

    def _hide(self, tag: bytes, data: bytes) -> bytes:
        stream = blake2b(tag, key=self._hiding, digest_size=_POSITION.size).digest()
        return bytes(a ^ b for a, b in zip(data, stream, strict=False))


def _decoded(text: str) -> bytes:
    try:
        return urlsafe_b64decode(text)
    except ValueError:
        return b""


def _binding(topic: str, identity: Identity) -> bytes:
    subject = orjson.loads(identity.claims).get("sub")
    return orjson.dumps([topic, identity.role, subject])
