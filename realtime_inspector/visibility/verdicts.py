"""Decides, from evidence alone, which changes of one relation an audience receives, and why it does not receive the others.

Rules of this room: default deny. What is not in the evidence is not visible. A change is delivered with the row as it stands
in the snapshot in which its visibility was checked, never with an older image.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from realtime_inspector.model import UNCHANGED, Change, Identity, Operation, Reason, Value, Verdict
from realtime_inspector.visibility.facts import Access, Shape
from realtime_inspector.visibility.filters import Condition, matches
from realtime_inspector.visibility.index import wants
from realtime_inspector.visibility.subscription import Subscription


@dataclass(frozen=True, slots=True)
class Sight:
    """What one identity may see of numbered rows, in order; for which its policies raised, and the last SQLSTATE if so."""

    rows: Sequence[int] = ()
    raised: Sequence[int] = ()
    error: str | None = None


BLIND = Sight()


@dataclass(frozen=True, slots=True)
class Decision:
    """One change for one audience. `subscriptions`: those it is delivered to; none unless the reason is DELIVERED.

    `old_visible`: the identity may also see the row as it was before.
    """

    number: int
    verdict: Verdict
    subscriptions: tuple[Subscription, ...] = ()
    old_visible: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds for everybody of a role. `refused`: why nothing is delivered; `checked`: policies decide about each row."""

    refused: Verdict | None
    checked: bool


DELIVERED = Verdict(Reason.DELIVERED)
FILTERED = Verdict(Reason.FILTERED)
GONE = Verdict(Reason.ROW_GONE)
HIDDEN = Verdict(Reason.HIDDEN_BY_POLICY)
TOO_SLOW = Verdict(
    Reason.LOOKUP_TOO_SLOW, "the whole table has to be read to find a row, which takes too long; add a primary key"
)


@dataclass(slots=True)
class Evidence:
    """All that is known about the changes of one relation in one batch; changes and rows are numbered from 0.

    `rows`: per change the number of its row in the snapshot, None if it is not stored there.
    `values`: per row, its columns' texts by name. `sights`: over row numbers. `old_sights`: over change numbers.
    `old_refused`: by role, why its policies cannot be asked about an old row. `old_timeless`: the roles of which the answer is
    about the past as well; other policies read tables that may have changed with the row.
    `satisfied`: what Postgres said about conditions that texts cannot decide: the satisfying texts, None if it failed.
    `columns_hold`: the columns that the log names are still the same ones. `too_slow`: rows were not looked for.
    """

    shape: Shape
    changes: Sequence[Change]
    rows: Sequence[int | None] = ()
    values: Sequence[Mapping[str, str | None]] = ()
    access: Mapping[str, Access] = field(default_factory=dict)
    privileged: frozenset[str] = frozenset()
    sights: dict[Identity, Sight] = field(default_factory=dict)
    old_sights: dict[Identity, Sight] = field(default_factory=dict)
    satisfied: Mapping[tuple[str, Condition], frozenset[str] | None] = field(default_factory=dict)
    old_refused: Mapping[str, str] = field(default_factory=dict)
    old_timeless: frozenset[str] = frozenset()
    deletes: Literal["checked", "keys"] = "checked"
    columns_hold: bool = True
    too_slow: bool = False
    _masks: dict[Condition, frozenset[int]] = field(default_factory=dict, init=False)
    _columns: dict[str, dict[str | None, list[int]]] = field(default_factory=dict, init=False)
    _everywhere: Sequence[int] | None = field(default=None, init=False)
    _of_row: list[list[int]] | None = field(default=None, init=False)
    _standings: dict[str, Standing] = field(default_factory=dict, init=False)

    def standing(self, role: str) -> Standing:
        """What holds for everybody of this role."""
        known = self._standings.get(role)
        if known is None:
            refused = self._refused(role)
            known = self._standings[role] = Standing(refused, refused is None and self.access[role].checked)
        return known

    def _refused(self, role: str) -> Verdict | None:
        if self.shape.refusal is not None:
            return Verdict(Reason.UNSUPPORTED_RELATION, self.shape.refusal)
        if self.too_slow:
            return TOO_SLOW
        access = self.access.get(role)
        if access is None:
            return Verdict(Reason.NO_PRIVILEGE, f"role {role} does not exist")
        if access.bypasses and role not in self.privileged:
            detail = f"role {role} bypasses row-level security and is not among the privileged roles"
            return Verdict(Reason.NO_PRIVILEGE, detail)
        if not self.shape.key and access.columns is not None and (access.checked or not access.columns):
            return Verdict(
                Reason.NO_PRIVILEGE, f"role {role} has no SELECT on the whole table, which has no key to ask about its rows by"
            )
        hidden = [name for name in self.shape.key if not access.reads(name)]
        return Verdict(Reason.NO_PRIVILEGE, f"role {role} has no SELECT on {', '.join(hidden)}") if hidden else None

    def concerns(self, role: str) -> bool:
        """Whether the role may read anything of the relation at all."""
        access = self.access.get(role)
        return access is not None and access.columns != frozenset()

    def needs_check(self, role: str) -> bool:
        """Whether policies must be asked for this role."""
        return self.standing(role).checked

    def blind(self, identity: Identity) -> bool:
        """Whether it is certain at a glance that nothing is delivered to this identity."""
        standing = self.standing(identity.role)
        if standing.refused is not None:
            return True
        if not standing.checked or self.deletes == "keys":
            return False
        return identity not in self.sights and identity not in self.old_sights

    def mask(self, condition: Condition) -> frozenset[int]:
        """The numbers of the changes that satisfy a condition."""
        known = self._masks.get(condition)
        if known is None:
            known = self._masks[condition] = frozenset(self._satisfying(condition))
        return known

    def undecided(self, condition: Condition) -> list[str]:
        """The distinct texts for which only Postgres can tell whether they satisfy the condition."""
        column = self.shape.column(condition.column)
        if column is None:
            return []
        texts = self._by_text(condition.column)
        return [text for text in texts if text is not None and matches(condition, text, column.comparable) is None]

    def failed(self, condition: Condition) -> bool:
        """Whether the condition could not be decided: Postgres failed, or the column is there no more."""
        return (
            self.shape.column(condition.column) is None or self.satisfied.get((condition.column, condition), frozenset()) is None
        )

    def _satisfying(self, condition: Condition) -> Iterator[int]:
        column = self.shape.column(condition.column)
        if column is None:
            return
        texts = self._by_text(condition.column)
        if condition.operator in ("eq", "in") and not condition.negated and column.comparable.exact:
            for wanted in set(condition.values):
                yield from texts.get(wanted, ())
            return
        answers = self.satisfied.get((condition.column, condition)) or frozenset()
        for text, numbers in texts.items():
            answer = matches(condition, text, column.comparable)
            if answer or (answer is None and text in answers):
                yield from numbers

    def _by_text(self, column: str) -> dict[str | None, list[int]]:
        """The numbers of the changes by the text of a column, in the row that filters are decided on."""
        known = self._columns.get(column)
        if known is None:
            known = self._columns[column] = {}
            for number, change in enumerate(self.changes):
                value = self._filtered_value(number, change, column)
                if value is not UNCHANGED:
                    known.setdefault(value, []).append(number)
        return known

    def _filtered_value(self, number: int, change: Change, column: str) -> Value:
        """New rows are filtered as they stand in the snapshot; deleted ones by what the log says of them."""
        row = self.rows[number]
        if row is not None:
            return self.values[row].get(column, UNCHANGED)
        if change.operation is not Operation.DELETE or change.old is None:
            return UNCHANGED
        return old_values(change, self.shape.key, everything=True).get(column, UNCHANGED)

    def everywhere(self) -> Sequence[int]:
        """The numbers of the changes that an identity receives when no policy stands between."""
        if self._everywhere is None:
            self._everywhere = [n for n, change in enumerate(self.changes) if self.rows[n] is not None or _known_delete(change)]
        return self._everywhere

    def among(self, rows: Iterable[int], deleted: Iterable[int]) -> list[int]:
        """The numbers of the changes of these rows and of these deletions, in order."""
        if self._of_row is None:
            self._of_row = [[] for _ in self.values]
            for number, row in enumerate(self.rows):
                if row is not None:
                    self._of_row[row].append(number)
        numbers = [number for row in rows for number in self._of_row[row]]
        numbers += [number for number in deleted if self.changes[number].operation is Operation.DELETE]
        return sorted(numbers)

    def usual_reason(self, identity: Identity) -> Reason:
        """The reason that most of the changes which an identity did not receive have; for counting, not for explaining."""
        standing = self.standing(identity.role)
        if standing.refused is not None:
            return standing.refused.reason
        if not standing.checked:
            return Reason.FILTERED
        return Reason.POLICY_RAISED if self.sights.get(identity, BLIND).raised else Reason.HIDDEN_BY_POLICY

    def deletions(self) -> list[int]:
        """The numbers of the deletions of which the log tells at least the key."""
        return [number for number, change in enumerate(self.changes) if _known_delete(change)]


def _known_delete(change: Change) -> bool:
    return change.operation is Operation.DELETE and change.old is not None


def old_values(change: Change, key: Sequence[str], *, everything: bool) -> dict[str, Value]:
    """The old row's values by column: all that the log has, or the key columns only.

    With the default identity an UPDATE that leaves the key alone logs no old row: its key is the new one. With REPLICA
    IDENTITY FULL the stream marks every column as part of the identity, so the key has to be given.
    """
    row = change.old if change.old is not None else change.new
    if row is None:
        return {}
    full = change.old is not None and change.old_is_full
    named = zip(change.relation.columns, row, strict=True)
    if full and everything:
        return {column.name: value for column, value in named}
    return {column.name: value for column, value in named if column.name in key and (full or column.is_key)}


def decide(subscriptions: Sequence[Subscription], identity: Identity, evidence: Evidence, *, explain: bool) -> Iterator[Decision]:
    """The decisions for one audience, in order; with `explain` also those that withhold, otherwise deliveries only."""
    refused = evidence.standing(identity.role).refused
    if refused is not None:
        yield from _withheld(evidence, subscriptions, refused, explain)
        return
    access = evidence.access[identity.role]
    # A filter is no oracle for a column that the role may no longer read.
    unreadable = tuple(dict.fromkeys(c.column for s in subscriptions for c in s.conditions if not access.reads(c.column)))
    verdicts = _Verdicts(evidence, identity)
    for number in range(len(evidence.changes)) if explain else verdicts.visible():
        wanting = [s for s in subscriptions if wants(s, evidence.changes[number].operation)]
        if unreadable and wanting:
            wanting = [s for s in wanting if not any(c.column in unreadable for c in s.conditions)]
            if explain and not wanting:
                yield Decision(
                    number, Verdict(Reason.NO_PRIVILEGE, f"role {identity.role} has no SELECT on {', '.join(unreadable)}")
                )
        if not wanting:
            continue
        verdict = verdicts.of(number)
        if verdict is DELIVERED:
            passing = tuple(s for s in wanting if _passes(s, evidence, number, verdicts.askable(number)))
            verdict = DELIVERED if passing else _unfiltered(wanting, evidence)
            wanting = list(passing)
        if verdict is DELIVERED:
            yield Decision(number, verdict, tuple(wanting), verdicts.old_visible(number))
        elif explain:
            yield Decision(number, verdict)


def _withheld(evidence: Evidence, subscriptions: Sequence[Subscription], verdict: Verdict, explain: bool) -> Iterator[Decision]:
    for number, change in enumerate(evidence.changes if explain else ()):
        if any(wants(s, change.operation) for s in subscriptions):
            yield Decision(number, verdict)


def _passes(subscription: Subscription, evidence: Evidence, number: int, askable: Sequence[str] | None) -> bool:
    if askable is not None and any(condition.column not in askable for condition in subscription.conditions):
        return False
    return all(number in evidence.mask(condition) for condition in subscription.conditions)


def _unfiltered(wanting: Iterable[Subscription], evidence: Evidence) -> Verdict:
    for condition in (c for s in wanting for c in s.conditions):
        if evidence.failed(condition):
            return Verdict(Reason.FILTER_FAILED, f"the filter on {condition.column} could not be evaluated")
    return FILTERED


class _Verdicts:
    """What one identity that has the privileges may see of each change."""

    def __init__(self, evidence: Evidence, identity: Identity) -> None:
        self._evidence = evidence
        self._role = identity.role
        self._checked = evidence.standing(identity.role).checked
        self._sight = evidence.sights.get(identity, BLIND)
        self._old_sight = evidence.old_sights.get(identity, BLIND)
        self._rows = frozenset(self._sight.rows)
        self._raised = frozenset(self._sight.raised)
        self._old = frozenset(self._old_sight.rows)

    def visible(self) -> Sequence[int]:
        """The numbers of the changes that may be delivered, in order."""
        if not self._checked:
            return self._evidence.everywhere()
        deleted = self._old if self._evidence.deletes == "checked" else self._evidence.deletions()
        return self._evidence.among(self._sight.rows, deleted)

    def of(self, number: int) -> Verdict:
        """The verdict on one change before filters."""
        change = self._evidence.changes[number]
        if change.operation is Operation.TRUNCATE:
            return Verdict(Reason.UNSUPPORTED_RELATION, "TRUNCATE has no rows to check; the protocol has no event for it")
        if change.operation is Operation.DELETE:
            return self._of_delete(number, change)
        row = self._evidence.rows[number]
        if row is None:
            return GONE
        if not self._checked or row in self._rows:
            return DELIVERED
        if row in self._raised:
            return Verdict(Reason.POLICY_RAISED, f"SQLSTATE {self._sight.error}")
        return HIDDEN

    def _of_delete(self, number: int, change: Change) -> Verdict:
        if change.old is None:
            return Verdict(Reason.NO_KEY, "the log does not say which row was deleted; the table needs a replica identity")
        if not self._checked or self._evidence.deletes == "keys" or number in self._old:
            return DELIVERED
        if not change.old_is_full:
            hint = f"alter table {self._evidence.shape.schema}.{self._evidence.shape.name} replica identity full"
            return Verdict(Reason.OLD_ROW_UNKNOWN, f"the policies cannot be asked about a row that is gone; {hint}")
        if self._role in self._evidence.old_refused:
            return Verdict(Reason.OLD_ROW_UNKNOWN, self._evidence.old_refused[self._role])
        if number in self._old_sight.raised:
            return Verdict(Reason.POLICY_RAISED, f"SQLSTATE {self._old_sight.error}")
        return HIDDEN

    def old_visible(self, number: int) -> bool:
        """Whether the values that the log has of the old row may be shown."""
        if self._checked:
            return number in self._old and self._role in self._evidence.old_timeless
        return self._evidence.columns_hold

    def askable(self, number: int) -> Sequence[str] | None:
        """The columns that a filter may ask about, None for all: whoever is told a key only learns nothing else by filters."""
        deleted = self._evidence.changes[number].operation is Operation.DELETE
        return self._evidence.shape.key if deleted and not self.old_visible(number) else None
