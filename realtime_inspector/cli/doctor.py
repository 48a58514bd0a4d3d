"""`realtime-inspector doctor`: says what is wrong with database and settings, and what to do about it."""

import asyncio
from pathlib import Path

import click
import msgspec

from realtime_inspector.cli import options
from realtime_inspector.doctor.checks import check
from realtime_inspector.doctor.findings import Finding, Level
from realtime_inspector.postgres.facts import collect

COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "red"}


@click.command("doctor")
@options.env_file
@options.config
@click.option("--json", "as_json", is_flag=True, help="One JSON array of {check, level, text, remedy}.")
@click.pass_context
def command(context: click.Context, env_file: Path | None, config: Path | None, as_json: bool) -> None:
    """Check database and settings, one line per check; changes nothing. Exit status 1 when something is wrong.

    \b
    realtime-inspector doctor --env-file shop.env
    realtime-inspector doctor --env-file shop.env --json | jq '.[] | select(.level != "ok")'
    """
    findings = check(asyncio.run(collect(options.load(env_file, config))))
    if as_json:
        click.echo(msgspec.json.encode(findings))
    else:
        for finding in findings:
            click.echo(_line(finding))
    context.exit(1 if any(finding.level is Level.ERROR for finding in findings) else 0)


def _line(finding: Finding) -> str:
    level = click.style(f"{finding.level:<7}", fg=COLOURS[finding.level])
    remedy = f" → {finding.remedy}" if finding.remedy else ""
    return f"{level}  {finding.check:<11}  {' '.join(finding.text.split())}{remedy}"
