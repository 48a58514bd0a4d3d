"""Who is told that a row is gone or left their sight: those who were sent it, or could see it, and nobody else."""

from typing import Any

import pytest

from realtime_inspector.model import Binding
from realtime_inspector.pipeline.rendering import Rendering
from realtime_inspector.visibility.audience import AudienceKey
from tests.postgres.conftest import Engine
from tests.postgres.river import ANON, SERVICE, Service, Start, Subscriber, start, user

__all__ = ["start"]

ALICE, BOB = (f"{n:08d}-0000-0000-0000-000000000000" for n in (1, 2))
SCHEMA = """
create table notes (id int primary key, owner uuid, body text, public boolean not null default false, secret text);
alter table notes enable row level security;
create policy own on notes for select using (public or owner = (select auth.uid()));
create table open (id int primary key, room int, name text);
grant select on notes, open to authenticated, service_role; grant select on open to anon;
grant select (id, owner, public, body) on notes to limited;
create publication supabase_realtime for table notes, open;
"""


async def follow(service: Service, *statements: str) -> None:
    """Runs the statements, each of them after everything before it was handed over."""
    for statement in statements:
        service.engine.run(statement)
        await service.settled()


def told(subscriber: Subscriber) -> list[tuple[str, Any]]:
    """The kind of each change and the key that it names: of a deletion the old one."""
    return [(d["type"], (d["old_record"] if d["type"] == "DELETE" else d["record"])["id"]) for d in subscriber.data]


async def test_whoever_was_sent_a_row_is_told_when_it_is_deleted(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    alice, bob = [await service.join(user(who), "notes", verdicts=True) for who in (ALICE, BOB)]
    await follow(service, f"insert into notes values (1, '{ALICE}', 'a'), (2, '{BOB}', 'b')")
    await follow(service, "delete from notes")
    assert told(alice) == [("INSERT", 1), ("DELETE", 1)]
    assert alice.data[-1]["old_record"] == {"id": 1}
    assert [v["reason"] for v in alice.verdicts] == ["hidden_by_policy", "old_row_unknown"]
    assert told(bob) == [("INSERT", 2), ("DELETE", 2)]


async def test_a_key_that_is_used_again_for_a_hidden_row_is_nobodys(engine: Engine, start: Start) -> None:
    """A row is sent, moves out of the filter, and is deleted; then another one has its key, hidden, and is deleted as well."""
    service = await start(SCHEMA)
    alice = await service.join(user(ALICE), "notes", filter=f"owner=eq.{ALICE}")
    await follow(service, f"insert into notes values (1, '{ALICE}', 'a')")
    await follow(service, f"update notes set owner = '{BOB}'")
    await follow(service, "delete from notes")
    await follow(service, f"insert into notes values (1, '{BOB}', 'b')")
    await follow(service, "delete from notes")
    assert told(alice) == [("INSERT", 1), ("DELETE", 1)]


@pytest.mark.parametrize("together", [True, False], ids=["in one transaction", "one after the other"])
@pytest.mark.parametrize(
    "taking",
    [
        "delete from notes where id = 1",
        "update notes set id = 3 where id = 1",
        "truncate notes",
        "alter publication supabase_realtime drop table notes; delete from notes; "
        "alter publication supabase_realtime add table notes",
    ],
    ids=["deleted", "its key changed", "emptied", "deleted behind our back"],
)
async def test_a_key_is_forgotten_by_whatever_frees_it(engine: Engine, start: Start, taking: str, together: bool) -> None:
    service = await start(SCHEMA)
    alice = await service.join(user(ALICE), "notes")
    await follow(service, f"insert into notes values (1, '{ALICE}', 'a')")
    again = f"{taking}; insert into notes values (1, '{BOB}', 'b'); delete from notes where id = 1"
    await follow(service, *([f"begin; {again}; commit"] if together else again.split("; ")))
    assert [row for row in told(alice) if row == ("DELETE", 1)] == [("DELETE", 1)] * (taking == "delete from notes where id = 1")


async def test_sockets_that_share_an_audience_are_told_of_what_they_were_sent_themselves(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    first = await service.join(user(ALICE), "notes")
    await follow(service, f"insert into notes values (1, '{ALICE}', 'a'), (2, '{ALICE}', 'b')")
    second = await service.join(user(ALICE), "notes")
    await follow(service, "update notes set body = 'c' where id = 2")
    await follow(service, "delete from notes")
    assert told(first) == [("INSERT", 1), ("INSERT", 2), ("UPDATE", 2), ("DELETE", 1), ("DELETE", 2)]
    assert told(second) == [("UPDATE", 2), ("DELETE", 2)]


async def test_who_joins_again_was_sent_nothing(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    alice, other = await service.join(user(ALICE), "notes"), await service.join(user(ALICE), "notes")
    await follow(service, f"insert into notes values (1, '{ALICE}', 'a')")
    service.index.unsubscribe(alice, "realtime:room")
    authorized = await service.pipeline.authorize(user(ALICE), [Binding(1, "*", "public", "notes")])
    service.index.subscribe(alice, "realtime:room", "2.0.0", user(ALICE), authorized, False)
    await follow(service, "delete from notes")
    assert (told(alice), told(other)) == ([("INSERT", 1)], [("INSERT", 1), ("DELETE", 1)])


@pytest.mark.parametrize("follower", [user(ALICE), user(BOB)], ids=["the same user", "another user"])
async def test_a_new_token_of_the_same_user_continues(engine: Engine, start: Start, follower: Any) -> None:
    service = await start(SCHEMA)
    alice = await service.join(user(ALICE), "notes")
    await follow(service, f"insert into notes values (1, '{ALICE}', 'a')")
    renewed = type(follower)(follower.role, follower.claims.replace("}", ',"exp":9}'))
    authorized = await service.pipeline.authorize(renewed, [Binding(1, "*", "public", "notes")])
    service.index.subscribe(alice, "realtime:room", "2.0.0", renewed, authorized, False)
    await follow(service, "delete from notes")
    assert told(alice) == [("INSERT", 1), ("DELETE", 1)][: 2 if follower == user(ALICE) else 1]


async def test_a_deletion_names_what_the_role_may_read_now(engine: Engine, start: Start) -> None:
    service = await start(
        SCHEMA
        + """
        create table pairs (a int, b int, owner uuid, primary key (a, b)); alter table pairs enable row level security;
        create policy own on pairs for select using (owner = (select auth.uid()));
        grant select on pairs to authenticated; alter publication supabase_realtime add table pairs;"""
    )
    alice = await service.join(user(ALICE), "pairs", select=("owner",))
    await follow(service, f"insert into pairs select n, n, '{ALICE}' from generate_series(1, 3) n")
    await follow(service, "delete from pairs where a = 1")
    await follow(service, "revoke select on pairs from authenticated; grant select (a, b) on pairs to authenticated")
    await follow(service, "delete from pairs where a = 2")
    await follow(service, "revoke select (b) on pairs from authenticated; delete from pairs where a = 3")
    assert [d["old_record"] for d in alice.data if d["type"] == "DELETE"] == [{"a": 1, "b": 1}, {"a": 2, "b": 2}]


async def test_a_filter_on_what_may_not_be_read_any_more_tells_nothing(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    filtered, every = [await service.join(user(ALICE), "notes", filter=text) for text in ("body=eq.a", None)]
    await follow(service, f"insert into notes values (1, '{ALICE}', 'a')")
    await follow(service, "revoke select on notes from authenticated; grant select (id, owner, public) on notes to authenticated")
    await follow(service, "delete from notes")
    assert (told(filtered), told(every)) == ([("INSERT", 1)], [("INSERT", 1), ("DELETE", 1)])


async def test_without_policies_a_filtered_subscription_is_told_of_what_it_was_sent(engine: Engine, start: Start) -> None:
    """The log has the key only, on which the filter cannot be decided."""
    service = await start(SCHEMA)
    five, every = await service.join(ANON, "open", filter="room=eq.5"), await service.join(ANON, "open")
    await follow(service, "insert into open values (1, 5, 'a'), (2, 6, 'b')")
    await follow(service, "delete from open")
    assert told(every) == [("INSERT", 1), ("INSERT", 2), ("DELETE", 1), ("DELETE", 2)]
    assert told(five) == [("INSERT", 1), ("DELETE", 1)]


async def test_a_changed_key_is_told_with_the_old_one_to_who_was_sent_that(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    alice = await service.join(user(ALICE), "notes")
    await follow(service, f"insert into notes values (1, '{ALICE}', 'a', true)")
    bob = await service.join(user(BOB), "notes")
    await follow(service, "update notes set id = 2")
    await follow(service, "delete from notes")
    assert [(d["record"]["id"], d["old_record"]) for d in (alice.data[1], bob.data[0])] == [(2, {"id": 1}), (2, {})]
    assert told(alice)[-1] == told(bob)[-1] == ("DELETE", 2)


async def test_rows_that_are_given_other_keys_by_ddl_are_other_rows(engine: Engine, start: Start) -> None:
    """The log has nothing of it: who was sent row 1 was not sent what has that key now."""
    service = await start(SCHEMA)
    alice = await service.join(user(ALICE), "notes")
    await follow(service, f"insert into notes values (1, '{ALICE}', 'a'), (2, '{BOB}', 'b')")
    await follow(service, "alter table notes alter column id type int using 3 - id", "delete from notes where id = 1")
    assert told(alice) == [("INSERT", 1)]


async def test_keys_to_everybody_do_not_need_a_memory(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA, deletes="keys", remembered_rows=0)
    alice, bob = [await service.join(user(who), "notes") for who in (ALICE, BOB)]
    await follow(service, f"insert into notes values (1, '{ALICE}', 'a')")
    await follow(service, "delete from notes")
    assert (told(alice), told(bob)) == ([("INSERT", 1), ("DELETE", 1)], [("DELETE", 1)])


async def test_without_a_memory_a_deletion_is_withheld(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA, remembered_rows=0)
    alice = await service.join(user(ALICE), "notes", verdicts=True)
    await follow(service, f"insert into notes values (1, '{ALICE}', 'a')")
    await follow(service, "delete from notes")
    assert told(alice) == [("INSERT", 1)]
    assert [v["reason"] for v in alice.verdicts] == ["old_row_unknown"]


async def test_a_row_that_leaves_is_told_as_a_deletion_to_who_has_it(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA, left_view="delete")
    await follow(service, f"insert into notes values (1, '{ALICE}', 'a', true), (2, '{ALICE}', 'b', true)")
    alice, bob, boss = [
        await service.join(who, "notes", verdicts=who is not SERVICE) for who in (user(ALICE), user(BOB), SERVICE)
    ]
    await follow(service, "update notes set body = 'c' where id = 1")
    await follow(service, "update notes set public = false where id = 1", "update notes set public = false where id = 2")
    await follow(service, "update notes set body = 'hidden' where id = 1", "delete from notes where id = 1")
    assert told(bob) == [("UPDATE", 1), ("DELETE", 1)]
    assert bob.data[-1]["old_record"] == {"id": 1}
    reasons = [v["reason"] for v in bob.verdicts]
    assert reasons == ["left_view", "hidden_by_policy", "hidden_by_policy", "old_row_unknown"]
    assert told(alice) == told(boss) == [("UPDATE", 1), ("UPDATE", 1), ("UPDATE", 2), ("UPDATE", 1), ("DELETE", 1)]


async def test_by_default_nobody_is_told_that_a_row_left_until_it_is_deleted(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA)
    bob = await service.join(user(BOB), "notes", verdicts=True)
    await follow(service, f"insert into notes values (1, '{ALICE}', 'a', true)")
    await follow(service, "update notes set public = false")
    await follow(service, "delete from notes")
    assert told(bob) == [("INSERT", 1), ("DELETE", 1)]
    assert [v["reason"] for v in bob.verdicts] == ["hidden_by_policy"]


async def test_a_row_leaves_a_filter_for_who_was_sent_it_and_by_the_old_row(engine: Engine, start: Start) -> None:
    """With the whole old row in the log, those who have not been sent the row are told as well."""
    service = await start(SCHEMA + "alter table open replica identity full;", left_view="delete")
    await follow(service, "insert into open values (1, 5, 'a'), (2, 6, 'b')")
    five, like, late = [await service.join(ANON, "open", filter=f) for f in ("room=eq.5", "name=like.a%", "room=eq.6")]
    await follow(service, "update open set name = 'c' where id = 1")
    await follow(service, "update open set room = 7")
    assert told(five) == [("UPDATE", 1), ("DELETE", 1)]
    assert told(like) == [("DELETE", 1)]
    assert told(late) == [("DELETE", 2)]
    assert late.data[0]["old_record"] == {"id": 2}


async def test_who_saw_the_old_row_is_told_that_it_left_where_policies_are_timeless(engine: Engine, start: Start) -> None:
    service = await start(
        SCHEMA
        + """
        alter table notes replica identity full;
        create table team (member uuid primary key); grant select on team to authenticated;
        create table plans (id int primary key, public boolean); alter table plans enable row level security;
        create policy members on plans for select using (public and exists (select from team where member = (select auth.uid())));
        alter table plans replica identity full; grant select on plans to authenticated;
        alter publication supabase_realtime add table plans;""",
        left_view="delete",
    )
    await follow(service, f"insert into team values ('{BOB}')")
    await follow(
        service, f"insert into notes values (1, '{ALICE}', 'SECRET', true); insert into plans values (1, true), (2, true)"
    )
    bob, planner = await service.join(user(BOB), "notes"), await service.join(user(BOB), "plans")
    await follow(service, "update plans set public = true where id = 2")
    await follow(service, "update notes set public = false; update plans set public = false")
    assert [(d["type"], d["old_record"]) for d in bob.data] == [("DELETE", {"id": 1})]
    assert told(planner) == [("UPDATE", 2), ("DELETE", 2)]


async def test_what_never_was_in_sight_does_not_leave_it(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA + "alter table notes replica identity full;", left_view="delete")
    bob = await service.join(user(BOB), "notes")
    engine.run(
        f"insert into notes values (1, '{ALICE}', 'a'); update notes set body = 'b'; update notes set id = 2; delete from notes"
    )
    assert bob.received == []


async def test_a_key_that_changes_out_of_sight_leaves_by_the_key_that_was_sent(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA, left_view="delete")
    bob = await service.join(user(BOB), "notes")
    await follow(service, f"insert into notes values (1, '{ALICE}', 'a', true)")
    await follow(service, "update notes set id = 77, public = false")
    await follow(service, "delete from notes")
    assert told(bob) == [("INSERT", 1), ("DELETE", 1)]
    assert bob.data[-1]["old_record"] == {"id": 1}


async def test_only_who_listens_to_deletions_is_told_that_a_row_left(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA, left_view="delete")
    updates = await service.join(ANON, "open", event="UPDATE", filter="room=eq.5")
    bindings = [Binding(n, event, "public", "open", "room=eq.5") for n, event in enumerate(("INSERT", "DELETE"), 1)]
    both = await _join(service, bindings)
    await follow(service, "insert into open values (1, 5, 'a')")
    await follow(service, "update open set room = 6")
    assert told(updates) == []
    assert [(payload["ids"], payload["data"]["type"]) for payload in both.received] == [([1], "INSERT"), ([2], "DELETE")]


async def test_each_subscription_of_a_channel_loses_and_keeps_rows_for_itself(engine: Engine, start: Start) -> None:
    service = await start(SCHEMA, left_view="delete")
    bindings = [Binding(n, "*", "public", "open", filter) for n, filter in enumerate(("room=eq.5", "room=eq.6", None), 1)]
    channel = await _join(service, bindings)
    await follow(service, "insert into open values (1, 5, 'a')")
    await follow(service, "update open set room = 6")
    await follow(service, "delete from open")
    assert [(payload["ids"], payload["data"]["type"]) for payload in channel.received] == [
        ([1, 3], "INSERT"),
        ([1], "DELETE"),
        ([2, 3], "UPDATE"),
        ([3, 2], "DELETE"),
    ]


async def test_after_a_fault_nobody_is_told_of_what_may_not_have_been_sent(
    engine: Engine, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault is planted: the second of three batches cannot be rendered for one identity."""
    service = await start(SCHEMA)
    alice, bob = [await service.join(user(who), "notes") for who in (ALICE, BOB)]
    await follow(service, f"insert into notes values (1, '{ALICE}', 'a', true)")
    genuine = Rendering.frames

    def faulty(self: Rendering, key: AudienceKey, *others: Any, **more: Any) -> list[bytes]:
        if key.identity == user(BOB):
            raise ZeroDivisionError
        return genuine(self, key, *others, **more)

    monkeypatch.setattr(Rendering, "frames", faulty)
    await follow(service, f"insert into notes values (2, '{ALICE}', 'b', true)")
    monkeypatch.undo()
    await follow(service, "delete from notes")
    assert told(alice) == [("INSERT", 1), ("INSERT", 2), ("DELETE", 1), ("DELETE", 2)]
    assert told(bob) == [("INSERT", 1)]
    assert [payload["gap"]["reason"] for payload in bob.received[1:]] == ["internal_error"]


async def _join(service: Service, bindings: list[Binding]) -> Subscriber:
    subscriber = Subscriber()
    authorized = await service.pipeline.authorize(ANON, bindings)
    service.index.subscribe(subscriber, "realtime:room", "2.0.0", ANON, authorized, False)
    return subscriber
