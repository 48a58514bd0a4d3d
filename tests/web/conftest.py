"""Gives page tests a real demo service and a real Chromium; whatever the page complains about fails the test."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, expect, sync_playwright

from tests.provision import chromium
from tests.web.inspector import Demo, Inspector

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-component-update"]
expect.set_options(timeout=15_000)  # for machines that have much else to do
LOOPS: dict[int, asyncio.AbstractEventLoop | None] = {}
"""The loop of each driver."""
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
def driver() -> Iterator[Playwright]:
    """The browser's driver. Its loop counts as running on this thread only during page tests: others run loops of their own."""
    started = sync_playwright().start()
    LOOPS[id(started)] = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    yield started
    with driving(started):
        started.stop()


@contextmanager
def driving(driver: Playwright) -> Iterator[None]:
    """Where the driver may be talked to."""
    asyncio._set_running_loop(LOOPS[id(driver)])
    try:
        yield
    finally:
        asyncio._set_running_loop(None)


@pytest.fixture(scope="session")
def browser(driver: Playwright) -> Iterator[Browser]:
    with driving(driver):
        started = driver.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
    yield started
    with driving(driver):
        started.close()


@pytest.fixture
def database(demo: Demo) -> Iterator[psycopg.Connection[Any]]:
    """The superuser's connection to the demo's database; every statement commits."""
    with psycopg.connect(demo.database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def context(driver: Playwright, browser: Browser) -> Iterator[BrowserContext]:
    with driving(driver):
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
