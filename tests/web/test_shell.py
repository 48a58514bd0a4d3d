"""The frame around everything: sections, their links, and the switches for what is not finished."""

import re

from playwright.sync_api import Page, expect

from tests.web.inspector import Demo, Inspector


def test_a_link_opens_the_section_that_it_names(inspector: Inspector) -> None:
    page = inspector.page
    inspector.watch("alice")
    page.get_by_role("navigation", name="Sections").first.get_by_role("link", name="Presence").click()
    expect(page).to_have_url(re.compile("section=presence"))
    page.reload()
    expect(page.get_by_role("main", name="Presence")).to_be_visible()
    page.keyboard.press("Escape")
    expect(inspector.grid).to_be_visible()
    expect(page).not_to_have_url(re.compile("section="))


def test_a_section_that_does_not_exist_is_the_stream(inspector: Inspector) -> None:
    inspector.watch("alice")
    inspector.page.evaluate("location.hash = 'section=nothing-of-this-name'")
    expect(inspector.grid).to_be_visible()


def test_the_switches_for_what_is_not_finished_are_found_from_the_help(inspector: Inspector) -> None:
    inspector.page.keyboard.press("?")
    inspector.dialog.get_by_role("button", name="Feature previews").click()
    expect(inspector.dialog).to_have_accessible_name("Feature previews")
    inspector.page.keyboard.press("Enter")
    expect(inspector.dialog).to_have_count(0)


def test_a_part_that_cannot_be_fetched_says_so_and_comes_on_the_next_try(inspector: Inspector, complaints: list[str]) -> None:
    page = inspector.page
    page.route("**/ui/send.js*", lambda route: route.abort())
    inspector.watch("alice")
    page.keyboard.press("b")
    expect(page.get_by_role("alert")).to_contain_text("could not be fetched")
    page.unroute("**/ui/send.js*")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("main", name="Send")).to_be_visible()
    complaints.clear()


def test_styles_that_cannot_be_fetched_are_said_and_come_on_the_next_try(page: Page, demo: Demo, complaints: list[str]) -> None:
    page.route("**/styles/dialog.css", lambda route: route.abort())
    page.goto(demo.inspector_url)
    expect(page.get_by_role("alert")).to_contain_text("could not be fetched")
    page.unroute("**/styles/dialog.css")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name="Nothing has happened yet")).to_be_visible()
    page.keyboard.press("i")
    expect(page.get_by_role("dialog").get_by_role("radio", name="User")).to_have_css("position", "absolute")  # dialog.css
    complaints.clear()
