"""Parts of the page that are fetched when they are needed."""

from tests.web.inspector import Inspector

RACE = """async () => {
  const app = document.querySelector("script[type=module][src*=app]").src;
  const { fetchAhead, Lazy } = await import(new URL("ui/lazy.js", app));
  const { html, render } = await import(new URL("vendor/preact.js", app));
  const place = document.body.appendChild(document.createElement("div"));
  const load = async () => () => html`<b>here</b>`;
  window.requestIdleCallback = (act) => act();
  render(html`<${Lazy} load=${load} />`, place);
  fetchAhead([load]);
  await new Promise((done) => setTimeout(done, 500));
  return place.textContent;
}"""


def test_a_part_that_comes_between_drawing_and_asking_for_it_is_drawn(inspector: Inspector) -> None:
    """It was fetched ahead at just that moment: a dialog was open then that nobody saw, and no key worked."""
    assert inspector.page.evaluate(RACE) == "here"
