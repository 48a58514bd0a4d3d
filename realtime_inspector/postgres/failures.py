"""Says what a failed question or connection to Postgres means."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from realtime_inspector.errors import DatabaseUnavailable, InvalidInput, RealtimeError, SetupError
from realtime_inspector.postgres.connect import FAULTS

POOLERS = ("unsupported startup parameter", 'prepared statement "__asyncpg_')
"""What PgBouncer says, and what Postgres says to a session that it was not prepared in."""
DIRECT = "Let RTI_READER_URL name the server itself."


@contextmanager
def told() -> Iterator[None]:
    """Raises InvalidInput for values that Postgres cannot take, DatabaseUnavailable for everything else that went wrong."""
    try:
        yield
    except asyncpg.DataError as error:  # also raised by asyncpg itself, before it sends anything
        raise InvalidInput("A value cannot be used with the database", hint="Check ids, dates and special characters.") from error
    except (asyncpg.SyntaxOrAccessError, asyncpg.InvalidSchemaNameError) as error:
        raise DatabaseUnavailable("The database is not prepared for this", hint=SetupError.hint) from error
    except FAULTS as error:
        raise DatabaseUnavailable from error


def unreachable(what: str, said: str) -> RealtimeError:
    """Why something failed that needs a connection. `said`: by Postgres, or by a pooler in front of it."""
    said = " ".join(said.split())
    if any(words in said for words in POOLERS):
        return SetupError(f"{what}: it leads to a connection pooler, which answers {said}", hint=DIRECT)
    return DatabaseUnavailable(f"{what}: {said}")
