"""Recordings: saved with secrets masked, read again without a server, played again; and the list cleared and brought back."""

import json
from pathlib import Path
from typing import Any

import psycopg
from playwright.sync_api import Browser, expect

from realtime_inspector.cli.search import parse
from realtime_inspector.cli.tape import Tape, play
from tests.web.conftest import TELL_VIOLATIONS
from tests.web.inspector import Inspector


def happen(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    """alice and bob next to each other; one row of alice's with an awkward text, one broadcast, one row for both."""
    inspector.watch("alice", "bob")
    inspector.compare()
    alice = inspector.demo.user("alice")
    database.execute("insert into tweets (user_id, content) values (%s, 'for alice alone')", [alice])
    inspector.page.keyboard.press("b")
    inspector.page.get_by_role("textbox", name="Event").fill("hello")
    inspector.page.get_by_role("textbox", name="Payload").fill('{"email": "x@example.com", "text": "héllo"}')
    inspector.page.get_by_role("button", name="Send as alice").click()
    inspector.page.locator(".nav").get_by_role("link", name="Live").click()
    database.execute("insert into countries (name) values ('Recordland')")
    expect(inspector.row("Recordland").locator(".mark[data-v=allowed]")).to_have_count(2)
    expect(inspector.row("hello")).to_have_count(1)


def save(inspector: Inspector, folder: Path, masked: str | None = None) -> Path:
    inspector.page.get_by_role("button", name="Save or open a recording").click()
    if masked is not None:
        inspector.dialog.get_by_label("Masked fields").fill(masked)
    with inspector.page.expect_download() as saved:
        inspector.dialog.get_by_role("button", name="Save ").click()
    path = folder / saved.value.suggested_filename
    saved.value.save_as(path)
    return path


def test_a_recording_is_read_without_a_server(
    inspector: Inspector, database: psycopg.Connection[Any], tmp_path: Path, browser: Browser
) -> None:
    happen(inspector, database)
    drawn = inspector.rows.evaluate_all("rows => rows.map((row) => row.ariaLabel)")
    path = save(inspector, tmp_path)
    context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    context.add_init_script(TELL_VIOLATIONS)
    page = context.new_page()
    other = Inspector(page, inspector.demo)
    page.goto(f"{inspector.demo.url}/inspector/")  # without a token
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.wait_for_load_state("networkidle")
    context.set_offline(True)
    with page.expect_file_chooser() as asked:
        page.get_by_role("button", name="Open a recording").click()
    asked.value.set_files(path)
    expect(other.row("Recordland").locator(".mark[data-v=allowed]")).to_have_count(2)
    assert other.rows.evaluate_all("rows => rows.map((row) => row.ariaLabel)") == drawn
    assert other.marks(other.row("for alice alone")) == ["allowed", "denied"]
    other.row("for alice alone").click()
    other.detail.get_by_role("tab", name="Diff").click()
    expect(other.detail.get_by_role("cell", name="for alice alone")).to_be_visible()
    page.get_by_role("button", name="Close", exact=True).last.click()
    assert complaints == []
    context.close()


def test_the_page_and_tail_open_what_the_other_kept(
    inspector: Inspector, database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    happen(inspector, database)
    shown = list(play(save(inspector, tmp_path)))
    found = {record["record"].get("content") or record["record"]["name"]: got for _, record, got in shown if "record" in record}
    assert found["for alice alone"] == {"alice": True, "bob": False}
    hidden = parse("user:bob reason:hidden_by_policy")
    assert [record["record"]["content"] for _, record, got in shown if hidden(record, got)] == ["for alice alone"]
    assert found["Recordland"] == {"alice": True, "bob": True}
    assert [record["payload"]["text"] for _, record, _ in shown if record["type"] == "broadcast"] == ["héllo"]
    kept = tmp_path / "tail.ndjson"
    with kept.open("w", encoding="utf-8") as file:
        tape = Tape(file, "room", {"alice": "authenticated", "bob": "authenticated"})
        for at, record, receipts in shown:
            tape.keep(at, record, receipts)
    assert list(play(kept)) == shown
    inspector.page.get_by_role("button", name="Save or open a recording").click()
    with inspector.page.expect_file_chooser() as asked:
        inspector.dialog.get_by_role("button", name="Open a recording").click()
    asked.value.set_files(kept)
    expect(inspector.page.get_by_role("region", name="Recording")).to_contain_text("tail.ndjson")
    assert inspector.marks(inspector.row("Recordland")) == ["allowed", "allowed"]
    assert inspector.marks(inspector.row("for alice alone"))[0] == "allowed"
    expect(inspector.row("hello")).to_have_count(1)


def test_a_recording_plays_again_at_its_pace(inspector: Inspector, database: psycopg.Connection[Any], tmp_path: Path) -> None:
    happen(inspector, database)
    path = save(inspector, tmp_path)
    page = inspector.page
    page.get_by_role("button", name="Save or open a recording").click()
    with page.expect_file_chooser() as asked:
        inspector.dialog.get_by_role("button", name="Open a recording").click()
    asked.value.set_files(path)
    bar = page.get_by_label("Recording", exact=True)
    expect(bar).to_contain_text("alice and bob")
    expect(inspector.row("Recordland")).to_have_count(1)
    bar.get_by_role("button", name="Play ten times as fast").click()
    expect(inspector.row("Recordland")).to_have_count(0)
    expect(inspector.row("phx_join").first).to_be_visible()
    expect(inspector.row("Recordland")).to_have_count(1)
    bar.get_by_role("button", name="Close").click()
    expect(inspector.lens).to_contain_text("yourself")
    expect(inspector.row("Recordland")).to_have_count(0)


def test_a_recording_has_no_secret_in_it(inspector: Inspector, database: psycopg.Connection[Any], tmp_path: Path) -> None:
    happen(inspector, database)
    kept = inspector.page.evaluate("JSON.parse(sessionStorage.getItem('inspector.identities'))")
    path = save(inspector, tmp_path, masked="email, content")
    text = path.read_text()
    header, *lines = map(json.loads, text.splitlines())
    assert (header["format"], header["version"]) == ("realtime-inspector recording", 1)
    assert {one["letter"] for one in header["identities"]} == {"A", "B"}
    assert all("claims" not in one and len(one["claims_sha256"]) == 64 for one in header["identities"])
    for secret in (
        inspector.demo.admin_token,
        *(one["access"] for one in kept),
        "for alice alone",
        "x@example.com",
        "alice@example",
    ):
        assert secret not in text
    joins = [json.loads(line["frame"]) for line in lines if line.get("answers") == "phx_join"]
    assert joins
    assert all(join[4]["response"]["resume"] == "•••" for join in joins)


def test_a_file_that_is_no_recording_changes_nothing(inspector: Inspector, tmp_path: Path) -> None:
    inspector.watch("alice")
    path = tmp_path / "other.ndjson"
    path.write_text('{"format": "something else"}\n')
    inspector.page.get_by_role("button", name="Save or open a recording").click()
    with inspector.page.expect_file_chooser() as asked:
        inspector.dialog.get_by_role("button", name="Open a recording").click()
    asked.value.set_files(path)
    expect(inspector.page.get_by_role("alert")).to_contain_text("other.ndjson was not opened: This file is no recording")
    expect(inspector.lens).to_contain_text("alice@example.com")
    expect(inspector.row("system", "Subscribed")).to_have_count(1)


def test_what_was_cleared_can_be_taken_back(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    inspector.watch("alice")
    database.execute("insert into countries (name) values ('Before')")
    expect(inspector.row("Before")).to_have_count(1)
    inspector.page.get_by_role("button", name="Clear the list").click()
    expect(inspector.row("Before")).to_have_count(0)
    expect(inspector.foot).to_contain_text("0 of 100,000 kept")
    database.execute("insert into countries (name) values ('Between')")
    expect(inspector.row("Between")).to_have_count(1)
    inspector.foot.get_by_role("button", name="Undo").click()
    expect(inspector.row("Before")).to_have_count(1)
    expect(inspector.row("Between")).to_have_count(1)
    expect(inspector.foot.get_by_role("button", name="Undo")).to_have_count(0)
