"""What each lint looks for: from facts to faults, each with the statements that mend it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from realtime_inspector.doctor.lint_facts import Failed, LintFacts, Policy, Table

KINDS: Final = {"r": "table", "p": "table", "v": "view", "m": "materialized view", "f": "foreign table"}
SENSITIVE: Final = re.compile(
    r"(^|_)(password|passwd|pwd|secret|token|api_?key|private_?key|ssn|social_security|credit_?card|card_number|cvv|iban|pin)(_|$)",
    re.IGNORECASE,
)
CLAIM: Final = re.compile(r"\bauth\.(?:uid|jwt|role|email)\(\)|\bcurrent_setting\('[^']*'::text(?:, (?:true|false))?\)")
SELECTED: Final = re.compile(rf"\( SELECT (?:{CLAIM.pattern})(?: AS \w+)?\)")
TRUE: Final = re.compile(r"\(*\s*(?:true|1 = 1|'1'::text = '1'::text)\s*\)*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something found. `part`: tells several faults of one kind of one object apart; `remedy`: statements."""

    schema: str
    name: str
    kind: str
    detail: str
    remedy: Sequence[str]
    part: str = ""


def _of(table: Table, detail: str, *remedy: str, part: str = "") -> Fault:
    return Fault(table.schema, table.name, KINDS[table.kind], detail, remedy, part)


def _about(policy: Policy, detail: str, *remedy: str, part: str = "") -> Fault:
    return Fault(policy.schema, policy.table, "policy", f"“{policy.name}” {detail}", remedy, part or policy.name)


def _and(names: Sequence[str]) -> str:
    return ", ".join(names)


def _roles(facts: LintFacts, names: Sequence[str]) -> str:
    return ", ".join(facts.roles[name] for name in names)


def _policies(facts: LintFacts, table: Table) -> list[Policy]:
    return [policy for policy in facts.policies if (policy.schema, policy.table) == (table.schema, table.name)]


def _selecting(facts: LintFacts, table: Table) -> list[Policy]:
    return [policy for policy in _policies(facts, table) if policy.command in ("SELECT", "ALL")]


def rls_disabled(facts: LintFacts) -> Iterator[Fault]:
    """Tables that a role may read whole, and nothing else decides."""
    for table in facts.tables:
        unprotected = table.is_table and not table.rls and table.root is None and not _policies(facts, table)
        if unprotected and table.readers and (table.exposed or table.published):
            detail = f"{_and(table.readers)} may read every row of {table.sql}, because row-level security is off"
            yield _of(table, detail, f"ALTER TABLE {table.sql} ENABLE ROW LEVEL SECURITY;")


def policies_without_rls(facts: LintFacts) -> Iterator[Fault]:
    """Somebody wrote policies and thinks that they count."""
    for table in facts.tables:
        policies = _policies(facts, table)
        if policies and not table.rls:
            names = _and([policy.name for policy in policies])
            detail = f"Row-level security is off on {table.sql}, so its policies ({names}) are not asked"
            yield _of(table, detail, f"ALTER TABLE {table.sql} ENABLE ROW LEVEL SECURITY;")


def sensitive_columns(facts: LintFacts) -> Iterator[Fault]:
    """Names of columns that nobody wants to publish."""
    for table in facts.tables:
        names = [name for name in table.columns if SENSITIVE.search(name)]
        if names and table.is_table and not table.rls and table.readers and table.root is None:
            detail = f"{_and(table.readers)} may read {_and(names)} of every row of {table.sql}"
            yield _of(table, detail, f"ALTER TABLE {table.sql} ENABLE ROW LEVEL SECURITY;")


def partition_unprotected(facts: LintFacts) -> Iterator[Fault]:
    """Policies of the root do not count for who names the partition."""
    for table in facts.tables:
        if table.root is not None and table.root.rls and not table.rls and table.readers and table.is_table:
            detail = f"{_and(table.readers)} may read every row of {table.sql}: {table.root.sql} has policies for itself only"
            yield _of(table, detail, f"ALTER TABLE {table.sql} ENABLE ROW LEVEL SECURITY;")


def view_bypasses_rls(facts: LintFacts) -> Iterator[Fault]:
    """A view reads as its owner unless it says otherwise."""
    for view in facts.tables:
        under = [name for name in view.underneath if name != "auth.users"]
        if view.kind == "v" and not view.invoker and view.readers and under:
            detail = f"{_and(view.readers)} may read {view.sql}, which reads {_and(under)} as its owner, past the policies"
            yield _of(view, detail, f"ALTER VIEW {view.sql} SET (security_invoker = on);")


def users_exposed(facts: LintFacts) -> Iterator[Fault]:
    """E-mail addresses and hashes of passwords."""
    for view in facts.tables:
        if "auth.users" in view.underneath and view.readers:
            detail = f"{_and(view.readers)} may read {view.sql}, which shows auth.users"
            yield _of(view, detail, f"REVOKE SELECT ON {view.sql} FROM {_roles(facts, view.readers)};")


def materialized_view_exposed(facts: LintFacts) -> Iterator[Fault]:
    """There is no row-level security for them."""
    yield from _unprotectable(facts, "m")


def foreign_table_exposed(facts: LintFacts) -> Iterator[Fault]:
    """There is no row-level security for them."""
    yield from _unprotectable(facts, "f")


def _unprotectable(facts: LintFacts, kind: str) -> Iterator[Fault]:
    for table in facts.tables:
        if table.kind == kind and table.readers:
            detail = f"{_and(table.readers)} may read every row of {table.sql}, and policies are not possible there"
            yield _of(table, detail, f"REVOKE SELECT ON {table.sql} FROM {_roles(facts, table.readers)};")


def user_metadata(facts: LintFacts) -> Iterator[Fault]:
    """user_metadata is what users say about themselves."""
    for policy in facts.policies:
        found = [(word, text) for word, text in (("USING", policy.using), ("WITH CHECK", policy.check)) if text]
        if any("user_metadata" in text for _, text in found):
            told = " ".join(f"{word} ({text.replace('user_metadata', 'app_metadata')})" for word, text in found)
            yield _about(policy, "decides by user_metadata, which every user can change", f"ALTER POLICY {policy.sql} {told};")


def always_true(facts: LintFacts) -> Iterator[Fault]:
    """Reading may be open to all, writing hardly."""
    for policy in facts.policies:
        texts = [text for text in (policy.using, policy.check) if text]
        open_ = bool(texts) and all(TRUE.fullmatch(text) for text in texts)
        if open_ and policy.permissive and policy.command != "SELECT" and policy.applies:
            detail = f"lets {_and(policy.applies)} {policy.command} whatever they like"
            yield _about(policy, detail, f"-- say who may: ALTER POLICY {policy.sql} …;", f"DROP POLICY {policy.sql};")


def role_above_policies(facts: LintFacts) -> Iterator[Fault]:
    """Owners are asked by no policy unless they are forced."""
    for table in facts.tables:
        if table.is_table and table.rls and not table.forced and table.owners:
            detail = f"{_and(table.owners)} has the privileges of the owner of {table.sql} and sees every row"
            yield _of(table, detail, f"ALTER TABLE {table.sql} FORCE ROW LEVEL SECURITY;")
    for role in facts.bypassing:
        detail = f"{role} has BYPASSRLS or is a superuser, and is not among the privileged roles"
        yield Fault("", role, "role", detail, [f"ALTER ROLE {facts.roles[role]} NOSUPERUSER NOBYPASSRLS;"])


def unreadable_table(facts: LintFacts) -> Iterator[Fault]:
    """Policies run with the rights of who asks: without SELECT there, every SELECT here fails."""
    for policy in facts.policies:
        for read in policy.reads:
            denied = [role for role in read.denied if role in policy.applies and role not in facts.bypassing]
            readers = next((t.readers for t in facts.tables if (t.schema, t.name) == (policy.schema, policy.table)), ())
            failing = [role for role in denied if role in readers]
            if failing:
                detail = f"reads {read.sql}, which {_and(failing)} may not: their every SELECT fails"
                yield _about(
                    policy, detail, f"GRANT SELECT ON {read.sql} TO {_roles(facts, failing)};", part=f"{policy.name}:{read.sql}"
                )


def hidden_table(facts: LintFacts) -> Iterator[Fault]:
    """Policies of the other table hide all of it, so that the condition is never true."""
    for policy in facts.policies:
        for read in policy.reads:
            hidden = [role for role in read.hidden if role in policy.applies]
            if hidden:
                detail = f"reads {read.sql}, of which no policy shows {_and(hidden)} anything"
                remedy = f"-- say which rows: CREATE POLICY … ON {read.sql} FOR SELECT TO {_roles(facts, hidden)} USING (…);"
                yield _about(policy, detail, remedy, part=f"{policy.name}:{read.sql}")


def fails_to_plan(facts: LintFacts) -> Iterator[Fault]:
    """Recursion between policies, and missing grants that only show when it is tried."""
    for failed in facts.failures:
        if not failed.policy and not _known_denied(facts, failed):
            detail = f"SELECT as {failed.role} ends in {failed.sqlstate}: {failed.message}"
            hint = "-- let a SECURITY DEFINER function read the table, so that its policies are not asked again"
            remedy = hint if failed.sqlstate == "42P17" else "-- grant what is missing, or mend the policy"
            yield Fault(failed.schema, failed.table, "table", detail, [remedy], failed.role)


def _known_denied(facts: LintFacts, failed: Failed) -> bool:
    """Whether unreadable_table says it already."""
    return failed.sqlstate == "42501" and any(
        failed.role in read.denied
        for policy in facts.policies
        if (policy.schema, policy.table) == (failed.schema, failed.table) and failed.role in policy.applies
        for read in policy.reads
    )


def key_unreadable(facts: LintFacts) -> Iterator[Fault]:
    """The row is selected by its key, which has to be readable for that."""
    for table in facts.tables:
        if table.published and table.blind and table.key_sql:
            detail = (
                f"{_and(table.blind)} may read columns of {table.sql}, but not its key ({table.key_sql}), and so receives nothing"
            )
            yield _of(table, detail, f"GRANT SELECT ({table.key_sql}) ON {table.sql} TO {_roles(facts, table.blind)};")


def no_identity(facts: LintFacts) -> Iterator[Fault]:
    """UPDATE and DELETE fail on such a table while it is published."""
    for table in facts.tables:
        if table.published and table.is_table and not table.keyed:
            detail = f"{table.sql} has neither a primary key nor another replica identity"
            yield _of(table, detail, f"ALTER TABLE {table.sql} REPLICA IDENTITY FULL;")


def no_policy(facts: LintFacts) -> Iterator[Fault]:
    """Default deny, perhaps on purpose."""
    for table in facts.tables:
        if table.is_table and table.rls and not _policies(facts, table) and table.root is None:
            detail = f"Row-level security is on for {table.sql} and there is no policy, so nobody but its owner sees a row"
            yield _of(table, detail, f"-- say which rows: CREATE POLICY … ON {table.sql} FOR SELECT USING (…);")


def only_restrictive(facts: LintFacts) -> Iterator[Fault]:
    """Restrictive policies take away, and there is nothing to take from."""
    for table in facts.tables:
        policies = _selecting(facts, table)
        if table.rls and policies and not any(policy.permissive for policy in policies):
            detail = f"All SELECT policies of {table.sql} are restrictive; without a permissive one nobody sees a row"
            yield _of(table, detail, f"CREATE POLICY everybody ON {table.sql} FOR SELECT USING (true);")


def not_inherited(facts: LintFacts) -> Iterator[Fault]:
    """A NOINHERIT member has the role's privileges only after SET ROLE, which no subscriber does."""
    for policy in facts.policies:
        for loner in policy.not_inherited:
            if loner.role not in policy.applies:
                detail = f"is for {loner.of}, and {loner.role} is a member without its privileges: it is not asked for them"
                mended = f"ALTER ROLE {loner.role_sql} INHERIT;"
                again = f"REVOKE {loner.of_sql} FROM {loner.role_sql}; GRANT {loner.of_sql} TO {loner.role_sql};"
                yield _about(policy, detail, mended, again, part=f"{policy.name}:{loner.role}")


def volatile_policy(facts: LintFacts) -> Iterator[Fault]:
    """Nobody can say afterwards why; old rows cannot be asked about."""
    for policy in facts.policies:
        if policy.volatile:
            own = [name for name in policy.volatile if not name.startswith("pg_catalog.")]
            remedies = [f"-- if it only reads: ALTER FUNCTION {name} STABLE;" for name in own]
            detail = f"calls {_and(policy.volatile)}, volatile functions: its verdict is not reproducible"
            yield _about(policy, detail, *(remedies or ["-- leave the function out of the condition"]))


def raises_without_claims(facts: LintFacts) -> Iterator[Fault]:
    """A token need not have any claim but its role."""
    yield from _raising(facts, "none", "raises for a token without claims")


def raises_on_malformed_claims(facts: LintFacts) -> Iterator[Fault]:
    """A `sub` that is no uuid, an object that is a text."""
    yield from _raising(facts, "malformed", "raises for claims of another form")


def _raising(facts: LintFacts, claims: str, what: str) -> Iterator[Fault]:
    known = {(policy.schema, policy.table, policy.name): policy for policy in facts.policies}
    seen = set()
    for failed in facts.failures:
        policy = known.get((failed.schema, failed.table, failed.policy))
        if policy is not None and failed.claims == claims and policy not in seen:
            seen.add(policy)
            detail = f"{what} ({failed.sqlstate}: {failed.message}); its identity then receives nothing of the table"
            remedy = "-- cast only what has the form: CASE WHEN claim ~ '…' THEN claim::type END"
            yield _about(policy, detail, remedy)


def search_path(facts: LintFacts) -> Iterator[Fault]:
    """Whoever may create objects could put something in the place of what the function names."""
    for policy in facts.policies:
        for function in policy.unfixed:
            detail = f"calls {function}, which runs as its owner with the search_path of the caller"
            remedy = f"ALTER FUNCTION {function} SET search_path = '';  -- and name everything in it with its schema"
            yield _about(policy, detail, remedy, part=f"{policy.name}:{function}")


def initplan(facts: LintFacts) -> Iterator[Fault]:
    """(select auth.uid()) is computed once for each statement, auth.uid() once for each row."""
    for policy in facts.policies:
        found = [(word, text) for word, text in (("USING", policy.using), ("WITH CHECK", policy.check)) if text]
        wrapped = [(word, _wrapped(text)) for word, text in found]
        if wrapped != found:
            told = " ".join(f"{word} ({text})" for word, text in wrapped)
            yield _about(policy, "reads the claims once for each row", f"ALTER POLICY {policy.sql} {told};")


def _wrapped(text: str) -> str:
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match[0])
        return f"\0{len(kept) - 1}\0"

    marked = CLAIM.sub(lambda match: f"( SELECT {match[0]})", SELECTED.sub(keep, text))
    return re.sub("\0(\\d+)\0", lambda match: kept[int(match[1])], marked)


def several_permissive(facts: LintFacts) -> Iterator[Fault]:
    """Each is asked for each row until one holds."""
    for table in facts.tables:
        policies = [policy for policy in _selecting(facts, table) if policy.permissive]
        alike: dict[tuple[str, ...], list[Policy]] = {}
        for policy in policies:
            alike.setdefault((policy.command, *policy.roles), []).append(policy)
        for first, *others in alike.values():
            if others and all(policy.check is None for policy in (first, *others)):
                names = _and([policy.name for policy in (first, *others)])
                together = " OR ".join(f"({policy.using})" for policy in (first, *others))
                drops = [f"DROP POLICY {policy.sql};" for policy in others]
                detail = f"{names} are for the same roles and the same command"
                yield _of(table, detail, f"ALTER POLICY {first.sql} USING ({together});", *drops, part=first.name)


def old_rows_unknown(facts: LintFacts) -> Iterator[Fault]:
    """Only the whole old row can be asked about."""
    for table in facts.tables:
        if table.published and table.is_table and table.rls and table.replica_identity != "f":
            detail = f"The log has only the key of deleted rows of {table.sql}: a DELETE reaches those who were sent the row"
            yield _of(table, detail, f"ALTER TABLE {table.sql} REPLICA IDENTITY FULL;")


def column_not_in_log(facts: LintFacts) -> Iterator[Fault]:
    """Then old rows cannot be judged, whatever the replica identity is."""
    for table in facts.tables:
        for policy in _selecting(facts, table) if table.published else ():
            missing = [name for name in policy.columns if name in table.unlogged_columns]
            if missing:
                detail = f"uses {_and(missing)}, which is generated or not published: old rows cannot be judged"
                remedy = "-- publish the column, or write the condition over columns that are stored"
                yield _about(policy, detail, remedy)
