"""Knows whose policies are slow, so that others wait for nobody more than once, and for the same policies not more than twice."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from realtime_inspector.model import Identity
from realtime_inspector.visibility.claims import Part

FORGOTTEN_SECONDS: Final = 300.0
"""Who was not found slow for so long is asked with all others again."""
REMEMBERED, QUICK = 10_000, 100_000
"""Slow answers, and quick ones of policies that were slow for others."""
WAITS: Final = 2
"""So often the same function is waited for; then everybody has to be found quick where nobody else waits."""

Policies = tuple[str, str]
"""The name of the function that asks, and the role."""
Asked = tuple[str, str, Part]
"""Who was asked what: the name of the function, the role, and what of the claims the policies can depend on."""


@dataclass(slots=True)
class _Doubted:
    """How often these policies were slow, until when that counts, and for whom they were found quick since."""

    times: int = 0
    until: float = 0.0
    quick: set[Asked] = field(default_factory=set)


class Pace:
    """Slow answers by who was asked what, and the identities that they concern."""

    def __init__(self) -> None:
        self._slow: OrderedDict[Asked, float] = OrderedDict()
        self._concerning: dict[Identity, set[Asked]] = {}
        self._doubted: OrderedDict[Policies, _Doubted] = OrderedDict()

    @property
    def knows_none(self) -> bool:
        """Whether nothing is slow."""
        return not self._slow and not self._doubted

    def is_slow(self, asked: Asked) -> bool:
        """Whether this is not waited for: it is known to be slow, or may be as slow as it is for others."""
        now = monotonic()
        if self._slow.get(asked, 0.0) > now:
            return True
        doubted = self._doubted.get(asked[:2])
        return doubted is not None and doubted.times >= WAITS and doubted.until > now and asked not in doubted.quick

    def concerns(self, identity: Identity) -> bool:
        """Whether an answer for it is known to be slow."""
        now = monotonic()
        known = {asked for asked in self._concerning.get(identity, ()) if self._slow.get(asked, 0.0) > now}
        if known:
            self._concerning[identity] = known
        else:
            self._concerning.pop(identity, None)
        return bool(known)

    def note(self, asked: Asked, identities: Iterable[Identity], *, slow: bool, waits: int = 0) -> None:
        """What an answer for all of these turned out to be. `waits`: how often everybody else waited for it."""
        if not slow:
            self._slow.pop(asked, None)
            if (doubted := self._doubted.get(asked[:2])) is not None:
                if len(doubted.quick) >= QUICK:
                    doubted.quick.clear()
                doubted.quick.add(asked)
            return
        if waits:
            self._doubt(asked[:2], waits)
        self._slow[asked] = monotonic() + FORGOTTEN_SECONDS
        self._slow.move_to_end(asked)
        for identity in identities:
            self._concerning.setdefault(identity, set()).add(asked)
        if len(self._slow) > REMEMBERED:
            self._slow.popitem(last=False)
            self._concerning = {identity: known for identity in self._concerning if (known := self._still(identity))}

    def _doubt(self, policies: Policies, waits: int) -> None:
        """So often more; whoever was found quick before has to be found so again."""
        now = monotonic()
        doubted = self._doubted.get(policies)
        if doubted is None or doubted.until <= now:
            doubted = self._doubted[policies] = _Doubted()
        doubted.times, doubted.until = doubted.times + waits, now + FORGOTTEN_SECONDS
        doubted.quick.clear()
        self._doubted.move_to_end(policies)
        if len(self._doubted) > REMEMBERED:
            self._doubted.popitem(last=False)

    def _still(self, identity: Identity) -> set[Asked]:
        return self._concerning[identity] & self._slow.keys()
