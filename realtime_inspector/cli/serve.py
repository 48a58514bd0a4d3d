"""`realtime-inspector serve`: runs the service on a prepared database."""

import asyncio
from pathlib import Path

import click

from realtime_inspector.app import run as run_service
from realtime_inspector.cli import options
from realtime_inspector.cli.running import announce, readiness, run


@click.command("serve")
@options.env_file
@options.config
@options.ready_json
@options.every_setting
def command(env_file: Path | None, config: Path | None, ready_json: bool, **flags: str | None) -> None:
    """Run the service until SIGINT or SIGTERM. Logs go to standard error.

    Each setting is a flag, an environment variable, a line of FILE, or a key of TOML; what stands first here wins.

    \b
    realtime-inspector serve --env-file shop.env
    RTI_LOG_LEVEL=debug realtime-inspector serve --env-file shop.env --port 0 --ready-json
    """
    settings = options.load(env_file, config, flags)

    def ready(url: str, _port: int) -> None:
        if ready_json:
            announce(readiness(url))
        else:
            click.echo(f"Ready at {url}; the inspector is at {url}/inspector/", err=True)

    async def work(stop: asyncio.Event) -> None:
        await run_service(settings, on_ready=ready, stop=stop)

    run(work)
