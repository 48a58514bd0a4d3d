"""Asks a running service what admins may ask, with a token minted for whoever runs the command."""

import getpass
import time
from collections.abc import Mapping
from typing import Any, Final

import httpx

from realtime_inspector.cli import options
from realtime_inspector.errors import InvalidInput, RealtimeError
from realtime_inspector.identity.tokens import sign
from realtime_inspector.settings import Settings

TOKEN_SECONDS: Final = 60
WITHIN: Final = 30.0


def post(settings: Settings, url: str | None, path: str, body: Mapping[str, Any], by: str | None) -> dict[str, Any]:
    """The answer. `by`: the admin whom the audit trail names. Raises RealtimeError with what the service said."""
    now = int(time.time())
    parties = {name: value for name, value in (("aud", settings.jwt_audience), ("iss", settings.jwt_issuer)) if value}
    claims = {"role": settings.admin_role, "sub": by or f"cli:{getpass.getuser()}", "iat": now, "exp": now + TOKEN_SECONDS}
    where = (url or f"http://127.0.0.1:{settings.port}").rstrip("/")
    headers = {"authorization": f"Bearer {sign({**claims, **parties}, options.signing_key(settings))}"}
    try:
        response = httpx.post(f"{where}{path}", json=body, headers=headers, timeout=WITHIN, trust_env=False)
        answer = response.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise InvalidInput(
            f"No service answers at {where}: {error}", hint="Start it with `serve`, or name it with --url."
        ) from error
    if response.status_code != httpx.codes.OK:
        raise RealtimeError(str(answer.get("error")), hint=str(answer.get("hint") or ""))
    return dict(answer)
