"""How the page looks: both themes, narrow windows, contrasts; and the pictures of the documentation."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from playwright.sync_api import Page, expect

from tests.web.inspector import Inspector
from tests.web.test_list import fill

HOME = Path(__file__).resolve().parents[2]
CUT_OFF = """() => [...document.querySelectorAll("body *")].filter((element) => {
  const box = element.getBoundingClientRect();
  if (!box.width || !box.height || !element.checkVisibility()) return false;
  if (element.closest(".vh, .skip, .chips, .code, .scroll-x, .editor, svg")) return false;
  return box.right > innerWidth + 1 || box.left < -1;
}).map((element) => element.outerHTML.slice(0, 120))"""
SMALL_TARGETS = """() => [...document.querySelectorAll("button, a[href], input:not([type=radio]):not([type=checkbox]), select")]
  .filter((control) => control.checkVisibility() && !control.closest(".vh, .skip, .lens, .json, .foot, .sentence, .search"))
  .filter((control) => control.getBoundingClientRect().height < 44).map((control) => control.outerHTML.slice(0, 120))"""


def check_tokens() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_tokens", HOME / "scripts" / "check_tokens.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_ink_can_be_read_on_every_ground() -> None:
    assert check_tokens().failures((HOME / "web" / "tokens.css").read_text()) == []


def background(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.querySelector('.top')).color"))


def test_the_theme_follows_the_system_until_one_chooses(inspector: Inspector) -> None:
    page = inspector.page
    light = background(page)
    page.emulate_media(color_scheme="dark")
    dark = background(page)
    assert light != dark
    page.keyboard.press("t")
    assert background(page) == light
    page.reload()
    expect(page.get_by_role("heading", name="Nothing has happened yet")).to_be_visible()
    assert background(page) == light


@pytest.mark.parametrize("width", [420, 360])
def test_nothing_is_cut_off_on_a_narrow_screen(inspector: Inspector, width: int) -> None:
    page = inspector.page
    inspector.watch("alice", "service")
    fill(page, 40)
    page.set_viewport_size({"width": width, "height": 860})
    inspector.row("made up 39").wait_for()
    narrow(page)
    inspector.row("made up 39").click()
    narrow(page)
    page.get_by_role("button", name="Back to the list").click()
    for name in ("Channels", "Presence", "Send", "Live"):
        page.locator(".dock").get_by_role("link", name=name).click()
        narrow(page)
    page.locator(".dock").get_by_role("link", name="Channels").click()
    page.get_by_role("button", name="Compare these two").click()
    page.locator(".dock").get_by_role("link", name="Live").click()
    narrow(page)
    for key in ("i", "Shift+J", "?"):
        page.keyboard.press(key)
        expect(inspector.dialog).to_be_visible()
        narrow(page)
        page.keyboard.press("Escape")


def test_nothing_is_cut_off_before_there_is_a_list(inspector: Inspector) -> None:
    inspector.page.set_viewport_size({"width": 420, "height": 860})
    narrow(inspector.page)


@pytest.mark.parametrize("width", [1320, 1100, 1000, 800])
def test_the_panes_give_way_one_by_one(inspector: Inspector, width: int) -> None:
    page = inspector.page
    inspector.watch("alice")
    fill(page, 40)
    inspector.row("made up 39").click()
    page.set_viewport_size({"width": width, "height": 700})
    assert page.evaluate(CUT_OFF) == []
    page.get_by_role("button", name="Channels and identities").click()
    expect(page.get_by_role("button", name="Change or leave room")).to_be_attached()
    page.get_by_role("button", name="Close channels and identities").click()
    expect(page.get_by_role("complementary", name="Channels and identities")).to_be_hidden()


def test_the_detail_can_be_made_wider_and_stays_so(inspector: Inspector) -> None:
    page = inspector.page
    inspector.watch("alice")
    fill(page, 5)
    inspector.row("made up 4").click()
    divider = page.get_by_role("separator", name="Width of the detail")
    divider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    assert inspector.detail.bounding_box()["width"] == pytest.approx(512, abs=2)  # type: ignore[index]
    divider.hover()
    page.mouse.down()
    page.mouse.move(900, 400)
    page.mouse.up()
    assert inspector.detail.bounding_box()["width"] == pytest.approx(540, abs=2)  # type: ignore[index]
    page.reload()
    expect(inspector.lens).to_contain_text("alice")
    inspector.row("phx_join").click()
    assert inspector.detail.bounding_box()["width"] == pytest.approx(540, abs=2)  # type: ignore[index]
    page.get_by_role("separator", name="Width of the detail").dblclick()
    assert inspector.detail.bounding_box()["width"] == pytest.approx(448, abs=2)  # type: ignore[index]


def narrow(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]  # type: ignore[index]
    assert page.evaluate(CUT_OFF) == []
    assert page.evaluate(SMALL_TARGETS) == []
