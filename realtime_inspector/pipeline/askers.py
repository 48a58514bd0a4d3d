"""Says whom the database is asked for whom: one answer holds for all identities between whom the policies cannot tell."""

from collections.abc import Iterable, Mapping, Sequence

import orjson

from realtime_inspector.model import Change, Identity, Operation
from realtime_inspector.postgres.questions import Question, by_ctid, by_key, by_place
from realtime_inspector.visibility.claims import Part, owner, part
from realtime_inspector.visibility.facts import Access, Shape
from realtime_inspector.visibility.verdicts import Evidence

Askers = dict[Identity, list[Identity]]
"""Who is asked, and for whom the answer holds."""


def checked(identities: Iterable[Identity], evidence: Evidence) -> list[Identity]:
    """Those about whom policies decide."""
    return [identity for identity in identities if evidence.needs_check(identity.role)]


def askers(identities: Iterable[Identity], access: Mapping[str, Access]) -> Askers:
    """Whom to ask for whom: one of those whose claims agree wherever the policies of their role can read them."""
    groups: dict[tuple[str, Part], list[Identity]] = {}
    for identity in identities:
        role = identity.role
        groups.setdefault((role, part(identity.claims, access[role].claims)), []).append(identity)
    return {group[0]: group for group in groups.values()}


def owned_ids(evidence: Evidence, roles: Iterable[str]) -> dict[str, frozenset[str | None]]:
    """Whose the rows are and were, for the roles whose policies show rows to their owners only; nobody else is told anything."""
    if evidence.deletes == "keys" and any(change.operation is Operation.DELETE for change in evidence.changes):
        return {}
    old = [old_texts(change) for change in evidence.changes if change.old_is_full and change.old is not None]
    found = {role: _owned(evidence.access[role], [*evidence.values, *old]) for role in roles if evidence.needs_check(role)}
    return {role: ids for role, ids in found.items() if ids is not None}


def old_texts(change: Change) -> dict[str, str | None]:
    """The old row by column, as the log has it."""
    assert change.old is not None
    named = zip(change.relation.columns, change.old, strict=True)
    return {column.name: value if isinstance(value, str) else None for column, value in named}


def candidates(
    identities: Sequence[Identity], access: Mapping[str, Access], rows: Sequence[Mapping[str, str | None]]
) -> list[Identity]:
    """Those who may own one of the rows, where a role's policies show rows to their owners only; everybody else sees none.

    The database still decides: a mistake here withholds, and shows nothing to anybody.
    """
    owned = {role: _owned(access[role], rows) for role in dict.fromkeys(identity.role for identity in identities)}
    found = []
    for identity in identities:
        ids = owned[identity.role]
        if ids is None or (sub := owner(identity.claims)) is None or sub in ids:
            found.append(identity)
    return found


def about_rows(evidence: Evidence, identities: Iterable[Identity], ctids: Sequence[str]) -> list[tuple[Question, Askers]]:
    """Who may see the stored rows: by ctid for roles that may read the whole table, by key for the others."""
    if not ctids:
        return []
    shape, access = evidence.shape, evidence.access
    asked = candidates(checked(identities, evidence), access, evidence.values)
    folds = any(access[identity.role].folds for identity in asked)
    questions = []
    whole = askers([i for i in asked if access[i.role].columns is None], access)
    if whole:
        if shape.partitioned:
            places = [_key_text(shape, row, ctid) for row, ctid in zip(evidence.values, ctids, strict=True)]
            questions.append((Question(by_place(shape, folds=folds), places, list(whole)), whole))
        else:
            plain = all(access[identity.role].plain for identity in whole)
            questions.append((Question(by_ctid(shape, folds=folds), ctids, list(whole), plain), whole))
    partial = askers([i for i in asked if access[i.role].columns is not None], access)
    if partial:
        keys = [_key_text(shape, row) for row in evidence.values]
        questions.append((Question(by_key(shape, folds=folds), keys, list(partial)), partial))
    return questions


def _owned(access: Access, rows: Sequence[Mapping[str, str | None]]) -> frozenset[str | None] | None:
    if access.owners is None or any(name not in row for name in access.owners for row in rows):
        return None
    return frozenset(row[name] for name in access.owners for row in rows)


def _key_text(shape: Shape, values: Mapping[str, str | None], *more: str) -> str:
    return orjson.dumps([*(values[name] for name in shape.key), *more]).decode()
