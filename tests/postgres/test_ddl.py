"""Random DDL while rows are written: no value under another column's name, no change without an answer, no fault of ours."""

import pytest

from tests.postgres.conftest import Engine
from tests.postgres.river import Start, start
from tests.postgres.storm import Storm, storm_over

__all__ = ["start"]


@pytest.mark.every_version
@pytest.mark.parametrize("ahead", [0, 40])
async def test_a_storm_of_ddl(engine: Engine, start: Start, ahead: int) -> None:
    """Each change is waited for, or many are on their way when the next statement comes."""
    service = await start("create publication supabase_realtime")
    storm = Storm(seed=ahead)
    subscribers = await storm_over(service, storm, ddl=40, writes=300, ahead=ahead)
    assert storm.faults == []
    assert storm.answered == storm.expected
    gaps = {payload["gap"]["reason"] for each in subscribers.values() for payload in each.received if "gap" in payload}
    assert gaps <= {"publication", "table_removed", "columns_changed"}
    assert gaps or not storm.unpublished
