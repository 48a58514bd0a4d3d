"""The section SQL: statements as somebody, in three kinds of transactions, and tables as somebody."""

import re
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.web.inspector import Inspector
from tests.web.test_look import narrow
from tests.web.test_why import ATTACK


def open_sql(inspector: Inspector) -> Locator:
    inspector.page.get_by_role("navigation", name="Sections").first.get_by_role("link", name="SQL").click()
    return inspector.page.get_by_role("main", name="SQL")


def write(page: Page, text: str) -> None:
    """Replaces what stands in the editor, as one types it."""
    expect(page.locator(".sqlfield")).to_have_attribute("data-ready", "true")
    page.get_by_role("textbox", name="SQL statement").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)


def wrong(page: Page) -> Locator:
    """The word that the editor marks."""
    return page.locator(".sqlfield [data-wrong]")


def test_a_viewer_may_not_insert_and_is_told_so_with_the_code(inspector: Inspector, complaints: list[str]) -> None:
    page = inspector.page
    inspector.watch("vera")
    main = open_sql(inspector)
    main.get_by_role("radio", name="Roll back").check(force=True)
    write(page, "insert into articles (title) values ('mine')")
    main.get_by_role("button", name="Run as vera").click()
    refusal = main.get_by_role("alert")
    expect(refusal).to_contain_text("SQLSTATE 42501")
    expect(refusal).to_contain_text('new row violates row-level security policy for table "articles"')
    complaints.clear()  # the browser tells of every refused request


def test_an_error_is_marked_where_it_is_also_behind_an_emoji(inspector: Inspector, complaints: list[str]) -> None:
    page = inspector.page
    inspector.watch("alice")
    main = open_sql(inspector)
    write(page, "select '🦊',\n  nothing_like_this\nfrom tweets")
    page.keyboard.press("Control+Enter")
    expect(main.get_by_role("alert")).to_contain_text("SQLSTATE 42703")
    expect(main.get_by_role("alert")).to_contain_text("line 2, character 3")
    expect(wrong(page)).to_have_text("nothing_like_this")
    expect(page.get_by_role("textbox", name="SQL statement")).to_have_attribute("aria-invalid", "true")
    page.get_by_role("textbox", name="SQL statement").click()
    page.keyboard.type(" ")
    expect(wrong(page)).to_have_count(0)
    complaints.clear()  # the browser tells of every refused request


def test_reading_refuses_to_write_rolling_back_shows_it_and_committing_is_red(
    inspector: Inspector, database: psycopg.Connection[Any], complaints: list[str]
) -> None:
    page = inspector.page
    inspector.watch("alice")
    main = open_sql(inspector)
    write(page, f"insert into tweets (content) values ('{ATTACK.replace(chr(39), chr(39) * 2)}') returning content")
    main.get_by_role("button", name="Run as alice").click()
    expect(main.get_by_role("alert")).to_contain_text("SQLSTATE 25006")
    main.get_by_role("radio", name="Roll back").check(force=True)
    main.get_by_role("button", name="Run as alice").click()
    result = main.get_by_role("region", name="Result")
    expect(result.locator(".tag")).to_have_text("rolled back")
    expect(result.get_by_role("cell")).to_have_text(ATTACK)
    assert page.locator(".panes img:not([role])").count() == 0
    count = "select count(*) from tweets where content = %s"
    assert database.execute(count.encode(), [ATTACK]).fetchone() == (0,)
    main.get_by_role("radio", name="Commit").check(force=True)
    expect(main.locator(".commits")).to_contain_text("Commits: what it writes stays.")
    button = main.get_by_role("button", name="Commit as alice")
    expect(button).to_have_class(re.compile("btn--danger"))
    expect(button.locator("use")).to_have_attribute("href", "#v-raised")
    button.click()
    expect(result.locator(".tag")).to_have_text("committed")
    assert database.execute(count.encode(), [ATTACK]).fetchone() == (1,)
    complaints.clear()  # the browser tells of every refused request
    assert page.title() == "Inspector"


def test_what_is_run_stands_in_the_trail_and_not_in_the_address(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    page = inspector.page
    inspector.watch("alice")
    main = open_sql(inspector)
    write(page, "select 'secret words'")
    main.get_by_role("button", name="Run as alice").click()
    expect(main.get_by_role("cell")).to_have_text("secret words")
    assert "secret" not in page.evaluate("JSON.stringify([location.href, { ...localStorage }, { ...sessionStorage }])")
    page.get_by_role("navigation", name="Sections").first.get_by_role("link", name="Audit").click()
    outcome, run = (page.locator(".trail tbody tr").nth(place) for place in (0, 1))
    expect(outcome).to_contain_text('["SELECT 1"]')
    expect(run).to_contain_text("statement run")
    expect(run).to_contain_text("select 'secret words'")


def test_words_are_completed_from_tables_and_columns(inspector: Inspector) -> None:
    page = inspector.page
    inspector.watch("alice")
    open_sql(inspector)
    write(page, "select * from ")
    page.keyboard.type("twe")
    expect(page.get_by_role("option", name="tweets")).to_be_visible()
    page.wait_for_timeout(100)  # the editor takes no Enter for a choice in the first moments of the list
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="SQL statement")).to_contain_text("select * from tweets")


def test_a_table_is_looked_through_as_somebody(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    page = inspector.page
    names = [str(row[0]) for row in database.execute("select name from countries order by name").fetchall()]
    inspector.watch("alice", "bob")
    main = open_sql(inspector)
    main.get_by_role("radio", name="Tables").check(force=True)
    main.get_by_role("group", name="Run as").get_by_role("button", name="alice").click()
    main.get_by_role("button", name="articles").click()
    expect(main).to_contain_text("alice sees no row of articles.")
    main.get_by_role("button", name="user_roles").click()
    expect(main).to_contain_text("alice sees no row of user_roles.")
    main.get_by_role("button", name="countries").click()
    rows = main.get_by_role("region", name="Rows of countries")
    expect(rows.get_by_role("row")).to_have_count(len(names) + 1)
    rows.get_by_role("button", name="name").click()
    expect(rows.get_by_role("columnheader", name="name")).to_have_attribute("aria-sort", "ascending")
    expect(rows.locator("tbody tr").first).to_contain_text(names[0])
    rows.get_by_role("button", name="name").click()
    expect(rows.locator("tbody tr").first).to_contain_text(names[-1])
    expect(page).to_have_url(re.compile("section=sql&at=tables"))


def test_nobody_looks_so_nothing_runs_and_choosing_somebody_stays_here(inspector: Inspector) -> None:
    inspector.page.get_by_role("navigation", name="Sections").first.get_by_role("link", name="SQL").click()
    main = inspector.page.get_by_role("main", name="SQL")
    expect(main).to_contain_text("Nobody looks.")
    main.get_by_role("button", name="View as someone").click()
    inspector.become("alice")
    expect(main.get_by_role("button", name="Run as alice")).to_be_disabled()


@pytest.mark.parametrize("width", [1000, 420, 360])
def test_sql_fits_every_width(inspector: Inspector, width: int) -> None:
    page = inspector.page
    inspector.watch("alice")
    main = open_sql(inspector)
    write(page, "select * from tweets, countries")
    main.get_by_role("button", name="Run as alice").click()
    expect(main.get_by_role("region", name="Result")).to_be_visible()
    page.set_viewport_size({"width": width, "height": 860})
    if width < 760:
        narrow(page)
        main.get_by_role("radio", name="Tables").check(force=True)
        main.get_by_role("button", name="countries").click()
        expect(main.get_by_role("region", name="Rows of countries")).to_be_visible()
        narrow(page)
