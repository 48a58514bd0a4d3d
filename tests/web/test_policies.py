"""The section Policies: who may do what, and a policy that is written, tried as several, and taken away as a migration."""

from typing import Any

import psycopg
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.web.inspector import Demo, Inspector
from tests.web.test_look import narrow
from tests.web.test_why import ATTACK, existing
from tests.wire.assistant import assisting

TWEETS = """
delete from tweets;
insert into tweets (user_id, content)
select u.id, t.content from auth.users u join (values
  (1, 'alice', 'Only I can read this.'), (2, 'alice', 'The kettle is on.'),
  (3, 'bob', 'Alice cannot see this one.'), (4, 'vera', 'Reading is also work.')
) as t (place, name, content) on u.email = t.name || '@example.com' order by t.place;
"""


@pytest.fixture
def tweets(database: psycopg.Connection[Any]) -> None:
    """Those of the sample application alone, whatever other tests left there."""
    database.execute(TWEETS)


def open_policies(inspector: Inspector, panel: str = "Matrix") -> Locator:
    inspector.page.get_by_role("navigation", name="Sections").first.get_by_role("link", name="Policies").click()
    main = inspector.page.get_by_role("main", name="Policies")
    main.get_by_role("radio", name=panel).check(force=True)
    return main


@pytest.mark.usefixtures("tweets")
def test_a_policy_is_tried_as_two_identities_and_nothing_is_created(
    inspector: Inspector, database: psycopg.Connection[Any]
) -> None:
    page = inspector.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    inspector.watch("alice", "vera")
    main = open_policies(inspector, "Policies")
    main.get_by_label("Table of the template").select_option("public.tweets")
    main.get_by_role("button", name="Everybody their own rows").click()
    expect(main.get_by_role("status").first).to_contain_text("A new policy of tweets. 1 other statement is not tried.")
    page.get_by_role("textbox", name="Policy as SQL").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text("create policy short on tweets for select to authenticated using (length(content) < 22)")
    main.get_by_role("button", name="Try it, change nothing").click()
    trial = main.get_by_role("region", name="What would change")
    cards = trial.locator(".tried")
    expect(cards).to_have_count(2)
    expect(cards.filter(has_text="alice").locator(".gained").first).to_contain_text("1 gained")
    expect(cards.filter(has_text="alice")).to_contain_text("Reading is also work.")
    expect(cards.filter(has_text="vera")).to_contain_text("The kettle is on.")
    assert database.execute("select from pg_policies where policyname = 'short'").fetchall() == []
    trial.get_by_role("button", name="Copy as migration").click()
    expect(trial.get_by_role("button", name="Copied")).to_be_visible()
    database.execute(page.evaluate("navigator.clipboard.readText()").encode())
    database.execute("drop policy short on tweets")


def test_a_mistake_is_marked_before_anything_is_asked(inspector: Inspector) -> None:
    page = inspector.page
    main = open_policies(inspector, "Policies")
    page.get_by_role("textbox", name="Policy as SQL").click()
    expect(page.locator(".sqlfield")).to_have_attribute("data-ready", "true")
    page.get_by_role("textbox", name="Policy as SQL").click()
    page.keyboard.insert_text("create policy p on tweets for insert using (true)")
    expect(main.get_by_role("status").first).to_contain_text("A policy for insert has no USING")
    expect(main.get_by_role("button", name="Try it, change nothing")).to_be_disabled()


def test_an_existing_policy_is_edited_and_replaced(inspector: Inspector) -> None:
    inspector.watch("alice")
    main = open_policies(inspector, "Policies")
    main.get_by_role("button", name="Edit policy own tweets of tweets").click()
    expect(main.get_by_role("status").first).to_contain_text("Replaces the policy own tweets of tweets.")
    inspector.page.get_by_role("textbox", name="Policy as SQL").click()
    inspector.page.keyboard.press("Control+a")
    inspector.page.keyboard.insert_text('create policy "own tweets" on tweets to authenticated using (false)')
    main.get_by_role("button", name="Try it, change nothing").click()
    expect(main.locator(".tried")).to_contain_text("lost")
    expect(main.locator(".trial .code")).to_contain_text("drop policy")


def test_an_existing_policy_is_altered_and_keeps_what_is_not_named(inspector: Inspector) -> None:
    inspector.watch("alice")
    main = open_policies(inspector, "Policies")
    expect(main.get_by_role("button", name="Edit policy own tweets of tweets")).to_be_visible()
    inspector.page.get_by_role("textbox", name="Policy as SQL").click()
    expect(inspector.page.locator(".sqlfield")).to_have_attribute("data-ready", "true")
    inspector.page.get_by_role("textbox", name="Policy as SQL").click()
    inspector.page.keyboard.insert_text('alter policy "own tweets" on tweets using (false)')
    expect(main.get_by_role("status").first).to_contain_text("Replaces the policy own tweets of tweets.")
    main.get_by_role("button", name="Try it, change nothing").click()
    expect(main.locator(".tried")).to_contain_text("lost")
    migration = main.locator(".trial .code")
    expect(migration).to_contain_text('to "authenticated"')
    expect(migration).to_contain_text("auth.uid()")  # its WITH CHECK
    expect(migration).to_contain_text("using (false)")


@pytest.mark.usefixtures("tweets")
def test_the_matrix_says_who_may_do_what_and_a_cell_by_which_policies(inspector: Inspector) -> None:
    page = inspector.page
    inspector.watch("alice")
    main = open_policies(inspector)
    cell = main.get_by_role("button", name="alice, select on public.tweets: ")
    expect(cell).to_have_accessible_name("alice, select on public.tweets: 2 of 4 rows")
    expect(main.get_by_role("button", name="anon, select on public.tweets: none")).to_be_visible()
    expect(main.get_by_role("button", name="anon, insert on public.tweets: no grant")).to_be_visible()
    expect(main.get_by_role("button", name="anon, select on public.countries: all")).to_be_visible()
    cell.click()
    picked = main.get_by_role("region", name="Picked cell")
    expect(picked).to_contain_text("alice reads 2 of 4 rows of tweets")
    expect(picked.get_by_role("row", name="own tweets")).to_contain_text("applies")
    page.reload()
    expect(picked).to_contain_text("alice reads 2 of 4 rows of tweets")
    picked.get_by_role("button", name="Show the rows as alice").click()
    rows = page.get_by_role("region", name="Rows of tweets")
    expect(rows.locator("tbody tr")).to_have_count(2)


def test_markup_in_names_of_policies_stays_text(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    condition = "content = '" + ATTACK.replace("'", "''") + "'"
    with existing(database, ATTACK[:60], f"for select to authenticated using ({condition})"):
        main = open_policies(inspector, "Policies")
        expect(main.get_by_role("row").filter(has_text=ATTACK[:60])).to_have_count(1)
        main.get_by_role("button", name=f"Edit policy {ATTACK[:60]} of tweets").click()
        expect(inspector.page.get_by_role("textbox", name="Policy as SQL")).to_contain_text("img src=x onerror")
    assert inspector.page.locator(".panes img:not([role])").count() == 0
    assert inspector.page.title() == "Inspector"


def test_an_assistant_that_is_off_says_how_to_have_one(inspector: Inspector, complaints: list[str]) -> None:
    main = open_policies(inspector, "Policies")
    main.get_by_role("button", name="Have one written").click()
    main.get_by_label("What should be allowed").fill("everybody reads published rows")
    main.get_by_role("button", name="Ask the assistant").click()
    expect(main.get_by_role("alert")).to_contain_text("RTI_ASSISTANT_URL")
    complaints.clear()  # the browser tells of every refused request


def test_what_the_assistant_writes_is_shown_and_taken_into_the_editor(page: Page, complaints: list[str]) -> None:
    with assisting() as (told, stub):
        inspector = Inspector(page, Demo(told))
        inspector.open()
        main = open_policies(inspector, "Policies")
        main.get_by_role("button", name="Have one written").click()
        main.get_by_label("What should be allowed").fill("only owners see their tweets")
        main.get_by_role("button", name="Ask the assistant").click()
        answer = main.get_by_role("region", name="Assistant")
        expect(answer).to_contain_text("Only owners see their rows.")
        answer.get_by_role("button", name="Take it into the editor").click()
        expect(page.get_by_role("textbox", name="Policy as SQL")).to_contain_text("create policy own on tweets")
        assert "only owners see their tweets" in stub.sent[-1][2]
        stub.status = 500
        main.get_by_role("button", name="Ask the assistant").click()
        expect(answer.get_by_role("alert")).to_contain_text("assistant")
        complaints.clear()  # the browser tells of every refused request
        page.goto("about:blank")


READ = """([text]) => import("/inspector/model/policysql.js").then(({ readScript }) => readScript(text, () => null))"""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("create policy p on t using (true", "This parenthesis of USING is not closed."),
        ("create policy p on t for select with check (true)", "A policy for select has no WITH CHECK"),
        ("create policy p on t", "The policy has no condition: add USING or WITH CHECK."),
        ("create policy p on t using (true) order by 1", "The statement should end here; one policy at a time."),
        ("select 1", "There is no create policy here."),
        ("alter policy p on t using (true)", "public.t has no policy p that could be altered."),
        ("alter policy p on t", "Nothing is altered: add TO, USING or WITH CHECK."),
        ("alter policy p on t rename to q", "Another name changes nothing that could be tried."),
    ],
)
def test_what_is_no_policy_is_said_so(inspector: Inspector, text: str, problem: str) -> None:
    assert inspector.page.evaluate(READ, [text])["problem"].startswith(problem)


def test_quotes_comments_and_parentheses_in_a_policy_are_understood(inspector: Inspector) -> None:
    text = '''create function f() returns boolean language sql as $$ select true; create policy no on no $$; -- create policy
    CREATE POLICY "a ""b""" ON "S".t AS RESTRICTIVE FOR UPDATE TO anon, "Some Role"
      USING ((x = ')' /* ( */) and y = E'\\')') WITH CHECK (z = $q$)$q$);'''
    read = inspector.page.evaluate(READ, [text])
    assert (read["others"], read["problem"]) == (1, "")
    assert read["policies"] == [
        {
            "schema": "S",
            "table": "t",
            "name": 'a "b"',
            "kind": "restrictive",
            "command": "update",
            "roles": ["anon", "Some Role"],
            "using": "(x = ')' /* ( */) and y = E'\\')'",
            "check": "z = $q$)$q$",
        }
    ]


@pytest.mark.parametrize("width", [1100, 420, 360])
def test_policies_fit_every_width(inspector: Inspector, width: int) -> None:
    page = inspector.page
    inspector.watch("alice")
    main = open_policies(inspector)
    main.get_by_role("button", name="alice, select on public.tweets: ").click()
    page.set_viewport_size({"width": width, "height": 860})
    for panel in ("Matrix", "Policies"):
        main.get_by_role("radio", name=panel).check(force=True)
        expect(main.get_by_role("heading", name="Write a policy" if panel == "Policies" else "Who may do what")).to_be_visible()
        if width < 760:
            narrow(page)
