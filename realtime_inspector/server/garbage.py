"""Looks for garbage where it may be, and everywhere only now and then.

Left to itself Python looks at every object there is whenever a quarter of them is new: half a second with 5,000 sockets, and
several times while they come back. Sockets need none of it, as they break their cycles when they end; what is young is looked at
as always.
"""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

YOUNG: Final = (1_000, 10)
"""New objects until the young are looked at, and such looks until those that outlived one are: a few milliseconds."""
NEVER: Final = 1_000_000
EVERY_SECONDS: Final = 600.0


@contextmanager
def unhurried() -> Iterator[None]:
    """Until the block ends nobody looks at everything but `collect`."""
    before = gc.get_threshold()
    gc.set_threshold(*YOUNG, NEVER)
    try:
        yield
    finally:
        gc.set_threshold(*before)


async def collect() -> None:
    """Looks at everything now and then, for ever."""
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        gc.collect()
