"""All settings of the service, frozen: defaults < TOML file < environment (RTI_*) < flags."""

import tomllib
from collections.abc import Mapping
from typing import Literal

import msgspec

from realtime_inspector.errors import InvalidInput

PREFIX = "RTI_"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Each field is also an environment variable: RTI_ and the name in capitals; lists are separated by commas."""

    host: str = "127.0.0.1"
    port: int = 4000
    reader_url: str = ""
    evaluator_url: str = ""
    publication: str = "supabase_realtime"
    slot: str = "realtime_inspector"
    jwt_secret: str = ""
    jwks: str = ""
    jwks_url: str = ""
    jwt_audience: str = ""
    jwt_issuer: str = ""
    allowed_roles: tuple[str, ...] = ("anon", "authenticated", "service_role")
    privileged_roles: tuple[str, ...] = ("service_role",)
    admin_role: str = "inspector_admin"
    allowed_origins: tuple[str, ...] = ()
    search_path: str = "public, extensions"
    users_query: str = "select id::text, email::text, raw_app_meta_data::text from auth.users"
    deletes: Literal["checked", "keys"] = "checked"
    evaluator_connections: int = 2
    statement_timeout_ms: int = 2_000
    batch_changes: int = 200
    frame_bytes: int = 262_144
    record_bytes: int = 1_048_576
    queue_bytes: int = 4_194_304
    queue_seconds: int = 10
    channels_per_socket: int = 100
    impersonation_seconds: int = 900
    log_level: Literal["debug", "info", "warning", "error"] = "info"


def load_settings(environment: Mapping[str, str], flags: Mapping[str, object] | None = None, toml: str | None = None) -> Settings:
    """Merges the layers and validates; raises InvalidInput that names the setting and where it came from."""
    merged: dict[str, object] = {}
    if toml is not None:
        merged.update(_parse_toml(toml))
    for name in Settings.__struct_fields__:
        raw = environment.get(PREFIX + name.upper())
        if raw is not None:
            merged[name] = _split(raw) if name in _LISTS else raw
    merged.update({name: value for name, value in (flags or {}).items() if value is not None})
    try:
        return msgspec.convert(merged, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"Invalid setting: {error}", hint="See docs/settings.md for names, types and defaults.") from error


_LISTS = {"allowed_roles", "privileged_roles", "allowed_origins"}


def _split(raw: str) -> list[str]:
    return [part.strip() for part in raw.split(",") if part.strip()]


def _parse_toml(text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"The configuration file is not valid TOML: {error}") from error
