"""`realtime-inspector demo`: a private Postgres with a sample application, the service on it, and its page."""

import asyncio
import os
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any, Final

import click

from realtime_inspector.app import run as run_service
from realtime_inspector.cli import env_file as env_files
from realtime_inspector.cli import options
from realtime_inspector.cli.running import announce, readiness, run
from realtime_inspector.errors import SetupError
from realtime_inspector.identity.tokens import sign
from realtime_inspector.postgres import sample
from realtime_inspector.postgres.embedded import EmbeddedPostgres
from realtime_inspector.postgres.setup import Options, prepare
from realtime_inspector.settings import Settings, load_settings

Work = Coroutine[Any, Any, None]
ISSUER: Final = "realtime-inspector-demo"
ADMIN: Final = {"sub": "ad311000-0000-4000-8000-00000000000a", "email": "admin@example.com"}
FOREVER: Final = 4_102_444_800
"""2100-01-01, in seconds since 1970: as long as the key stays, the tokens of a demo stay the same."""


@click.command("demo")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=4000, show_default=True, help="0 for any free one.")
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Keep data and keys there.")
@click.option("--no-activity", is_flag=True, help="Let nothing happen but what you do.")
@options.ready_json
def command(host: str, port: int, data_dir: Path | None, no_activity: bool, ready_json: bool) -> None:
    """Start Postgres, a sample application, the service and its page; end with Ctrl-C.

    Nothing is left behind, unless --data-dir says where to keep it.

    \b
    realtime-inspector demo
    realtime-inspector demo --data-dir ~/demo --no-activity
    realtime-inspector demo --port 0 --ready-json
    """

    async def work(stop: asyncio.Event) -> None:
        async with EmbeddedPostgres(data_dir) as postgres:
            quiet = {} if ready_json or "RTI_LOG_LEVEL" in os.environ else {"log_level": "warning"}
            settings = await _prepare(postgres, data_dir, {"host": host, "port": port, **quiet})

            def ready(url: str, _port: int) -> None:
                told = _readiness(settings, postgres, url)
                announce(told) if ready_json else click.echo(_banner(told, data_dir))

            company = [_revive(postgres)] if no_activity else [_revive(postgres), sample.stir(lambda: postgres.url)]
            await _accompanied(run_service(settings, on_ready=ready, stop=stop), company, stop)

    run(work)


async def _prepare(postgres: EmbeddedPostgres, data_dir: Path | None, flags: dict[str, object]) -> Settings:
    """The database as the service and the sample application need it; what was so before stays so."""
    if data_dir is None:
        environment = (await prepare(postgres.url, Options(supabase_roles=True))).env
    else:
        file = data_dir / "settings.env"
        before = env_files.read(file) if file.exists() else ""
        with env_files.replacing(file) as write:
            environment = (await prepare(postgres.url, Options(existing=env_files.parse(before), supabase_roles=True))).env
            write(env_files.updated(before, environment))
    await sample.install(postgres.url)
    return load_settings({**os.environ, **environment}, flags)


async def _revive(postgres: EmbeddedPostgres) -> None:
    """Starts Postgres again whenever it dies."""
    port = postgres.port
    while True:
        status = await postgres.wait()
        click.echo(f"Postgres ended with status {status}; it is started again.", err=True)
        await postgres.start()
        if postgres.port != port:
            raise SetupError(f"Port {port} was taken by another program while Postgres was down", hint="Start the demo again.")


async def _accompanied(service: Work, company: Iterable[Work], stop: asyncio.Event) -> None:
    """Runs the service with its company, which never ends by itself: when it does, it has failed, and all of it ends."""
    companions = [asyncio.create_task(work) for work in company]
    for companion in companions:
        companion.add_done_callback(lambda _: stop.set())
    try:
        await service
    finally:
        for companion in companions:
            companion.cancel()
        outcomes = await asyncio.gather(*companions, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


def _readiness(settings: Settings, postgres: EmbeddedPostgres, url: str) -> dict[str, Any]:
    def token(claims: dict[str, Any]) -> str:
        return sign({"iss": ISSUER, "exp": FOREVER} | claims, settings.jwt_secret)

    admin = token(ADMIN | {"role": settings.admin_role})
    return readiness(
        url,
        f"#token={admin}",
        database_url=postgres.url,
        jwt_secret=settings.jwt_secret,
        anon_key=token({"role": "anon"}),
        service_role_key=token({"role": "service_role"}),
        admin_token=admin,
        users=[
            {"id": account.id, "email": account.email, "role": account.role, "access_token": token(account.claims)}
            for account in sample.ACCOUNTS
        ],
    )


def _banner(told: dict[str, Any], data_dir: Path | None) -> str:
    accounts = ", ".join(account.name + (f" ({account.role})" if account.role else "") for account in sample.ACCOUNTS)
    kept = f"Everything is kept in {data_dir}." if data_dir else "Nothing is left behind."
    alice = told["users"][0]["id"]
    return f"""
  Realtime Inspector is running.  Open  {told["inspector_url"]}

  Accounts   {accounts}
  Database   {told["database_url"]}

  Try        Join a channel with the table tweets, and look as alice and as bob, next to each other. Then, as somebody else:
             psql '{told["database_url"]}' \\
               -c "insert into tweets (user_id, content) values ('{alice}', 'Hello, Alice')"
  Or here    RTI_JWT_SECRET={told["jwt_secret"]} \\
               realtime-inspector tail --table tweets --as user:{alice} --url {told["url"]}

  Ctrl-C ends it. {kept}
"""
