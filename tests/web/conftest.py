"""Gives page tests a real demo service and a real Chromium; whatever the page complains about fails the test."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.provision import chromium
from tests.web.inspector import Demo, Inspector

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-component-update"]
expect.set_options(timeout=15_000)  # for machines that have much else to do
TELL_VIOLATIONS = "addEventListener('securitypolicyviolation', (e) => console.error('CSP', e.violatedDirective, e.blockedURI))"


@pytest.fixture(scope="session")
def demo() -> Iterator[Demo]:
    """One demo service for all tests of this process; nothing happens in it but what a test does."""
    command = [sys.executable, "-m", "realtime_inspector", "demo", "--port", "0", "--ready-json", "--no-activity"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as service:
        assert service.stdout is not None
        line = service.stdout.readline()
        assert line, f"the demo ended with status {service.wait()} before it was ready"
        yield Demo(json.loads(line))
        service.send_signal(signal.SIGTERM)
        try:
            service.wait(15)
        finally:
            if service.poll() is None:
                os.killpg(service.pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def database(demo: Demo) -> Iterator[psycopg.Connection[Any]]:
    """The superuser's connection to the demo's database; every statement commits."""
    with psycopg.connect(demo.database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light", reduced_motion="reduce")
    made.add_init_script(TELL_VIOLATIONS)
    yield made
    made.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complained about: errors on the console, uncaught exceptions, violations of the policy."""
    return []


@pytest.fixture
def page(context: BrowserContext, complaints: list[str]) -> Iterator[Page]:
    """A page that nothing may complain about; a test that provokes complaints empties the list."""
    made = context.new_page()
    made.set_default_timeout(15_000)

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    made.on("console", heard)
    made.on("pageerror", lambda error: complaints.append(str(error)))
    yield made
    assert complaints == []


@pytest.fixture
def inspector(page: Page, demo: Demo) -> Inspector:
    """The page, opened with the admin token."""
    opened = Inspector(page, demo)
    opened.open()
    return opened
