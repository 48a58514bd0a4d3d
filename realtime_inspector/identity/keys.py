"""Turns configured secrets and JWK sets into keys that fit fixed algorithms each, and refuses weak ones before they are used."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from jwt.algorithms import Algorithm, get_default_algorithms
from jwt.exceptions import InvalidKeyError

from realtime_inspector.errors import InvalidInput

SHORTEST_SECRET: Final = 32
"""Bytes: RFC 7518 section 3.2 asks of an HMAC key the size of its hash's output; 32 is SHA-256's."""

_HMAC: Final = ("HS256", "HS384", "HS512")
_KINDS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("oct", ""): _HMAC,
    ("RSA", ""): ("RS256", "RS384", "RS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
    ("OKP", "Ed448"): ("EdDSA",),
}
_PRIVATE: Final = {"d", "p", "q", "dp", "dq", "qi", "oth"}
_IMPLEMENTATIONS: Final = get_default_algorithms()

ALGORITHMS: Final = frozenset(name for names in _KINDS.values() for name in names)
"""What a token's `alg` may be at all; `none` is not among them in any spelling."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key bound to one algorithm; neither shows up in a repr."""

    algorithm: Algorithm = field(repr=False)
    material: Any = field(repr=False)

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether this key made `signature` for `message`."""
        return bool(self.algorithm.verify(message, self.material, signature))


Ring = Mapping[tuple[str | None, str], Key]
"""Keys by `kid` and algorithm: a token's header can choose among these entries and nothing else.

The kid None is the secret's, which serves tokens whose kid is unknown; "" stands for a JWK without a kid.
"""


def from_secret(secret: str) -> Ring:
    """The entries of a shared secret. Raises InvalidInput when it is short or is a public key by mistake."""
    raw = secret.encode()
    if len(raw) < SHORTEST_SECRET:
        raise InvalidInput(
            f"The JWT secret has {len(raw)} bytes; it needs at least {SHORTEST_SECRET}",
            hint="Make one with `openssl rand -hex 32` and set it as RTI_JWT_SECRET.",
        )
    try:
        return {(None, name): Key(_IMPLEMENTATIONS[name], _IMPLEMENTATIONS[name].prepare_key(raw)) for name in _HMAC}
    except InvalidKeyError as error:
        # A public key used as an HMAC secret would let everybody who knows it sign.
        raise InvalidInput(f"The JWT secret is not a secret: {error}", hint="Put public keys into RTI_JWKS.") from error


def from_jwks(text: str | bytes) -> Ring:
    """The entries of a JWK set. Raises InvalidInput when it is malformed, a key is weak, or two keys share kid and algorithm.

    Keys of a kind or use that is not for verifying here are passed over, as RFC 7517 section 5 asks.
    """
    ring: dict[tuple[str | None, str], Key] = {}
    for jwk in _members(text):
        kid = jwk.get("kid", "")
        if not isinstance(kid, str):
            raise InvalidInput("The JWK set has a kid that is not a string", hint=_JWKS_HINT)
        for name in _algorithms(jwk):
            if (kid, name) in ring:
                raise InvalidInput(f"The JWK set has two keys for kid {kid!r} and {name}", hint=_JWKS_HINT)
            ring[kid, name] = _key(jwk, kid, name)
    return ring


_JWKS_HINT = 'A JWK set looks like {"keys": [{"kty": "EC", "crv": "P-256", "kid": "…", …}]} (RFC 7517).'


def _members(text: str | bytes) -> list[dict[str, Any]]:
    try:
        keys = json.loads(text)["keys"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise InvalidInput("The JWK set is not valid JSON with a list of keys", hint=_JWKS_HINT) from error
    if not isinstance(keys, list) or not all(isinstance(jwk, dict) for jwk in keys):
        raise InvalidInput("The JWK set is not valid JSON with a list of keys", hint=_JWKS_HINT)
    return keys


def _algorithms(jwk: dict[str, Any]) -> tuple[str, ...]:
    """What this key may verify: fixed by its type and curve, narrowed by its own `alg`; nothing for keys of another purpose."""
    if jwk.get("use", "sig") != "sig" or "verify" not in str(jwk.get("key_ops", "verify")):
        return ()
    names = _KINDS.get((str(jwk.get("kty")), str(jwk.get("crv", ""))), ())
    return tuple(name for name in names if jwk.get("alg", name) == name)


def _key(jwk: dict[str, Any], kid: str, name: str) -> Key:
    algorithm = _IMPLEMENTATIONS[name]
    symmetric = name in _HMAC
    public = jwk if symmetric else {part: value for part, value in jwk.items() if part not in _PRIVATE}
    try:
        material = algorithm.from_jwk(public)
    except (InvalidKeyError, ValueError, TypeError, LookupError, AttributeError) as error:
        # The error may quote the key, so it is not repeated.
        raise InvalidInput(f"The key {kid!r} of the JWK set is malformed", hint=_JWKS_HINT) from error
    weak = len(material) < SHORTEST_SECRET if symmetric else algorithm.check_key_length(material)
    if weak:
        raise InvalidInput(f"The key {kid!r} of the JWK set is too short", hint="Use 32 bytes or RSA with 2048 bits.")
    return Key(algorithm, material)
