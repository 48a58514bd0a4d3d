"""`realtime-inspector tail`: what somebody would receive, in the terminal."""

import asyncio
import time
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Any, Final, assert_never

import click

from realtime_inspector.cli import options
from realtime_inspector.cli.lines import KINDS, people, printable, programs
from realtime_inspector.cli.running import run
from realtime_inspector.errors import InvalidInput
from realtime_inspector.identity.tokens import sign
from realtime_inspector.server.client import Arrival, Channel, Joined, Lost, follow

TYPES: Final = ("changes", "broadcast", "presence")
TOKEN_SECONDS: Final = 600


def _types(_context: click.Context, _parameter: click.Parameter, value: str) -> frozenset[str]:
    chosen = frozenset(part.strip() for part in value.split(",") if part.strip())
    if not chosen or not chosen <= set(TYPES):
        raise click.BadParameter(f"choose of {', '.join(TYPES)}, separated by commas")
    return chosen


def _identity(_context: click.Context, _parameter: click.Parameter, value: str) -> dict[str, Any]:
    """The claims of whoever is named."""
    match value.partition(":"):
        case "anon", "", "":
            return {"role": "anon"}
        case "service", "", "":
            return {"role": "service_role"}
        case "user", ":", user_id if user_id.strip():
            return {"role": "authenticated", "aud": "authenticated", "sub": user_id}
        case _:
            raise click.BadParameter("write anon, service, or user:ID")


identity_option: Final = click.option(
    "--as", "identity", callback=_identity, default="anon", show_default=True, metavar="user:ID|anon|service"
)


@click.command("tail")
@click.argument("channel", default="tail")
@click.option("--table", metavar="[SCHEMA.]TABLE", default="public.*", help="Changes of this table only.")
@click.option("--type", "types", callback=_types, default=",".join(TYPES), show_default=True, metavar="A,B", help="What to show.")
@identity_option
@options.claims
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, and nothing else on standard output.")
@click.option("--url", metavar="URL", help="Where the service is; otherwise as its settings say.")
@options.env_file
@options.config
def command(
    channel: str,
    table: str,
    types: frozenset[str],
    identity: dict[str, Any],
    claims: dict[str, Any],
    as_json: bool,
    url: str | None,
    env_file: Path | None,
    config: Path | None,
) -> None:
    """Watch CHANNEL as somebody would receive it, until Ctrl-C. It comes back by itself when it is cut off.

    user:ID stands for the role authenticated and that `sub`; what policies read besides comes with --claims.

    \b
    realtime-inspector tail --table tweets --as service --env-file shop.env
    realtime-inspector tail --table tweets --as user:4f1c… --env-file shop.env
    realtime-inspector tail room:1 --type broadcast,presence --json --env-file shop.env | jq .payload
    """
    settings = options.load(env_file, config)
    key = options.signing_key(settings)
    if identity["role"] not in settings.allowed_roles:
        hint = f"RTI_ALLOWED_ROLES allows {', '.join(settings.allowed_roles)}."
        raise InvalidInput(f"The service lets nobody in as {identity['role']}", hint=hint)
    parties = {name: value for name, value in (("aud", settings.jwt_audience), ("iss", settings.jwt_issuer)) if value}

    def mint() -> str:
        now = int(time.time())
        return sign({**claims, **parties, **identity, "iat": now, "exp": now + TOKEN_SECONDS}, key)

    plan = Channel(url or f"http://127.0.0.1:{settings.port}", f"realtime:{channel}", _config(table, types))
    who = identity.get("sub") or identity["role"]

    async def work(_stop: asyncio.Event) -> None:
        async with aclosing(follow(plan, mint)) as happenings:
            async for happening in happenings:
                _tell(happening, f"{channel} as {who}", types, as_json)

    run(work, grace=0)


def _config(table: str, types: frozenset[str]) -> dict[str, Any]:
    schema, _, name = table.rpartition(".")
    wanted = {"event": "*", "schema": schema or "public", "table": name}
    return {
        "broadcast": {"self": True},
        "presence": {"enabled": "presence" in types},
        "postgres_changes": [wanted] if "changes" in types else [],
        "private": False,
    }


def _tell(happening: Joined | Lost | Arrival, where: str, types: frozenset[str], as_json: bool) -> None:
    """Events go to standard output; what happens to the connection goes to standard error."""
    match happening:
        case Joined():
            click.echo(f"Listening to {where}.", err=True)
        case Lost(reason, delay):
            click.echo(f"Cut off: {reason}. Trying again in {delay:.0f} s.", err=True)
        case Arrival("system", payload):
            if payload.get("status") != "ok":
                click.echo(f"The service says: {printable(str(payload.get('message')))}", err=True)
        case Arrival(event, payload):
            if KINDS.get(event) in types:
                now = f"{datetime.now():%H:%M:%S.%f}"[:-3]
                for line in programs(event, payload) if as_json else people(event, payload, now):
                    click.echo(line)
        case _:
            assert_never(happening)
