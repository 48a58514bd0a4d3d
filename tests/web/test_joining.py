"""Joining, impersonating and sending in their finer points; and what the page says while nothing arrives."""

import re
from typing import Any

import psycopg
import pytest
from playwright.sync_api import expect

from tests.web.inspector import Inspector
from tests.web.test_messages import section, send


def test_several_channels_are_joined_at_once(inspector: Inspector) -> None:
    inspector.join("kitchen, bar,kitchen")
    inspector.become("alice")
    expect(inspector.row("system", "Subscribed")).to_have_count(2)
    for name in ("kitchen", "bar"):
        expect(inspector.row("reply", name, "phx_join")).to_have_count(1)


def test_a_filter_can_be_built_and_written_out(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    page = inspector.page
    page.keyboard.press("Shift+J")
    dialog = inspector.dialog
    dialog.get_by_role("textbox", name="Channel").fill("room")
    dialog.get_by_label("Table", exact=True).select_option(label="countries")
    dialog.get_by_label("Filter on column").select_option("name")
    dialog.get_by_label("Value").fill("Fiji")
    dialog.get_by_role("button", name="Write the filter out").click()
    written = dialog.get_by_role("textbox", name="Filter")
    expect(written).to_have_value("name=eq.Fiji")
    written.fill("name=in.(Fiji,Togo)")
    expect(dialog.get_by_role("button", name="Build the filter")).to_be_disabled()
    expect(dialog.locator(".code--join")).to_contain_text('filter: "name=in.(Fiji,Togo)"')
    dialog.get_by_role("button", name="Python").click()
    expect(dialog.locator(".code--join")).to_contain_text('filter="name=in.(Fiji,Togo)"')
    dialog.get_by_role("button", name="Join", exact=True).click()
    inspector.become("alice")
    expect(inspector.row("system", "Subscribed")).to_have_count(1)
    for name in ("Chad", "Togo"):
        database.execute("insert into countries (name) values (%s)", [name])
    expect(inspector.row("INSERT", "Togo")).to_have_count(1)
    expect(inspector.row("INSERT", "Chad")).to_have_count(0)


def test_a_refused_channel_says_so_where_the_messages_would_be(inspector: Inspector) -> None:
    page = inspector.page
    page.keyboard.press("Shift+J")
    inspector.dialog.get_by_role("textbox", name="Channel").fill("staff")
    inspector.dialog.get_by_role("checkbox", name="Private").check()
    inspector.dialog.get_by_role("button", name="Join", exact=True).click()
    inspector.become("anon")
    expect(page.locator(".quiet")).to_contain_text("anon was not let into staff.")
    expect(page.locator(".quiet")).to_contain_text(re.compile("anon on staff: .*[Pp]rivate|anon on staff: .*ermission"))
    page.get_by_role("button", name="Change or leave staff").last.click()
    expect(inspector.dialog).to_have_accessible_name("Channel staff")


def test_what_could_be_wrong_is_checked_after_ten_quiet_seconds(inspector: Inspector) -> None:
    inspector.join("room", table="countries", event="insert")
    inspector.become("alice")
    expect(inspector.row("system", "Subscribed")).to_have_count(1)
    checked = inspector.page.get_by_role("list", name="What was checked")
    expect(checked).to_have_count(0)
    expect(checked).to_contain_text("The tables are published", timeout=30_000)
    expect(checked.get_by_label("look here")).to_have_count(0)


def test_the_claims_of_a_token_are_read_and_the_token_goes_nowhere(inspector: Inspector) -> None:
    page = inspector.page
    inspector.join("room")
    page.keyboard.press("i")
    inspector.dialog.get_by_role("button", name="Paste a token").click()
    field = inspector.dialog.get_by_label("Token to read the claims of")
    field.fill("not a token")
    expect(inspector.dialog.get_by_role("alert")).to_contain_text("This is no JWT")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(f"{request.url} {request.post_data or ''}"))
    # {"role":"authenticated","sub":"a11ce000-0000-4000-8000-000000000001","aal":"aal2","exp":1,"name":"Ågot"}
    body = (
        "eyJyb2xlIjoiYXV0aGVudGljYXRlZCIsInN1YiI6ImExMWNlMDAwLTAwMDAtNDAwMC04MDAwLTAwMDAwMDAwMDAwMSIsImFhbCI6ImFhbDIiLCJleHAiOjEs"
        "Im5hbWUiOiLDhWdvdCJ9"
    )
    field.fill(f"eyJhbGciOiJIUzI1NiJ9.{body}.c2lnbmF0dXJl")
    expect(inspector.dialog.get_by_role("radio", name="Role")).to_be_checked()
    inspector.dialog.get_by_label("Reason").fill("Ticket 1: what does their token say")
    inspector.dialog.get_by_role("button", name="View as authenticated").click()
    expect(inspector.row("system", "Subscribed")).to_have_count(1)
    page.get_by_role("button", name="Claims", exact=True).click()
    for text in ('"aal": "aal2"', '"name": "Ågot"', "a11ce000-0000-4000-8000-000000000001"):
        expect(inspector.dialog).to_contain_text(text)
    assert not any("c2lnbmF0dXJl" in request for request in sent)


def test_an_added_claim_is_shown_against_what_is_stored(inspector: Inspector) -> None:
    inspector.choose("alice")
    inspector.dialog.get_by_label("Claims to add, as JSON").fill('{"app_metadata": {"role": "admin"}}')
    expect(inspector.dialog.locator(".editor-base .ln.del")).to_contain_text("app_metadata")


def test_a_message_is_sent_as_often_as_one_says(inspector: Inspector) -> None:
    page = inspector.page
    inspector.watch("alice")
    page.keyboard.press("b")
    page.get_by_label("Times").fill("3")
    page.get_by_label("every, in ms").fill("20")
    send(page, "tick", '{"n": 1}')
    expect(page.get_by_role("list", name="Sent").get_by_role("listitem")).to_have_count(3)
    page.get_by_role("button", name="Save this one").click()
    section(inspector, "Live")
    expect(inspector.row("tick")).to_have_count(3)
    page.reload()
    page.keyboard.press("b")
    page.get_by_role("button", name="tick", exact=True).click()
    expect(page.get_by_role("textbox", name="Event")).to_have_value("tick")
    expect(page.get_by_role("textbox", name="Payload")).to_have_value('{"n": 1}')
    page.get_by_role("button", name="Forget the message tick").click()
    expect(page.get_by_role("button", name="tick", exact=True)).to_have_count(0)


def test_comings_and_goings_are_listed(inspector: Inspector) -> None:
    page = inspector.page
    inspector.watch("alice")
    page.keyboard.press("b")
    page.get_by_role("radio", name="Presence").check(force=True)
    for status in ("here", "busy"):
        page.get_by_role("textbox", name="Payload").fill(f'{{"status": "{status}"}}')
        page.get_by_role("button", name="Track alice").click()
    page.get_by_role("button", name="Stop tracking").click()
    section(inspector, "Presence")
    lines = page.locator(".comings li")
    expect(lines).to_have_count(3)
    for line, words in zip(lines.all(), ("left", "updated", "joined"), strict=True):
        expect(line).to_contain_text(words)


@pytest.mark.parametrize("keys", ["Shift+L", "Shift+Escape"])
def test_stopping_ends_the_stream_at_once(inspector: Inspector, database: psycopg.Connection[Any], keys: str) -> None:
    page = inspector.page
    with page.expect_websocket() as opened:
        inspector.watch("alice")
    socket = opened.value
    with socket.expect_event("close"):
        page.keyboard.press(keys)
    expect(inspector.lens).to_contain_text("yourself")
    kept = inspector.rows.count()
    database.execute("insert into countries (name) values ('After the end')")
    page.wait_for_timeout(500)
    assert inspector.rows.count() == kept
    newest = "select ended_at is null from realtime_inspector.impersonation_sessions order by started_at desc limit 1"
    assert database.execute(newest).fetchone() == (False,)
