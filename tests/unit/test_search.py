"""What `tail` is asked to show is what it shows: the search language of the page."""

from typing import Any

import pytest

from realtime_inspector.cli.search import parse
from realtime_inspector.errors import InvalidInput

CHANGE: dict[str, Any] = {
    "type": "changes",
    "event": "UPDATE",
    "schema": "public",
    "table": "tweets",
    "record": {"id": 42, "Status": "ready", "note": "Hello, World"},
    "old_record": {"id": 42, "Status": "draft"},
    "verdicts": {"user:bob": {"reason": "hidden_by_policy", "detail": "own tweets: user_id = auth.uid()"}},
}
RECEIPTS = {"service": True, "user:alice": True, "user:bob": False}


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "  ",
            "table:tweets",
            "table:TWEE",
            "op:update",
            "OP:UPDATE",
            "kind:changes",
            "schema:public",
            "hello",
            '"Hello, World"',
        ),
        *(
            "new.status:ready",
            "old.status:draft",
            "new.id:42",
            "/w[oe]rld/i",
            "-/w[oe]rld/",
            "-table:notes",
            "table:tweets op:update",
        ),
        *(
            "verdict:denied",
            "verdict:delivered",
            "user:bob",
            "user:bob verdict:denied",
            "-user:carol",
            "table:/^tw/",
            ["http://x", "-new.x:1"][1],
        ),
        *("reason:hidden_by_policy", "reason:delivered", 'policy:"own tweets"', "user:bob reason:hidden policy:own"),
        *("-policy:other", "user:alice reason:delivered"),
        *("user:alice verdict:delivered", "-op:delete hello", "key:42", 'key:"42"', "key:/^4/", "-key:4"),
    ],
)
def test_it_is_found(text: str) -> None:
    assert parse(text)(CHANGE, RECEIPTS)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "table:notes",
            "op:insert",
            "goodbye",
            "new.status:draft",
            "old.note:Hello",
            "-hello",
            "/HELLO/",
            "table:tweets op:delete",
        ),
        *(
            "user:carol",
            "user:bob verdict:delivered",
            "user:alice verdict:denied",
            "-verdict:denied",
            "-user:bob",
            '"World Hello"',
        ),
        *("user:alice reason:hidden_by_policy", "user:alice policy:own", "policy:other", "-reason:hidden_by_policy"),
        *("new.missing:1", "unknown:word", "table:/^weets/", "key:4", "key:/^2/"),
    ],
)
def test_it_is_not_found(text: str) -> None:
    assert not parse(text)(CHANGE, RECEIPTS)


@pytest.mark.parametrize("text", ["/(/", "table:/[/i", "new:ready", "old:x"])
def test_what_is_no_search_is_said(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse(text)
