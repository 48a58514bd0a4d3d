"""The section Audit: what is recorded, filters and pages, whether the chain holds, and the trail as a file."""

import json
from typing import Any

import psycopg
from playwright.sync_api import Locator, Page, expect

from tests.web.inspector import REASON, Inspector
from tests.web.test_look import narrow
from tests.web.test_why import ATTACK, tweet


def open_audit(inspector: Inspector) -> Locator:
    inspector.page.get_by_role("navigation", name="Sections").first.get_by_role("link", name="Audit").click()
    return inspector.page.get_by_role("main", name="Audit")


def entries(page: Page) -> Locator:
    return page.locator(".trail tbody tr")


def test_a_stop_and_a_look_at_why_are_there_with_their_session(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    page = inspector.page
    inspector.watch("alice")
    tweet(inspector, database, "bob")
    inspector.row("INSERT", "denied").click()
    page.keyboard.press("w")
    expect(inspector.detail).to_contain_text("This look is recorded.")
    inspector.lens.get_by_role("button", name="Stop").click()
    expect(inspector.lens).to_contain_text("yourself")
    main = open_audit(inspector)
    newest = entries(page).filter(has_text="view stopped").first
    newest.locator("td").nth(3).get_by_role("button").click()
    written = entries(page).filter(has_not_text="rows counted")  # every 10 seconds
    expect(written).to_have_count(4)
    expect(written.locator(".tag")).to_have_text(["view stopped", "asked why", "channel joined", "view started"])
    expect(written.nth(1)).to_contain_text("public.tweets")
    expect(written.nth(3)).to_contain_text(REASON)
    assert "section=audit" in page.url
    assert "Ticket" not in page.url
    assert "session_id" in page.url
    page.reload()
    expect(written.locator(".tag")).to_have_text(["view stopped", "asked why", "channel joined", "view started"])
    main.get_by_role("button", name="Show all").click()
    expect(main.get_by_role("button", name="Show all")).to_have_count(0)


def test_the_chain_is_verified_and_named_where_it_breaks(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    inspector.become("alice")
    main = open_audit(inspector)
    expect(main.locator(".chain")).to_contain_text("The chain is intact.")
    newest = "select id, action from realtime_inspector.audit_log order by id desc limit 1"
    number, action = database.execute(newest.encode()).fetchone() or (0, "")
    change = "update realtime_inspector.audit_log set action = %s where id = %s"
    trigger = "alter table realtime_inspector.audit_log {} trigger kept, {} trigger kept_whole, {} trigger chained"
    database.execute(trigger.replace("{}", "disable").encode())
    try:
        database.execute(change.encode(), ["harmless", number])
        main.get_by_role("button", name="Verify again").click()
        expect(main.get_by_role("alert")).to_contain_text(f"The chain is broken at entry {number}.")
    finally:
        database.execute(change.encode(), [action, number])
        database.execute(trigger.replace("{}", "enable always").encode())
    main.get_by_role("button", name="Verify again").click()
    expect(main.locator(".chain")).to_contain_text("The chain is intact.")


def test_the_filtered_trail_is_taken_away_as_a_file(inspector: Inspector) -> None:
    page = inspector.page
    inspector.become("alice")
    inspector.lens.get_by_role("button", name="Stop").click()
    expect(inspector.lens).to_contain_text("yourself")
    main = open_audit(inspector)
    main.get_by_label("Action").select_option("started")
    expect(entries(page).filter(has_text="view stopped")).to_have_count(0)
    with page.expect_download() as started:
        main.get_by_role("button", name="NDJSON").click()
    lines = [json.loads(line) for line in started.value.path().read_text().splitlines()]
    assert {line["action"] for line in lines} == {"started"}
    assert lines[-1]["detail"]["reason"] == REASON or REASON in json.dumps(lines[-1])
    with page.expect_download() as started:
        main.get_by_role("button", name="CSV").click()
    assert started.value.suggested_filename == "audit.csv"
    assert "hash" in started.value.path().read_text().splitlines()[0]


def test_pages_are_turned(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    page = inspector.page
    token = inspector.demo.admin_token
    address = f"{inspector.demo.url}/api/v1/auth/impersonate/anon"
    for number in range(52):
        answer = page.request.post(
            address, data={"reason": f"page {number} of many"}, headers={"authorization": f"Bearer {token}"}
        )
        assert answer.ok, answer.text()
    main = open_audit(inspector)
    expect(main.locator(".pager")).to_contain_text("1 to 50 of")
    main.get_by_role("button", name="Older entries").click()
    expect(main.locator(".pager")).to_contain_text("51 to")
    main.get_by_role("button", name="Newer entries").click()
    expect(main.locator(".pager")).to_contain_text("1 to 50 of")
    expect(main.get_by_role("button", name="Newer entries")).to_be_disabled()


def test_sessions_are_listed_with_their_reason(inspector: Inspector) -> None:
    page = inspector.page
    inspector.become("alice")
    main = open_audit(inspector)
    main.get_by_role("radio", name="Sessions").check(force=True)
    main.get_by_label("Only those that run now").check()
    row = entries(page).filter(has_text=REASON).first
    expect(row).to_contain_text("runs")
    row.get_by_role("button").click()
    expect(entries(page).filter(has_text="view started")).to_have_count(1)


def test_markup_in_reasons_and_user_agents_stays_text_and_nothing_matches_a_filter(inspector: Inspector) -> None:
    page = inspector.page
    headers = {"authorization": f"Bearer {inspector.demo.admin_token}", "user-agent": ATTACK}
    answer = page.request.post(f"{inspector.demo.url}/api/v1/auth/impersonate/anon", data={"reason": ATTACK}, headers=headers)
    assert answer.ok
    main = open_audit(inspector)
    row = entries(page).filter(has_text=ATTACK).first
    expect(row).to_be_visible()
    expect(row.locator(".from")).to_have_attribute("title", ATTACK)
    assert page.locator(".panes img:not([role])").count() == 0
    main.get_by_label("Administrator").fill("nobody of this name")
    page.keyboard.press("Enter")
    expect(main).to_contain_text("No entry matches.")
    assert page.title() == "Inspector"
    for width in (1000, 420, 360):
        page.set_viewport_size({"width": width, "height": 860})
        if width < 760:
            narrow(page)
    main.get_by_role("button", name="Show all").click()
    expect(row).to_be_visible()
    narrow(page)
