"""Partitioned tables through the running river: the root's policies and grants decide, whichever partition a row is in."""

import pytest

from realtime_inspector.model import Binding
from realtime_inspector.postgres import sql
from tests.postgres.conftest import Engine
from tests.postgres.river import ANON, SERVICE, Start, start, user

__all__ = ["start"]

ALICE, BOB = (f"{n:08d}-0000-0000-0000-000000000000" for n in (1, 2))
LEAVES = ("few", "many_low", "many_high", "other")


def schema(via_root: bool, identity: str = "default") -> str:
    """A root with a partition, a partitioned one and one of another column order; the leaves give everything to everybody."""
    leaves = "".join(
        f"grant select on {leaf} to anon, authenticated; alter table {leaf} replica identity {identity};" for leaf in LEAVES
    )
    return f"""
        create table parted (id int, owner uuid, body text, primary key (id)) partition by range (id);
        create table few partition of parted for values from (0) to (100);
        create table many partition of parted for values from (100) to (1000) partition by range (id);
        create table many_low partition of many for values from (100) to (200);
        create table many_high partition of many for values from (200) to (1000);
        create table other (gone int, body text, id int not null, owner uuid);
        alter table other drop column gone; alter table parted attach partition other for values from (1000) to (9999);
        alter table parted replica identity {identity}; alter table parted enable row level security;
        create policy own on parted using (owner = (select auth.uid()));
        grant select on parted to authenticated, anon, service_role; grant select (id, body) on parted to limited; {leaves}
        create publication supabase_realtime for table parted with (publish_via_partition_root = {str(via_root).lower()});"""


published = pytest.mark.parametrize("via_root", [True, False], ids=["as the root", "as partitions"])
ROWS = f"""insert into parted values (1, '{ALICE}', 'a'), (2, '{BOB}', 'b'), (101, '{BOB}', 'c'), (102, '{ALICE}', 'd'),
    (201, '{ALICE}', 'e'), (1001, '{BOB}', 'f'), (1002, '{ALICE}', 'g')"""


@published
@pytest.mark.every_version
async def test_the_roots_policies_decide_in_every_partition(engine: Engine, start: Start, via_root: bool) -> None:
    """Rows of different partitions are stored at places of the same name, and the partitions themselves hide nothing."""
    service = await start(schema(via_root))
    alice, bob, boss = [await service.join(who, "parted") for who in (user(ALICE), user(BOB), SERVICE)]
    everything, limited = await service.join(ANON, "*", verdicts=True), await service.join(user(BOB, "limited"), "parted")
    engine.run(ROWS + f"; begin; update parted set body = body || '!'; insert into parted values (3, '{BOB}', 'h'); commit")
    received = await boss.until(15)
    await service.settled()
    assert [d["record"]["id"] for d in received[:7]] == [1, 2, 101, 102, 201, 1001, 1002]
    assert {(d["schema"], d["table"]) for d in received} == {("public", "parted")}
    assert {tuple(c["name"] for c in d["columns"]) for d in received} == {("id", "owner", "body")}
    assert [d["record"]["id"] for d in alice.data] == [1, 102, 201, 1002] * 2
    assert [d["record"]["id"] for d in bob.data] == [2, 101, 1001, 2, 101, 1001, 3]
    assert [d["record"] for d in limited.data if d["type"] == "UPDATE"] == [
        {"id": n, "body": body} for n, body in ((2, "b!"), (101, "c!"), (1001, "f!"))
    ]
    assert everything.data == []
    assert {(v["table"], v["reason"]) for v in everything.verdicts} == {
        ("parted", "hidden_by_policy"),
        ("marker", "no_privilege"),
    }


@published
@pytest.mark.every_version
async def test_deletions_are_decided_by_the_roots_policies(engine: Engine, start: Start, via_root: bool) -> None:
    service = await start(schema(via_root, "full"))
    engine.run(ROWS)
    alice, limited = await service.join(user(ALICE), "parted"), await service.join(user(ALICE, "limited"), "parted")
    engine.run("delete from parted")
    await service.settled()
    assert [d["old_record"] for d in alice.data] == [
        {"id": n, "owner": ALICE, "body": body} for n, body in ((1, "a"), (102, "d"), (201, "e"), (1002, "g"))
    ]
    assert [d["old_record"] for d in limited.data] == [
        {"id": n, "body": b} for n, b in ((1, "a"), (102, "d"), (201, "e"), (1002, "g"))
    ]


@published
@pytest.mark.every_version
async def test_what_a_partition_did_not_log_is_not_taken_for_null(engine: Engine, start: Start, via_root: bool) -> None:
    """pgoutput marks old rows as whole by the root's replica identity, although the partition wrote the key only."""
    service = await start(
        schema(via_root, "full")
        + "alter table few replica identity default; create policy nobodys on parted using (owner is null);"
    )
    engine.run(ROWS)
    alice, boss = await service.join(user(ALICE), "parted", verdicts=True), await service.join(SERVICE, "parted")
    engine.run("delete from parted where id = 1; delete from parted where id = 2")
    await service.settled()
    assert [d["old_record"] for d in boss.data] == [{"id": 1}, {"id": 2}]
    assert alice.data == []
    assert [v["reason"] for v in alice.verdicts] == ["old_row_unknown"] * 2


@published
async def test_a_key_that_a_partition_did_not_log_is_not_made_up(engine: Engine, start: Start, via_root: bool) -> None:
    service = await start(
        schema(via_root)
        + """create unique index bodies on few (body); alter table few alter body set not null;
        alter table few replica identity using index bodies;"""
    )
    engine.run(ROWS)
    boss = await service.join(SERVICE, "parted", verdicts=True)
    engine.run("delete from parted where id = 1; update parted set id = 3, body = 'B' where id = 2")
    await service.settled()
    assert [(d["type"], d["record"], d["old_record"]) for d in boss.data] == [
        ("UPDATE", {"id": 3, "owner": BOB, "body": "B"}, {}),
    ]
    assert [v["reason"] for v in boss.verdicts] == ["no_key"]


@published
async def test_a_row_that_moves_between_partitions_is_deleted_and_inserted(engine: Engine, start: Start, via_root: bool) -> None:
    service = await start(schema(via_root, "full"))
    engine.run(ROWS)
    alice, bob = await service.join(user(ALICE), "parted"), await service.join(user(BOB), "parted")
    engine.run("update parted set id = 1500 where id = 1")
    assert [(d["type"], (d.get("record") or d["old_record"])["id"]) for d in await alice.until(2)] == [
        ("DELETE", 1),
        ("INSERT", 1500),
    ]
    await service.settled()
    assert bob.data == []


@published
@pytest.mark.every_version
async def test_a_join_of_a_partition_names_its_root(engine: Engine, start: Start, via_root: bool) -> None:
    service = await start(schema(via_root))
    for leaf in ("few", "many", "many_low"):
        authorized = await service.pipeline.authorize(user(ALICE), [Binding(1, "*", "public", leaf)])
        assert authorized.subscriptions == ()
        assert "subscribe to the root" in authorized.problems[0].text


@published
async def test_the_page_offers_the_root(engine: Engine, via_root: bool) -> None:
    engine.run(schema(via_root))
    offered = engine.run(sql.load("published_tables").replace("$1", "'supabase_realtime'"))
    assert [row[:2] for row in offered] == [("public", "parted")]


@published
async def test_partitions_come_and_go_while_streaming(engine: Engine, start: Start, via_root: bool) -> None:
    service = await start(schema(via_root))
    alice, bob = await service.join(user(ALICE), "parted"), await service.join(user(BOB), "parted", verdicts=True)
    engine.run(f"insert into parted values (1, '{ALICE}', 'a')")
    engine.run("""create table late (like parted including all);
        alter table parted attach partition late for values from (10000) to (20000)""")
    engine.run(f"insert into parted values (10001, '{ALICE}', 'b')")
    assert [d["record"]["id"] for d in await alice.until(2)] == [1, 10001]
    engine.run(f"begin; insert into parted values (10002, '{ALICE}', 'c'); alter table parted detach partition late; commit")
    engine.run(f"insert into late values (10003, '{ALICE}', 'not of the root'); insert into parted values (2, '{ALICE}', 'd')")
    assert [d["record"]["id"] for d in await alice.until(3)] == [1, 10001, 2]
    assert bob.data == []


@published
@pytest.mark.every_version
async def test_rows_of_a_dropped_partition_are_gone_and_the_others_go_on(engine: Engine, start: Start, via_root: bool) -> None:
    service = await start(schema(via_root))
    alice = await service.join(user(ALICE), "parted", verdicts=True)
    engine.run(f"insert into parted values (1, '{ALICE}', 'a')")
    await alice.until(1)
    engine.run(f"begin; insert into parted values (2, '{ALICE}', 'b'), (101, '{ALICE}', 'c'); drop table few; commit")
    engine.run("truncate many_low; truncate parted")
    engine.run(f"insert into parted values (102, '{ALICE}', 'd')")
    await service.settled()
    assert [d["record"]["id"] for d in alice.data] == [1, 102]
    assert {v["reason"] for v in alice.verdicts} == {"row_gone", "unsupported_relation"}


@published
async def test_a_row_on_which_a_policy_raises_hides_none_of_another_partition(
    engine: Engine, start: Start, via_root: bool
) -> None:
    service = await start(schema(via_root) + "create policy fragile on parted as restrictive using (1 / (id - 1) is not null);")
    alice = await service.join(user(ALICE), "parted", verdicts=True)
    engine.run(ROWS)
    await service.settled()
    assert [d["record"]["id"] for d in alice.data] == [102, 201, 1002]
    assert [v["reason"] for v in alice.verdicts].count("policy_raised") == 1


@published
async def test_keys_that_a_partition_cannot_be_found_by(engine: Engine, start: Start, via_root: bool) -> None:
    """By hash, of a type whose equality is not leakproof, and of several columns."""
    service = await start(f"""
        create table sums (tag text, id numeric, owner uuid, primary key (tag, id)) partition by hash (id);
        {"".join(f"create table sums_{n} partition of sums for values with (modulus 4, remainder {n});" for n in range(4))}
        alter table sums enable row level security; create policy own on sums using (owner = (select auth.uid()));
        grant select on sums to authenticated, service_role; grant select (tag, id) on sums to limited;
        create publication supabase_realtime for table sums with (publish_via_partition_root = {str(via_root).lower()});""")
    alice, limited = await service.join(user(ALICE), "sums"), await service.join(user(ALICE, "limited"), "sums")
    engine.run(
        f"insert into sums select 'x', n / 2.0, case when n % 3 = 0 then '{ALICE}'::uuid end from generate_series(1, 60) n"
    )
    await service.settled()
    assert [d["record"]["id"] for d in alice.data] == [n / 2 for n in range(3, 61, 3)]
    assert [d["record"] for d in limited.data] == [{"tag": "x", "id": n / 2} for n in range(3, 61, 3)]
