// Draws a component whose module is fetched when it is first needed: the first paint does not wait for it.
import { html, useEffect, useState } from "../vendor/preact.js";
import { Button } from "./parts.js";

/** @typedef {() => Promise<any>} Load  fetches a component */
/** @type {Map<Load, any>} */
const loaded = new Map();

let styles = /** @type {Promise<unknown> | null} */ (null);

/** Fetches the styles of all that is not drawn at first, into their places among the others; they come with the first such part. */
function fetchStyles() {
  const sheets = /** @type {NodeListOf<HTMLLinkElement>} */ (document.querySelectorAll("link[data-href]"));
  styles ??= Promise.all([...sheets].map(fetchSheet)).catch((error) => {
    styles = null;
    throw error;
  });
  return styles;
}

function fetchSheet(/** @type {HTMLLinkElement} */ link) {
  const href = link.dataset.href ?? "";
  return new Promise((done, failed) => {
    link.onload = () => done(link.removeAttribute("data-href"));
    link.onerror = () => failed(new Error(`Failed to fetch ${href}`));
    link.removeAttribute("href");
    link.href = href;
  });
}

/** A component, when there is all that it is drawn with. */
async function whole(/** @type {Load} */ load) {
  const [component] = await Promise.all([load(), fetchStyles()]);
  return component;
}

/** Fetches components ahead of their use, one after the other, when nothing else is to do. */
export function fetchAhead(/** @type {Load[]} */ loads) {
  const [load, ...others] = loads;
  if (!load) return;
  const next = () => whole(load).then((component) => loaded.set(load, component) && fetchAhead(others), () => {});
  if ("requestIdleCallback" in window) requestIdleCallback(next);
  else setTimeout(next, 500);
}

/** @param {{ load: Load, [prop: string]: unknown }} props  what is not `load` goes to the component */
export function Lazy({ load, ...props }) {
  const [problem, setProblem] = useState("");
  const [, redraw] = useState(0);
  const fetchIt = () => {
    setProblem("");
    whole(load).then(
      (component) => {
        loaded.set(load, component);
        redraw((n) => n + 1);
      },
      (error) => setProblem(error instanceof Error ? error.message : String(error)),
    );
  };
  const Loaded = loaded.get(load);
  useEffect(() => {
    if (Loaded) return;
    if (loaded.has(load)) redraw((n) => n + 1); // fetched ahead since this was drawn
    else fetchIt();
  }, [load]);
  if (Loaded) return html`<${Loaded} ...${props} />`;
  if (!problem) return null;
  return html`<div class="quiet" role="alert"><h2>This part of the page could not be fetched.</h2><p>${problem}</p>
    <p class="quiet-do"><${Button} icon="i-refresh" onClick=${fetchIt}><span>Try again</span><//></p></div>`;
}
