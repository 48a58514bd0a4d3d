"""All that is known about the changes of one relation in one batch, and what follows from it for everybody or for a role."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from realtime_inspector.model import UNCHANGED, Change, Identity, Operation, Reason, Value, Verdict
from realtime_inspector.visibility.facts import Access, Shape
from realtime_inspector.visibility.filters import Condition, matches


@dataclass(frozen=True, slots=True)
class Sight:
    """What one identity may see of numbered rows, in order; for which its policies raised, and the last SQLSTATE if so.

    `error_id`: the name under which the log has that error. `slow`: the policies took long. `late`: nobody waited
    for the answer. `endless`: nothing stopped them.
    """

    rows: Sequence[int] = ()
    raised: Sequence[int] = ()
    error: str | None = None
    error_id: str = field(default="", compare=False)
    slow: bool = field(default=False, compare=False)
    late: bool = False
    endless: bool = field(default=False, compare=False)

    @property
    def told(self) -> Verdict:
        """The verdict on a row for which policies raised."""
        return Verdict(Reason.POLICY_RAISED, f"SQLSTATE {self.error}" + (f", error {self.error_id}" if self.error_id else ""))


BLIND = Sight()


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds for everybody of a role. `refused`: why nothing is delivered; `checked`: policies decide about each row."""

    refused: Verdict | None
    checked: bool


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
    `left_view`: whether who loses sight of a row is told so.
    `satisfied`: what Postgres said about conditions that texts cannot decide: the satisfying texts, None if it failed.
    `types_hold`: what the log has is written as its types are written now. `too_slow`: rows were not looked for. `altered`: it
    is not known which columns the log's values belong to now.
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
    left_view: Literal["ignore", "delete"] = "ignore"
    types_hold: bool = True
    too_slow: bool = False
    altered: bool = False
    _old_masks: dict[Condition, frozenset[int]] = field(default_factory=dict, init=False)
    _masks: dict[Condition, frozenset[int]] = field(default_factory=dict, init=False)
    _columns: dict[str, dict[str | None, list[int]]] = field(default_factory=dict, init=False)
    _old_columns: dict[str, dict[str | None, list[int]]] = field(default_factory=dict, init=False)
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
            known = self._masks[condition] = frozenset(self._satisfying(condition, self._by_text(condition.column)))
        return known

    def old_mask(self, condition: Condition) -> frozenset[int]:
        """The numbers of the updates whose old row satisfied a condition."""
        known = self._old_masks.get(condition)
        if known is None:
            known = self._old_masks[condition] = frozenset(self._satisfying(condition, self._by_old_text(condition.column)))
        return known

    def undecided(self, condition: Condition) -> list[str]:
        """The distinct texts for which only Postgres can tell whether they satisfy the condition."""
        column = self.shape.column(condition.column)
        if column is None:
            return []
        texts = self._by_text(condition.column)
        if self.left_view == "delete":
            texts = {**texts, **self._by_old_text(condition.column)}
        return [text for text in texts if text is not None and matches(condition, text, column.comparable) is None]

    def failed(self, condition: Condition) -> bool:
        """Whether the condition could not be decided: Postgres failed, or the column is there no more."""
        return (
            self.shape.column(condition.column) is None or self.satisfied.get((condition.column, condition), frozenset()) is None
        )

    def _satisfying(self, condition: Condition, texts: Mapping[str | None, list[int]]) -> Iterator[int]:
        column = self.shape.column(condition.column)
        if column is None:
            return
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

    def _by_old_text(self, column: str) -> dict[str | None, list[int]]:
        """The numbers of the updates by the text that a column had before."""
        known = self._old_columns.get(column)
        if known is None:
            known = self._old_columns[column] = {}
            for number, change in enumerate(self.changes):
                if change.operation is Operation.UPDATE:
                    value = old_values(change, self.shape.key, everything=True).get(column, UNCHANGED)
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
