"""The section Connections: who is connected with what, and ending it after one has been asked."""

import re

import pytest
from playwright.sync_api import Locator, expect

from tests.web.inspector import Inspector
from tests.web.test_look import narrow


def open_connections(inspector: Inspector) -> Locator:
    inspector.page.get_by_role("navigation", name="Sections").first.get_by_role("link", name="Connections").click()
    return inspector.page.get_by_role("main", name="Connections")


def test_a_client_is_listed_and_disconnected_after_one_was_asked(inspector: Inspector) -> None:
    page = inspector.page
    inspector.watch("alice", channel="kitchen <img src=x onerror=alert(1)>")
    main = open_connections(inspector)
    alice = inspector.demo.user("alice")
    row = main.get_by_role("row").filter(has_text=f"{alice[:4]}…{alice[-4:]}").filter(has_text="kitchen")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("looked through")
    expect(row).to_contain_text("kitchen <img src=x")
    connection = row.locator("td code").get_attribute("title") or ""
    row.get_by_role("button", name=re.compile("^Disconnect")).click()
    expect(inspector.dialog.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Escape")
    expect(row).to_have_count(1)
    row.get_by_role("button", name=re.compile("^Disconnect")).click()
    inspector.dialog.get_by_role("button", name="Disconnect", exact=True).click()
    expect(inspector.dialog).to_have_count(0)
    expect(main.get_by_title(connection)).to_have_count(0)
    expect(row).to_have_count(1)  # the page is a client like others: it comes back


def test_what_is_looked_for_narrows_the_list(inspector: Inspector) -> None:
    inspector.watch("alice", "anon")
    main = open_connections(inspector)
    main.get_by_label("Find a connection").fill("anon")
    expect(main.locator("tbody tr").first).to_contain_text("anon")
    expect(main.locator("tbody tr").filter(has_text="authenticated")).to_have_count(0)
    main.get_by_label("Find a connection").fill("nobody like this")
    expect(main).to_contain_text("No connection has that.")
    main.get_by_role("button", name="Show all").click()
    expect(main.locator("tbody tr").filter(has_text="authenticated").first).to_be_visible()


@pytest.mark.parametrize("width", [1000, 420, 360])
def test_connections_fit_every_width(inspector: Inspector, width: int) -> None:
    inspector.watch("alice")
    main = open_connections(inspector)
    expect(main.locator("tbody tr").first).to_be_visible()
    inspector.page.set_viewport_size({"width": width, "height": 860})
    if width < 760:
        narrow(inspector.page)
    main.locator("tbody button").first.click()
    expect(inspector.dialog).to_be_visible()
    if width < 760:
        narrow(inspector.page)


def test_on_a_phone_every_value_of_a_connection_is_in_sight(inspector: Inspector) -> None:
    inspector.watch("alice")
    inspector.page.set_viewport_size({"width": 420, "height": 860})
    inspector.page.evaluate("location.hash = 'section=connections'")
    row = inspector.page.get_by_role("main", name="Connections").locator("tbody tr").first
    for words in ("From", "For", "Sent", "Dropped", "Queue"):
        expect(row.locator(f"td[data-l={words}]")).to_be_in_viewport(ratio=1)
    row.get_by_role("button").click()
    expect(inspector.dialog).to_be_visible()
    box = inspector.dialog.bounding_box()
    assert box is not None
    assert (round(box["y"] + box["height"]), box["height"] < 400) == (860, True)
