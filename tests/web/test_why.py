"""The tabs Why and Who: which step stopped an event, which part of which policy, and what stood on both sides of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Locator, expect

from tests.web.inspector import Inspector
from tests.web.test_look import CUT_OFF, narrow

ATTACK = "<img src=x onerror=\"document.title='taken'\">"


def tweet(inspector: Inspector, database: psycopg.Connection[Any], author: str, content: str = "why not") -> None:
    database.execute("insert into tweets (user_id, content) values (%s, %s)", [inspector.demo.user(author), content])


def policy(inspector: Inspector, name: str) -> Locator:
    return inspector.detail.get_by_role("article", name=f"Policy {name}")


@contextmanager
def existing(database: psycopg.Connection[Any], name: str, rest: str) -> Iterator[None]:
    """A policy on tweets for as long as the test needs it."""
    quoted = '"' + name.replace('"', '""') + '"'
    database.execute(f"create policy {quoted} on public.tweets {rest}".encode())
    try:
        yield
    finally:
        database.execute(f"drop policy {quoted} on public.tweets".encode())


def test_two_clicks_tell_which_part_of_which_policy_is_false(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    inspector.watch("alice")
    tweet(inspector, database, "bob")
    inspector.row("INSERT", "denied").click()  # 1
    inspector.detail.get_by_role("tab", name="Why").click()  # 2
    expect(inspector.detail).to_contain_text("alice does not see this row. The policy “own tweets” does not hold.")
    stop = inspector.detail.locator(".st--stop")
    expect(stop).to_have_count(1)
    expect(stop.locator(".st-t")).to_have_text("Row policies")
    leaf = policy(inspector, "own tweets").locator(".leaf")
    expect(leaf).to_contain_text("= user_id")
    expect(leaf.locator(".tv")).to_have_text("false")
    values = leaf.locator(".sides code")
    expect(values).to_have_text([inspector.demo.user("alice"), inspector.demo.user("bob")])
    expect(leaf.locator(".op")).to_have_text("is not")
    expect(inspector.detail).to_contain_text(
        "Not reached: filter, columns, size, joined before the commit, sent, queue and acknowledged"
    )
    expect(inspector.detail.locator(".code")).to_contain_text("begin isolation level repeatable read read only;")


def test_the_ladder_of_somebody_who_saw_the_row_is_passed_to_its_end(
    inspector: Inspector, database: psycopg.Connection[Any]
) -> None:
    inspector.watch("alice")
    tweet(inspector, database, "alice")
    inspector.row("INSERT", "allowed").click()
    inspector.page.keyboard.press("w")
    expect(inspector.detail).to_contain_text("alice sees this row. The policy “own tweets” lets it through.")
    expect(inspector.detail.locator(".st")).to_have_count(12)
    expect(inspector.detail.locator(".st[data-state=passed]")).to_have_count(11)
    expect(inspector.detail.locator(".st[data-state=skipped]")).to_contain_text("do not acknowledge changes")
    expect(policy(inspector, "own tweets").locator(".res")).to_have_text("true")


def test_a_mark_in_compare_opens_why_for_that_identity(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    inspector.watch("alice", "bob")
    inspector.compare()
    tweet(inspector, database, "alice")
    row = inspector.row("INSERT")
    expect(row.locator(".mark[data-v=denied]")).to_have_count(1)
    row.locator(".c-lane .mark[data-v=denied]").click()
    expect(inspector.detail).to_contain_text("bob does not see this row.")
    inspector.detail.get_by_role("button", name="alice").click()
    expect(inspector.detail).to_contain_text("alice sees this row.")
    row.locator(".c-time").click()
    expect(inspector.detail.get_by_role("tab", name="Why")).to_have_attribute("aria-selected", "true")


def test_what_would_be_with_other_claims_or_another_policy(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    inspector.watch("alice")
    tweet(inspector, database, "bob")
    inspector.row("INSERT", "denied").click()
    inspector.page.keyboard.press("w")
    detail = inspector.detail
    detail.get_by_role("button", name="What if").click()
    form = detail.get_by_role("form", name="What if")
    expect(form).to_contain_text("Change something first.")
    claims = form.get_by_label("Claims")
    claims.fill("{")
    expect(form).to_contain_text("not valid JSON")
    claims.fill(f'{{"sub": "{inspector.demo.user("bob")}", "role": "authenticated"}}')
    form.get_by_role("button", name="Evaluate").click()
    expect(detail).to_contain_text("What if: other claims. Nothing was changed.")
    expect(detail.locator(".sentence")).to_contain_text("sees this row.")
    detail.get_by_role("button", name="Back to what is").click()
    expect(detail.locator(".sentence")).to_contain_text("does not see this row.")
    detail.get_by_role("button", name="What if").click()
    form.get_by_role("button", name="With another policy").click()
    expect(form.locator(".sqlfield")).to_have_attribute("data-ready", "true")
    form.get_by_role("button", name="Evaluate").click()
    expect(detail).to_contain_text("What if: with the policy candidate. Nothing was changed.")
    expect(policy(inspector, "candidate").locator(".res")).to_have_text("true")
    assert database.execute("select from pg_policies where policyname = 'candidate'").fetchall() == []


def test_a_policy_that_raises_says_with_what(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    inspector.watch("alice")
    with existing(database, "of numbers", "for select to authenticated using (content::int > 0)"):
        tweet(inspector, database, "bob", "no number")
        inspector.row("INSERT", "raised").click()
        inspector.page.keyboard.press("w")
        expect(inspector.detail.locator(".sentence")).to_contain_text("alice does not receive this row.")
        expect(policy(inspector, "of numbers")).to_contain_text("raises 22P02")
        expect(policy(inspector, "of numbers")).to_contain_text('invalid input syntax for type integer: "no number"')
        expect(policy(inspector, "own tweets").locator(".res")).to_have_text("false")
        expect(inspector.detail.get_by_role("heading", name="With care")).to_be_visible()


def test_markup_in_policies_and_values_stays_text(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    inspector.watch("alice")
    condition = "'" + ATTACK.replace("'", "''") + "' = content and user_id is null"
    with existing(database, ATTACK, f"for select to authenticated using ({condition})"):
        tweet(inspector, database, "bob", ATTACK)
        inspector.row("INSERT", "denied").click()
        inspector.page.keyboard.press("w")
        expect(policy(inspector, ATTACK).locator("h4")).to_contain_text(ATTACK)
        policy(inspector, ATTACK).get_by_text("Values").click()
        expect(policy(inspector, ATTACK).locator(".sides").first).to_contain_text(ATTACK)
    assert inspector.page.locator(".panes img:not([role])").count() == 0
    assert inspector.page.title() == "Inspector"


def test_a_link_opens_the_trace_also_where_the_message_never_came(
    inspector: Inspector, database: psycopg.Connection[Any]
) -> None:
    page = inspector.page
    inspector.watch("alice")
    tweet(inspector, database, "bob")
    inspector.row("INSERT", "denied").click()
    page.keyboard.press("w")
    expect(inspector.detail).to_contain_text("alice does not see this row.")
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    inspector.detail.get_by_role("button", name="Copy a link to this message").click()
    link = str(page.evaluate("window.copied"))
    page.goto("about:blank")
    page.goto(link)
    expect(inspector.detail).to_contain_text("Not in the list of this page")
    expect(inspector.detail).to_contain_text("alice does not see this row.")
    expect(inspector.detail.locator("header")).to_contain_text("INSERT")
    expect(inspector.detail.locator("h1")).to_contain_text("tweets")


def test_how_many_got_it_is_told_before_who(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    inspector.watch("alice", "bob", "anon")
    tweet(inspector, database, "alice")
    inspector.row("INSERT").click()
    detail = inspector.detail
    detail.get_by_role("tab", name="Who").click()
    detail.get_by_role("button", name="Count them").click()
    expect(detail.get_by_role("heading", name="1 of 3 subscribers got it")).to_be_visible()
    alice = inspector.demo.user("alice")
    expect(detail).not_to_contain_text(alice[-4:])
    detail.get_by_role("button", name="Show names").click()
    expect(detail.get_by_role("table").locator("tbody tr")).to_have_count(3)
    expect(detail.get_by_role("row").filter(has_text=alice[-4:])).to_contain_text("allowed")
    expect(detail.get_by_role("row").filter(has_text="anon")).to_contain_text("denied")


def test_both_looks_are_in_the_trail(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    inspector.watch("alice")
    tweet(inspector, database, "alice")
    inspector.row("INSERT").click()
    inspector.page.keyboard.press("w")
    expect(inspector.detail).to_contain_text("This look is recorded.")
    inspector.detail.get_by_role("tab", name="Who").click()
    inspector.detail.get_by_role("button", name="Count them").click()
    expect(inspector.detail.get_by_role("heading", name="got it")).to_be_visible()
    last = database.execute(
        "select action from realtime_inspector.audit_log where action in ('who', 'trace') order by id desc limit 2"
    ).fetchall()
    assert last == [("who",), ("trace",)]


def test_who_is_no_admin_is_told_so_with_the_services_words(
    inspector: Inspector, database: psycopg.Connection[Any], complaints: list[str]
) -> None:
    inspector.watch("alice")
    tweet(inspector, database, "alice")
    inspector.row("INSERT").click()
    key = inspector.demo.told["anon_key"]
    inspector.page.evaluate("key => import('/inspector/model/session.js').then((session) => session.useToken(key))", key)
    inspector.page.keyboard.press("w")
    refusal = inspector.detail.get_by_role("alert")
    expect(refusal).to_contain_text("Only an administrator may ask this.")
    expect(refusal.locator("q")).not_to_be_empty()
    expect(refusal.locator("code")).not_to_be_empty()
    complaints.clear()  # the browser tells of every refused request


@pytest.mark.parametrize("width", [1320, 1000, 420, 360])
def test_why_fits_every_width(inspector: Inspector, database: psycopg.Connection[Any], width: int) -> None:
    inspector.watch("alice")
    tweet(inspector, database, "bob")
    inspector.row("INSERT", "denied").click()
    inspector.page.keyboard.press("w")
    inspector.page.set_viewport_size({"width": width, "height": 860})
    expect(inspector.detail.locator(".sentence")).to_be_visible()
    inspector.detail.get_by_role("button", name="What if").click()
    if width > 760:
        assert inspector.page.evaluate(CUT_OFF) == []
    else:
        narrow(inspector.page)
