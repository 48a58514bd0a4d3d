"""Opens the source of changes that the settings name, and what remembers how far it was."""

from collections.abc import Callable
from typing import assert_never

from realtime_inspector.doctor.facts import MESSAGES
from realtime_inspector.ports import Source
from realtime_inspector.postgres.announced import Announced
from realtime_inspector.postgres.line import Line
from realtime_inspector.postgres.notify import Notifications
from realtime_inspector.postgres.state import Bookmark, Fleeting
from realtime_inspector.postgres.stream import ReplicationStream
from realtime_inspector.settings import Settings


def open_source(settings: Settings, line: Line, on_silence: Callable[[], None]) -> tuple[Source, Bookmark | Fleeting]:
    """Neither is connected yet. `line`: to the same database, for what they ask; `on_silence`: is told when the network to
    Postgres seems to be gone.
    """
    url, publication = settings.reader_url, settings.publication
    match settings.source:
        case "replication":
            slot = settings.slot
            stream = ReplicationStream(url, slot=slot, publication=publication, beside=(MESSAGES,), on_silence=on_silence)
            return stream, Bookmark(line, slot)
        case "notify":
            return Notifications(url, Announced(line, publication)), Fleeting()
        case _:
            assert_never(settings.source)
