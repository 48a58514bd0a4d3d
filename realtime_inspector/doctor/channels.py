"""Judges whether a database is prepared for private channels and for broadcasts of its own."""

from collections.abc import Iterator
from typing import Final

from realtime_inspector.doctor.facts import MESSAGES, Facts
from realtime_inspector.doctor.findings import Finding, error, ok, warning

INIT: Final = "Run `realtime-inspector init --database-url ADMIN_URL --env-file FILE`."


def channels(facts: Facts) -> Iterator[Finding]:
    """What is to be said about realtime.messages."""
    messages = facts.messages
    if messages is None or not messages.table_exists:
        yield warning("channels", "There is no table realtime.messages, so there are no private channels", INIT)
        return
    if messages.unfit:
        yield warning("channels", messages.unfit, messages.REMEDY)
        return
    findings = list(_faults(facts))
    yield from findings
    if not findings:
        none = "no policy, so nobody may use private channels" if not messages.policies else f"{messages.policies} policies"
        yield ok("channels", f"realtime.messages is prepared, with {none}")


def _faults(facts: Facts) -> Iterator[Finding]:
    messages = facts.messages
    assert messages is not None
    if not messages.row_security:
        text = "Row-level security is off on realtime.messages: private channels are open to every role that has the grants"
        yield error("channels", text, "ALTER TABLE realtime.messages ENABLE ROW LEVEL SECURITY;")
    if not messages.today:
        text = "realtime.messages has no partition for today: what is written there fails"
        yield warning("channels", text, "Let the service run, which makes it, and see `partitions_not_kept` in its log.")
    if facts.wanted.source == "replication" and not messages.published:
        text = f"The publication {MESSAGES} does not have realtime.messages, so nothing that the database broadcasts arrives"
        yield warning("channels", text, INIT)
    if facts.wanted.source == "notify" and not messages.noted:
        text = "realtime.messages has no trigger of ours, so nothing that the database broadcasts arrives"
        yield warning("channels", text, INIT)
