"""What several commands ask for in the same way: where the settings are, and where to listen."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec
import orjson

from realtime_inspector.cli import env_file as env_files
from realtime_inspector.errors import InvalidInput
from realtime_inspector.identity.keys import from_secret
from realtime_inspector.settings import PREFIX, Settings, load_settings

F = TypeVar("F", bound=Callable[..., Any])
FILE: Final = click.Path(dir_okay=False, path_type=Path)

env_file: Final = click.option(
    "--env-file",
    type=FILE,
    envvar="RTI_ENV_FILE",
    show_envvar=True,
    metavar="FILE",
    help="Settings as NAME=value lines, as init writes them.",
)
config: Final = click.option("--config", type=FILE, metavar="TOML", help="Settings as a TOML file; the env file goes before it.")
ready_json: Final = click.option(
    "--ready-json", is_flag=True, help="Say on standard output, in one line of JSON, when traffic is accepted; nothing else."
)


def _object(_context: click.Context, _parameter: click.Parameter, text: str | None) -> dict[str, Any]:
    try:
        value = orjson.loads(text) if text else {}
    except orjson.JSONDecodeError as error:
        raise click.BadParameter(f'this is not JSON ({error}); write an object such as \'{{"email": "a@b.example"}}\'') from error
    if not isinstance(value, dict):
        raise click.BadParameter('this is not a JSON object; write one such as \'{"email": "a@b.example"}\'')
    return value


claims: Final = click.option("--claims", callback=_object, metavar="JSON", help="More claims of the token, as a JSON object.")


def every_setting(function: F) -> F:
    """One flag for each setting; only those that were given are passed on."""
    for field in reversed(msgspec.structs.fields(Settings)):
        name = "--" + field.name.replace("_", "-")
        default = ",".join(field.default) if isinstance(field.default, tuple) else str(field.default)
        shown = f"{PREFIX}{field.name.upper()}" + (f"; otherwise {default}" if default else "")
        function = click.option(name, field.name, metavar="VALUE", help=shown)(function)
    return function


def load(file: Path | None, toml: Path | None = None, flags: Mapping[str, str | None] | None = None) -> Settings:
    """Defaults < TOML < env file < environment < flags. Raises InvalidInput."""
    environment = env_files.parse(env_files.read(file)) if file else {}
    given = {PREFIX + name.upper(): value for name, value in (flags or {}).items() if value is not None}
    return load_settings({**environment, **os.environ, **given}, toml=_text(toml))


def signing_key(settings: Settings) -> str:
    """The shared secret, without which nothing can be signed. Raises InvalidInput."""
    if not settings.jwt_secret:
        raise InvalidInput(
            "There is no key to sign a token with", hint="Set RTI_JWT_SECRET, or name the env file of init with --env-file."
        )
    from_secret(settings.jwt_secret)  # refuses what `serve` refuses
    return settings.jwt_secret


def _text(toml: Path | None) -> str | None:
    try:
        return toml.read_text("utf-8") if toml else None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The configuration {toml} cannot be read: {error}", hint="Name a TOML file with --config.") from error
