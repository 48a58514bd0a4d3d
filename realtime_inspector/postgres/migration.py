"""Writes a candidate policy as the statements that would create it."""

from realtime_inspector.postgres.sql import quote_identifier, quote_table
from realtime_inspector.visibility.asking import Candidate


def migration(schema: str, table: str, candidate: Candidate, *, row_security: bool) -> str:
    """The text of a migration. `row_security`: it is on already."""
    on = quote_table(schema, table)
    lines = [] if row_security else [f"alter table {on} enable row level security;"]
    if candidate.replaces is not None:
        lines.append(f"drop policy {quote_identifier(candidate.replaces)} on {on};")
    roles = ", ".join("public" if role == "public" else quote_identifier(role) for role in candidate.roles)
    kind = "permissive" if candidate.permissive else "restrictive"
    policy = f"create policy {quote_identifier(candidate.name)} on {on} as {kind} for {candidate.command.lower()} to {roles}"
    using = f"\n  using ({candidate.using})" if candidate.using is not None else ""
    check = f"\n  with check ({candidate.check})" if candidate.check is not None else ""
    return "\n".join([*lines, f"{policy}{using}{check};"])
