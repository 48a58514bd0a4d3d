"""`realtime-inspector init`: prepares a database and writes the settings that follow."""

import asyncio
from pathlib import Path
from typing import Literal

import click

from realtime_inspector.cli import env_file as env_files
from realtime_inspector.cli import options
from realtime_inspector.postgres.setup import Options, Prepared, prepare


def _list(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(part.strip() for part in value.split(",") if part.strip())


@click.command("init")
@click.option(
    "--database-url",
    required=True,
    envvar="DATABASE_URL",
    show_envvar=True,
    metavar="URL",
    help="Its address as a superuser or the provider's administrator.",
)
@click.option(
    "--env-file",
    required=True,
    type=options.FILE,
    envvar="RTI_ENV_FILE",
    show_envvar=True,
    metavar="FILE",
    help="Where the settings go.",
)
@click.option("--dry-run", is_flag=True, help="Print the SQL and change nothing.")
@click.option(
    "--with-supabase-roles", is_flag=True, help="Create missing anon, authenticated, service_role, auth.uid() and so on."
)
@click.option("--with-table", "tables", multiple=True, metavar="SCHEMA.NAME", help="Publish this table; may be repeated.")
@click.option(
    "--source",
    type=click.Choice(("replication", "notify")),
    help="Where changes come from: the log, or triggers that notify. As before, if not given; at first, replication.",
)
@click.option("--allowed-roles", callback=_list, metavar="A,B", help="The roles that tokens may name.")
@click.option("--privileged-roles", callback=_list, metavar="A,B", help="Those of them that may pass by row-level security.")
def command(
    database_url: str,
    env_file: Path,
    dry_run: bool,
    with_supabase_roles: bool,
    tables: tuple[str, ...],
    source: Literal["replication", "notify"] | None,
    allowed_roles: tuple[str, ...] | None,
    privileged_roles: tuple[str, ...] | None,
) -> None:
    """Prepare a database for the service. It can be run again at any time: what is right stays as it is.

    Makes two logins with the least rights, a schema with the audit trail, and the publication, in one transaction, and
    writes the settings to FILE, which only you can read.

    \b
    realtime-inspector init --database-url postgresql://postgres:…@localhost/shop --env-file shop.env --dry-run
    realtime-inspector init --database-url … --env-file shop.env --with-table public.orders
    """
    before = env_files.read(env_file) if env_file.exists() else ""
    wanted = Options(
        existing=env_files.parse(before),
        allowed_roles=allowed_roles,
        privileged_roles=privileged_roles,
        tables=tables,
        supabase_roles=with_supabase_roles,
        source=source,
        dry_run=dry_run,
    )
    if dry_run:
        _report(asyncio.run(prepare(database_url, wanted)))
        return
    with env_files.replacing(env_file) as write:
        prepared = asyncio.run(prepare(database_url, wanted))
        write(env_files.updated(before, prepared.env))
    _warn(prepared)
    click.echo(f"The database is prepared; the settings are in {env_file}.")
    click.echo(f"Next: realtime-inspector doctor --env-file {env_file}, then realtime-inspector serve --env-file {env_file}")


def _report(prepared: Prepared) -> None:
    click.echo("BEGIN;")
    for statement in prepared.statements:
        click.echo(statement)
    click.echo("COMMIT;")
    _warn(prepared)


def _warn(prepared: Prepared) -> None:
    for warning in prepared.warnings:
        click.echo(f"Warning: {warning}", err=True)
