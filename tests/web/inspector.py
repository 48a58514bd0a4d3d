"""The page as a person uses it: what one can do with it, and what one sees on it."""

import re
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Locator, Page, expect

REASON = "Ticket 3321: order stuck in preparing"


@dataclass(frozen=True)
class Demo:
    """What the demo printed when it was ready."""

    told: dict[str, Any]

    @property
    def url(self) -> str:
        return str(self.told["url"])

    @property
    def inspector_url(self) -> str:
        return str(self.told["inspector_url"])

    @property
    def database_url(self) -> str:
        return str(self.told["database_url"])

    @property
    def admin_token(self) -> str:
        return str(self.told["admin_token"])

    def user(self, name: str) -> str:
        """The id of a sample account."""
        return next(str(user["id"]) for user in self.told["users"] if user["email"] == f"{name}@example.com")


class Inspector:
    """One tab with the inspector page."""

    def __init__(self, page: Page, demo: Demo) -> None:
        self.page = page
        self.demo = demo

    def open(self) -> None:
        self.page.goto(self.demo.inspector_url)
        expect(self.page.get_by_role("heading", name="Nothing has happened yet")).to_be_visible()

    # --- doing ---

    def join(self, name: str, *, table: str = "every table in public", event: str = "any event") -> None:
        """Joins a channel by the dialog, with one subscription."""
        self.page.keyboard.press("Shift+J")
        dialog = self.dialog
        dialog.get_by_role("textbox", name="Channel").fill(name)
        dialog.get_by_label("Table", exact=True).select_option(label=table)
        dialog.get_by_label("Event", exact=True).select_option(label=event)
        dialog.get_by_role("button", name="Join", exact=True).click()

    def choose(self, who: str) -> None:
        """Fills in the dialog for a user by name, or for 'anon' or 'service'."""
        if not self.dialog.is_visible():
            self.page.keyboard.press("i")
        dialog = self.dialog
        if who in ("anon", "service"):
            dialog.get_by_role("radio", name=who.capitalize()).check(force=True)
        else:
            dialog.get_by_role("combobox").fill(who)
            dialog.get_by_role("option", name=f"{who}@example.com").click()
        dialog.get_by_label("Reason").fill(REASON)

    def become(self, who: str) -> None:
        """Looks through the eyes of a user by name, or of 'anon' or 'service'."""
        self.choose(who)
        self.dialog.get_by_role("button", name="View as").click()
        expect(self.dialog).to_be_hidden()

    def watch(self, *names: str, channel: str = "room", table: str = "every table in public") -> None:
        """Joins and becomes everybody named, and waits until the subscriptions are live."""
        self.join(channel, table=table)
        for name in names:
            self.become(name)
            expect(self.row("system", "Subscribed")).to_have_count(1)

    def compare(self) -> None:
        self.page.keyboard.press("d")
        expect(self.page.get_by_label("Identities compared")).to_be_visible()

    def search(self, text: str) -> None:
        self.page.get_by_role("searchbox", name="Search messages").fill(text)

    def chip(self, name: str) -> Locator:
        return self.page.get_by_role("group", name="Kinds and verdicts listed").get_by_role("button", name=re.compile(f"^{name}"))

    # --- seeing ---

    @property
    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    @property
    def grid(self) -> Locator:
        return self.page.get_by_role("grid")

    @property
    def detail(self) -> Locator:
        return self.page.get_by_role("complementary", name="Message detail")

    @property
    def lens(self) -> Locator:
        return self.page.get_by_label(re.compile("^(Identity in force|Identities compared)$"))

    @property
    def foot(self) -> Locator:
        return self.page.locator(".foot")

    @property
    def rows(self) -> Locator:
        return self.page.locator(".row")

    def row(self, *texts: str) -> Locator:
        """The rows that have all these texts."""
        found = self.rows
        for text in texts:
            found = found.filter(has_text=text)
        return found

    def marks(self, row: Locator) -> list[str]:
        """The lanes' marks of a row, in order."""
        return row.locator(".c-lane .mark").evaluate_all("marks => marks.map((mark) => mark.dataset.v)")
