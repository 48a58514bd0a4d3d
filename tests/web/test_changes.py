"""Changes of rows, as the people see them whose eyes one looks through."""

from typing import Any

import psycopg
from playwright.sync_api import expect

from tests.web.inspector import Inspector

Database = psycopg.Connection[Any]


def tweet(database: Database, inspector: Inspector, author: str, content: str) -> int:
    """A new tweet's id."""
    statement = "insert into tweets (user_id, content) values (%s, %s) returning id"
    return database.execute(statement, [inspector.demo.user(author), content]).fetchone()[0]  # type: ignore[index]


def test_a_user_sees_her_own_rows_come_change_and_go(inspector: Inspector, database: Database) -> None:
    inspector.watch("alice")
    number = tweet(database, inspector, "alice", "first words")
    expect(inspector.row("INSERT", f"tweets{number}", "first words", "allowed")).to_have_count(1)
    database.execute("update tweets set content = 'second thoughts' where id = %s", [number])
    expect(inspector.row("UPDATE", f"tweets{number}", "first words → second thoughts", "allowed")).to_have_count(1)
    database.execute("delete from tweets where id = %s", [number])
    expect(inspector.row("DELETE", f"tweets{number}", "second thoughts", "allowed")).to_have_count(1)


def test_the_diff_shows_what_changed_and_folds_what_did_not(inspector: Inspector, database: Database) -> None:
    inspector.watch("alice")
    number = tweet(database, inspector, "alice", "before it")
    database.execute("update tweets set content = 'after it' where id = %s", [number])
    inspector.row("UPDATE", f"tweets{number}").click()
    expect(inspector.detail).to_contain_text("alice saw this row.")
    changed = inspector.detail.get_by_role("row", name="content")
    expect(changed.locator(".was")).to_have_text("before it")
    expect(changed.locator(".now")).to_have_text("after it")
    inspector.detail.get_by_role("button", name="3 columns unchanged").click()
    expect(inspector.detail.get_by_role("row", name="user_id")).to_contain_text(inspector.demo.user("alice"))


def test_what_others_may_not_read_is_denied_without_its_contents(inspector: Inspector, database: Database) -> None:
    inspector.watch("bob")
    tweet(database, inspector, "alice", "not for bob")
    denied = inspector.row("INSERT", "tweets", "hidden by row policies", "denied")
    expect(denied).to_have_count(1)
    denied.click()
    expect(inspector.detail).to_contain_text("bob did not see this row. No row policy lets bob read it.")
    expect(inspector.page.locator("body")).not_to_contain_text("not for bob")


def test_a_delete_that_cannot_be_checked_says_what_would_help(inspector: Inspector, database: Database) -> None:
    inspector.watch("dave")
    number = database.execute("insert into notes (body, status) values ('short', 'draft') returning id").fetchone()[0]  # type: ignore[index]
    database.execute("delete from notes where id = %s", [number])
    inspector.row("DELETE", "notes", "denied").click()
    expect(inspector.detail).to_contain_text("dave did not see this row.")
    expect(inspector.detail).to_contain_text("alter table public.notes replica identity full;")


def test_everybody_sees_countries_also_without_an_account(inspector: Inspector, database: Database) -> None:
    inspector.watch("anon")
    database.execute("insert into countries (name) values ('Bhutan')")
    expect(inspector.row("INSERT", "countries", "Bhutan", "allowed")).to_have_count(1)
    tweet(database, inspector, "alice", "not for anon")
    expect(inspector.row("INSERT", "tweets", "denied")).to_have_count(1)


def test_two_people_side_by_side_disagree_where_a_policy_says_so(inspector: Inspector, database: Database) -> None:
    inspector.watch("alice", "bob", "anon")
    inspector.compare()
    number = tweet(database, inspector, "alice", "hers alone")
    database.execute("insert into countries (name) values ('Chad')")
    hers = inspector.row("INSERT", f"tweets{number}", "hers alone")
    expect(hers.locator(".mark[data-v=denied]")).to_have_count(2)
    assert inspector.marks(hers) == ["allowed", "denied", "denied"]
    everybodys = inspector.row("INSERT", "countries", "Chad")
    expect(everybodys.locator(".mark[data-v=allowed]")).to_have_count(3)
    inspector.page.get_by_role("button", name="Only differences").click()
    expect(everybodys).to_have_count(0)
    expect(hers).to_have_count(1)
    hers.click()
    expect(inspector.detail).to_contain_text("1 of 3 saw this row.")
    expect(inspector.detail.get_by_role("listitem").filter(has_text="bob")).to_contain_text("No row policy lets bob read it.")


def test_comparing_with_one_view_asks_for_the_second(inspector: Inspector) -> None:
    inspector.watch("alice")
    inspector.page.get_by_role("button", name="Compare").click()
    inspector.become("bob")
    expect(inspector.page.get_by_label("Identities compared")).to_contain_text("bob")


def test_one_view_of_a_compared_stream_shows_only_what_that_one_received(inspector: Inspector, database: Database) -> None:
    inspector.watch("alice", "bob")
    tweet(database, inspector, "alice", "hers alone again")
    expect(inspector.row("INSERT", "tweets", "denied")).to_have_count(1)
    expect(inspector.page.locator("body")).not_to_contain_text("hers alone again")
    inspector.page.get_by_role("button", name="alice").click()
    expect(inspector.row("INSERT", "hers alone again", "allowed")).to_have_count(1)
    inspector.page.get_by_role("button", name="bob").click()
    expect(inspector.page.locator("body")).not_to_contain_text("hers alone again")


def test_a_filter_keeps_other_rows_out_and_counts_them_as_skipped(inspector: Inspector, database: Database) -> None:
    inspector.join("countries", table="countries", event="insert")
    inspector.become("anon")
    inspector.page.get_by_role("button", name="Change or leave countries").click()
    inspector.dialog.get_by_label("Filter on column").select_option("name")
    inspector.dialog.get_by_label("Value").fill("Fiji")
    expect(inspector.dialog).to_contain_text('filter: "name=eq.Fiji"')
    inspector.dialog.get_by_role("button", name="Join again").click()
    expect(inspector.row("joined again", "with other settings")).to_have_count(1)
    expect(inspector.row("system", "Subscribed")).to_have_count(2)
    database.execute("insert into countries (name) values ('Mali'), ('Fiji')")
    expect(inspector.row("INSERT", "Fiji", "allowed")).to_have_count(1)
    expect(inspector.row("INSERT", "Mali")).to_have_count(0)
    expect(inspector.chip("Skipped")).to_contain_text("1")
    inspector.chip("Skipped").click()
    expect(inspector.row("INSERT", "does not match the filter", "skipped")).to_have_count(1)


def test_only_selected_columns_arrive_and_the_others_are_named(inspector: Inspector, database: Database) -> None:
    inspector.join("countries", table="countries")
    inspector.become("anon")
    inspector.page.get_by_role("button", name="Change or leave countries").click()
    inspector.dialog.get_by_text("Every column").click()
    inspector.dialog.get_by_role("checkbox", name="id", exact=True).check()
    inspector.dialog.get_by_role("button", name="Join again").click()
    expect(inspector.row("system", "Subscribed")).to_have_count(2)
    database.execute("insert into countries (name) values ('Togo')")
    inspector.row("INSERT", "countries").click()
    expect(inspector.detail.get_by_role("row", name="name")).to_contain_text("not selected by this subscription")
    expect(inspector.page.locator("body")).not_to_contain_text("Togo")
