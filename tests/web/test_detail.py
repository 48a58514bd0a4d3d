"""The detail of a message: its forms, its time, its transaction, and links to it."""

import json
import re
from typing import Any

import psycopg
from playwright.sync_api import expect

from tests.web.inspector import Demo, Inspector


def tweet(database: psycopg.Connection[Any], demo: Demo, content: str) -> None:
    database.execute("insert into tweets (user_id, content) values (%s, %s)", [demo.user("alice"), content])


def test_a_change_is_shown_as_the_frames_of_both_versions(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    inspector.watch("alice")
    tweet(database, inspector.demo, 'commas, [brackets], "quotes"')
    inspector.row("INSERT", "brackets").click()
    inspector.detail.get_by_role("tab", name="Message").click()
    inspector.detail.get_by_role("radio", name="Frame").check(force=True)
    second, first = (json.loads(text) for text in inspector.detail.locator(".code").all_inner_texts())
    assert [second[0], second[2], second[3]] == [None, "realtime:room", "postgres_changes"]
    assert first == {"topic": "realtime:room", "event": "postgres_changes", "payload": second[4], "ref": None}
    inspector.detail.get_by_role("radio", name="Raw").check(force=True)
    assert json.loads(inspector.detail.locator(".code").inner_text()) == second[4]


def test_a_broadcast_is_shown_as_the_bytes_that_came(inspector: Inspector) -> None:
    inspector.watch("alice")
    inspector.page.keyboard.press("b")
    inspector.page.get_by_role("textbox", name="Event").fill("cursor")
    inspector.page.get_by_role("textbox", name="Payload").fill('{"x": 412}')
    inspector.page.get_by_role("button", name="Send as alice").click()
    inspector.page.keyboard.press("Escape")
    inspector.page.get_by_role("navigation", name="Sections").first.get_by_role("link", name="Live").click()
    inspector.row("cursor").click()
    inspector.detail.get_by_role("radio", name="Frame").check(force=True)
    binary, text = inspector.detail.locator(".code").all_inner_texts()
    read = bytes(int(pair, 16) for line in binary.splitlines() for pair in line[6:30].split())
    assert read[0] == 4
    assert read.endswith(b'realtime:roomcursor{"x":412}')
    assert json.loads(text)["payload"] == {"type": "broadcast", "event": "cursor", "payload": {"x": 412}}
    expect(inspector.detail).to_contain_text(f"{len(read)} bytes on the wire")


def test_numbers_beyond_what_a_double_holds_stay_exact(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    inspector.watch("alice")
    statement = "insert into tweets (id, user_id, content) overriding system value values (9007199254740993, %s, 'large')"
    database.execute(statement, [inspector.demo.user("alice")])
    inspector.search("key:9007199254740993")
    inspector.row("INSERT", "9007199254740993").click()
    expect(inspector.detail.get_by_role("cell", name="9007199254740993")).to_be_visible()
    inspector.detail.get_by_role("tab", name="Message").click()
    expect(inspector.detail.locator(".json--root")).to_contain_text("9007199254740993")
    database.execute("delete from tweets")


def test_a_value_that_did_not_come_says_why(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    inspector.watch("alice")
    statement = "insert into tweets (user_id, content) values (%s, repeat('large', 300000)) returning id"
    key = database.execute(statement, [inspector.demo.user("alice")]).fetchone()
    inspector.row("INSERT", "tweets").click()
    expect(inspector.detail.get_by_role("row", name="content")).to_contain_text("left out: the event was too large")
    database.execute("delete from tweets where id = %s", key)
    inspector.row("DELETE", "tweets").click()
    expect(inspector.detail.get_by_role("row", name="content")).to_contain_text("left out: the event was too large")
    database.execute("insert into countries (id, name) values (4712, 'Gone')")
    database.execute("delete from countries where id = 4712")
    inspector.row("DELETE", "countries").click()
    expect(inspector.detail.get_by_role("row", name="name")).to_contain_text("not in replica identity")


def test_a_value_that_did_not_change_and_is_not_in_the_log_says_so(inspector: Inspector) -> None:
    """A row that can be read has all its values; without that a message has what the log has. So the frame is made up."""
    inspector.watch("alice")
    inspector.page.evaluate("""async () => {
      const { decode } = await import("/inspector/wire/frames.js");
      const { accept } = await import("/inspector/model/feed.js");
      const { viewed } = await import("/inspector/model/lens.js");
      const columns = [{ name: "id", type: "int8" }, { name: "name", type: "text" }, { name: "essay", type: "text" }];
      const data = { schema: "public", table: "essays", type: "UPDATE", commit_timestamp: "2026-11-20T12:03:09.480Z",
        columns, errors: null, record: { id: 1, name: "short" }, old_record: { id: 1 } };
      accept(decode(JSON.stringify([null, null, "realtime:room", "postgres_changes", { ids: [1], data }])), viewed.value);
    }""")
    inspector.row("UPDATE", "essays").click()
    essay = inspector.detail.get_by_role("row", name="essay")
    expect(essay).to_contain_text("unchanged and stored out of line (TOAST), so not in the log")
    expect(inspector.detail.get_by_role("row", name="name")).to_contain_text("not in replica identity")


def test_timing_says_what_was_measured_and_what_was_estimated(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    inspector.watch("alice")
    tweet(database, inspector.demo, "on time")
    inspector.row("INSERT", "on time").click()
    inspector.detail.get_by_role("tab", name="Timing").click()
    expect(inspector.detail.get_by_role("cell", name=re.compile(r"^−?[0-9.]+ ± [0-9.]+ ms$"))).to_be_visible()
    expect(inspector.detail).to_contain_text(re.compile(r"They (agree|differ.*), give or take [0-9.]+ ms, by the quickest of"))


def test_a_clock_that_is_wrong_is_found_out(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    page = inspector.page
    page.add_init_script("{ const now = Date.now; Date.now = () => now() - 60_000; }")
    page.reload()
    expect(page.get_by_role("heading", name="Nothing has happened yet")).to_be_visible()
    inspector.watch("alice")
    tweet(database, inspector.demo, "a minute ahead")
    inspector.row("INSERT", "a minute ahead").click()
    inspector.detail.get_by_role("tab", name="Timing").click()
    expect(inspector.detail).to_contain_text(re.compile(r"the service’s is (59\d{3}|6\d{4}) ms ahead"))
    estimated = inspector.detail.get_by_role("cell", name=re.compile(" ± ")).inner_text()
    assert abs(float(estimated.split(" ")[0].replace("−", "-"))) < 30_000  # measured: about −60,000


def test_the_changes_of_one_transaction_hang_together(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    inspector.watch("alice")
    with database.transaction():
        for n in range(3):
            tweet(database, inspector.demo, f"together {n}")
    tweet(database, inspector.demo, "alone")
    expect(inspector.row("alone")).to_have_count(1)
    assert inspector.row("together").locator(".c-wire").evaluate_all("all => all.map((wire) => wire.dataset.w)") == [
        "start",
        "middle",
        "end",
    ]
    assert inspector.row("alone").locator(".c-wire").get_attribute("data-w") is None
    inspector.row("together 0").hover()
    expect(inspector.page.locator(".row.is-mate")).to_have_count(3)
    inspector.row("together 0").click()
    expect(inspector.detail).to_contain_text("3 changes")
    also = inspector.detail.get_by_role("button", name=re.compile("INSERT tweets"))
    expect(also).to_have_count(2)
    also.last.click()
    expect(inspector.page.locator(".row[aria-selected=true]")).to_contain_text("together 2")


def test_a_link_opens_the_change_when_it_comes(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    inspector.watch("alice")
    tweet(database, inspector.demo, "linked")
    row = inspector.row("INSERT", "linked")
    row.click()
    inspector.page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    inspector.detail.get_by_role("button", name="Copy a link to this message").click()
    link = str(inspector.page.evaluate("window.copied"))
    assert "token" not in link
    assert inspector.demo.admin_token not in link
    inspector.page.keyboard.press("Escape")
    expect(inspector.detail).to_have_count(0)
    inspector.page.evaluate("(link) => { location.href = link; }", link)
    expect(inspector.detail.get_by_role("cell", name="linked")).to_be_visible()
