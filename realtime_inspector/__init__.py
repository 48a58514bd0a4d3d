"""Shows, live, what each user of a Postgres database with row-level security would see, and why."""

__version__ = "0.1.0"
