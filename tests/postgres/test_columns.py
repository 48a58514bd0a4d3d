"""Column privileges in a running river: nothing of a column that a role may not read is sent, selected or told by a filter."""

from typing import Any

import pytest

from realtime_inspector.model import Binding
from tests.postgres.conftest import Engine
from tests.postgres.river import SERVICE, Service, Start, Subscriber, start, user

__all__ = ["start"]

ALICE = "00000001-0000-0000-0000-000000000000"
LIMITED = user(ALICE, "limited")
SCHEMA = f"""
create table files (id int primary key, owner uuid default '{ALICE}', body text, secret text);
create table checked (like files including all); alter table checked enable row level security;
create policy own on checked using (owner = (select auth.uid()) and secret is not null);
create table parted (like files including defaults, primary key (id)) partition by range (id);
create table leaf partition of parted for values from (0) to (1000);
alter table files replica identity full; alter table checked replica identity full;
alter table parted replica identity full; alter table leaf replica identity full;
grant select on leaf to limited; alter table parted enable row level security;
create policy own on parted using (owner = (select auth.uid()));
grant select on files, checked, parted to service_role;
grant select (id, body, secret) on files, checked, parted to limited;
create publication supabase_realtime for table files, checked, parted;
"""
TABLES = ("files", "checked", "parted")


async def changed(service: Service, table: str, number: int) -> None:
    """A row is inserted, updated and deleted; its secret is `s` and its number in every one of them."""
    for statement in (
        f"insert into {table} (id, body, secret) values ({number}, 'b', 's{number}')",
        f"update {table} set body = 'c' where id = {number}",
        f"delete from {table} where id = {number}",
    ):
        service.engine.run(statement)
        await service.settled()


def kinds(subscriber: Subscriber) -> list[str]:
    return [data["type"] for data in subscriber.data]


@pytest.mark.every_version
@pytest.mark.parametrize("table", TABLES)
async def test_a_column_that_is_revoked_is_neither_sent_nor_filtered_on_from_the_next_event(
    engine: Engine, start: Start, table: str
) -> None:
    service = await start(SCHEMA)
    plain = await service.join(LIMITED, table)
    selecting = await service.join(LIMITED, table, select=("secret", "body"))
    everything = await service.join(LIMITED, "*")
    filters = (
        "secret=eq.s2",
        "secret=neq.x",
        "secret=like.s%",
        "secret=not.is.null",
        "body=eq.c,secret=gt.a",
        "id=gt.0,secret=in.(s2)",
    )
    filtering = [await service.join(LIMITED, table, filter=text, verdicts=True) for text in filters]
    await changed(service, table, 1)
    assert all(
        "secret" in data["record"]
        for each in (plain, selecting, everything)
        for data in each.data
        if data["table"] == table and "record" in data
    )
    assert any(each.data for each in filtering)
    for each in (plain, selecting, everything, *filtering):
        each.received.clear()
    engine.run(f"revoke select (secret) on {table} from limited")
    await changed(service, table, 2)
    told = [plain, selecting, everything]
    assert [kinds(each)[:3] for each in told] == [["INSERT", "UPDATE", "DELETE"]] * 3
    assert "'s2'" not in str([each.received for each in told])
    assert all("secret" not in [column["name"] for column in data["columns"]] for each in told for data in each.data)
    assert [each.data for each in filtering] == [[]] * len(filters)
    assert {verdict["reason"] for each in filtering for verdict in each.verdicts} == {"no_privilege"}
    engine.run(f"grant select (secret) on {table} to limited")
    await changed(service, table, 3)
    assert [data["record"]["secret"] for data in plain.data[3:5]] == ["s3"] * 2
    assert kinds(filtering[1])[:2] == ["INSERT", "UPDATE"]


async def test_who_may_no_longer_read_the_key_is_sent_nothing(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    limited = await service.join(LIMITED, *TABLES, verdicts=True)
    for table in TABLES:
        engine.run(f"revoke select (id) on {table} from limited")
        await changed(service, table, 1)
    assert limited.data == []
    assert {verdict["reason"] for verdict in limited.verdicts} == {"no_privilege"}


async def test_a_partitions_grants_open_no_column_of_its_root(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA + "alter publication supabase_realtime set (publish_via_partition_root = false);")
    authorized = await service.pipeline.authorize(LIMITED, [Binding(1, "*", "public", "parted", "owner=not.is.null")])
    assert [problem.text for problem in authorized.problems] == ["invalid column for filter owner"]
    limited = await service.join(LIMITED, "parted")
    engine.run("insert into parted (id, body) values (1, 'b')")
    assert (await limited.until(1))[0]["record"] == {"id": 1, "body": "b", "secret": None}


RENAMES = "alter table {0} rename {1} to x; alter table {0} rename {2} to {1}; alter table {0} rename x to {2};"


@pytest.mark.every_version
@pytest.mark.parametrize("table", TABLES)
async def test_names_that_columns_swap_take_no_privilege_along(engine: Engine, start: Start, table: str) -> None:
    """The stream has described the table before, and describes it anew only with the next change after the renaming."""
    service = await start(SCHEMA + f"revoke select (secret) on {table} from limited;")
    limited = await service.join(LIMITED, table)
    filtering = await service.join(LIMITED, table, filter="body=like.%hush 1%")
    engine.run(f"insert into {table} (id, body, secret) values (1, 'b', 'hush 1'), (2, 'b', 'hush 1')")
    await limited.until(2)
    engine.run(f"begin; delete from {table} where id = 1; {RENAMES.format(table, 'body', 'secret')} delete from {table}; commit")
    await service.settled()
    engine.run(f"insert into {table} (id, secret, body) values (3, 'b', 'hush 1')")
    await service.settled()
    assert "hush 1" not in str(limited.received)
    assert kinds(limited)[-1] == "INSERT"
    assert limited.data[-1]["record"] == {"id": 3, "secret": "b"}
    assert filtering.data == []


async def test_a_filter_on_a_column_that_was_dropped_says_so(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    filtering = [
        await service.join(SERVICE, "files", filter=text, verdicts=True)
        for text in ("body=eq.b", "body=not.eq.x", "body=is.null")
    ]
    engine.run("insert into files (id, body) values (1, 'b')")
    await filtering[0].until(1)
    engine.run("alter table files drop column body; insert into files (id) values (2)")
    await service.settled()
    engine.run("alter table files add column body int default 7; insert into files (id) values (3)")
    await service.settled()
    told = [[verdict["reason"] for verdict in each.verdicts] for each in filtering]
    assert told == [["filter_failed", "filtered"], ["filter_failed"], ["filtered", "filter_failed", "filtered"]]
    assert [[data["record"]["id"] for data in each.data] for each in filtering] == [[1], [1, 3], []]


async def test_what_a_filter_refuses_does_not_tell_hidden_columns_from_missing_ones(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)

    async def refusal(**binding: Any) -> list[str]:
        authorized = await service.pipeline.authorize(LIMITED, [Binding(1, "*", "public", "files", **binding)])
        return [problem.text.replace(binding.get("filter", "x").split("=")[0], "?") for problem in authorized.problems]

    assert await refusal(filter="owner=eq.1") == await refusal(filter="nowhere=eq.1") == ["invalid column for filter ?"]
    assert await refusal(filter="owner=match.(") == await refusal(filter="nowhere=match.(")


@pytest.mark.every_version
@pytest.mark.parametrize("key", ["int", "uuid", "text"])
async def test_a_policy_that_raises_for_another_row_hides_no_row_from_roles_with_column_grants(
    engine: Engine, start: Start, key: str
) -> None:
    """Its rows are looked up by key, and Postgres may ask policies first about every row that it comes across."""
    one, other = {"int": ("1", "2"), "text": ("1", "2"), "uuid": (ALICE, ALICE.replace("1", "2"))}[key]
    service = await start(f"""
        create table shares (id {key} primary key, parts int, body text); alter table shares enable row level security;
        create policy divided on shares using (1 / parts = 1); insert into shares values ('{one}', 0);
        grant select (id, parts) on shares to limited; grant select on shares to service_role;
        create publication supabase_realtime for table shares;""")
    limited = await service.join(LIMITED, "shares", verdicts=True)
    engine.run(f"insert into shares values ('{other}', 1); update shares set body = 'b' where id = '{one}'")
    await service.settled()
    assert [str(data["record"]["id"]) for data in limited.data] == [other]
    assert [verdict["reason"] for verdict in limited.verdicts] == ["policy_raised"]
