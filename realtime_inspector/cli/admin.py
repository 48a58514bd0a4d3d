"""`realtime-inspector admin`: makes the entry by which an admin signs in, and takes every right from one."""

import getpass
import secrets
import sys
from pathlib import Path

import click

from realtime_inspector.cli import options
from realtime_inspector.cli.trail import with_pool
from realtime_inspector.identity.impersonation import require_reason
from realtime_inspector.identity.passwords import SALT_BYTES, entry
from realtime_inspector.postgres.audit import Audit
from realtime_inspector.postgres.connect import Pool


@click.group("admin")
def command() -> None:
    """Let admins sign in with a password, or take every right from one.

    \b
    realtime-inspector admin password ann@example.com
    realtime-inspector admin revoke ann@example.com --reason 'left the company' --env-file shop.env
    """


@command.command("password")
@click.argument("email")
def password(email: str) -> None:
    """Ask for a password and print the entry for RTI_ADMINS: EMAIL and a salted scrypt hash.

    Without a terminal the password is the first line of standard input.
    """
    if sys.stdin.isatty():
        given = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    click.echo(entry(email, given, secrets.token_bytes(SALT_BYTES)))


@command.command("revoke")
@click.argument("admin_id")
@click.option("--reason", required=True, help="Why; it is written into the trail.")
@options.env_file
@options.config
def revoke(admin_id: str, reason: str, env_file: Path | None, config: Path | None) -> None:
    """From now on nothing of this admin's counts, whoever signed the token; running impersonations end."""
    whom, why = _named(admin_id), require_reason(reason)
    settings = options.load(env_file, config)
    ended = with_pool(settings, lambda pool: Audit(pool).revoke_admin(whom, _caller(), why, user_agent="realtime-inspector"))
    click.echo(f"{whom} was revoked; {len(ended)} running impersonations ended.")


@command.command("reinstate")
@click.argument("admin_id")
@click.option("--reason", required=True, help="Why; it is written into the trail.")
@options.env_file
@options.config
def reinstate(admin_id: str, reason: str, env_file: Path | None, config: Path | None) -> None:
    """Take a revocation back."""
    whom, why = _named(admin_id), require_reason(reason)

    async def work(pool: Pool) -> None:
        await Audit(pool).record("admin_reinstated", _caller(), {"admin": whom, "reason": why}, user_agent="realtime-inspector")

    with_pool(options.load(env_file, config), work)
    click.echo(f"{whom} was reinstated.")


def _named(admin_id: str) -> str:
    name = admin_id.strip().lower()
    if not name:
        raise click.BadParameter("the id is empty", param_hint="ADMIN_ID")
    return name


def _caller() -> str:
    """Who runs the command, as far as the machine knows."""
    return f"{getpass.getuser()} at the command line"
