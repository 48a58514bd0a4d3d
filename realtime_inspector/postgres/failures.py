"""Says what a failed question to Postgres means to whoever asked over HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from realtime_inspector.errors import DatabaseUnavailable, InvalidInput, SetupError


@contextmanager
def told() -> Iterator[None]:
    """Raises InvalidInput for values that Postgres cannot take, DatabaseUnavailable for everything else that went wrong."""
    try:
        yield
    except asyncpg.DataError as error:  # also raised by asyncpg itself, before it sends anything
        raise InvalidInput("A value cannot be used with the database", hint="Check ids, dates and special characters.") from error
    except (asyncpg.SyntaxOrAccessError, asyncpg.InvalidSchemaNameError) as error:
        raise DatabaseUnavailable("The database is not prepared for this", hint=SetupError.hint) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise DatabaseUnavailable from error
