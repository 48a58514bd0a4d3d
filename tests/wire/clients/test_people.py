"""Everybody receives the changes of exactly the rows that they can SELECT."""

from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
import pytest

from tests.wire.clients.conftest import Connect
from tests.wire.clients.driver import Channel, Driver
from tests.wire.demo import Demo, Person, Rows, select

Admin = psycopg.Connection[Any]
MARKERS = {"event": "INSERT", "schema": "public", "table": "countries"}
"""Everybody may read countries: whatever was to come before the marker has come when it is there."""


class Watch:
    """People who watch a table, each at a socket of their own, and what they must receive."""

    def __init__(self, admin: Admin, demo: Demo, table: str, watchers: Mapping[Person, Channel]) -> None:
        self._admin = admin
        self._service = demo.person("service")
        self._table = table
        self._watchers = watchers
        (row,) = admin.execute("select relreplident = 'f' from pg_class where oid = %s::regclass", [f"public.{table}"])
        self._full = bool(row[0])
        self._sent: set[tuple[Person, object]] = set()

    def after(self, statement: str, *parameters: object) -> set[str]:
        """Executes a statement that returns the ids of the rows it changes, and holds what came against what SELECT shows.

        Returns the names of those who received something.
        """
        before = self._views()
        ids = [_plain(id_) for (id_,) in self._admin.execute(statement.encode(), parameters)]
        after = self._views()
        assert ids
        (row,) = self._admin.execute("insert into countries (name) values ('a marker') returning id")
        reached = set()
        for person, channel in self._watchers.items():
            received = channel.until("change", lambda event: event["table"] == "countries" and event["record"]["id"] == row[0])
            events = [(event["event"], event["record"], event["old_record"]) for event in received[:-1]]
            expected = [event for id_ in ids for event in self._expected(person, id_, before, after)]
            self._sent |= {(person, record["id"]) for _, record, _ in events if record}
            assert events == expected, f"{person.name}: {statement} {parameters}"
            if events:
                reached.add(person.name)
        return reached

    def _views(self) -> dict[Person, Rows]:
        return {person: select(self._admin, person, self._table)[self._table] for person in {*self._watchers, self._service}}

    def _expected(
        self, person: Person, id_: object, before: Mapping[Person, Rows], after: Mapping[Person, Rows]
    ) -> Iterator[tuple[str, object, object]]:
        """Of a deleted row only the log tells: the policies can be asked about it if the log has it whole.

        Whoever was sent the row is told its key in any case.
        """
        old, new = before[person].get(id_), after[person].get(id_)
        shown = old if old and self._full else {"id": id_}
        if id_ not in before[self._service]:
            yield from [("INSERT", new, {})] if new else []
        elif id_ in after[self._service]:
            yield from [("UPDATE", new, shown)] if new else []
        elif old and (self._full or person.privileged):
            yield "DELETE", {}, shown
        elif (person, id_) in self._sent:
            yield "DELETE", {}, {"id": id_}


def _plain(id_: object) -> object:
    return id_ if isinstance(id_, int) else str(id_)


@pytest.fixture
def watch(connect: Connect, demo: Demo, admin: Admin, driver: Driver) -> Iterator[Any]:
    """watch(table): everybody watches it."""

    def start(table: str) -> Watch:
        everything = {"event": "*", "schema": "public", "table": table}
        watchers = {person: connect(driver, person).join(f"all {table}", everything, MARKERS) for person in demo.people()}
        for channel in watchers.values():
            channel.subscribed()
        return Watch(admin, demo, table, watchers)

    yield start
    admin.execute("delete from tweets where content like 'wire: %'")
    admin.execute("delete from articles where title like 'wire: %'")
    admin.execute("delete from notes where body like 'wire: %'")
    admin.execute("delete from user_roles where user_id = %s", [demo.person("alice").id])


def test_everybody_receives_the_tweets_that_they_can_select(watch: Any, demo: Demo) -> None:
    tweets = watch("tweets")
    for name in ("alice", "bob", "carol", "dave", "vera"):
        author = demo.person(name).id
        assert tweets.after("insert into tweets (user_id, content) values (%s, 'wire: one') returning id", author) == {
            name,
            "service",
        }
    alice, bob = demo.person("alice").id, demo.person("bob").id
    update = "update tweets set content = 'wire: two' where content like 'wire: %%' and user_id = %s returning id"
    assert tweets.after(update, alice) == {"alice", "service"}
    give = "update tweets set user_id = %s where content like 'wire: %%' and user_id = %s returning id"
    assert tweets.after(give, bob, alice) == {"bob", "service"}
    assert tweets.after("update tweets set user_id = null where content = 'wire: two' returning id") == {"service"}
    several = "insert into tweets (user_id, content) values (%s, 'wire: a'), (%s, 'wire: b'), (null, 'wire: c') returning id"
    assert tweets.after(several, alice, bob) == {"alice", "bob", "service"}
    assert tweets.after("delete from tweets where content = 'wire: c' returning id") == {"service"}
    assert tweets.after("delete from tweets where content = 'wire: a' returning id") == {"alice", "service"}
    everyone = {"alice", "bob", "carol", "dave", "vera", "service"}
    assert tweets.after("delete from tweets where content like 'wire: %%' returning id") == everyone


@pytest.mark.parametrize("table", ["articles", "notes"])
def test_admins_editors_and_viewers_receive_by_role(watch: Any, demo: Demo, table: str) -> None:
    texts = watch(table)
    text = {"articles": "title", "notes": "body"}[table]
    wire = f"where {text} like 'wire: %%' returning id"
    staff, all_readers = {"carol", "dave", "service"}, {"carol", "dave", "vera", "service"}
    insert = f"insert into {table} ({text}, author_id) values ('wire: news', %s) returning id"
    assert texts.after(insert, demo.person("dave").id) == staff
    assert texts.after(f"update {table} set status = 'published' {wire}") == all_readers
    assert texts.after(f"update {table} set {text} = 'wire: more news' {wire}") == all_readers
    assert texts.after(f"update {table} set status = 'archived' {wire}") == staff
    assert texts.after(f"delete from {table} {wire}") == all_readers


def test_the_next_event_follows_a_new_role(watch: Any, admin: Admin, demo: Demo) -> None:
    articles = watch("articles")
    alice = demo.person("alice").id
    insert = "insert into articles (title, status) values ('wire: ' || %s, %s) returning id"
    assert articles.after(insert, 1, "published") == {"carol", "dave", "vera", "service"}
    admin.execute("insert into user_roles (user_id, role) values (%s, 'viewer')", [alice])
    assert articles.after(insert, 2, "published") == {"alice", "carol", "dave", "vera", "service"}
    assert articles.after(insert, 3, "draft") == {"carol", "dave", "service"}
    admin.execute("update user_roles set role = 'editor' where user_id = %s", [alice])
    assert articles.after(insert, 4, "draft") == {"alice", "carol", "dave", "service"}
    both = f"with lost as (delete from user_roles where user_id = %s) {insert}"
    assert articles.after(both, alice, 5, "published") == {"carol", "dave", "vera", "service"}
