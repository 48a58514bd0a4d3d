"""Looking through somebody's eyes: how it begins, what is always shown, how it ends."""

import json
import re
from typing import Any

import psycopg
from playwright.sync_api import Route, expect

from tests.web.inspector import REASON, Inspector


def test_role_subject_reason_and_time_are_always_in_sight(inspector: Inspector) -> None:
    inspector.watch("alice")
    expect(inspector.lens).to_contain_text("alice@example.com")
    expect(inspector.lens).to_contain_text("authenticated")
    alice = inspector.demo.user("alice")
    expect(inspector.lens).to_contain_text(f"sub {alice[:4]}…{alice[-4:]}")
    expect(inspector.lens).to_contain_text(REASON)
    expect(inspector.lens.locator("time")).to_have_text(re.compile(r"^1[45]:\d\d$"))


def test_the_claims_are_those_that_the_server_resolved(inspector: Inspector) -> None:
    inspector.watch("carol")
    inspector.lens.get_by_role("button", name="Claims").click()
    expect(inspector.dialog).to_contain_text(f'"sub": "{inspector.demo.user("carol")}"')
    expect(inspector.dialog).to_contain_text('"role": "admin"')
    inspector.page.keyboard.press("Escape")
    expect(inspector.dialog).to_be_hidden()


def test_a_role_with_claims_of_ones_own_is_what_policies_read(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    inspector.join("notes", table="notes")
    dialog = inspector.dialog
    dialog.get_by_role("radio", name="Role").check(force=True)
    dialog.get_by_label("Database role").select_option("authenticated")
    dialog.get_by_label("Reason").fill(REASON)
    claims = dialog.get_by_role("textbox", name="Claims to add, as JSON")
    claims.fill('{"app_metadata": {"role": "viewer"}')
    expect(dialog).to_contain_text("The claims are not valid JSON")
    expect(dialog.get_by_role("button", name="View as")).to_be_disabled()
    claims.fill('{"app_metadata": {"role": "viewer"}}')
    dialog.get_by_role("button", name="View as authenticated").click()
    expect(inspector.row("system", "Subscribed")).to_have_count(1)
    database.execute("insert into notes (body, status) values ('for viewers', 'published'), ('not yet', 'draft')")
    expect(inspector.row("INSERT", "for viewers", "allowed")).to_have_count(1)
    expect(inspector.row("INSERT", "hidden by row policies", "denied")).to_have_count(1)


def test_service_sees_everything_and_the_page_says_so(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    inspector.watch("service")
    expect(inspector.lens).to_contain_text("service_rolebypasses row policies")
    database.execute("insert into tweets (user_id, content) values (%s, 'anybody''s')", [inspector.demo.user("bob")])
    expect(inspector.row("INSERT", "tweets", "anybody's", "allowed")).to_have_count(1)


def test_a_reason_is_required_and_recorded(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    inspector.page.keyboard.press("i")
    inspector.dialog.get_by_role("combobox").fill("vera")
    inspector.dialog.get_by_role("option", name="vera@example.com").click()
    button = inspector.dialog.get_by_role("button", name="View as vera")
    inspector.dialog.get_by_label("Reason").fill("why")
    expect(button).to_be_disabled()
    expect(inspector.dialog).to_contain_text("Say why, in at least five characters.")
    inspector.dialog.get_by_label("Reason").fill("Ticket 9: vera sees nothing")
    button.click()
    expect(inspector.lens).to_contain_text("vera@example.com")
    statement = "select target_role from realtime_inspector.impersonation_sessions where reason = 'Ticket 9: vera sees nothing'"
    assert database.execute(statement).fetchall() == [("authenticated",)]


def test_stop_ends_the_view_here_and_on_the_server(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    inspector.watch("bob")
    with inspector.page.expect_response("**/api/v1/auth/impersonate?session_id=*") as answer:
        inspector.lens.get_by_role("button", name="Stop").click()
    assert answer.value.ok
    expect(inspector.lens).to_contain_text("yourself")
    before = inspector.rows.count()
    database.execute("insert into countries (name) values ('Gabon')")
    inspector.become("anon")
    expect(inspector.row("system", "Subscribed")).to_have_count(1)
    expect(inspector.row("Gabon")).to_have_count(0)
    assert before > 0


def test_below_a_minute_the_view_can_be_extended(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    inspector.join("room")
    inspector.dialog.get_by_role("radio", name="1 min").check(force=True)
    inspector.become("alice")
    expect(inspector.row("system", "Subscribed")).to_have_count(1)
    expect(inspector.lens.locator("time")).to_have_text("00:59")
    inspector.lens.get_by_role("button", name="Extend").click()
    expect(inspector.lens.locator("time")).to_have_text("00:59")
    expect(inspector.lens.get_by_role("button", name="Extend")).to_be_enabled()
    database.execute("insert into tweets (user_id, content) values (%s, 'still here')", [inspector.demo.user("alice")])
    expect(inspector.row("INSERT", "still here", "allowed")).to_have_count(1)


def test_a_view_ends_by_itself_when_its_time_is_over(inspector: Inspector) -> None:
    inspector.page.clock.install()
    inspector.open()
    inspector.watch("alice")
    inspector.page.clock.fast_forward("15:30")
    expect(inspector.lens).to_contain_text("yourself")
    expect(inspector.row("alice’s view ended by itself at")).to_have_count(1)


def test_views_and_channels_survive_a_reload(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    inspector.watch("alice")
    inspector.page.reload()
    expect(inspector.lens).to_contain_text("alice@example.com")
    expect(inspector.row("system", "Subscribed")).to_have_count(1)
    database.execute("insert into tweets (user_id, content) values (%s, 'after reload')", [inspector.demo.user("alice")])
    expect(inspector.row("INSERT", "after reload", "allowed")).to_have_count(1)


def test_what_was_resolved_otherwise_than_asked_is_marked(inspector: Inspector) -> None:
    def rewrite(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        body["identity"]["role"] = "service_role"
        route.fulfill(response=answer, body=json.dumps(body))

    inspector.page.route("**/api/v1/auth/impersonate/anon", rewrite)
    inspector.become("anon")
    expect(inspector.lens).to_contain_text("asked for anon, resolved to")
    expect(inspector.lens.get_by_role("img", name="Not what was asked for")).to_be_visible()
