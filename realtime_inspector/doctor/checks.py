"""Judges facts: every check gives at least one finding, and every finding that is not ok says what to do."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from realtime_inspector.doctor.channels import channels
from realtime_inspector.doctor.facts import Facts, Login, Publication, Slot, Table
from realtime_inspector.doctor.findings import Finding, error, ok, warning
from realtime_inspector.doctor.logins import Role, evaluator_distance, reader_distance
from realtime_inspector.model import ReplicaIdentity

OLDEST: Final = 14
SHORTEST_SECRET: Final = 32
KNOWN_SECRETS: Final = (
    "super-secret-jwt-token-with-at-least-32-characters-long",
    "your-super-secret-jwt-token-with-at-least-32-characters-long",
)
MUCH_LOG: Final = 1 << 30
"""Bytes of log from which on a slot without a limit deserves a word."""
MUCH_QUEUE: Final = 0.25
UNSAFE: Final[Mapping[int, int]] = {14: 14, 15: 9, 16: 5, 17: 1}
"""First minor in which a plan made for one role's row-level security is not used for another role (CVE-2024-10976)."""
SHAKY: Final[Mapping[int, int]] = {14: 19, 15: 14, 16: 10, 17: 6}
"""First minor that never loses changes of a table while it is added to a publication, and whose statistics do not tell values
of hidden rows (CVE-2025-8713)."""
INIT: Final = "Run `realtime-inspector init --database-url ADMIN_URL --env-file FILE`."


def check(facts: Facts) -> tuple[Finding, ...]:
    """All findings, in the order in which one would look. Where nobody can log in, only logins and settings are judged."""
    with_database = _REPLICATING if facts.wanted.source == "replication" else _NOTIFYING
    judges = _WITHOUT_DATABASE if facts.server is None else with_database
    return tuple(finding for judge in judges for finding in judge(facts))


def publication_findings(publication: Publication) -> Iterator[Finding]:
    """What is to be said about a publication and its tables."""
    if not publication.everything:
        yield warning(
            "publication",
            f"{publication.name} leaves out some operations, so their changes are not seen",
            f"ALTER PUBLICATION {publication.sql} SET (publish = 'insert, update, delete, truncate');",
        )
    if not publication.tables:
        yield warning(
            "publication",
            f"{publication.name} holds no table, so no change is seen",
            f"ALTER PUBLICATION {publication.sql} ADD TABLE public.your_table;",
        )
    for table in publication.tables:
        yield from _table(table)


def _table(table: Table) -> Iterator[Finding]:
    if not table.identified:
        identity = "DEFAULT" if table.primary_key else "FULL"
        yield error(
            "tables",
            f"UPDATE and DELETE on {table} fail while it is published, because nothing identifies its rows in the log",
            f"ALTER TABLE {table.sql} REPLICA IDENTITY {identity};",
        )
    elif not table.primary_key and table.replica_identity is not ReplicaIdentity.INDEX:
        yield warning(
            "tables",
            f"{table} has no primary key, so the whole of it is read to find a changed row",
            f"ALTER TABLE {table.sql} ADD PRIMARY KEY (your_key_columns);",
        )


def _server(facts: Facts) -> Iterator[Finding]:
    assert facts.server is not None
    server = facts.server
    major, minor = divmod(server.version, 10_000)
    if server.standby:
        remedy = "Name the primary in RTI_READER_URL and RTI_EVALUATOR_URL."
        yield error("server", "This is a standby, which takes no audit entries", remedy)
    if major < OLDEST:
        yield error("version", f"Postgres {server.version_text} is too old", f"Upgrade to Postgres {OLDEST} or newer.")
    elif minor < UNSAFE.get(major, 0):
        text = f"Postgres {server.version_text} may show a role what another role's policies allow (CVE-2024-10976)"
        yield error("version", text, f"Upgrade to {major}.{SHAKY[major]} or newer.")
    elif minor < SHAKY.get(major, 0):
        text = (
            f"Postgres {server.version_text} may lose changes of a table that is just being added to the publication, "
            "and tells samples of hidden values (CVE-2025-8713)"
        )
        yield warning("version", text, f"Upgrade to {major}.{SHAKY[major]} or newer.")
    else:
        yield ok("version", f"Postgres {server.version_text}")


def _wal_level(facts: Facts) -> Iterator[Finding]:
    assert facts.server is not None
    if facts.server.wal_level == "logical":
        yield ok("wal_level", "logical")
        return
    yield error(
        "wal_level",
        f"wal_level is {facts.server.wal_level}, so the log does not hold what a change needs",
        "ALTER SYSTEM SET wal_level = 'logical'; then restart Postgres (on RDS: parameter rds.logical_replication = 1).",
    )


def _head_room(facts: Facts) -> Iterator[Finding]:
    assert facts.server is not None
    server, slot = facts.server, facts.slot
    slots = 0 if slot else 1
    senders = 0 if slot and slot.active else 1
    yield _spare("slots", "max_replication_slots", server.slots_used, server.slots_most, slots)
    yield _spare("senders", "max_wal_senders", server.senders_used, server.senders_most, senders)


def _spare(check: str, setting: str, used: int, most: int, needed: int) -> Finding:
    if used + needed <= most:
        return ok(check, f"{used} of {most} in use")
    remedy = f"ALTER SYSTEM SET {setting} = {most + 10}; then restart Postgres, or free one that nobody needs."
    return error(check, f"All {most} of {setting} are in use, so the service cannot attach", remedy)


def _slot(facts: Facts) -> Iterator[Finding]:
    assert facts.server is not None
    slot = facts.slot
    if slot is None:
        yield ok("slot", f"{facts.wanted.slot} will be made at the first start")
        return
    drop = f"SELECT pg_drop_replication_slot('{slot.name}');"
    if slot.database != facts.server.database:
        text = f"The slot {slot.name} belongs to {slot.database or 'no database'}"
        yield error("slot", text, f"Set RTI_SLOT to another name, such as {slot.name}_{facts.server.database}.")
    elif slot.plugin != "pgoutput":
        text = f"The slot {slot.name} speaks {slot.plugin} instead of pgoutput"
        yield error("slot", text, f"{drop} or set RTI_SLOT to another name.")
    elif slot.wal_status == "lost":
        text = f"The slot {slot.name} is lost: the log that it needs is gone"
        yield error("slot", text, f"{drop} and start the service: it makes a new one.")
    else:
        yield from _retained(slot)


def _retained(slot: Slot) -> Iterator[Finding]:
    held = f"{slot.name} holds back {slot.retained / 1e6:,.0f} MB of log"
    remedy = "Start the service, or look in its log why it does not keep up."
    if slot.safe is not None and slot.retained > slot.safe:
        yield warning("slot", f"{held} and is lost after {max(slot.safe, 0) / 1e6:,.0f} MB more", remedy)
    elif slot.safe is None and slot.retained > MUCH_LOG:
        limit = "ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'; SELECT pg_reload_conf();"
        yield warning("slot", f"{held}, without a limit", f"{remedy} A limit protects the disk: {limit}")
    else:
        yield ok("slot", f"{held}, {'attached' if slot.active else 'not attached'}")


def _publication(facts: Facts) -> Iterator[Finding]:
    publication = facts.publication
    if publication is None:
        yield error("publication", f"There is no publication {facts.wanted.publication}", INIT)
        return
    found = tuple(publication_findings(publication))
    yield from found
    if not any(finding.check == "publication" for finding in found):
        yield ok("publication", f"{publication.name} holds {_count(len(publication.tables), 'table')}")
    if publication.tables and not any(finding.check == "tables" for finding in found):
        yield ok("tables", _summary(publication.tables))


def _announcing(facts: Facts) -> Iterator[Finding]:
    announcing, publication = facts.announcing, facts.publication
    if announcing is None or publication is None:
        return
    if announcing.silent:
        text = f"No trigger announces changes of {_and([str(table) for table in announcing.silent])}"
        yield error("triggers", text, INIT)
    if announcing.queue_usage > MUCH_QUEUE:
        text = f"The queue of notifications is full to {announcing.queue_usage:.0%}; who commits to a full one fails"
        remedy = "End the session that listens and does not read, or is in a transaction: Postgres names it in its log."
        yield warning("triggers", text, remedy)
    if facts.slot is not None:
        text = f"Nobody reads the slot {facts.slot.name} any more, and it holds back the log"
        yield warning("slot", text, f"SELECT pg_drop_replication_slot('{facts.slot.name}');")
    if not announcing.silent:
        tables = _count(len(publication.tables), "table")
        yield ok("triggers", f"Changes of {tables} are announced: at most once, with a gap after every reconnection")


def _summary(tables: tuple[Table, ...]) -> str:
    checked = [table for table in tables if table.row_security]
    silent = [str(table) for table in checked if table.replica_identity is not ReplicaIdentity.FULL]
    text = f"{len(checked)} of {len(tables)} have row-level security"
    if silent:
        text += f"; DELETE reaches nobody under a policy from {', '.join(silent)} (needs REPLICA IDENTITY FULL)"
    return text


def _reader(facts: Facts) -> Iterator[Finding]:
    login, role = facts.reader, facts.reader.role
    yield from _entrance("reader", "RTI_READER_URL", login)
    if role is None:
        return
    if login.replication_error:
        text = f"{login.name} cannot open a replication connection: {login.replication_error.strip().splitlines()[-1]}"
        yield error("reader", text, "Let RTI_READER_URL name the server itself, and pg_hba.conf admit this login.")
    replicates = facts.wanted.source == "replication"
    distance = reader_distance(role, replicates=replicates)
    lacking = [word for word in distance.attributes if not word.startswith("NO")]
    surplus = [word for word in distance.attributes if word.startswith("NO")]
    if lacking:
        text = f"{role.name} lacks {_and(lacking)}, so it cannot read every change"
        yield error("reader", text, f"ALTER ROLE {role.sql} {' '.join(lacking)};")
    if surplus:
        text = f"{role.name} may do more than it needs: {_and([word[2:] for word in surplus])}"
        yield warning("reader", text, f"ALTER ROLE {role.sql} {' '.join(surplus)};")
    for name in distance.missing:
        text = f"{role.name} is not a member of {name}, so it cannot read every table"
        yield error("reader", text, f"GRANT {name} TO {role.sql};")
    if not distance and not login.replication_error:
        yield ok("reader", f"{role.name} may {'follow the log and ' if replicates else ''}read every table")


def _evaluator(facts: Facts) -> Iterator[Finding]:
    login, role = facts.evaluator, facts.evaluator.role
    yield from _entrance("evaluator", "RTI_EVALUATOR_URL", login)
    if role is None:
        return
    found = tuple(_powers(facts, role))
    yield from found
    if not login.temporary and facts.server is not None:
        text = f"{role.name} may not make temporary functions, which decide who sees a row"
        yield error("evaluator", text, f"GRANT TEMPORARY ON DATABASE {facts.server.database_sql} TO {role.sql};")
    if not found:
        assumable = sorted(set(facts.wanted.allowed_roles) - set(facts.wanted.privileged_roles))
        yield ok("evaluator", f"{role.name} may become {_and(assumable) or 'nobody'}, and nothing else")


def _powers(facts: Facts, role: Role) -> Iterator[Finding]:
    """Whoever this login may become, policy code may become too."""
    assumable = set(facts.wanted.allowed_roles) - set(facts.wanted.privileged_roles)
    distance = evaluator_distance(role, assumable)
    direct = {held.role for held in distance.surplus}
    if distance.attributes:
        text = f"{role.name} is not harmless by itself: policies run with its rights within reach"
        yield error("evaluator", text, f"ALTER ROLE {role.sql} {' '.join(distance.attributes)};")
    for held in distance.surplus:
        how = "inherits from, or may grant on," if held.role in assumable else "must not be a member of"
        yield error("evaluator", f"{role.name} {how} {held.role}", f"REVOKE {held.sql} FROM {role.sql}; then run init again.")
    for name in distance.missing:
        known = next((known for known in facts.roles if known.name == name), None)
        if known is not None and name not in direct:
            text = f"{role.name} is not a member of {name}, so its subscribers get nothing"
            yield error("evaluator", text, f"GRANT {known.sql} TO {role.sql};")
    for name in facts.evaluator.reaches:
        if name not in direct:
            text = f"{role.name} can become {name} through another role, and {name} passes by row-level security"
            yield error("evaluator", text, f"Take {name} away from the roles in RTI_ALLOWED_ROLES with REVOKE.")


def _entrance(check: str, setting: str, login: Login) -> Iterator[Finding]:
    if login.error:
        who = login.name or f"The login of {setting}"
        yield error(check, f"{who} cannot log in: {login.error.strip().splitlines()[0]}", f"Correct {setting}. {INIT}")
    elif login.pooled:
        text = f"{setting} leads through a connection pooler, which keeps no session"
        yield error(check, text, f"Let {setting} name the server itself.")


def _roles(facts: Facts) -> Iterator[Finding]:
    known = {role.name: role for role in facts.roles}
    faulty = False
    for name in facts.wanted.allowed_roles:
        fault = _role(name, known.get(name), name in facts.wanted.privileged_roles)
        if fault is not None:
            faulty = True
            yield fault
    if not faulty:
        yield ok("roles", f"Tokens may name {_and(facts.wanted.allowed_roles)}")


def _role(name: str, role: Role | None, privileged: bool) -> Finding | None:
    if role is None:
        remedy = "Take it out of RTI_ALLOWED_ROLES, or run init with --with-supabase-roles."
        return error("roles", f"The allowed role {name} does not exist", remedy)
    if role.superuser:
        remedy = f"ALTER ROLE {role.sql} NOSUPERUSER; or take it out of RTI_ALLOWED_ROLES."
        return error("roles", f"The allowed role {name} is a superuser", remedy)
    if role.bypassrls and not privileged:
        remedy = f"ALTER ROLE {role.sql} NOBYPASSRLS; or name it in RTI_PRIVILEGED_ROLES too."
        return error("roles", f"The allowed role {name} passes by row-level security", remedy)
    return None


def _search_path(facts: Facts) -> Iterator[Finding]:
    present = [schema for schema in facts.search_path if schema.exists]
    for schema in present:
        if schema.writers:
            text = f"{_and(schema.writers)} may put functions into {schema.name} that policies then find by name"
            yield warning("search_path", text, f"REVOKE CREATE ON SCHEMA {schema.sql} FROM PUBLIC, {', '.join(schema.writers)};")
    if not any(schema.writers for schema in present):
        names = ", ".join(schema.name + ("" if schema.exists else " (does not exist)") for schema in facts.search_path)
        yield ok("search_path", names or "empty: policies must name every schema")


def _objects(facts: Facts) -> Iterator[Finding]:
    if facts.missing_objects:
        yield error("schema", f"Missing or not open to the reader: {', '.join(facts.missing_objects)}", INIT)
    else:
        yield ok("schema", "realtime_inspector is complete")


def _key(facts: Facts) -> Iterator[Finding]:
    secret = facts.wanted.secret
    fresh = "Set RTI_JWT_SECRET to a new one, such as `openssl rand -hex 32` gives, and sign new tokens with it."
    if not secret and not facts.wanted.other_keys:
        yield error("jwt", "No key is configured, so no token can be verified", "Set RTI_JWT_SECRET, RTI_JWKS or RTI_JWKS_URL.")
    elif secret in KNOWN_SECRETS:
        yield error("jwt", "RTI_JWT_SECRET is an example that everybody knows", fresh)
    elif secret and len(secret.encode()) < SHORTEST_SECRET:
        yield error("jwt", f"RTI_JWT_SECRET has {len(secret.encode())} bytes; {SHORTEST_SECRET} are needed", fresh)
    else:
        yield ok("jwt", " and ".join(["a shared secret"] * bool(secret) + ["a JWK set"] * facts.wanted.other_keys))


def _and(words: tuple[str, ...] | list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


_Judge = Callable[[Facts], Iterator[Finding]]
_WITHOUT_DATABASE: Final[tuple[_Judge, ...]] = (_reader, _evaluator, _key)
_REPLICATING: Final[tuple[_Judge, ...]] = (
    _server,
    _wal_level,
    _head_room,
    _slot,
    _publication,
    _reader,
    _evaluator,
    _roles,
    _search_path,
    _objects,
    channels,
    _key,
)
_NOTIFYING: Final[tuple[_Judge, ...]] = (
    _server,
    _publication,
    _announcing,
    _reader,
    _evaluator,
    _roles,
    _search_path,
    _objects,
    channels,
    _key,
)
