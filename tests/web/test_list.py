"""The list: search, chips, following and pausing, and a hundred thousand messages."""

import re

from playwright.sync_api import Page, expect

from tests.web.inspector import Inspector

FILL = """async (count) => {
  const { decode } = await import("/inspector/wire/frames.js");
  const { accept, ring } = await import("/inspector/model/feed.js");
  const { viewed } = await import("/inspector/model/lens.js");
  const until = ring.next + count;
  for (let i = 0; i < count; i += 1) {
    const data = { schema: "public", table: "tweets", type: "INSERT", commit_timestamp: "2026-11-20T12:03:09.480Z",
      columns: [], errors: null, record: { id: i, content: `made up ${i}` } };
    const payload = { ids: [1], data, event_id: `made-up-${until}-${i}` };
    accept(decode(JSON.stringify([null, null, "realtime:room", "postgres_changes", payload])), viewed.value);
  }
  while (ring.next < until) await new Promise((done) => setTimeout(done, 20));
}"""
"""Hands frames to the page as its sockets do: quicker than a service could be asked to send as many."""


def fill(page: Page, count: int) -> None:
    page.evaluate(FILL, count)


def test_following_shows_the_newest_and_stops_when_one_scrolls_up(inspector: Inspector) -> None:
    inspector.watch("alice")
    fill(inspector.page, 200)
    expect(inspector.row("made up 199")).to_be_in_viewport()
    expect(inspector.foot).to_contain_text("Following")
    inspector.grid.hover()
    inspector.page.mouse.wheel(0, -600)
    expect(inspector.foot).to_contain_text("Not following")
    fill(inspector.page, 37)
    newer = inspector.foot.get_by_role("button", name="37 newer")
    newer.click()
    expect(inspector.row("made up 36")).to_be_in_viewport()
    expect(inspector.foot).to_contain_text("Following")


def test_pause_keeps_receiving_and_shows_nothing_new(inspector: Inspector) -> None:
    inspector.watch("alice")
    fill(inspector.page, 3)
    inspector.grid.focus()
    inspector.page.keyboard.press("Space")
    fill(inspector.page, 5)
    expect(inspector.foot).to_contain_text("Paused, 5 newer")
    expect(inspector.row("made up 4")).to_have_count(0)
    inspector.page.keyboard.press("Space")
    expect(inspector.row("made up 4")).to_have_count(1)


def test_a_selected_message_stays_while_the_stream_goes_on(inspector: Inspector) -> None:
    inspector.watch("alice")
    fill(inspector.page, 60)
    inspector.row("made up 59").click()
    fill(inspector.page, 100)
    expect(inspector.detail).to_contain_text("made up 59")
    expect(inspector.page.locator(".row.is-selected")).to_be_in_viewport()


def test_the_search_finds_words_fields_and_patterns(inspector: Inspector) -> None:
    inspector.watch("alice")
    fill(inspector.page, 120)
    for text, found in {
        '"made up 11"': 11,
        "key:7": 1,
        "made up /up 11[0-4]/": 5,
        "table:tweets -made": 0,
        "new.content:/^made up 5$/": 1,
        "kind:presence": 1,
        "op:insert verdict:allowed lag:>200": 120,
        "channel:room op:insert": 120,
    }.items():
        inspector.search(text)
        expect(inspector.grid).to_have_attribute("aria-rowcount", str(found + 1))
    inspector.search("key:7")
    expect(inspector.foot).to_contain_text("122 hidden by filters")
    inspector.foot.get_by_role("button", name="Show all").click()
    expect(inspector.grid).to_have_attribute("aria-rowcount", "124")


def test_an_invalid_search_is_marked_and_changes_nothing(inspector: Inspector) -> None:
    inspector.watch("alice")
    fill(inspector.page, 20)
    inspector.search("/[/")
    expect(inspector.page.get_by_text("/[/ is not a valid pattern")).to_be_visible()
    expect(inspector.grid).to_have_attribute("aria-rowcount", "24")


def test_chips_count_their_kind_and_switch_it_off(inspector: Inspector) -> None:
    inspector.watch("alice")
    fill(inspector.page, 30)
    expect(inspector.chip("Changes")).to_contain_text("30")
    inspector.chip("Changes").click()
    expect(inspector.grid).to_have_attribute("aria-rowcount", "4")
    expect(inspector.chip("Changes")).to_have_attribute("aria-pressed", "false")
    inspector.chip("System").click(modifiers=["Shift"])
    expect(inspector.grid).to_have_attribute("aria-rowcount", "3")
    inspector.chip("System").click(modifiers=["Shift"])
    expect(inspector.grid).to_have_attribute("aria-rowcount", "34")
    inspector.search('"made up 7"')
    expect(inspector.chip("Changes")).to_contain_text("1")


def test_a_hundred_thousand_messages_need_few_rows_and_the_oldest_are_counted(inspector: Inspector) -> None:
    inspector.watch("alice")
    page = inspector.page
    fill(page, 100_000)
    expect(inspector.foot).to_contain_text("100,000 of 100,000 kept")
    expect(inspector.foot).to_contain_text(re.compile(r"\d+ let go"))
    assert inspector.rows.count() <= 60
    rows = page.locator(".rows")
    for share in (0, 0.25, 0.5, 0.999):
        rows.evaluate("(list, share) => { list.scrollTop = list.scrollHeight * share }", share)
        place = round(100_000 * share)
        expect(inspector.row(f"made up {min(place + 5, 99_999)}").first).to_be_attached()
        assert inspector.rows.count() <= 60
    inspector.search("key:64321")
    expect(inspector.row("made up 64321")).to_have_count(1)


def test_the_open_message_survives_its_eviction(inspector: Inspector) -> None:
    inspector.watch("alice")
    fill(inspector.page, 1)
    inspector.row("made up 0").click()
    fill(inspector.page, 100_000)
    expect(inspector.detail).to_contain_text("No longer kept in the list.")
    expect(inspector.detail).to_contain_text("made up 0")
