"""Turns an admin's password into what the settings hold of it (scrypt, RFC 7914), and tells whether a password is the one."""

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import scrypt, sha256
from typing import Final

from realtime_inspector.errors import InvalidInput

COST: Final = (2**15, 8, 3)
"""N, r and p as OWASP names them for 32 MiB; about a quarter of a second."""
MOST_MEMORY: Final = 1 << 28
SHORTEST: Final = 12
"""Characters of a password."""
LONGEST: Final = 1_024
SALT_BYTES: Final = 16
HINT: Final = "`realtime-inspector admin password` makes such an entry."

_ENTRY: Final = re.compile(r"(.+)=scrypt:(\d{1,7}):(\d{1,2}):(\d{1,2}):([\w-]{22,}):([\w-]{43})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Secret:
    """What is known of a password."""

    cost: tuple[int, int, int]
    salt: bytes
    key: bytes

    def matches(self, password: str) -> bool:
        """Whether this is the password; takes as long for a wrong one."""
        return hmac.compare_digest(_derived(password, self.salt, self.cost), self.key)

    @property
    def fingerprint(self) -> str:
        """Another one for every change of the password; tells nothing about it."""
        return sha256(self.salt + self.key).hexdigest()[:16]


NOBODY: Final = Secret(COST, bytes(SALT_BYTES), bytes(32))
"""For an e-mail that nobody has, so that it takes as long as for one that somebody has."""


def entry(email: str, password: str, salt: bytes) -> str:
    """The entry of RTI_ADMINS. Raises InvalidInput for an e-mail or a password that cannot be used."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidInput(f"A password has {SHORTEST} to {LONGEST} characters", hint="Choose a longer one.")
    name = _name(email)
    if not name or any(letter in name for letter in ",=\"'\n\x00 "):
        raise InvalidInput(f"{email!r} cannot be the e-mail of an admin", hint="It holds no comma, equals sign, quote or space.")
    cost = ":".join(map(str, COST))
    return f"{name}=scrypt:{cost}:{_encoded(salt)}:{_encoded(_derived(password, salt, COST))}"


def parse(entries: Iterable[str]) -> Mapping[str, Secret]:
    """The admins who may sign in, by e-mail in lower case. Raises InvalidInput without repeating what it could not read."""
    admins: dict[str, Secret] = {}
    for number, text in enumerate(entries, 1):
        match = _ENTRY.fullmatch(text)
        if match is None:
            raise InvalidInput(f"The entry {number} of RTI_ADMINS cannot be read", hint=HINT)
        n, r, p = (int(match[group]) for group in (2, 3, 4))
        secret = Secret((n, r, p), _decoded(match[5]), _decoded(match[6]))
        if n < 2**14 or n & (n - 1) or not (0 < p <= 16 and r >= 8) or 128 * n * r > MOST_MEMORY:
            raise InvalidInput(f"The entry {number} of RTI_ADMINS has parameters that are not accepted", hint=HINT)
        if admins.setdefault(_name(match[1]), secret) is not secret:
            raise InvalidInput(f"The entry {number} of RTI_ADMINS names an e-mail for the second time", hint="Leave one out.")
    return admins


def find(admins: Mapping[str, Secret], email: str) -> tuple[str, Secret | None]:
    """The admin's id, which is the e-mail in lower case, and what is known of the password if there is such an admin."""
    return _name(email), admins.get(_name(email))


def _name(email: str) -> str:
    return email.strip().lower()


def _derived(password: str, salt: bytes, cost: tuple[int, int, int]) -> bytes:
    n, r, p = cost
    return scrypt(password.encode(errors="surrogatepass"), salt=salt, n=n, r=r, p=p, maxmem=MOST_MEMORY * 2, dklen=32)


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
