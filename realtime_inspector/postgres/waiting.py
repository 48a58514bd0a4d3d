"""Questions that wait to be asked: who comes meanwhile with an equal one is given the same answer."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Waiting(Generic[Question, Answer]):
    """Each answer was asked for after whoever is given it had come, so that none is older than its question."""

    def __init__(self) -> None:
        self._open: dict[Question, asyncio.Task[Answer]] = {}

    def __len__(self) -> int:
        return len(self._open)

    async def answer(self, question: Question, ask: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """`ask`: says `begin` before it goes to the database. Raises what it raises."""
        task = self._open.get(question)
        if task is None:
            task = self._open[question] = asyncio.create_task(ask())
            task.add_done_callback(lambda done: self._end(question, done))
        return await asyncio.shield(task)  # who goes away takes nothing from the others

    def begin(self, question: Question) -> None:
        """From now on it is too late to share this one."""
        self._open.pop(question, None)

    def _end(self, question: Question, task: asyncio.Task[Answer]) -> None:
        if self._open.get(question) is task:  # it failed before it began
            del self._open[question]
        if not task.cancelled():
            task.exception()  # nobody may be left to be told of a failure
