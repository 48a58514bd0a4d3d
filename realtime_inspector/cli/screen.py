"""Shows the events of `tail`, one line each, for people or programs, and keeps what it shows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import click

from realtime_inspector.cli.lines import printable, program, said
from realtime_inspector.cli.search import Search
from realtime_inspector.cli.tape import Tape
from realtime_inspector.errors import RealtimeError

MARKS: Final = {True: click.style("\u2713", fg="green"), False: click.style("\u2717", fg="red")}

Reasons = Callable[[str, str], str]
"""Event and identity to the sentence that says why."""


@dataclass(frozen=True, slots=True)
class Screen:
    """`search`: what is shown of all; `tape`: where it is kept besides."""

    search: Search
    as_json: bool
    tape: Tape | None

    def show(self, at: datetime, event: Mapping[str, Any], receipts: Mapping[str, bool], reasons: Reasons | None = None) -> None:
        """One event, if it is searched for; with `reasons` also why those who did not receive it did not."""
        if not self.search(event, receipts):
            return
        if self.tape is not None:
            self.tape.keep(at, event, receipts)
        missing = [name for name, got in receipts.items() if not got] if reasons else []
        why = {name: _asked(reasons, str(event.get("event_id")), name) for name in missing if reasons}
        if self.as_json:
            more = {"receipts": receipts} if len(receipts) > 1 else {}
            click.echo(program({**event, **more, **({"why": why} if why else {})}))
            return
        for line in said(event, f"{at:%H:%M:%S.%f}"[:-3]):
            marks = "  ".join(f"{MARKS[got]} {printable(name)}" for name, got in receipts.items()) if len(receipts) > 1 else ""
            click.echo(f"{line}  {marks}" if marks else line)
        for name, sentence in why.items():
            click.echo(f"    {printable(name)}: {printable(sentence)}")


def _asked(reasons: Reasons | None, event_id: str, name: str) -> str:
    assert reasons is not None
    try:
        return reasons(event_id, name)
    except RealtimeError as error:
        return f"{error.text} {error.remedy}".strip()
