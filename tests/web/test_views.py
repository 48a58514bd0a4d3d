"""How the list is looked at: fields of the search, matches, saved views, columns, and how the time is told."""

import re
from typing import Any

import psycopg
import pytest
from playwright.sync_api import expect

from tests.web.inspector import Inspector
from tests.web.test_list import fill


def three(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    """A row of alice's, one of bob's and one for everybody, with alice and bob next to each other."""
    inspector.watch("alice", "bob")
    inspector.compare()
    for name in ("alice", "bob"):
        database.execute("insert into tweets (user_id, content) values (%s, %s)", [inspector.demo.user(name), f"of {name}"])
    database.execute("insert into countries (name) values ('Searchland')")
    expect(inspector.row("Searchland")).to_have_count(1)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("table:tweets", ["of alice", "of bob"]),
        ("user:alice verdict:denied", ["of bob"]),  # of one and the same view: bob was denied alice's row, and that is not asked
        ("user:bob verdict:denied new.content:/./", []),
        ("verdict:allowed user:bob@example.com table:tweets", ["of bob"]),
        ("table:tweets -user:alice", []),
        ("latency:>=-100000 table:countries", ["Searchland"]),
        ("commit:/./ table:countries", ["Searchland"]),
    ],
)
def test_several_fields_speak_of_the_same_view(
    inspector: Inspector, database: psycopg.Connection[Any], query: str, found: list[str]
) -> None:
    three(inspector, database)
    inspector.search(query)
    expect(inspector.rows).to_have_count(len(found))
    for text in found:
        expect(inspector.row(text)).to_have_count(1)
    expect(inspector.page.locator(".search .hint")).to_have_text(f"{len(found)} found")


def test_matches_are_counted_and_walked(inspector: Inspector) -> None:
    inspector.watch("alice")
    fill(inspector.page, 30)
    inspector.search("made")
    hint = inspector.page.locator(".search .hint")
    expect(hint).to_have_text("30 found")
    inspector.row("made up 12").click()
    expect(hint).to_have_text("13/30")
    inspector.page.keyboard.press("n")
    expect(hint).to_have_text("14/30")
    inspector.page.keyboard.press("Shift+N")
    expect(hint).to_have_text("13/30")


def test_a_view_can_be_saved_looked_at_and_forgotten(inspector: Inspector) -> None:
    page = inspector.page
    inspector.watch("alice")
    fill(page, 30)
    inspector.search("key:7")
    inspector.chip("System").click()
    page.get_by_role("button", name="Save this view").click()
    page.get_by_label("Name of the view").fill("Seven")
    page.keyboard.press("Enter")
    saved = page.get_by_role("button", name=re.compile("^Seven( [0-9]+)?$"))
    expect(saved).to_have_attribute("aria-pressed", "true")
    expect(saved).to_have_text("Seven1")
    saved.click()
    expect(page.get_by_role("searchbox")).to_have_value("")
    expect(saved).to_have_text("Seven1")
    fill(page, 30)
    expect(saved).to_have_text("Seven2")
    expect(inspector.chip("System")).to_have_attribute("aria-pressed", "true")
    page.reload()
    saved.click()
    expect(page.get_by_role("searchbox")).to_have_value("key:7")
    expect(inspector.chip("System")).to_have_attribute("aria-pressed", "false")
    saved.hover()
    page.get_by_role("button", name="Forget the view Seven").click()
    expect(saved).to_have_count(0)


def test_columns_and_time_are_chosen_and_kept(inspector: Inspector) -> None:
    page = inspector.page
    inspector.watch("alice")
    fill(page, 30)
    page.get_by_role("button", name="Columns and time").click()
    for name in ("Channel", "Size", "What changed"):
        inspector.dialog.get_by_role("checkbox", name=name).click()
    expect(inspector.dialog.get_by_role("checkbox", name="Where")).to_be_disabled()
    inspector.dialog.get_by_role("radio", name="Since the row above").check(force=True)
    page.keyboard.press("Escape")
    heads = ["Time", "Kind", "Event", "Where", "Channel", "Aalice", "Lag", "Size"]
    expect(inspector.grid.get_by_role("columnheader")).to_have_text(heads)
    row = inspector.page.locator(".row", has_text="INSERT").last
    expect(row.locator(".c-time")).to_have_text(re.compile(r"^[+−]\d+ ms$"))
    expect(row.get_by_role("gridcell")).to_have_count(len(heads))
    edges = [box.bounding_box()["x"] for box in inspector.grid.get_by_role("columnheader").all()]  # type: ignore[index]
    cells = [box.bounding_box()["x"] for box in row.get_by_role("gridcell").all()]  # type: ignore[index]
    assert cells == pytest.approx(edges, abs=2)
    page.reload()
    expect(inspector.grid.get_by_role("columnheader")).to_have_text(heads)
    page.get_by_role("button", name="Columns and time").click()
    inspector.dialog.get_by_role("button", name="As usual").click()
    page.keyboard.press("Escape")
    expect(inspector.grid.get_by_role("columnheader")).to_have_text(
        ["Time", "Kind", "Event", "Where", "What changed", "Aalice", "Lag"]
    )


def test_two_marked_messages_are_told_apart_field_by_field(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    page = inspector.page
    inspector.watch("alice")
    for content in ("first", "second"):
        database.execute("insert into tweets (user_id, content) values (%s, %s)", [inspector.demo.user("alice"), content])
        inspector.row("INSERT", content).click()
        page.keyboard.press("x")
    expect(inspector.page.locator(".row.is-crossed")).to_have_count(2)
    expect(inspector.row("INSERT", "first")).to_have_attribute("aria-label", re.compile(", marked$"))
    expect(inspector.foot).to_contain_text("2 marked")
    page.keyboard.press("d")
    dialog = inspector.dialog
    content = dialog.get_by_role("row").filter(has=page.get_by_role("rowheader", name="content"))
    expect(content.get_by_role("cell")).to_have_text(["first", "second"])
    expect(dialog.get_by_role("rowheader", name="user_id")).to_have_count(0)
    expect(dialog).to_contain_text("fields are equal")
    dialog.get_by_role("button", name="Show all").click()
    expect(dialog.get_by_role("rowheader", name="user_id")).to_have_count(1)
    page.keyboard.press("Escape")
    page.keyboard.press("x")
    expect(inspector.foot).to_contain_text("1 marked")
    inspector.row("INSERT", "first").click()
    page.keyboard.press("x")
    expect(inspector.page.locator(".row.is-crossed")).to_have_count(0)
