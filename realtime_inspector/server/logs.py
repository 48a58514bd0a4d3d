"""Writes logs as JSON lines to standard error, without secrets, and not as many as strangers would like."""

import logging
import re
import sys
import time
from collections import Counter
from typing import Any, Final

import orjson
import structlog
from structlog.typing import EventDict

BURST: Final = 10
"""Lines that one message of a library may write per minute; strangers cause those messages, and would fill the disk."""
_MINUTE: Final = 60.0
_NOISY: Final = ("uvicorn.error", "asyncio", "websockets")

FREQUENT: Final = {"request": 600, "socket_refused": 60}
"""Lines of ours that strangers cause: so many of each are written per minute; the next minute's first tells how many were not."""

_NAMES: Final = "apikey|api_key|access_token|refresh_token|token|jwt|password|secret"
_SECRETS: Final = (
    (re.compile(r"eyJ[\w-]{4,}\.[\w-]+\.[\w-]*"), "[…]"),
    (re.compile(rf"((?:{_NAMES})=)[^&\s\"']+", re.IGNORECASE), r"\1[…]"),
    (re.compile(r"(bearer\s+)[^\s\"']+", re.IGNORECASE), r"\1[…]"),
    (re.compile(r"(://[^:/@\s]*:)[^@\s]+(@)"), r"\1[…]\2"),
)
_SECRET_NAMES: Final = frozenset(_NAMES.split("|"))


def configure(level: str) -> None:
    """Sets up structlog and the logging of libraries. `level`: debug, info, warning or error."""
    _seldom.reset()
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, _seldom, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = _StandardError()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _render,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _NOISY:
        library = logging.getLogger(name)
        library.setLevel(max(logging.WARNING, root.level))
        library.filters[:] = [_Quiet()]


def scrub(text: str) -> str:
    """The text without tokens, keys and passwords, and without what is not UTF-8."""
    text = text.encode(errors="backslashreplace").decode()
    for pattern, stand_in in _SECRETS:
        text = pattern.sub(stand_in, text)
    return text


def _clean(value: object, name: str = "") -> object:
    """The same for a logged value; what stands under the name of a secret is one."""
    if name.lower() in _SECRET_NAMES and value:
        return "[…]"
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {scrub(str(key)): _clean(each, str(key)) for key, each in value.items()}
    if isinstance(value, list | tuple | set):
        return [_clean(each) for each in value]
    return value


def _render(_logger: Any, _name: str, event: EventDict) -> str:
    return orjson.dumps(_clean(event), default=lambda value: scrub(str(value))).decode()


class _StandardError(logging.Handler):
    """Writes to whatever standard error is at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)


class _Seldom:
    """Leaves out what strangers would fill the disk with."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begins anew; loggers keep the processors that they were first used with."""
        self._minute = 0.0
        self._seen: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()

    def __call__(self, _logger: Any, _name: str, event: EventDict) -> EventDict:
        name = str(event.get("event"))
        if name not in FREQUENT:
            return event
        now = time.monotonic()
        if now - self._minute >= _MINUTE:
            self._minute, self._left_out, self._seen = now, self._seen - Counter(FREQUENT), Counter()
        self._seen[name] += 1
        if self._seen[name] > FREQUENT[name]:
            raise structlog.DropEvent
        if left_out := self._left_out.pop(name, 0):
            event["left_out"] = left_out
        return event


_seldom: Final = _Seldom()


class _Quiet(logging.Filter):
    """Lets a few lines of each message through per minute."""

    def __init__(self) -> None:
        super().__init__()
        self._minute = 0.0
        self._seen: dict[object, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now - self._minute >= _MINUTE:
            self._minute = now
            self._seen.clear()
        self._seen[record.msg] = seen = self._seen.get(record.msg, 0) + 1
        return seen <= BURST
