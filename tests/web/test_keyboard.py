"""Everything by keyboard, and what assistive technology is told."""

from playwright.sync_api import expect

from tests.web.inspector import Inspector
from tests.web.test_list import fill


def focused(inspector: Inspector) -> str:
    return str(inspector.page.evaluate("document.activeElement?.id || document.activeElement?.className"))


def test_a_view_can_be_opened_without_a_mouse(inspector: Inspector) -> None:
    keyboard = inspector.page.keyboard
    keyboard.press("Shift+J")
    expect(inspector.dialog.get_by_role("textbox").first).to_be_focused()
    keyboard.type("room")
    keyboard.press("Enter")
    expect(inspector.dialog.get_by_role("combobox")).to_be_focused()
    keyboard.type("alice")
    expect(inspector.dialog.get_by_role("option")).to_have_count(1)
    keyboard.press("ArrowDown")
    expect(inspector.dialog.get_by_role("option", selected=True)).to_contain_text("alice@example.com")
    keyboard.press("Tab")
    expect(inspector.dialog.get_by_label("Reason")).to_be_focused()
    keyboard.type("Ticket 1: by keyboard")
    inspector.dialog.get_by_role("combobox").focus()
    keyboard.press("Enter")
    expect(inspector.lens).to_contain_text("alice@example.com")
    expect(inspector.row("system", "Subscribed")).to_have_count(1)
    keyboard.press("Shift+Escape")
    expect(inspector.lens).to_contain_text("yourself")


def test_rows_are_walked_opened_and_closed(inspector: Inspector) -> None:
    inspector.watch("alice")
    fill(inspector.page, 80)
    keyboard = inspector.page.keyboard
    inspector.grid.focus()
    keyboard.press("k")
    picked = inspector.page.locator(".row[aria-selected=true]")
    expect(picked).to_contain_text("made up 79")
    for _ in range(40):
        keyboard.press("ArrowUp")
    expect(picked).to_contain_text("made up 39")
    expect(picked).to_be_in_viewport()
    row = picked.get_attribute("id")
    expect(inspector.grid).to_have_attribute("aria-activedescendant", row or "")
    keyboard.press("j")
    expect(picked).to_contain_text("made up 40")
    keyboard.press("[")
    expect(inspector.detail.get_by_role("tab", name="Message")).to_have_attribute("aria-selected", "true")
    keyboard.press("]")
    expect(inspector.detail.get_by_role("tab", name="Diff")).to_have_attribute("aria-selected", "true")
    keyboard.press("Escape")
    expect(inspector.detail).to_have_count(0)
    keyboard.press("Home")
    expect(picked).to_contain_text("phx_join")
    keyboard.press("End")
    expect(inspector.foot).to_contain_text("Following")


def test_a_row_is_read_out_with_its_verdict_and_place(inspector: Inspector) -> None:
    inspector.watch("alice")
    fill(inspector.page, 5)
    row = inspector.row("made up 4")
    expect(row).to_have_accessible_name("12:03:09 INSERT tweets 4, allowed" if utc(inspector) else row_name(inspector))
    expect(row).to_have_attribute("aria-rowindex", "9")
    expect(inspector.grid).to_have_attribute("aria-rowcount", "9")


def utc(inspector: Inspector) -> bool:
    return inspector.page.evaluate("new Date().getTimezoneOffset()") == 0


def row_name(inspector: Inspector) -> str:
    clock = inspector.page.evaluate("new Date('2026-11-20T12:03:09.480Z').toTimeString().slice(0, 8)")
    return f"{clock} INSERT tweets 4, allowed"


def test_keys_are_letters_while_one_types_and_can_be_switched_off(inspector: Inspector) -> None:
    inspector.watch("alice")
    keyboard = inspector.page.keyboard
    keyboard.press("/")
    expect(inspector.page.get_by_role("searchbox")).to_be_focused()
    keyboard.type("it? bd")
    expect(inspector.dialog).to_be_hidden()
    keyboard.press("Escape")
    keyboard.press("Escape")
    expect(inspector.grid).to_be_focused()
    keyboard.press("?")
    inspector.dialog.get_by_role("checkbox", name="Single keys work").uncheck()
    keyboard.press("Escape")
    keyboard.press("i")
    expect(inspector.dialog).to_be_hidden()
    inspector.page.get_by_role("button", name="Keyboard and search").click()
    inspector.dialog.get_by_role("checkbox", name="Single keys work").check()


def test_a_dialog_keeps_the_focus_and_gives_it_back(inspector: Inspector) -> None:
    inspector.watch("alice")
    button = inspector.page.get_by_role("button", name="Join a channel")
    button.focus()
    inspector.page.keyboard.press("Enter")
    for _ in range(30):
        inspector.page.keyboard.press("Tab")
        inside = inspector.page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
        assert inside
    inspector.page.keyboard.press("Escape")
    expect(button).to_be_focused()


def test_every_control_has_a_name_and_the_list_is_one_stop(inspector: Inspector) -> None:
    inspector.watch("alice", "bob")
    fill(inspector.page, 50)
    inspector.row("made up 49").click()
    nameless = inspector.page.evaluate("""() => [...document.querySelectorAll("button, a[href], input, select, textarea")]
      .filter((control) => control.checkVisibility())
      .filter((control) => !(control.ariaLabel || control.textContent.trim() || control.labels?.length))
      .map((control) => control.outerHTML)""")
    assert nameless == []
    assert inspector.page.locator(".grid [tabindex='0']").count() == 0
    expect(inspector.page.get_by_role("status").last).to_have_attribute("aria-live", "polite")


def test_the_first_stop_skips_to_the_messages(inspector: Inspector) -> None:
    inspector.watch("alice")
    inspector.page.evaluate("document.activeElement.blur()")
    inspector.page.keyboard.press("Tab")
    expect(inspector.page.get_by_role("link", name="Skip to the messages")).to_be_focused()
    inspector.page.keyboard.press("Enter")
    expect(inspector.grid).to_be_focused()


def test_a_link_brings_back_search_section_and_channels(inspector: Inspector, complaints: list[str]) -> None:
    inspector.watch("alice", channel="linked")
    inspector.search("verdict:denied")
    inspector.chip("Presence").click()
    link = inspector.page.evaluate("import('/inspector/model/address.js').then((address) => address.linkToHere())")
    assert inspector.demo.admin_token not in link
    other = inspector.page.context.browser.new_context(viewport={"width": 1440, "height": 900}).new_page()  # type: ignore[union-attr]
    other.goto(link)
    other.get_by_label("Admin token").fill(inspector.demo.admin_token)
    other.get_by_role("button", name="Open the inspector").click()
    seen = Inspector(other, inspector.demo)
    expect(other.get_by_text("linked will be joined.")).to_be_visible()
    seen.become("bob")
    expect(other.get_by_role("searchbox")).to_have_value("verdict:denied")
    expect(seen.chip("Presence")).to_have_attribute("aria-pressed", "false")
    expect(other.get_by_role("button", name="Change or leave linked")).to_be_attached()
    other.context.close()
