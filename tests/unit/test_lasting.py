"""What goes on as long as the service survives faults of ours, and ends when it is told to."""

import asyncio
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from realtime_inspector import lasting
from realtime_inspector.lasting import lasting as kept


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lasting, "AGAIN_SECONDS", 0.0)


async def test_a_fault_is_logged_and_it_begins_again() -> None:
    faults: Iterator[Exception] = iter([KeyError("a"), ValueError("b")])
    begun = 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        for fault in faults:
            raise fault

    with capture_logs() as logs:
        await kept("looks", work)
    assert begun == 3
    assert [(line["event"], line["task"], line["log_level"]) for line in logs] == [("task_failed", "looks", "error")] * 2
    assert len({line["error_id"] for line in logs}) == 2


async def test_it_ends_when_it_is_cancelled() -> None:
    async def work() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(kept("waits", work))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
