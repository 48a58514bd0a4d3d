"""Turns a password into the verifier that Postgres stores, so that the password itself never stands in a statement or a log."""

import base64
import hashlib
import hmac

ITERATIONS = 4096  # what Postgres itself uses (scram_iterations)


def verifier(password: str, salt: bytes) -> str:
    """The SCRAM-SHA-256 verifier (RFC 5802) as pg_authid holds it. SASLprep leaves ASCII as it is, so it is not done."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${ITERATIONS}:{_base64(salt)}${_base64(stored_key)}:{_base64(server_key)}"


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
