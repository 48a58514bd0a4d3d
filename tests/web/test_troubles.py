"""What the page says when something is missing, refused or gone, and how it heals."""

from typing import Any

import psycopg
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.web.inspector import Demo, Inspector


def test_without_a_token_it_asks_for_one(page: Page, demo: Demo) -> None:
    page.goto(f"{demo.url}/inspector/")
    expect(page.get_by_role("heading", name="This page needs an admin token.")).to_be_visible()
    page.get_by_label("Admin token").fill(demo.admin_token)
    page.get_by_role("button", name="Open the inspector").click()
    expect(page.get_by_role("heading", name="Nothing has happened yet")).to_be_visible()


def test_a_refused_token_is_named_with_the_servers_reason(page: Page, demo: Demo, complaints: list[str]) -> None:
    page.goto(f"{demo.url}/inspector/#token={demo.told['anon_key']}")
    expect(page.get_by_role("alert")).to_contain_text("The server refused the token")
    expect(page.get_by_role("alert")).to_contain_text("inspector_admin")
    page.goto("about:blank")
    page.goto(f"{demo.url}/inspector/#token=nonsense")
    expect(page.get_by_role("alert")).to_contain_text("The server refused the token: The token provided is not a valid JWT")
    complaints.clear()


def test_a_token_that_expires_meanwhile_can_be_renewed_in_place(inspector: Inspector, complaints: list[str]) -> None:
    inspector.watch("alice")
    page = inspector.page
    page.evaluate("""async () => {
      const { useToken, loadConfig, token } = await import("/inspector/model/session.js");
      const [head, body, signature] = token.value.split(".");
      const claims = { ...JSON.parse(atob(body)), exp: 1 };
      useToken([head, btoa(JSON.stringify(claims)), signature].join("."));
      await loadConfig();
    }""")
    expect(page.get_by_role("alert")).to_contain_text("Your token expired at")
    expect(inspector.grid).to_be_visible()
    complaints.clear()
    page.get_by_label("Admin token").fill(inspector.demo.admin_token)
    page.get_by_role("button", name="Renew and go on").click()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_lost_connection_leaves_a_gap_row_and_heals(page: Page, demo: Demo, database: psycopg.Connection[Any]) -> None:
    links: list[WebSocketRoute] = []

    def through(link: WebSocketRoute) -> None:
        links.append(link)
        link.connect_to_server()

    page.route_web_socket("**/socket/websocket**", through)
    inspector = Inspector(page, demo)
    inspector.open()
    inspector.watch("alice")
    links[-1].close(code=1012, reason="restart")
    database.execute("insert into tweets (user_id, content) values (%s, 'missed')", [demo.user("alice")])
    expect(inspector.row("Connection of alice lost for", "Missed changes follow; missed broadcasts do not.")).to_have_count(1)
    expect(inspector.row("system", "Subscribed")).to_have_count(2)
    expect(inspector.row("INSERT", "missed", "allowed")).to_have_count(1)
    expect(inspector.row("system", "resumed")).to_have_count(1)
    database.execute("insert into tweets (user_id, content) values (%s, 'healed')", [demo.user("alice")])
    expect(inspector.row("INSERT", "healed", "allowed")).to_have_count(1)


def test_a_server_that_is_gone_is_said_with_the_next_attempt(page: Page, demo: Demo, complaints: list[str]) -> None:
    links: list[WebSocketRoute] = []
    gone = False

    def through(link: WebSocketRoute) -> None:
        if gone:
            link.close(code=1001)
            return
        links.append(link)
        link.connect_to_server()

    page.route_web_socket("**/socket/websocket**", through)
    inspector = Inspector(page, demo)
    inspector.open()
    inspector.watch("alice")
    gone = True
    page.route("**/api/**", lambda route: route.abort("connectionrefused"))
    links[-1].close(code=1001)
    notice = page.get_by_role("alert")
    expect(notice).to_contain_text("The server stopped answering at")
    expect(notice).to_contain_text("Attempt")
    expect(inspector.row("Lost the server at")).to_have_count(1)
    expect(page.get_by_role("banner")).to_contain_text("No server")
    expect(page.get_by_role("banner")).not_to_contain_text("msg/s")
    expect(inspector.foot).to_contain_text("Not following")
    gone = False
    page.unroute("**/api/**")
    notice.get_by_role("button", name="Try now").click()
    expect(notice).to_have_count(0)
    expect(inspector.row("Connection of alice lost for")).to_have_count(1)
    complaints.clear()


def test_an_empty_publication_shows_the_sql_and_checks_by_itself(inspector: Inspector, database: psycopg.Connection[Any]) -> None:
    tables = "tweets, user_roles, articles, notes, countries"
    database.execute(f"alter publication supabase_realtime drop table {tables}".encode())
    try:
        inspector.page.reload()
        expect(inspector.page.get_by_role("heading", name="No table is published")).to_be_visible()
        expect(inspector.page.locator("pre")).to_contain_text("alter publication supabase_realtime add table public.your_table;")
    finally:
        database.execute(f"alter publication supabase_realtime add table {tables}".encode())
    expect(inspector.page.get_by_role("heading", name="Nothing has happened yet")).to_be_visible(timeout=10_000)


def test_an_api_refusal_is_shown_where_it_was_asked_for(inspector: Inspector, complaints: list[str]) -> None:
    inspector.page.keyboard.press("i")
    dialog = inspector.dialog
    dialog.get_by_role("radio", name="Role").check(force=True)
    dialog.get_by_label("Reason").fill("Ticket 12: admin tries herself")
    admin = inspector.page.evaluate("import('/inspector/model/session.js').then((m) => m.config.value.admin.id)")
    dialog.get_by_role("textbox", name="Claims to add, as JSON").fill(f'{{"sub": "{admin}"}}')
    dialog.get_by_role("button", name="View as").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Cannot impersonate yourself")
    complaints.clear()
