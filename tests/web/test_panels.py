"""Every panel that asks the service: before the first answer, with the service gone, and with a token that is no admin's."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.web.inspector import Inspector

USE_TOKEN = "token => import('/inspector/model/session.js').then((session) => session.useToken(token))"


@dataclass(frozen=True)
class Panel:
    """`open` gives the panel, opened; `waits`: what it says meanwhile; `tells`: words of its answer; `again`: who asks again."""

    name: str
    open: Callable[[Page], Locator]
    waits: str
    tells: str
    again: str = ""

    def __str__(self) -> str:
        return self.name


def section(name: str, *inside: str, label: str = "") -> Callable[[Page], Locator]:
    """Opens a section; `inside`: what is chosen there by radio button; `label`: the part that asks, by its accessible name."""

    def opened(page: Page) -> Locator:
        page.get_by_role("navigation", name="Sections").first.get_by_role("link", name=name).click()
        for choice in inside:
            radio = page.get_by_role("radio", name=choice, exact=True)
            page.locator("label").filter(has=radio).click()  # a notice may just push it away: then it is clicked where it is
            expect(radio).to_be_checked()
        main = page.get_by_role("main", name=name)
        return main.get_by_role("region", name=label, exact=True) if label else main

    return opened


def detail(name: str, *buttons: str) -> Callable[[Page], Locator]:
    """Opens a tab of the message that is open, and what there is to press."""

    def opened(page: Page) -> Locator:
        pane = page.get_by_role("complementary", name="Message detail")
        pane.get_by_role("tab", name=name, exact=True).click()
        for button in buttons:
            pane.get_by_role("button", name=button).click()
        return pane.get_by_role("tabpanel")

    return opened


def statement(page: Page) -> Locator:
    panel = section("SQL", "Query")(page)
    expect(panel.locator(".sqlfield")).to_have_attribute("data-ready", "true")
    panel.get_by_label("SQL statement").click()
    page.keyboard.type("select 6 * 7 as answer")
    panel.get_by_role("button", name="Run as").click()
    return panel


def table(page: Page) -> Locator:
    panel = section("SQL", "Tables")(page)
    panel.get_by_role("navigation", name="Tables").get_by_role("button", name="tweets").click()
    return panel


PANELS = [
    Panel("matrix", section("Policies", "Matrix", label="Who may do what"), "Asking every table", "sampled rows of each table"),
    Panel("policies", section("Policies", "Policies", label="Policies"), "Reading the policies.", "own tweets"),
    Panel("lints", section("Lints"), "Checking policies", "checked"),
    Panel("sql", statement, "The statement is running.", "1 row", again="Run as"),
    Panel("tables", table, "Reading tweets as alice.", "panels"),
    Panel("entries", section("Audit", "Entries"), "Reading the trail.", "Ticket 3321"),
    Panel("sessions", section("Audit", "Sessions"), "Reading the sessions.", "Ticket 3321"),
    Panel("connections", section("Connections"), "Asking who is connected.", "read again every 5 s"),
    Panel("why", detail("Why"), "Asking why, as alice.", "alice sees this row."),
    Panel("who", detail("Who", "Count them"), "Asking what was decided", "1 of 1 subscribers got it"),
]
QUIET = [
    Panel("presence", section("Presence"), "", "Who is there now"),
    Panel("send", section("Send"), "", "Everybody on the channel receives it."),
    Panel("message", detail("Message"), "", "panels"),
    Panel("diff", detail("Diff"), "", "panels"),
    Panel("timing", detail("Timing"), "", "received"),
    Panel("copy", detail("Copy as"), "", "panels"),
]
"""They ask nobody, so they say what they say whatever became of the service and the token."""


@pytest.fixture
def opened(inspector: Inspector, database: psycopg.Connection[Any], complaints: list[str]) -> Iterator[Inspector]:
    """alice's view with a row of hers open; the browser tells of every refused request, which is what is tested here."""
    inspector.watch("alice")
    database.execute("insert into tweets (user_id, content) values (%s, 'panels')", [inspector.demo.user("alice")])
    inspector.row("INSERT", "panels", "allowed").click()
    yield inspector
    complaints.clear()


def refusal(panel: Locator) -> Locator:
    return panel.get_by_role("alert").first


def ask_again(panel: Panel, shown: Locator) -> None:
    """Only what was asked for by hand waits for the hand."""
    if panel.again:
        shown.get_by_role("button", name=panel.again).click()


@pytest.mark.parametrize("panel", PANELS, ids=str)
def test_before_the_answer_a_panel_says_what_it_waits_for(opened: Inspector, panel: Panel) -> None:
    held: list[Route] = []
    answered = False
    opened.page.route("**/api/v1/**", lambda route: route.continue_() if answered else held.append(route))
    shown = panel.open(opened.page)
    waiting = shown.get_by_role("status").filter(has_text=panel.waits)
    expect(waiting).to_be_visible()
    expect(waiting.locator("i").first).to_be_visible()
    expect(refusal(shown)).to_have_count(0)
    answered = True
    for route in held:
        route.continue_()
    expect(shown).to_contain_text(panel.tells)
    expect(waiting).to_have_count(0)


@pytest.mark.parametrize("panel", PANELS, ids=str)
def test_without_a_server_a_panel_says_so_and_comes_back_by_itself(opened: Inspector, panel: Panel) -> None:
    page = opened.page
    page.route("**/api/v1/**", lambda route: route.abort("connectionrefused"))
    shown = panel.open(page)
    expect(refusal(shown)).to_contain_text("The server does not answer")
    expect(page.locator(".notice")).to_contain_text("The server stopped answering at")
    page.unroute("**/api/v1/**")
    ask_again(panel, shown)
    expect(shown).to_contain_text(panel.tells)
    expect(page.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize("panel", PANELS, ids=str)
def test_without_an_admins_token_a_panel_says_so_and_goes_on_with_one(opened: Inspector, panel: Panel) -> None:
    page = opened.page
    page.evaluate(USE_TOKEN, opened.demo.told["anon_key"])
    shown = panel.open(page)
    expect(refusal(shown)).to_contain_text("inspector_admin")
    expect(shown).not_to_contain_text(panel.tells)
    notice = page.locator(".notice")
    expect(notice).to_contain_text("The server refused your token.")
    notice.get_by_label("Admin token").fill(opened.demo.admin_token)
    notice.get_by_role("button", name="Renew and go on").click()
    ask_again(panel, shown)
    expect(shown).to_contain_text(panel.tells)
    expect(page.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize("panel", QUIET, ids=str)
def test_what_asks_nobody_says_the_same_without_server_and_token(opened: Inspector, panel: Panel) -> None:
    page = opened.page
    page.route("**/api/v1/**", lambda route: route.abort("connectionrefused"))
    page.evaluate(USE_TOKEN, opened.demo.told["anon_key"])
    expect(panel.open(page)).to_contain_text(panel.tells)
    expect(page.locator(".notice")).to_have_count(0)
