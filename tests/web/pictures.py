"""Takes the pictures of the documentation from a real demo: python -m tests.web.pictures docs/screenshots."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
from playwright.sync_api import Browser, Page, sync_playwright

from tests.provision import chromium
from tests.web.inspector import Demo, Inspector

SIZE = {"width": 1440, "height": 900}
WORDS = ("the kettle is on", "table 12 is ready", "running late", "rain again", "a new menu", "who took my pen")
COMMAND = [sys.executable, "-m", "realtime_inspector", "demo", "--port", "0", "--ready-json", "--no-activity"]


class Life:
    """What happens in the sample application while pictures are taken; always the same."""

    def __init__(self, demo: Demo, page: Page) -> None:
        self.demo = demo
        self.page = page
        self.random = random.Random(11)
        self.tweets: list[int] = []

    def goes_on(self, steps: int) -> None:
        with psycopg.connect(self.demo.database_url, autocommit=True) as database:
            for _ in range(steps):
                self._step(database)
                self.page.wait_for_timeout(90)

    def _step(self, database: psycopg.Connection[Any]) -> None:
        dice = self.random.random()
        words = self.random.choice(WORDS)
        if dice < 0.35 or not self.tweets:
            author = self.demo.user(self.random.choice(("alice", "alice", "bob")))
            statement = "insert into tweets (user_id, content) values (%s, %s) returning id"
            self.tweets.extend(row[0] for row in database.execute(statement, [author, words]))
        elif dice < 0.7:
            database.execute("update tweets set content = %s where id = %s", [words, self.random.choice(self.tweets)])
        elif dice < 0.76:
            database.execute("delete from tweets where id = %s", [self.tweets.pop()])
        elif dice < 0.82:
            turned = "case status when 'draft' then 'published' else 'draft' end"
            database.execute(f"update articles set status = {turned} where title like 'A draft%'".encode())
        else:
            database.execute("insert into countries (name) values (%s)", [self.random.choice(("Fiji", "Togo", "Chad"))])


def live(inspector: Inspector, life: Life) -> None:
    """One view, with a change opened."""
    life.goes_on(26)
    inspector.page.keyboard.press("b")
    inspector.page.get_by_role("textbox", name="Event").fill("cursor")
    inspector.page.get_by_role("textbox", name="Payload").fill('{"x": 412, "y": 88}')
    inspector.page.get_by_role("button", name="Send as alice").click()
    inspector.page.locator(".nav").get_by_role("link", name="Live").click()
    life.goes_on(8)
    inspector.row("UPDATE", "→").last.click()
    inspector.page.mouse.move(700, 880)


def compare(inspector: Inspector, life: Life) -> None:
    """Three views side by side."""
    for name in ("bob", "anon"):
        inspector.become(name)
    inspector.compare()
    life.goes_on(26)
    inspector.page.keyboard.press("Escape")
    inspector.page.locator("#messages").focus()
    inspector.page.keyboard.press("End")
    inspector.page.get_by_text("Not following").wait_for(state="hidden")
    inspector.page.wait_for_timeout(500)
    inspector.row("UPDATE", "tweets", "→").last.click()
    inspector.page.mouse.move(700, 880)


def why(inspector: Inspector) -> None:
    """The step that stopped a row, and what stood on both sides."""
    inspector.row("INSERT", "denied").last.click()
    inspector.page.keyboard.press("w")
    inspector.detail.get_by_text("Reproduce in psql").wait_for()
    inspector.page.mouse.move(300, 880)


def policies(inspector: Inspector) -> None:
    """Who may do what, with a cell picked, and the lints."""
    page = inspector.page
    page.locator(".nav").get_by_role("link", name="Policies").click()
    page.get_by_role("button", name="alice, select on public.tweets").click()
    page.locator(".lint").first.wait_for()
    page.mouse.move(700, 880)


def take(browser: Browser, demo: Demo, folder: Path) -> None:
    for theme in ("light", "dark"):
        page = browser.new_page(viewport=SIZE, color_scheme=theme)  # type: ignore[arg-type]
        inspector, life = Inspector(page, demo), Life(demo, page)
        inspector.open()
        inspector.join("room-1")
        if theme == "light":
            inspector.choose("alice")
            inspector.dialog.get_by_role("combobox").fill("example")
            inspector.dialog.get_by_role("option").nth(3).wait_for()
            page.screenshot(path=folder / "impersonate.png")
        inspector.become("alice")
        live(inspector, life)
        page.screenshot(path=folder / f"live-{theme}.png")
        if theme == "light":
            why(inspector)
            page.screenshot(path=folder / "why.png")
            policies(inspector)
            page.screenshot(path=folder / "policies.png")
            page.locator(".nav").get_by_role("link", name="Live").click()
            compare(inspector, life)
            page.screenshot(path=folder / "compare.png")
        page.close()


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True) as service, sync_playwright() as playwright:
        try:
            assert service.stdout is not None
            demo = Demo(json.loads(service.stdout.readline()))
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
            take(browser, demo, folder)
            browser.close()
        finally:
            service.terminate()


if __name__ == "__main__":
    main()
