"""axe-core over every main state, light and dark, wide and narrow: nothing serious; and what the system asks for is respected."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, Page, Playwright, expect

from tests.provision import javascript_clients
from tests.web.conftest import driving
from tests.web.inspector import Demo, Inspector
from tests.web.test_look import CUT_OFF

SERIOUS = {"serious", "critical"}
RUN = """() => axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) =>
  violations.map(({ id, impact, nodes }) => ({ id, impact, where: nodes.map((node) => node.target.join(" ")).slice(0, 5) })))"""


@pytest.fixture
def bare(driver: Playwright, browser: Browser, demo: Demo) -> Iterator[Callable[[str], Inspector]]:
    """Opens the page in a theme, without a policy that would keep axe out."""
    contexts = []

    def opened(theme: str) -> Inspector:
        context = browser.new_context(
            viewport={"width": 1440, "height": 900},
            color_scheme=theme,  # type: ignore[arg-type]
            reduced_motion="reduce",
            bypass_csp=True,
        )
        contexts.append(context)
        context.add_init_script(path=javascript_clients() / "node_modules/axe-core/axe.min.js")
        inspector = Inspector(context.new_page(), demo)
        inspector.open()
        return inspector

    with driving(driver):
        yield opened
        for context in contexts:
            context.close()


def serious(page: Page) -> list[Any]:
    return [found for found in page.evaluate(RUN) if found["impact"] in SERIOUS]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(bare: Callable[[str], Inspector], database: psycopg.Connection[Any], theme: str) -> None:
    inspector = bare(theme)
    page = inspector.page
    found = {"first": serious(page)}
    found |= {f"dialog {key}": in_dialog(inspector, key) for key in ("?", "Shift+J", "i")}
    inspector.watch("alice", "anon")
    database.execute("insert into tweets (user_id, content) values (%s, %s)", [inspector.demo.user("alice"), f"in {theme}"])
    database.execute("update tweets set content = %s where content = %s", [f"still in {theme}", f"in {theme}"])
    changed = inspector.row("UPDATE", f"still in {theme}")
    expect(inspector.row("UPDATE", "hidden by row policies").last).to_be_visible()
    found["live"] = serious(page)
    inspector.compare()
    expect(changed).to_have_count(1)
    found["compare"] = serious(page)
    changed.click()
    for tab in inspector.detail.get_by_role("tab").all():
        tab.click()
        page.wait_for_load_state("networkidle")
        found[f"tab {tab.inner_text()}"] = serious(page)
    for label in ("Columns and time", "Save or open a recording"):
        page.get_by_role("button", name=label).click()
        found[label] = serious(page)
        page.keyboard.press("Escape")
    inspector.search("/(/")
    found["a search that is none"] = serious(page)
    inspector.search("")
    for link in page.locator(".nav").get_by_role("link").all():
        link.click()
        page.wait_for_load_state("networkidle")
        found[f"section {link.inner_text()}"] = serious(page)
    page.set_viewport_size({"width": 360, "height": 780})
    page.locator(".dock").get_by_role("link", name="Live").click()
    found["narrow detail"] = serious(page)
    page.get_by_role("button", name="Back to the list").click()
    found["narrow list"] = serious(page)
    assert {name: problems for name, problems in found.items() if problems} == {}


def in_dialog(inspector: Inspector, key: str) -> list[Any]:
    inspector.page.keyboard.press(key)
    expect(inspector.dialog).to_be_visible()
    found = serious(inspector.page)
    inspector.page.keyboard.press("Escape")
    return found


def test_at_twice_the_size_nothing_is_lost(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    """200 % zoom of a 1440 window is a window of 720."""
    inspector.watch("alice")
    database.execute("insert into countries (name) values ('Large')")
    expect(inspector.row("Large")).to_have_count(1)
    inspector.page.set_viewport_size({"width": 720, "height": 450})
    assert inspector.page.evaluate(CUT_OFF) == []
    inspector.row("Large").click()
    expect(inspector.detail.get_by_role("tab", name="Copy as")).to_be_attached()
    assert inspector.page.evaluate(CUT_OFF.replace(".chips,", ".chips, .tabs,")) == []


def test_more_contrast_turns_hairlines_into_borders(bare: Callable[[str], Inspector]) -> None:
    page = bare("light").page
    colour = "getComputedStyle(document.querySelector('.top')).borderBottomColor"
    usual = page.evaluate(colour)
    page.emulate_media(contrast="more")
    assert page.evaluate(colour) != usual


def test_nothing_moves_for_who_wants_no_motion(inspector: Inspector) -> None:
    moving = """() => [...document.querySelectorAll("*")].filter((element) => {
      const { transitionDuration, animationName } = getComputedStyle(element);
      return animationName !== "none" || transitionDuration.split(",").some((time) => parseFloat(time) > 0);
    }).length"""
    assert inspector.page.evaluate(moving) == 0
