"""The command line: one file per command, imported only when that command runs."""

import importlib
from typing import Any, Final

import click

from realtime_inspector import __version__
from realtime_inspector.errors import RealtimeError

COMMANDS: Final = {
    "demo": "Postgres, a sample application, the service and its page, in one go.",
    "init": "Prepare a database: least-privilege logins, audit trail, publication.",
    "serve": "Run the service.",
    "doctor": "Check database and settings; every fault comes with its remedy.",
    "token": "Mint a token with the configured key.",
    "audit": "Verify the audit trail, or take it away as a file.",
    "admin": "Let admins sign in with a password, or take every right from one.",
    "tail": "Watch changes, broadcasts and presence in the terminal, as anybody.",
    "lint": "Check tables and policies; every fault comes with the SQL that mends it.",
    "why": "Say why somebody sees a row, or does not, down to each policy.",
}


class _Commands(click.Group):
    """Knows its commands by name and summary, so that --help imports none of them."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{name}").command
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except RealtimeError as error:
            raise click.ClickException(sentences(error.text, error.remedy)) from error


def sentences(*parts: str) -> str:
    """The parts one after the other, each with a full stop."""
    return " ".join(part if part.endswith((".", "!", "?", "`")) else f"{part}." for part in map(str.strip, parts) if part)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="realtime-inspector")
def main() -> None:
    """See live what each of your users would see of your Postgres database, and why.

    \b
    realtime-inspector demo                      try it, without a database of your own
    realtime-inspector init --database-url …     prepare your database, once
    realtime-inspector serve --env-file …        run the service on it
    """
