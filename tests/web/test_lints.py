"""The section Lints: found, mended with the SQL they give, and gone at the next check."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Locator, expect

from tests.web.inspector import Inspector
from tests.web.test_look import narrow
from tests.web.test_why import ATTACK


def open_lints(inspector: Inspector) -> Locator:
    inspector.page.get_by_role("navigation", name="Sections").first.get_by_role("link", name="Lints").click()
    lints = inspector.page.get_by_role("complementary", name="Lints")
    expect(lints.get_by_role("status").first).to_contain_text("checked")
    return lints


@pytest.fixture
def open_table(database: psycopg.Connection[Any]) -> Iterator[str]:
    """A published table that everybody may read, with a name that means harm."""
    name = f"open {ATTACK}"[:60]
    quoted = '"' + name.replace('"', '""') + '"'
    database.execute(f"create table {quoted} (id int primary key)".encode())
    database.execute(f"grant select on {quoted} to anon; alter publication supabase_realtime add table {quoted}".encode())
    yield name
    database.execute(f"drop table {quoted}".encode())


def test_a_finding_is_mended_with_its_sql_and_gone_at_the_next_check(
    inspector: Inspector, database: psycopg.Connection[Any], open_table: str
) -> None:
    page = inspector.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    lints = open_lints(inspector)
    finding = lints.get_by_role("listitem").filter(has_text=open_table).filter(has_text="Everybody sees every row")
    expect(finding).to_have_count(1)
    expect(finding.locator("summary .vh")).to_have_text("Error")
    expect(finding.locator("details")).to_have_attribute("open", "")
    finding.get_by_role("button", name="Copy SQL").click()
    expect(finding.get_by_role("button", name="Copied")).to_be_visible()
    database.execute(page.evaluate("navigator.clipboard.readText()").encode())
    lints.get_by_role("button", name="Check again").click()
    expect(finding).to_have_count(0)
    expect(lints.locator(".mended")).to_contain_text(f"Mended since the check before: Everybody sees every row ({open_table})")
    assert page.locator(".panes img:not([role])").count() == 0
    assert page.title() == "Inspector"


def test_worse_findings_come_first_and_the_sum_is_said(inspector: Inspector, open_table: str) -> None:
    lints = open_lints(inspector)
    words = lints.locator("summary .vh").all_inner_texts()
    assert words == sorted(words, key=["Error", "Warning", "Note"].index)
    errors = words.count("Error")
    expect(lints.get_by_role("status").first).to_contain_text(f"{errors} error{'' if errors == 1 else 's'}")


@pytest.mark.parametrize("width", [1000, 420, 360])
def test_lints_fit_every_width(inspector: Inspector, open_table: str, width: int) -> None:
    inspector.page.set_viewport_size({"width": 1440, "height": 860})
    lints = open_lints(inspector)
    inspector.page.set_viewport_size({"width": width, "height": 860})
    expect(lints.get_by_text(open_table).first).to_be_visible()
    if width < 760:
        narrow(inspector.page)
