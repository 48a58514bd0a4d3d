"""What the doctor says about facts: one planted fault at a time, each with its finding and a remedy."""

from dataclasses import replace
from typing import Any

import pytest

from realtime_inspector.doctor.checks import check, publication_findings
from realtime_inspector.doctor.facts import (
    Announcing,
    Facts,
    Login,
    Messages,
    PathSchema,
    Publication,
    Server,
    Slot,
    Table,
    Wanted,
)
from realtime_inspector.doctor.findings import Finding, Level
from realtime_inspector.doctor.logins import (
    EVALUATOR_ATTRIBUTES,
    READER_ATTRIBUTES,
    Membership,
    Role,
    attribute_words,
    evaluator_distance,
    reader_distance,
)
from realtime_inspector.model import ReplicaIdentity

SECRET = "a secret that is long enough for HS256"
TWEETS = Table(1, "public", "tweets", "public.tweets", "r", ReplicaIdentity.FULL, True, True, True)
COUNTRIES = Table(2, "public", "countries", "public.countries", "r", ReplicaIdentity.DEFAULT, False, True, True)
PUBLICATION = Publication("supabase_realtime", "supabase_realtime", False, True, (TWEETS, COUNTRIES))


def member(role: str, **options: Any) -> Membership:
    return Membership(role, role, "postgres", **options)


READER = Role("reader", "reader", login=True, replication=True, bypassrls=True, memberships=(member("pg_read_all_data"),))
EVALUATOR = Role("evaluator", "evaluator", login=True, inherit=False, memberships=(member("anon"), member("authenticated")))
ROLES = (Role("anon", "anon"), Role("authenticated", "authenticated"), Role("service_role", "service_role", bypassrls=True))
SERVER = Server(180_006, "18.6", "shop", "shop", False, "logical", 1, 10, 1, 10)
SLOT = Slot("realtime_inspector", "pgoutput", "shop", True, "reserved", 4096, None)
WANTED = Wanted(
    "realtime_inspector", "supabase_realtime", ("anon", "authenticated", "service_role"), ("service_role",), SECRET, False
)
MESSAGES = Messages(
    schema_exists=True,
    table_exists=True,
    ours=True,
    partitioned=True,
    row_security=True,
    columns=("binary_payload", "event", "extension", "id", "inserted_at", "payload", "private", "topic", "updated_at"),
    published=True,
    publication_exists=True,
    today=True,
    policies=2,
)
HEALTHY = Facts(
    wanted=WANTED,
    reader=Login("reader", role=READER),
    evaluator=Login("evaluator", role=EVALUATOR, temporary=True),
    server=SERVER,
    slot=SLOT,
    publication=PUBLICATION,
    roles=ROLES,
    search_path=(PathSchema("public", "public", True), PathSchema("extensions", "extensions", False)),
    messages=MESSAGES,
)


def server(**changes: Any) -> Facts:
    return replace(HEALTHY, server=replace(SERVER, **changes))


def wanted(**changes: Any) -> Facts:
    return replace(HEALTHY, wanted=replace(WANTED, **changes))


def slot(**changes: Any) -> Facts:
    return replace(HEALTHY, slot=replace(SLOT, **changes))


def publication(**changes: Any) -> Facts:
    return replace(HEALTHY, publication=replace(PUBLICATION, **changes))


def table(**changes: Any) -> Facts:
    return publication(tables=(TWEETS, replace(COUNTRIES, **changes)))


def reader(**changes: Any) -> Facts:
    return replace(HEALTHY, reader=replace(HEALTHY.reader, role=replace(READER, **changes)))


def evaluator(**changes: Any) -> Facts:
    return replace(HEALTHY, evaluator=replace(HEALTHY.evaluator, role=replace(EVALUATOR, **changes)))


def faults(facts: Facts) -> list[Finding]:
    return [finding for finding in check(facts) if finding.level is not Level.OK]


def test_nothing_is_wrong_with_a_healthy_database() -> None:
    findings = check(HEALTHY)
    assert faults(HEALTHY) == []
    assert not any(finding.remedy for finding in findings)
    assert {finding.check for finding in findings} == {
        *("version", "wal_level", "slots", "senders", "slot", "publication", "tables"),
        *("reader", "evaluator", "roles", "search_path", "schema", "channels", "jwt"),
    }


ANOTHER = (*EVALUATOR.memberships, member("postgres"))
FAULTS = {
    "too old": (server(version=130_020, version_text="13.20"), "version", "error", "Postgres 14 or newer"),
    "leaks between roles": (server(version=150_008, version_text="15.8"), "version", "error", "15.14"),
    "loses changes": (server(version=170_005, version_text="17.5"), "version", "warning", "17.6"),
    "standby": (server(standby=True), "server", "error", "primary"),
    "wal_level": (server(wal_level="replica"), "wal_level", "error", "ALTER SYSTEM SET wal_level = 'logical';"),
    "no slot left": (replace(server(slots_used=10), slot=None), "slots", "error", "ALTER SYSTEM SET max_replication_slots = 20;"),
    "no sender left": (
        replace(server(senders_used=10), slot=replace(SLOT, active=False)),
        "senders",
        "error",
        "ALTER SYSTEM SET max_wal_senders = 20;",
    ),
    "slot of another database": (slot(database="other"), "slot", "error", "RTI_SLOT"),
    "slot of another plugin": (
        slot(plugin="wal2json"),
        "slot",
        "error",
        "SELECT pg_drop_replication_slot('realtime_inspector');",
    ),
    "slot lost": (slot(wal_status="lost"), "slot", "error", "SELECT pg_drop_replication_slot('realtime_inspector');"),
    "slot soon lost": (slot(retained=600, safe=500), "slot", "warning", "keep up"),
    "slot without limit": (slot(retained=2 << 30), "slot", "warning", "max_slot_wal_keep_size"),
    "no publication": (replace(HEALTHY, publication=None), "publication", "error", "realtime-inspector init"),
    "no tables": (publication(tables=()), "publication", "warning", "ALTER PUBLICATION supabase_realtime ADD TABLE"),
    "operations": (publication(everything=False), "publication", "warning", "'insert, update, delete, truncate'"),
    "no identity": (
        table(primary_key=False, identified=False),
        "tables",
        "error",
        "ALTER TABLE public.countries REPLICA IDENTITY FULL;",
    ),
    "identity turned off": (
        table(identified=False, replica_identity=ReplicaIdentity.NOTHING),
        "tables",
        "error",
        "ALTER TABLE public.countries REPLICA IDENTITY DEFAULT;",
    ),
    "no key": (
        table(primary_key=False, replica_identity=ReplicaIdentity.FULL),
        "tables",
        "warning",
        "ALTER TABLE public.countries ADD PRIMARY KEY",
    ),
    "reader cannot log in": (
        replace(HEALTHY, reader=Login("reader", error="password authentication failed")),
        "reader",
        "error",
        "RTI_READER_URL",
    ),
    "reader has no replication": (reader(replication=False), "reader", "error", "ALTER ROLE reader REPLICATION;"),
    "reader sees policies": (reader(bypassrls=False), "reader", "error", "ALTER ROLE reader BYPASSRLS;"),
    "reader is a superuser": (reader(superuser=True), "reader", "warning", "ALTER ROLE reader NOSUPERUSER;"),
    "reader cannot read": (reader(memberships=()), "reader", "error", "GRANT pg_read_all_data TO reader;"),
    "reader cannot follow": (
        replace(HEALTHY, reader=replace(HEALTHY.reader, replication_error="no pg_hba.conf entry")),
        "reader",
        "error",
        "pg_hba.conf",
    ),
    "reader is pooled": (replace(HEALTHY, reader=replace(HEALTHY.reader, pooled=True)), "reader", "error", "RTI_READER_URL"),
    "evaluator cannot log in": (
        replace(HEALTHY, evaluator=Login(error="no URL is configured")),
        "evaluator",
        "error",
        "RTI_EVALUATOR_URL",
    ),
    "evaluator is a superuser": (evaluator(superuser=True), "evaluator", "error", "ALTER ROLE evaluator NOSUPERUSER;"),
    "evaluator passes by": (evaluator(bypassrls=True), "evaluator", "error", "ALTER ROLE evaluator NOBYPASSRLS;"),
    "evaluator inherits": (evaluator(inherit=True), "evaluator", "error", "ALTER ROLE evaluator NOINHERIT;"),
    "evaluator may become another": (
        evaluator(memberships=ANOTHER),
        "evaluator",
        "error",
        "REVOKE postgres FROM evaluator;",
    ),
    "evaluator may become service": (
        evaluator(memberships=(*EVALUATOR.memberships, member("service_role"))),
        "evaluator",
        "error",
        "REVOKE service_role FROM evaluator;",
    ),
    "evaluator inherits one": (
        evaluator(memberships=(member("anon", inherit=True), member("authenticated"))),
        "evaluator",
        "error",
        "REVOKE anon FROM evaluator;",
    ),
    "evaluator grants one on": (
        evaluator(memberships=(member("anon", admin=True), member("authenticated"))),
        "evaluator",
        "error",
        "REVOKE anon FROM evaluator;",
    ),
    "evaluator lacks one": (
        evaluator(memberships=(member("anon"),)),
        "evaluator",
        "error",
        "GRANT authenticated TO evaluator;",
    ),
    "evaluator reaches farther": (
        replace(HEALTHY, evaluator=replace(HEALTHY.evaluator, reaches=("service_role",))),
        "evaluator",
        "error",
        "REVOKE",
    ),
    "evaluator makes no functions": (
        replace(HEALTHY, evaluator=replace(HEALTHY.evaluator, temporary=False)),
        "evaluator",
        "error",
        "GRANT TEMPORARY ON DATABASE shop TO evaluator;",
    ),
    "evaluator is pooled": (
        replace(HEALTHY, evaluator=replace(HEALTHY.evaluator, pooled=True)),
        "evaluator",
        "error",
        "RTI_EVALUATOR_URL",
    ),
    "role does not exist": (replace(HEALTHY, roles=ROLES[1:]), "roles", "error", "--with-supabase-roles"),
    "role is a superuser": (
        replace(HEALTHY, roles=(replace(ROLES[0], superuser=True), *ROLES[1:])),
        "roles",
        "error",
        "ALTER ROLE anon NOSUPERUSER;",
    ),
    "role passes by": (
        replace(HEALTHY, roles=(replace(ROLES[0], bypassrls=True), *ROLES[1:])),
        "roles",
        "error",
        "ALTER ROLE anon NOBYPASSRLS;",
    ),
    "functions can be planted": (
        replace(HEALTHY, search_path=(PathSchema("public", "public", True, ("anon",)),)),
        "search_path",
        "warning",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC, anon;",
    ),
    "no audit trail": (
        replace(HEALTHY, missing_objects=("table realtime_inspector.audit_log",)),
        "schema",
        "error",
        "realtime-inspector init",
    ),
    "no key at all": (wanted(secret=""), "jwt", "error", "RTI_JWT_SECRET"),
    "short key": (wanted(secret="0123456789"), "jwt", "error", "openssl rand"),
    "well-known key": (
        wanted(secret="super-secret-jwt-token-with-at-least-32-characters-long"),
        "jwt",
        "error",
        "openssl rand",
    ),
}


NOTIFYING = replace(
    wanted(source="notify"), announcing=Announcing((), 0.0), slot=None, messages=replace(MESSAGES, noted=True, published=False)
)
FAULTS_OF_TRIGGERS = {
    "no triggers": (Announcing((TWEETS,), 0.0), "error", "init"),
    "queue is filling": (Announcing((), 0.6), "warning", "End the session"),
}


def test_a_slot_that_was_left_behind_is_to_be_dropped() -> None:
    (fault,) = faults(replace(NOTIFYING, slot=SLOT))
    assert (fault.check, fault.level) == ("slot", "warning")
    assert "pg_drop_replication_slot('realtime_inspector')" in fault.remedy


def test_who_listens_needs_no_log_and_no_slot() -> None:
    facts = replace(
        NOTIFYING,
        server=replace(SERVER, wal_level="minimal", slots_most=0, senders_most=0),
        reader=replace(HEALTHY.reader, role=replace(READER, replication=False)),
    )
    assert faults(facts) == []
    (triggers,) = (finding for finding in check(facts) if finding.check == "triggers")
    assert "at most once" in triggers.text
    assert not {"wal_level", "slots", "senders", "slot"} & {finding.check for finding in check(facts)}


def test_messages_that_no_trigger_notes_do_not_arrive() -> None:
    (fault,) = faults(replace(NOTIFYING, messages=replace(MESSAGES, noted=False)))
    assert (fault.check, fault.level) == ("channels", "warning")
    assert "no trigger of ours" in fault.text


@pytest.mark.parametrize(("announcing", "level", "remedy"), FAULTS_OF_TRIGGERS.values(), ids=FAULTS_OF_TRIGGERS)
def test_faults_of_triggers_are_found(announcing: Announcing, level: str, remedy: str) -> None:
    (fault,) = faults(replace(NOTIFYING, announcing=announcing))
    assert (fault.check, fault.level) == ("triggers", level)
    assert remedy in fault.remedy


@pytest.mark.parametrize(("facts", "where", "level", "remedy"), FAULTS.values(), ids=FAULTS)
def test_each_fault_is_found_alone_and_has_a_remedy(facts: Facts, where: str, level: str, remedy: str) -> None:
    (fault,) = faults(facts)
    assert (fault.check, fault.level) == (where, level)
    assert remedy in fault.remedy


def test_no_finding_tells_the_key() -> None:
    short = wanted(secret="0123456789")
    assert "0123456789" not in repr(check(short)) + repr(short)


def test_without_a_login_only_logins_and_settings_are_judged() -> None:
    unknown = Facts(WANTED, Login(error="connection refused"), Login(error="connection refused"))
    assert [(fault.check, fault.level) for fault in check(unknown)] == [
        ("reader", "error"),
        ("evaluator", "error"),
        ("jwt", "ok"),
    ]


def test_a_slot_that_does_not_exist_yet_is_fine() -> None:
    assert faults(replace(HEALTHY, slot=None)) == []


def test_a_jwk_set_is_a_key() -> None:
    assert faults(wanted(secret="", other_keys=True)) == []


def test_a_unique_index_as_identity_is_enough() -> None:
    indexed = replace(COUNTRIES, primary_key=False, replica_identity=ReplicaIdentity.INDEX)
    assert list(publication_findings(replace(PUBLICATION, tables=(indexed,)))) == []


def test_a_published_role_that_may_pass_by_is_fine_when_it_is_said_to() -> None:
    trusted = replace(WANTED, allowed_roles=("anon", "authenticated", "auditor"), privileged_roles=("auditor",))
    facts = replace(HEALTHY, wanted=trusted, roles=(*ROLES[:2], Role("auditor", "auditor", bypassrls=True)))
    assert faults(facts) == []


def test_a_new_login_gets_every_word_and_an_old_one_only_what_differs() -> None:
    assert attribute_words(READER_ATTRIBUTES) == (
        *("LOGIN", "REPLICATION", "BYPASSRLS", "NOSUPERUSER", "INHERIT", "NOCREATEDB", "NOCREATEROLE"),
    )
    assert attribute_words(READER_ATTRIBUTES, READER) == ()
    assert attribute_words(EVALUATOR_ATTRIBUTES, replace(EVALUATOR, createdb=True)) == ("NOCREATEDB",)


def test_memberships_are_judged_by_their_options_where_they_have_any() -> None:
    assert not reader_distance(replace(READER, memberships=(member("pg_read_all_data", inherit=True),)))
    assert reader_distance(replace(READER, memberships=(member("pg_read_all_data", inherit=False),))).missing
    loose = replace(EVALUATOR, memberships=(member("anon", inherit=False), member("authenticated", set=False)))
    distance = evaluator_distance(loose, ["anon", "authenticated"])
    assert [held.role for held in distance.surplus] == ["authenticated"]
    assert distance.missing == ("authenticated",)


@pytest.mark.parametrize(
    ("changes", "level", "text"),
    [
        ({"table_exists": False}, Level.WARNING, "no table realtime.messages"),
        ({"columns": ("id", "topic")}, Level.WARNING, "lacks binary_payload"),
        ({"partitioned": False}, Level.WARNING, "not partitioned"),
        ({"row_security": False}, Level.ERROR, "Row-level security is off"),
        ({"today": False}, Level.WARNING, "no partition for today"),
        ({"published": False}, Level.WARNING, "realtime_inspector_messages"),
        ({"policies": 0}, Level.OK, "nobody may use private channels"),
        ({}, Level.OK, "2 policies"),
    ],
)
def test_private_channels(changes: dict[str, Any], level: Level, text: str) -> None:
    [finding] = [each for each in check(replace(HEALTHY, messages=replace(MESSAGES, **changes))) if each.check == "channels"]
    assert finding.level is level
    assert text in finding.text
    assert finding.remedy or level is Level.OK
