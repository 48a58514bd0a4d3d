"""What strangers write stays text, the policy of the page holds, and tokens stay where they belong."""

import json
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest
from playwright.sync_api import expect

from tests.web.inspector import Inspector

WEB = Path(__file__).resolve().parents[2] / "web"
OWN = [file for file in [*WEB.rglob("*.js"), *WEB.rglob("*.html")] if "vendor" not in file.parts]
ATTACK = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>${1}{{1}}\u202e"
SINKS = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Func|srcdoc|javascript:", re.IGNORECASE)
INLINE = re.compile(r"<style|<script>|\son[a-z]+=\"|\sstyle=\"", re.IGNORECASE)


@pytest.mark.parametrize("file", OWN, ids=lambda file: str(file.relative_to(WEB)))
def test_no_module_writes_markup(file: Path) -> None:
    assert not SINKS.search(file.read_text())


def test_the_document_has_nothing_inline() -> None:
    assert not INLINE.search((WEB / "index.html").read_text())


def test_markup_in_every_field_of_a_message_stays_text(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    inspector.watch("service", channel=ATTACK[:60])
    page = inspector.page
    database.execute("insert into countries (name) values (%s)", [ATTACK])
    inspector.row("INSERT", "countries", "onerror").click()
    for tab in ("Message", "Diff", "Timing"):
        inspector.detail.get_by_role("tab", name=tab).click()
    inspector.search("onerror")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    page.get_by_role("textbox", name="Event").fill(ATTACK[:60])
    page.get_by_role("textbox", name="Payload").fill(json.dumps({ATTACK: ATTACK, "__proto__": {"x": 1}, "__html": ATTACK}))
    page.get_by_role("button", name="Send as service").click()
    page.get_by_role("radio", name="Presence").check(force=True)
    page.get_by_role("textbox", name="Payload").fill(json.dumps({ATTACK: ATTACK}))
    page.get_by_role("button", name="Track service").click()
    expect(page.get_by_role("list", name="Sent")).to_contain_text("presence on <img")
    page.get_by_role("link", name="Presence").first.click()
    expect(page.get_by_role("table")).to_contain_text("onerror")
    page.get_by_role("link", name="Live").first.click()
    expect(inspector.row("<img src=x", "__html")).to_have_count(1)
    assert page.locator(".panes img:not([role]), .panes script").count() == 0
    assert page.title() == "Inspector"


def test_a_table_with_a_hostile_name_stays_text(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    name = '"><img src=x onerror=alert(1)>'
    quoted = '"' + name.replace('"', '""') + '"'
    database.execute(f"create table {quoted} (id int primary key, {quoted} text)".encode())
    database.execute(f"grant select on {quoted} to anon; alter publication supabase_realtime add table {quoted}".encode())
    try:
        inspector.page.reload()
        expect(inspector.page.get_by_role("row", name=name)).to_be_visible()
        inspector.watch("anon", table=name)
        database.execute(f"insert into {quoted} values (1, 'x')".encode())
        expect(inspector.row("INSERT", name)).to_have_count(1)
    finally:
        database.execute(f"drop table {quoted}".encode())


def test_frames_that_make_no_sense_are_rows_or_nothing(inspector: Inspector, complaints: list[str]) -> None:
    inspector.watch("alice")
    inspector.page.evaluate("""async () => {
      const { decode } = await import("/inspector/wire/frames.js");
      const { accept } = await import("/inspector/model/feed.js");
      const { viewed } = await import("/inspector/model/lens.js");
      const broken = ["", "{}", "[1,2,3]", "null", '[null,null,"t"]', new ArrayBuffer(0), new ArrayBuffer(3),
        Uint8Array.of(4, 9, 9, 9, 1, 0).buffer, Uint8Array.of(9, 1, 1, 1, 1).buffer];
      const odd = [null, 7, "text", [], {}, { data: null }, { data: { record: 5, old_record: "x", columns: 3, type: {} } },
        { joins: null, leaves: 4 }, { ids: { metas: [null, 3] } }, { verdict: 4 }, { event: {}, payload: null }];
      const events = ["postgres_changes", "broadcast", "presence_state", "presence_diff", "system", "phx_reply", "x"];
      window.understood = broken.map((data) => decode(data)).filter((frame) => frame !== null).length;
      for (const event of events) {
        for (const payload of odd) accept(decode(JSON.stringify([null, null, "realtime:room", event, payload])), viewed.value);
      }
    }""")
    expect(inspector.foot).to_contain_text("80 of 100,000 kept")
    assert inspector.page.evaluate("understood") == 0
    for number in range(77):
        inspector.page.keyboard.press("k")
        inspector.page.keyboard.press("]")
        assert complaints == [], number
    expect(inspector.detail).to_be_visible()


def test_the_token_leaves_the_address_at_once_and_never_comes_back(inspector: Inspector) -> None:
    inspector.watch("alice")
    token = inspector.demo.admin_token
    assert token not in inspector.page.url
    assert "#" in inspector.page.url
    inspector.search("lag:>5")
    inspector.page.keyboard.press("Escape")
    history = inspector.page.evaluate("JSON.stringify([document.referrer, location.href, { ...localStorage }])")
    assert "eyJ" not in history
    assert REASON_WORD not in history


REASON_WORD = "Ticket"


def test_the_page_loads_nothing_from_anywhere_else(inspector: Inspector) -> None:
    asked = inspector.page.evaluate("performance.getEntriesByType('resource').map((entry) => new URL(entry.name).origin)")
    assert set(asked) == {inspector.demo.url}


def test_the_policy_of_the_page_allows_no_foreign_code_and_no_markup_from_scripts(inspector: Inspector) -> None:
    answer = inspector.page.request.get(f"{inspector.demo.url}/inspector/")
    policy = answer.headers["content-security-policy"]
    for rule in ("default-src 'self'", "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'"):
        assert rule in policy
    assert "unsafe" not in policy
