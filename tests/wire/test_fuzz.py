"""A short storm of hostile frames from a seed; `python -m bench fuzz --frames 1000000` is the long one."""

import asyncio

import httpx
import pytest

from bench.fuzz import Storm, bystander
from bench.hostile import Hostile
from bench.limits import LIMITS
from tests.wire.demo import Demo
from tests.wire.service import VERSIONS, serving, token

FRAMES = 6_000


@pytest.mark.parametrize("vsn", VERSIONS)
def test_the_same_seed_makes_the_same_frames(vsn: str) -> None:
    first, second, other = (Hostile(seed, vsn, ["a.b.c"]).batch(200) for seed in (1, 1, 2))
    assert first == second != other


def fly(port: int, keys: list[str], seed: int) -> Storm:
    """Sends everything while somebody honest is served."""
    with bystander(port, keys[0]) as other:
        storm = Storm(port, keys, seed, sockets=4)
        try:
            storm.send(FRAMES)
        finally:
            storm.close()
    assert other.answered >= 2  # before and after, and as often as it could meanwhile
    return storm


@pytest.mark.parametrize("seed", [1, 2])
async def test_hostile_frames_cause_no_fault(seed: int, capfd: pytest.CaptureFixture[str]) -> None:
    async with serving(**LIMITS) as service:
        keys = [token(sub=name) for name in ("ann", "bob")]
        storm = await asyncio.to_thread(fly, int(service.url.rpartition(":")[2]), keys, seed)
    assert storm.closed > 0
    errors = capfd.readouterr().err
    assert "Traceback" not in errors
    assert '"level":"error"' not in errors


def test_hostile_frames_cause_no_fault_with_a_database_behind(demo: Demo) -> None:
    fly(int(demo.url.rpartition(":")[2]), [demo.person(name).token for name in ("alice", "anon", "service")], seed=3)
    text = httpx.get(f"{demo.url}/metrics", trust_env=False).text
    assert "realtime_inspector_sockets_failed_total 0.0" in text
    assert "realtime_inspector_messages_malformed_total 0.0" not in text
