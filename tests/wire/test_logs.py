"""What the service writes to standard error: JSON without secrets, whatever is logged and however it got there."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from realtime_inspector.server.logs import BURST, configure, scrub

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"GET /socket/websocket?apikey={JWT}&vsn=2.0.0", "GET /socket/websocket?apikey=[…]&vsn=2.0.0"),
        ("?vsn=1.0.0&apikey=sb_secret_1234", "?vsn=1.0.0&apikey=[…]"),
        (f"token {JWT} was refused", "token […] was refused"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer […]"),
        ("postgresql://reader:pass@db:5432/shop", "postgresql://reader:[…]@db:5432/shop"),
        ("host=db password=pass user=reader", "host=db password=[…] user=reader"),
        ("\ud800 is no UTF-8", "\\ud800 is no UTF-8"),
        ("nothing to hide: 1.0.0", "nothing to hide: 1.0.0"),
    ],
)
def test_secrets_are_taken_out_of_texts(text: str, expected: str) -> None:
    assert scrub(text) == expected


Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """What was logged since it was last asked, parsed."""
    configure("info")
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_secrets_are_taken_out_of_everything_that_is_logged(lines: Lines) -> None:
    log = structlog.get_logger("service")
    log.info("event", token=JWT, count=3, nested={"access_token": JWT, "list": [f"Bearer {JWT}", None], 5: object})
    try:
        raise ValueError(f"bad {JWT}")
    except ValueError:
        log.exception("failed")
    logging.getLogger("library").warning("called %s", f"?apikey={JWT}")
    log.debug("too small to mention")
    event, failed, called = lines()
    assert (event["event"], event["level"], event["token"], event["count"]) == ("event", "info", "[…]", 3)
    assert event["nested"]["list"] == ["Bearer […]", None]
    assert "ValueError: bad […]" in failed["exception"]
    assert called["event"] == "called ?apikey=[…]"


def test_strangers_cannot_fill_the_log(lines: Lines) -> None:
    for number in range(1_000):
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request received. %d", number)
    assert len(lines()) == BURST
