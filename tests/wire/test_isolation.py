"""Channels whose names look alike keep apart; `python -m bench isolation --sends 100000` sends more."""

from bench.isolation import mingle
from bench.limits import LIMITS
from tests.wire.private import prepared, running
from tests.wire.service import SECRET


async def test_what_is_sent_on_a_channel_stays_there(database: str) -> None:
    env = await prepared(database)
    async with running(database, env, **LIMITS) as made:
        found = await mingle(made.service.url, SECRET, database, 1_500, seed=7)
    assert (found.crossed, found.wrong) == (0, 0)
    assert found.received == 2 * 1_500
