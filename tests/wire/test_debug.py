"""`debug` says what the client can mend itself, and stays silent about everything that policies and rights keep from it."""

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from realtime_inspector.model import Reason, Told
from tests.wire.demo import Demo
from tests.wire.raw import VERSIONS, Message, Socket, opened

ROOM = "realtime:debug"
ENTRY = {"event": "*", "schema": "public", "table": "tweets"}
Admin = psycopg.Connection[Any]


@pytest.mark.parametrize("reason", Reason)
def test_only_ones_own_filters_are_told_of_with_ones_own_token(reason: Reason) -> None:
    assert Told.OWN.of(reason) is (reason in (Reason.FILTERED, Reason.FILTER_FAILED))
    assert Told.EVERYTHING.of(reason) is (reason is not Reason.DELIVERED)
    assert not Told.NOTHING.of(reason)


@pytest.fixture(params=VERSIONS)
def alice(demo: Demo, request: pytest.FixtureRequest) -> Iterator[Socket]:
    with opened(demo.url, demo.person("alice").token, request.param) as socket:
        yield socket


def tweet(admin: Admin, demo: Demo, name: str, text: str) -> None:
    admin.execute("insert into public.tweets (user_id, content) values (%s, %s)", [demo.person(name).id, text])


def heard(socket: Socket, last: str) -> list[Message]:
    """What came up to the change with this content."""

    def is_last(message: Message) -> bool:
        return message.event == "postgres_changes" and (message.payload["data"].get("record") or {}).get("content") == last

    return socket.until(is_last)


@pytest.mark.parametrize("place", ["config", "broadcast"])
def test_what_the_own_filter_keeps_back_is_told_and_hidden_rows_are_not(
    demo: Demo, admin: Admin, alice: Socket, place: str
) -> None:
    entry = {**ENTRY, "filter": "content=like.wanted%"}
    config = {"debug": True} if place == "config" else {"broadcast": {"debug": True}}
    alice.join(ROOM, entry, presence={"enabled": False}, **config)
    mark = uuid.uuid4().hex
    tweet(admin, demo, "bob", f"wanted {mark} hidden by the policy")
    tweet(admin, demo, "bob", f"other {mark} hidden by policy and filter")
    tweet(admin, demo, "alice", f"other {mark} kept back by the filter")
    admin.execute("update public.tweets set content = content || '!' where user_id = %s", [demo.person("bob").id])
    tweet(admin, demo, "alice", f"wanted {mark}")
    admin.execute("delete from public.tweets where user_id = %s", [demo.person("bob").id])
    tweet(admin, demo, "alice", f"wanted {mark} too")
    messages = [m for m in heard(alice, f"wanted {mark} too") if m.payload.get("message") != "Subscribed to PostgreSQL"]
    changes = [m.payload["data"]["record"]["content"] for m in messages if m.event == "postgres_changes"]
    assert changes == [f"wanted {mark}", f"wanted {mark} too"]
    (told,) = [m.payload for m in messages if m.event == "system"]
    assert (told["status"], told["message"], told["verdict"]["reason"], told["verdict"]["type"]) == (
        *("ok", "filtered", "filtered"),
        "INSERT",
    )
    assert len(messages) == 3


def test_a_missing_grant_is_told_at_the_join_and_nothing_of_the_rows(demo: Demo, admin: Admin, alice: Socket) -> None:
    admin.execute("create table public.ungranted (id int primary key, body text)")
    admin.execute("revoke all on public.ungranted from anon, authenticated")
    admin.execute("alter publication supabase_realtime add table public.ungranted")
    try:
        alice.send(
            ROOM, "phx_join", {"config": {"debug": True, "postgres_changes": [ENTRY, {"schema": "public", "table": "ungranted"}]}}
        )
        (told,) = [m.payload for m in alice.until(lambda m: "debug" in m.payload) if "debug" in m.payload]
        assert (told["status"], told["message"], told["debug"]["code"]) == ("ok", "NoPrivilege", "NoPrivilege")
        assert "grant select on public.ungranted to authenticated" in told["debug"]["hint"]
        admin.execute("insert into public.ungranted values (1, 'secret')")
        admin.execute("update public.ungranted set body = 'more'")
        mark = uuid.uuid4().hex
        tweet(admin, demo, "alice", mark)
        events = [m.event for m in heard(alice, mark) if "gap" not in m.payload]  # the table is new to the publication
        assert [event for event in events if "presence" not in event] == ["postgres_changes"]
    finally:
        admin.execute("drop table public.ungranted")


def test_without_debug_nothing_is_told(demo: Demo, admin: Admin, alice: Socket) -> None:
    alice.join(ROOM, {**ENTRY, "filter": "content=like.wanted%"}, presence={"enabled": False}, verdicts=True)
    mark = uuid.uuid4().hex
    tweet(admin, demo, "alice", f"other {mark}")
    tweet(admin, demo, "alice", f"wanted {mark}")
    messages = [m for m in heard(alice, f"wanted {mark}") if m.payload.get("message") != "Subscribed to PostgreSQL"]
    assert [m.event for m in messages] == ["postgres_changes"]
