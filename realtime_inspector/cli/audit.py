"""`realtime-inspector audit`: finds out whether anybody has rewritten the trail, and takes it away as a file."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

import click
import orjson

from realtime_inspector.cli import options
from realtime_inspector.cli.trail import with_pool
from realtime_inspector.identity.chain import Chosen, Entry, Finding
from realtime_inspector.identity.export import csv, csv_head, ndjson, told
from realtime_inspector.postgres.connect import Pool
from realtime_inspector.postgres.trail import Trail

FORMS: Final[dict[str, tuple[str, Callable[[Iterable[Entry]], str]]]] = {"ndjson": ("", ndjson), "csv": (csv_head(), csv)}


@click.group("audit")
def command() -> None:
    """Verify the audit trail, or take it away as a file.

    \b
    realtime-inspector audit verify --env-file shop.env
    realtime-inspector audit export --format csv --since 2026-11-01 --env-file shop.env > november.csv
    """


@command.command("verify")
@click.option("--kept", metavar="HASH", default="", help="A head that was written down earlier: it must occur in the trail.")
@click.option("--since", metavar="HASH", default="", help="The same, and nothing before its entry is looked at.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: intact, entries, head, first_broken.")
@options.env_file
@options.config
@click.pass_context
def verify(context: click.Context, kept: str, since: str, as_json: bool, env_file: Path | None, config: Path | None) -> None:
    """Compute every hash anew. Exit status 1 when an entry is not as it was written; the first one is named.

    With --since the work of an earlier run is not done again: its head stands for what came before.
    """
    if kept and since:
        raise click.UsageError("--since expects its head as --kept does: give one of them.")
    found = with_pool(options.load(env_file, config), lambda pool: Trail(pool).verify(kept or since, since=bool(since)))
    click.echo(orjson.dumps(told(found)).decode() if as_json else _sentence(found, since))
    context.exit(0 if found.flaw is None else 1)


@command.command("export")
@click.option("--format", "form", type=click.Choice(list(FORMS)), default="ndjson", show_default=True)
@click.option("--action", metavar="WORD", help="Entries of this kind only.")
@click.option("--admin", metavar="ID", help="Of this admin only.")
@click.option("--session", metavar="ID", help="Of this impersonation only.")
@click.option("--since", type=click.DateTime(), help="Not before this moment, in UTC.")
@click.option("--until", type=click.DateTime(), help="Before this moment, in UTC.")
@click.option(
    "--output", type=click.File("w", "utf-8", lazy=False), default="-", metavar="FILE", help="Otherwise standard output."
)
@options.env_file
@options.config
def export(
    form: str,
    action: str | None,
    admin: str | None,
    session: str | None,
    since: datetime | None,
    until: datetime | None,
    output: TextIO,
    env_file: Path | None,
    config: Path | None,
) -> None:
    """Write the trail, oldest first, as one JSON object a line or as CSV that no spreadsheet executes."""
    chosen = Chosen(action, admin, session, _utc(since), _utc(until))
    head, write = FORMS[form]

    async def work(pool: Pool) -> None:
        output.write(head)
        async for piece in Trail(pool).entries(chosen):
            output.write(write(piece))

    with_pool(options.load(env_file, config), work)


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment else None


def _sentence(found: Finding, since: str) -> str:
    if found.flaw is None and since:
        return f"The trail is intact since {since}: {found.entries} entries, that one included. Its head now:\n{found.head}"
    if found.flaw is None:
        return f"The trail is intact: {found.entries} entries. Its head, to be kept elsewhere:\n{found.head}"
    where = "The trail is broken" if found.flaw.id is None else f"The trail is broken at entry {found.flaw.id}"
    return f"{where}: {found.flaw.why}."
