"""The inspector page in Chromium: frames while scrolling 100,000 messages, the main thread's share while 1,000 a second come."""

import argparse
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from bench.report import Figure
from tests.provision import chromium
from tests.web.inspector import Demo, Inspector

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PREACT = Path(__file__).resolve().parents[1] / "web" / "vendor" / "preact.js"
SPEED = 5_000
"""px a second: a fast turn of the wheel."""

FRAMES = """
window.frameOf = (i, content) => {
  const record = { id: i, user_id: "a11ce000-0000-4000-8000-000000000001", content, created_at: "2026-11-20T12:03:09.48+00:00" };
  const columns = Object.keys(record).map((name) => ({ name, type: "text" }));
  const head = { schema: "public", table: "tweets", type: "UPDATE", commit_timestamp: new Date().toISOString(), errors: null };
  const data = { ...head, columns, record, old_record: { ...record, content: "before" } };
  return JSON.stringify([null, null, "realtime:bench", "postgres_changes", { ids: [1], data, event_id: `b${i}` }]);
};
window.load = async () => {
  for (const name of ["wire/frames", "model/feed", "model/lens"]) Object.assign(window, await import(`/inspector/${name}.js`));
};
"""
FILL = """async (count) => {
  await load();
  for (let i = 0; i < count; i += 1) accept(decode(frameOf(i, `message number ${i}`)), viewed.value);
  while (ring.next < count) await new Promise((done) => setTimeout(done, 50));
}"""
WATCH = """() => {
  window.times = [];
  let last = performance.now();
  const step = (now) => { times.push(now - last); last = now; window.watching = requestAnimationFrame(step); };
  window.watching = requestAnimationFrame(step);
}"""
WATCHED = "() => { cancelAnimationFrame(watching); return times.slice(2); }"
PLAIN = """() => {
  document.body.replaceChildren();
  const list = document.body.appendChild(document.createElement("div"));
  list.className = "rows plain";
  list.style.cssText = "height: 640px; overflow: auto; display: block";
  for (let i = 0; i < 2000; i += 1) {
    const row = list.appendChild(document.createElement("div"));
    row.style.height = "28px";
    row.textContent = `12:03:09.482 UPDATE tweets ${i} content before → message number ${i} allowed 11ms`;
  }
}"""
STREAM = """async ({ perSecond, seconds, paint }) => {
  await load();
  const take = paint ? (frame) => accept(frame, viewed.value) : () => {};
  const start = performance.now();
  for (let sent = 0; sent < perSecond * seconds; ) {
    const due = Math.floor(((performance.now() - start) / 1000) * perSecond);
    for (; sent < due; sent += 1) take(decode(frameOf(`s${sent}`, `streamed ${sent}`)));
    await new Promise((done) => setTimeout(done, 10));
  }
}"""


OPEN = """async () => {
  const { select } = await import("/inspector/model/choice.js");
  const { view } = await import("/inspector/model/feed.js");
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const opening = [], idle = [];
  for (let i = 0; i < 40; i += 1) {
    select(null);
    await frame();
    let start = performance.now();
    await frame();
    idle.push(performance.now() - start);
    start = performance.now();
    select(view.at(view.length - 1 - i));
    await frame();
    if (!document.querySelector(".d-body .diff")) throw new Error("the detail is not there");
    opening.push(performance.now() - start);
  }
  return [opening, idle].map((times) => times.sort((a, b) => a - b)[20]);
}"""
ASSETS = """() => performance.getEntriesByType("resource")
  .filter((entry) => entry.startTime < performance.getEntriesByName("first-contentful-paint")[0].startTime)
  .reduce((sum, entry) => sum + entry.encodedBodySize, performance.getEntriesByType("navigation")[0].encodedBodySize) / 1024"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--per-second", type=int, default=1_000)
    parser.add_argument("--seconds", type=int, default=10)


def measure(arguments: argparse.Namespace) -> list[Figure]:
    """Scrolling against a list of 2,000 plain rows in the same browser; streaming against only parsing the same frames."""
    with _page() as page:
        assets = page.evaluate(ASSETS)
        page.evaluate(FILL, arguments.messages)
        opening, idle = page.evaluate(OPEN)
        ours = _frame_times(page)
        share = _busy(page, arguments, paint=True)
        parsing = _busy(page, arguments, paint=False)
        page.evaluate(PLAIN)
        plain = _frame_times(page)
    name = f"frame while scrolling {arguments.messages:,} messages"
    busy = f"main thread at {arguments.per_second:,} messages a second"
    return [
        Figure(f"{name}, median", "ms", _quantile(ours, 0.5), _quantile(plain, 0.5), "2,000 plain rows", goal=17),
        Figure(f"{name}, p95", "ms", _quantile(ours, 0.95), _quantile(plain, 0.95), "2,000 plain rows", goal=34),
        Figure(busy, "%", share, parsing, "only parsing the frames", goal=50),
        Figure("opening a detail, until it is drawn", "ms", opening, idle, "an empty frame", goal=50),
        Figure(
            "fetched before the first paint", "kB", assets, float(PREACT.stat().st_size) / 1024, "the library alone", goal=100
        ),
    ]


@contextlib.contextmanager
def _page() -> Iterator[Page]:
    command = [sys.executable, "-m", "realtime_inspector", "demo", "--port", "0", "--ready-json", "--no-activity"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as service,
        sync_playwright() as playwright,
    ):
        try:
            assert service.stdout is not None
            demo = Demo(json.loads(service.stdout.readline()))
            browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.add_init_script(FRAMES)
            inspector = Inspector(page, demo)
            inspector.open()
            inspector.watch("alice", channel="bench")
            yield page
            browser.close()
        finally:
            service.terminate()


def _frame_times(page: Page) -> list[float]:
    """Scrolls as a wheel does; milliseconds between animation frames, sorted."""
    box = page.locator(".rows").bounding_box()
    assert box is not None
    page.locator(".rows").evaluate("(list) => { list.scrollTop = 10_000 }")
    page.evaluate(WATCH)
    gesture: dict[str, Any] = {"x": box["x"] + 200, "y": box["y"] + 200, "yDistance": -4 * SPEED, "speed": SPEED}
    page.context.new_cdp_session(page).send("Input.synthesizeScrollGesture", {**gesture, "gestureSourceType": "mouse"})
    return sorted(page.evaluate(WATCHED))


def _busy(page: Page, arguments: argparse.Namespace, *, paint: bool) -> float:
    """Percent of the time that the main thread had something to do."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    before = _tasks(session)
    page.evaluate(STREAM, {"perSecond": arguments.per_second, "seconds": arguments.seconds, "paint": paint})
    return 100 * (_tasks(session) - before) / arguments.seconds


def _tasks(session: Any) -> float:
    metrics = session.send("Performance.getMetrics")["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
