"""All settings of the service, frozen: defaults < TOML file < environment (RTI_*) < flags."""

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Final, Literal

import msgspec

from realtime_inspector.errors import InvalidInput

PREFIX: Final = "RTI_"
Count = Annotated[int, msgspec.Meta(ge=1)]
Whole = Annotated[int, msgspec.Meta(ge=0)]
Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Each field is also an environment variable: RTI_ and the name in capitals; lists are separated by commas."""

    host: str = "127.0.0.1"
    port: Port = 4000
    reader_url: str = ""
    evaluator_url: str = ""
    source: Literal["replication", "notify"] = "replication"
    publication: str = "supabase_realtime"
    slot: str = "realtime_inspector"
    slot_limit_bytes: Whole = 0
    slot_warn_percent: Percent = 50
    slot_drop_percent: Percent = 80
    jwt_secret: str = ""
    jwks: str = ""
    jwks_url: str = ""
    jwt_audience: str = ""
    jwt_issuer: str = ""
    jwt_claims: tuple[str, ...] = ()
    api_keys: tuple[str, ...] = ()
    allowed_roles: tuple[str, ...] = ("anon", "authenticated", "service_role")
    privileged_roles: tuple[str, ...] = ("service_role",)
    admin_role: str = "inspector_admin"
    admins: tuple[str, ...] = ()
    admin_seconds: Count = 28_800
    allowed_origins: tuple[str, ...] = ()
    socket_origins: tuple[str, ...] = ()
    search_path: str = "public, extensions"
    lint_schemas: tuple[str, ...] = ("public",)
    lint_levels: tuple[str, ...] = ()
    assistant_url: str = ""
    assistant_key: str = ""
    assistant_model: str = ""
    users_query: str = "select id::text, email::text, raw_app_meta_data::text from auth.users"
    claims_read: tuple[str, ...] = ()
    deletes: Literal["checked", "keys"] = "checked"
    left_view: Literal["ignore", "delete"] = "ignore"
    remembered_rows: Annotated[int, msgspec.Meta(ge=0)] = 40_000
    evaluator_connections: Count = 2
    permission_connections: Count = 4
    statement_timeout_ms: Count = 2_000
    batch_changes: Count = 200
    frame_bytes: Count = 262_144
    record_bytes: Count = 1_048_576
    queue_bytes: Count = 4_194_304
    queue_seconds: Count = 10
    connections: Count = 200
    connections_per_address: Whole = 0
    handshakes_per_address: Count = 100
    channels_per_socket: Count = 100
    joins_per_second: Count = 100
    messages_per_second: Count = 100
    presence_calls: Count = 5
    presence_seconds: Count = 30
    presence_per_second: Count = 1_000
    private_only: bool = False
    recheck_seconds: Whole = 60
    messages_hours: Count = 72
    arrears_seconds: Whole = 30
    resume_seconds: Whole = 120
    resume_bytes: Whole = 25_165_824
    impersonation_seconds: Count = 900
    log_level: Literal["debug", "info", "warning", "error"] = "info"


LISTS: Final = frozenset(
    {
        *("admins", "jwt_claims", "api_keys", "allowed_roles", "privileged_roles", "allowed_origins", "socket_origins"),
        *("claims_read", "lint_schemas", "lint_levels"),
    }
)
OTHER_VARIABLES: Final = frozenset({"RTI_ENV_FILE", "RTI_POSTGRES_BIN", "RTI_CHROMIUM", "RTI_URL", "RTI_KEY"})
"""Variables with our prefix that are no settings of the service: they are for commands, programs, tests and examples."""


def load_settings(environment: Mapping[str, str], flags: Mapping[str, object] | None = None, toml: str | None = None) -> Settings:
    """Merges the layers and validates; raises InvalidInput that names the setting and what to write instead."""
    merged = _parse_toml(toml) if toml is not None else {}
    for variable, raw in environment.items():
        if variable.startswith(PREFIX) and variable not in OTHER_VARIABLES:
            name = variable.removeprefix(PREFIX).lower()
            merged[name] = _split(raw) if name in LISTS else raw
    merged.update({name: value for name, value in (flags or {}).items() if value is not None})
    _refuse_unknown(merged)
    try:
        return msgspec.convert(merged, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"Invalid setting: {error}", hint="docs/settings.md lists names, types and defaults.") from error


def _refuse_unknown(merged: Mapping[str, object]) -> None:
    """A misspelt setting must not silently leave the default in force."""
    for name in merged:
        if name not in Settings.__struct_fields__:
            near = get_close_matches(name, Settings.__struct_fields__, n=1)
            hint = f"Did you mean {near[0]} ({PREFIX}{near[0].upper()})?" if near else "docs/settings.md lists all settings."
            raise InvalidInput(f"There is no setting {name!r}", hint=hint)


def _split(raw: str) -> list[str]:
    return [part.strip() for part in raw.split(",") if part.strip()]


def _parse_toml(text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"The configuration file is not valid TOML: {error}") from error
