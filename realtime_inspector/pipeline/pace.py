"""Knows whose policies are slow, so that nobody else waits for them more than once."""

from collections import OrderedDict
from collections.abc import Iterable
from time import monotonic
from typing import Final

from realtime_inspector.model import Identity
from realtime_inspector.visibility.claims import Part

FORGOTTEN_SECONDS: Final = 300.0
"""Who was not found slow for so long is asked with all others again."""
REMEMBERED: Final = 10_000

Asked = tuple[str, str, Part]
"""Who was asked what: the name of the function, the role, and what of the claims the policies can depend on."""


class Pace:
    """Slow answers by who was asked what, and the identities that they concern."""

    def __init__(self) -> None:
        self._slow: OrderedDict[Asked, float] = OrderedDict()
        self._concerning: dict[Identity, set[Asked]] = {}

    def is_slow(self, asked: Asked) -> bool:
        """Whether this is not waited for."""
        return self._slow.get(asked, 0.0) > monotonic()

    def concerns(self, identity: Identity) -> bool:
        """Whether an answer for it is slow."""
        known = {asked for asked in self._concerning.get(identity, ()) if self.is_slow(asked)}
        if known:
            self._concerning[identity] = known
        else:
            self._concerning.pop(identity, None)
        return bool(known)

    def note(self, asked: Asked, identities: Iterable[Identity], *, slow: bool) -> None:
        """What an answer for all of these turned out to be."""
        if not slow:
            self._slow.pop(asked, None)
            return
        self._slow[asked] = monotonic() + FORGOTTEN_SECONDS
        self._slow.move_to_end(asked)
        for identity in identities:
            self._concerning.setdefault(identity, set()).add(asked)
        if len(self._slow) > REMEMBERED:
            self._slow.popitem(last=False)
            self._concerning = {identity: known for identity in self._concerning if (known := self._still(identity))}

    def _still(self, identity: Identity) -> set[Asked]:
        return self._concerning[identity] & self._slow.keys()
