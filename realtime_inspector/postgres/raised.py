"""Names the errors that policies raise, so that a verdict and a line of the log can be brought together."""

from dataclasses import replace
from hashlib import blake2b
from time import monotonic

import structlog

from realtime_inspector.model import Identity
from realtime_inspector.postgres.questions import Question
from realtime_inspector.visibility.verdicts import Sight

log = structlog.get_logger(__name__)
AGAIN_SECONDS = 60.0
"""So long the same error is not written down again."""
REMEMBERED = 1_000


class Raised:
    """The same error of the same role about the same table has the same name, whoever meets it."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def name(self, question: Question, answer: dict[Identity, Sight]) -> None:
        """Puts names into those answers that are errors, and writes each down now and then.

        Only the SQLSTATE is told: a text may hold somebody else's data.
        """
        for identity, sight in [(identity, sight) for identity, sight in answer.items() if sight.error is not None]:
            table, role, code = question.function.table, identity.role, sight.error
            error_id = blake2b(f"{table}\n{role}\n{code}".encode(), digest_size=4).hexdigest()
            answer[identity] = replace(sight, error_id=error_id)
            self._tell(error_id, table, role, code)

    def _tell(self, error_id: str, table: str, role: str, sqlstate: str | None) -> None:
        now = monotonic()
        if self._told.get(error_id, now - AGAIN_SECONDS) > now - AGAIN_SECONDS:
            return
        if len(self._told) >= REMEMBERED:
            self._told.clear()
        self._told[error_id] = now
        log.warning("policy_raised", error_id=error_id, table=table, role=role, sqlstate=sqlstate)
