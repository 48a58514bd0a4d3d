"""What there is to do about a batch: the changes of each relation, whom they may concern, and what was found out about them."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

from realtime_inspector.model import Change, Identity, Operation, Reason, Relation, Transaction
from realtime_inspector.pipeline.columns import under
from realtime_inspector.ports import Outlet
from realtime_inspector.postgres.snapshot import FetchedRelation
from realtime_inspector.replication.values import TypeCatalog
from realtime_inspector.visibility.audience import Audience
from realtime_inspector.visibility.crowd import Crowd, Touched
from realtime_inspector.visibility.index import Index
from realtime_inspector.visibility.memory import Memory
from realtime_inspector.visibility.subscription import Subscription
from realtime_inspector.visibility.verdicts import Evidence

LeftView = Literal["ignore", "delete"]
PARTINGS: dict[LeftView, frozenset[Operation]] = {
    "ignore": frozenset([Operation.DELETE]),
    "delete": frozenset([Operation.DELETE, Operation.UPDATE]),
}
"""The changes of which those are told who were sent the row before."""


@dataclass(slots=True)
class Work:
    """The changes of one relation in a batch, and whom they may concern.

    `audiences`: those whose rows they can be; `hidden`: role, subscriptions and number of the sockets that this leaves out,
    because they see none of the rows. `alike`: crowds in which claims make no difference. `late`: those whose answer was not
    waited for.
    """

    relation: Relation
    touched: Touched[Audience[Outlet]] = field(default_factory=Touched)
    changes: list[Change] = field(default_factory=list)
    committed_at: list[int] = field(default_factory=list)
    audiences: Sequence[Audience[Outlet]] = ()
    identities: Sequence[Identity] = ()
    hidden: Sequence[tuple[str, Sequence[Subscription], int]] = ()
    alike: AbstractSet[Crowd[Audience[Outlet]]] = frozenset()
    late: set[Identity] = field(default_factory=set)

    @property
    def roles(self) -> set[str]:
        """Whose rights must be known."""
        return {crowd.role for crowd in self.touched.crowds} | {audience.key.identity.role for audience in self.touched.named}

    def concerns_somebody(self) -> bool:
        """Whether anybody waits for the last change, or an earlier one."""
        return any(audience.waits_for(self.changes[-1].position) for audience in self.touched)

    def narrow(self, owned: Mapping[str, AbstractSet[str | None]]) -> None:
        """Leaves out who owns none of this. `owned`: by role, where only owners see rows."""
        found, last = self.touched.owning(owned), self.changes[-1].position
        self.hidden = [
            (crowd.role, crowd.subscriptions, crowd.sockets - sum(a.sockets for a in found if crowd in a.crowds))
            for crowd in self.touched.crowds
            if crowd.role in owned
        ]
        self.audiences = [audience for audience in found if audience.waits_for(last)]
        self.identities = list(dict.fromkeys([audience.key.identity for audience in self.audiences]))

    def under(self, relation: Relation | None) -> "Work":
        """The same under present names of columns; with none of the old values where these are not known."""
        if relation is self.relation:
            return self
        return replace(self, relation=relation or self.relation, changes=under(self.changes, relation))

    def halves(self) -> list["Work"]:
        """The same in two, between transactions; nothing where there is but one."""
        commits = [change.position.commit_lsn for change in self.changes]
        cuts = [place for place, (before, after) in enumerate(pairwise(commits), 1) if before != after]
        if not cuts:
            return []
        cut = cuts[len(cuts) // 2]
        parts = (slice(cut), slice(cut, None))
        return [replace(self, changes=self.changes[part], committed_at=self.committed_at[part]) for part in parts]


@dataclass(frozen=True, slots=True)
class Gathered:
    """A work with its evidence, the rows as they were fetched, and the types as they were then.

    `gap`: changes are lost from here on, and why.
    """

    work: Work
    evidence: Evidence
    fetched: FetchedRelation
    types: TypeCatalog
    gap: Reason | None = None


def plan(
    transactions: Sequence[Transaction], index: Index[Outlet], memory: Memory[Audience[Outlet]], left_view: LeftView
) -> list[Work]:
    """What there is to do, by relation as the stream described it; relations that nobody asked for are left out."""
    index.change_over(transactions[0].before)
    works: dict[int, Work] = {}
    unnamed: set[int] = set()
    for transaction in transactions:
        for change in transaction.changes:
            identity = id(change.relation)  # one object per Relation message; hashing its columns would cost more than all else
            if identity in unnamed:
                continue
            work = works.get(identity)
            if work is None:
                if not index.names(change.relation):
                    unnamed.add(identity)
                    memory.forget_table(change.relation.oid)
                    continue
                work = works[identity] = Work(change.relation)
            work.changes.append(change)
            work.committed_at.append(transaction.committed_at)
    for work in works.values():
        work.touched = index.touched(work.changes, before=left_view == "delete")
        # Filters by value do not find those who were sent a row that does not pass them any more, nor does the owner's id.
        work.touched.add(memory.concerned(work.changes, PARTINGS[left_view]))
        work.touched.add(a for a in memory.concerned(work.changes, frozenset(Operation)) if a.crowds)
        if not work.concerns_somebody():
            memory.pass_by(work.changes)
    return [work for work in works.values() if work.concerns_somebody()]
