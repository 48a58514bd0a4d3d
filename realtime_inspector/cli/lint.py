"""`realtime-inspector lint`: what is wrong with tables and policies, each with the SQL that mends it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import orjson

from realtime_inspector.cli import options
from realtime_inspector.cli.lines import printable
from realtime_inspector.doctor.lints import Found
from realtime_inspector.postgres.lints import lint

COLOURS = {"error": "red", "warning": "yellow", "info": "cyan"}


@click.command("lint")
@click.option(
    "--schema", "schemas", multiple=True, metavar="SCHEMA", help="Look here instead of in RTI_LINT_SCHEMAS; repeatable."
)
@click.option("--severity", "levels", multiple=True, metavar="NAME=LEVEL", help="error, warning, info or off; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: findings.")
@options.env_file
@options.config
@click.pass_context
def command(
    context: click.Context,
    schemas: tuple[str, ...],
    levels: tuple[str, ...],
    as_json: bool,
    env_file: Path | None,
    config: Path | None,
) -> None:
    """Check tables and policies for what people should know; changes nothing. Exit status 1 when there is an error.

    \b
    realtime-inspector lint --env-file shop.env
    realtime-inspector lint --schema public --schema app --severity rls_disabled=warning --env-file shop.env
    realtime-inspector lint --json --env-file shop.env | jq -r '.findings[].remedy_sql'
    """
    settings = options.load(env_file, config)
    settings = msgspec.structs.replace(
        settings, lint_schemas=schemas or settings.lint_schemas, lint_levels=(*settings.lint_levels, *levels)
    )
    found = asyncio.run(lint(settings))
    if as_json:
        click.echo(orjson.dumps({"findings": [each.told() for each in found]}))
    else:
        for each in found:
            click.echo("\n".join(_lines(each)))
        if not found:
            click.echo("Nothing found.")
    context.exit(1 if any(each.level == "error" for each in found) else 0)


def _lines(found: Found) -> Iterator[str]:
    level = click.style(f"{found.level:<7}", fg=COLOURS[found.level])
    where = printable(".".join(part for part in (found.schema, found.subject) if part))
    yield f"{level}  {found.name}  {where}: {printable(' '.join(found.detail.split()))}"
    for line in found.remedy_sql.splitlines():
        yield f"           {printable(line)}"
