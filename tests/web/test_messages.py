"""Broadcast, presence and the channel itself, sent and received through the page."""

import re

from playwright.sync_api import Page, expect

from tests.web.inspector import Inspector


def section(inspector: Inspector, name: str) -> None:
    inspector.page.get_by_role("navigation", name="Sections").first.get_by_role("link", name=name).click()


def send(page: Page, event: str, payload: str) -> None:
    page.get_by_role("textbox", name="Event").fill(event)
    page.get_by_role("textbox", name="Payload").fill(payload)
    page.get_by_role("button", name=re.compile("^Send as")).click()


def test_a_broadcast_reaches_everybody_on_the_channel(inspector: Inspector) -> None:
    inspector.watch("alice", "bob")
    inspector.page.keyboard.press("b")
    send(inspector.page, "cursor", '{"x": 412, "y": 88, "note": "héllo"}')
    expect(inspector.page.get_by_role("list", name="Sent")).to_contain_text("cursor on room")
    section(inspector, "Live")
    inspector.compare()
    received = inspector.row("cursor", "x 412", "note héllo")
    expect(received.locator(".mark[data-v=allowed]")).to_have_count(2)
    received.click()
    inspector.detail.get_by_role("tab", name="Message").click()
    expect(inspector.detail.get_by_text('"héllo"')).to_be_visible()


def test_an_acknowledgement_is_waited_for_where_the_channel_asks_for_it(inspector: Inspector) -> None:
    inspector.watch("alice")
    inspector.page.get_by_role("button", name="Change or leave room").click()
    inspector.dialog.get_by_role("checkbox", name="Hear what you send yourself").uncheck()
    inspector.dialog.get_by_role("checkbox", name="Ask for an acknowledgement").check()
    inspector.dialog.get_by_role("button", name="Join again").click()
    expect(inspector.row("reply", "phx_join")).to_have_count(2)
    inspector.page.keyboard.press("b")
    send(inspector.page, "ping", "{}")
    expect(inspector.page.get_by_role("list", name="Sent")).to_contain_text("Acknowledged: ping on room")
    section(inspector, "Live")
    expect(inspector.row("ping")).to_have_count(0)


def test_a_payload_that_is_no_json_is_not_sent(inspector: Inspector) -> None:
    inspector.watch("alice")
    inspector.page.keyboard.press("b")
    inspector.page.get_by_role("textbox", name="Payload").fill('{"x": ')
    expect(inspector.page.get_by_text(re.compile("^Not valid JSON"))).to_be_visible()
    expect(inspector.page.get_by_role("button", name="Send as alice")).to_be_disabled()


def test_presence_is_seen_by_the_others_and_ends_with_tracking(inspector: Inspector) -> None:
    inspector.watch("alice", "bob")
    inspector.page.get_by_role("button", name="alice").click()
    section(inspector, "Send")
    page = inspector.page
    page.get_by_role("radio", name="Presence").check(force=True)
    page.get_by_role("textbox", name="Payload").fill('{"status": "busy"}')
    page.get_by_role("button", name="Track alice").click()
    expect(page.get_by_role("list", name="Sent")).to_contain_text("Acknowledged: presence on room")
    section(inspector, "Live")
    page.get_by_role("button", name="bob").click()
    expect(inspector.row("join", "room", "joined")).to_have_count(1)
    section(inspector, "Presence")
    expect(page.get_by_role("heading", name="room")).to_contain_text("1 present")
    expect(page.get_by_role("table")).to_contain_text("status busy")
    section(inspector, "Live")
    page.get_by_role("button", name="alice").click()
    section(inspector, "Send")
    page.get_by_role("button", name="Stop tracking").click()
    section(inspector, "Presence")
    expect(page.get_by_role("heading", name="room")).to_contain_text("0 present")


def test_a_refused_subscription_says_why_and_the_rest_goes_on(inspector: Inspector) -> None:
    inspector.join("room", table="countries")
    inspector.become("anon")
    expect(inspector.row("system", "Subscribed")).to_have_count(1)
    inspector.page.get_by_role("button", name="Change or leave room").click()
    inspector.dialog.get_by_label("Filter on column").select_option("id")
    inspector.dialog.get_by_label("Value").fill("many")
    inspector.dialog.get_by_role("button", name="Join again").click()
    expect(inspector.row("error", "room", "many")).to_have_count(1)
    inspector.page.keyboard.press("b")
    send(inspector.page, "still", '{"here": true}')
    section(inspector, "Live")
    expect(inspector.row("still", "here true")).to_have_count(1)


def test_a_channel_can_be_left(inspector: Inspector) -> None:
    inspector.watch("alice")
    inspector.page.get_by_role("button", name="Change or leave room").click()
    inspector.dialog.get_by_role("button", name="Leave the channel").click()
    expect(inspector.row("reply", "phx_leave")).to_have_count(1)
    expect(inspector.page.get_by_role("button", name="Change or leave room")).to_have_count(0)
