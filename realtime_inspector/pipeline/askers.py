"""Says whom the database is asked for whom: one answer holds for all identities between whom the policies cannot tell."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import orjson

from realtime_inspector.model import Identity
from realtime_inspector.postgres.questions import Question, by_ctid, by_key, by_place
from realtime_inspector.visibility.facts import Access, Shape
from realtime_inspector.visibility.verdicts import Evidence

ANY_CLAIMS = "{}"
"""The claims under which a question is asked once for a whole role, when its policies read no claims."""

Askers = dict[Identity, list[Identity]]
"""Who is asked, and for whom the answer holds."""


def checked(identities: Iterable[Identity], evidence: Evidence) -> list[Identity]:
    """Those about whom policies decide."""
    return [identity for identity in identities if evidence.needs_check(identity.role)]


def askers(identities: Iterable[Identity], access: Mapping[str, Access]) -> Askers:
    """Whom to ask for whom: a role whose policies read no claims is asked once."""
    found: Askers = {}
    for identity in identities:
        asked = identity if access[identity.role].reads_claims else replace(identity, claims=ANY_CLAIMS)
        found.setdefault(asked, []).append(identity)
    return found


def about_rows(evidence: Evidence, identities: Iterable[Identity], ctids: Sequence[str]) -> list[tuple[Question, Askers]]:
    """Who may see the stored rows: by ctid for roles that may read the whole table, by key for the others."""
    if not ctids:
        return []
    shape, access = evidence.shape, evidence.access
    asked = checked(identities, evidence)
    folds = any(access[identity.role].folds for identity in asked)
    questions = []
    whole = askers([i for i in asked if access[i.role].columns is None], access)
    if whole:
        if shape.partitioned:
            places = [_key_text(shape, row, ctid) for row, ctid in zip(evidence.values, ctids, strict=True)]
            questions.append((Question(by_place(shape, folds=folds), places, list(whole)), whole))
        else:
            questions.append((Question(by_ctid(shape, folds=folds), ctids, list(whole)), whole))
    partial = askers([i for i in asked if access[i.role].columns is not None], access)
    if partial:
        keys = [_key_text(shape, row) for row in evidence.values]
        questions.append((Question(by_key(shape, folds=folds), keys, list(partial)), partial))
    return questions


def _key_text(shape: Shape, values: Mapping[str, str | None], *more: str) -> str:
    return orjson.dumps([*(values[name] for name in shape.key), *more]).decode()
