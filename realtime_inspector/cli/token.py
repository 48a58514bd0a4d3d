"""`realtime-inspector token`: mints a token with the configured key."""

import time
from pathlib import Path
from typing import Any

import click

from realtime_inspector.cli import options
from realtime_inspector.identity.tokens import completed, required, sign


@click.command("token")
@click.option("--role", required=True, metavar="ROLE", help="The database role it speaks for, or the admin role.")
@click.option("--sub", metavar="ID", help="Whose it is: what auth.uid() gives.")
@options.claims
@click.option("--expires-in", type=click.IntRange(min=1), default=3600, show_default=True, metavar="SECONDS")
@options.env_file
@options.config
def command(
    role: str, sub: str | None, claims: dict[str, Any], expires_in: int, env_file: Path | None, config: Path | None
) -> None:
    """Mint a token (JWT, HS256) with the configured key, and print it.

    \b
    realtime-inspector token --role anon --env-file shop.env
    realtime-inspector token --role authenticated --sub 4f1c… --claims '{"email": "a@b.example"}' --env-file shop.env
    realtime-inspector token --role inspector_admin --sub you@example.com --env-file shop.env
    """
    settings = options.load(env_file, config)
    if role not in {*settings.allowed_roles, settings.admin_role}:
        known = ", ".join([*settings.allowed_roles, settings.admin_role])
        click.echo(f"Warning: the service will refuse the role {role}. Add it to RTI_ALLOWED_ROLES; known are {known}.", err=True)
    now = int(time.time())
    parties = {"aud": settings.jwt_audience, "iss": settings.jwt_issuer}
    said = {name: value for name, value in parties.items() if value} | claims
    said |= {"role": role, "iat": now, "exp": now + expires_in} | ({"sub": sub} if sub is not None else {})
    click.echo(sign(completed(said, dict(map(required, settings.jwt_claims))), options.signing_key(settings)))
