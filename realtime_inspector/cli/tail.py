"""`realtime-inspector tail`: what somebody would receive, in the terminal."""

import asyncio
import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TextIO, assert_never

import click

from realtime_inspector.cli import options
from realtime_inspector.cli.calling import post
from realtime_inspector.cli.company import Company
from realtime_inspector.cli.lines import KINDS, printable, records
from realtime_inspector.cli.running import run
from realtime_inspector.cli.screen import Screen
from realtime_inspector.cli.search import Search, parse
from realtime_inspector.cli.tape import Tape, play
from realtime_inspector.errors import InvalidInput
from realtime_inspector.identity.tokens import sign
from realtime_inspector.server.client import Arrival, Channel, Joined, Lost, follow
from realtime_inspector.settings import Settings

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


def _identities(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    return {value: _identity(context, parameter, value) for value in values or ("anon",)}


def _search(_context: click.Context, _parameter: click.Parameter, value: str) -> Search:
    try:
        return parse(value)
    except InvalidInput as error:
        raise click.BadParameter(error.text) from error


@click.command("tail")
@click.argument("channel", default="tail")
@click.option("--table", metavar="[SCHEMA.]TABLE", default="public.*", help="Changes of this table only.")
@click.option("--type", "types", callback=_types, default=",".join(TYPES), show_default=True, metavar="A,B", help="What to show.")
@click.option(
    "--as",
    "identities",
    callback=_identities,
    multiple=True,
    metavar="user:ID|anon|service",
    help="Otherwise anon; several to compare them.",
)
@options.claims
@click.option(
    "--search",
    callback=_search,
    default="",
    metavar="TEXT",
    help="As on the page: table:, op:, key:, user:, verdict:, reason:, policy:, new.column:, text, /pattern/, -not.",
)
@click.option(
    "--why", is_flag=True, help="Ask why those who did not receive an event did not; it is written into the audit trail."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, and nothing else on standard output.")
@click.option("--record", type=click.File("w", "utf-8"), metavar="FILE", help="Keep what is shown.")
@click.option("--replay", type=options.FILE, metavar="FILE", help="Show what was kept, without a service.")
@click.option("--url", metavar="URL", help="Where the service is; otherwise as its settings say.")
@options.env_file
@options.config
@click.pass_context
def command(
    context: click.Context,
    channel: str,
    table: str,
    types: frozenset[str],
    identities: dict[str, dict[str, Any]],
    claims: dict[str, Any],
    search: Search,
    why: bool,
    as_json: bool,
    record: TextIO | None,
    replay: Path | None,
    url: str | None,
    env_file: Path | None,
    config: Path | None,
) -> None:
    """Watch CHANNEL as somebody would receive it, until Ctrl-C. It comes back by itself when it is cut off.

    user:ID stands for the role authenticated and that `sub`; what policies read besides comes with --claims. With several --as
    each event is one line, with a mark for each of them.

    \b
    realtime-inspector tail --table tweets --as service --env-file shop.env
    realtime-inspector tail --table tweets --as service --as user:4f1c… --why --env-file shop.env
    realtime-inspector tail room:1 --type broadcast,presence --json --env-file shop.env | jq .payload
    """
    if os.environ.get("NO_COLOR"):
        context.color = False
    if replay is not None:
        for at, event, receipts in play(replay):
            Screen(search, as_json, None).show(at, event, receipts)
        return
    settings = options.load(env_file, config)
    people = _People.known(settings, identities, claims)
    tape = Tape(record, channel, {name: identity["role"] for name, identity in identities.items()}) if record else None
    screen = Screen(search, as_json, tape)
    asking = ThreadPoolExecutor(1)  # in order, and beside the connections

    def told(event: Mapping[str, Any], receipts: Mapping[str, bool]) -> None:
        if why:
            asking.submit(screen.show, datetime.now(), event, receipts, lambda number, name: people.why(url, number, name))
        else:
            screen.show(datetime.now(), event, receipts)

    plan = Channel(url or f"http://127.0.0.1:{settings.port}", f"realtime:{channel}", _config(table, types))
    company = Company(list(identities), told)

    async def watch(name: str) -> None:
        who = identities[name].get("sub") or identities[name]["role"]
        async with aclosing(follow(plan, lambda: people.token(name))) as happenings:
            async for happening in happenings:
                for event in _events(happening, f"{channel} as {who}", types):
                    company.receive(name, event)

    async def work(_stop: asyncio.Event) -> None:
        await asyncio.gather(*map(watch, identities))

    run(work, grace=0)
    asking.shutdown(cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _People:
    """Those who look: `claims` of their tokens by name, and the key that signs these."""

    settings: Settings
    key: str
    claims: Mapping[str, Mapping[str, Any]]

    @classmethod
    def known(cls, settings: Settings, identities: Mapping[str, Mapping[str, Any]], claims: Mapping[str, Any]) -> "_People":
        """Raises InvalidInput for a role that the service lets nobody in as."""
        for identity in identities.values():
            if identity["role"] not in settings.allowed_roles:
                hint = f"RTI_ALLOWED_ROLES allows {', '.join(settings.allowed_roles)}."
                raise InvalidInput(f"The service lets nobody in as {identity['role']}", hint=hint)
        parties = {name: value for name, value in (("aud", settings.jwt_audience), ("iss", settings.jwt_issuer)) if value}
        whole = {name: {**claims, **parties, **identity} for name, identity in identities.items()}
        return cls(settings, options.signing_key(settings), whole)

    def token(self, name: str) -> str:
        """A new one."""
        now = int(time.time())
        return sign({**self.claims[name], "iat": now, "exp": now + TOKEN_SECONDS}, self.key)

    def why(self, url: str | None, event_id: str, name: str) -> str:
        """Why somebody did not receive an event, in a sentence."""
        own = {claim: value for claim, value in self.claims[name].items() if claim != "role"}
        body = {"event_id": event_id, "role": self.claims[name]["role"], "claims": own}
        return str(post(self.settings, url, "/api/v1/why", body, None)["sentence"])


def _config(table: str, types: frozenset[str]) -> dict[str, Any]:
    schema, _, name = table.rpartition(".")
    wanted = {"event": "*", "schema": schema or "public", "table": name}
    return {
        "broadcast": {"self": True},
        "presence": {"enabled": "presence" in types},
        "postgres_changes": [wanted] if "changes" in types else [],
        "private": False,
    }


def _events(happening: Joined | Lost | Arrival, where: str, types: frozenset[str]) -> Iterator[dict[str, Any]]:
    """The events of it, for standard output; what happens to the connection goes to standard error."""
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
                yield from records(event, payload)
        case _:
            assert_never(happening)
