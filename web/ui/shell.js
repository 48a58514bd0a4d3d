// Puts the page together: bars, panes, the whole-width pages, and the dialog that is open.
import { html, useEffect } from "../vendor/preact.js";
import { drawer, section, selected, tab } from "../model/choice.js";
import { channels } from "../model/channels.js";
import { counts } from "../model/feed.js";
import { identities } from "../model/identities.js";
import { comparing } from "../model/lens.js";
import { playing } from "../model/player.js";
import { config, token, trouble, unpublished } from "../model/session.js";
import { pulse } from "../model/vitals.js";
import { rate } from "../format.js";
import { OpenDialog } from "./dialogs.js";
import { Lazy } from "./lazy.js";
import { Left } from "./left.js";
import { Lens } from "./lens.js";
import { List } from "./list.js";
import { Notices } from "./notices.js";
import { openSection } from "./sections.js";
import { Chips, Foot, Tools } from "./tools.js";
import { Dock, streamState, Top } from "./top.js";

const loadFirst = () => import("./first.js");
const loadNoToken = () => loadFirst().then((module) => module.NoToken);
const loadUnpublished = () => loadFirst().then((module) => module.Unpublished);
const loadFirstRun = () => loadFirst().then((module) => module.FirstRun);
export const loadDetail = () => import("./detail.js").then((module) => module.DividedDetail);

export function Shell() {
  return html`<a class="skip" href="#messages" onClick=${skip}>Skip to the messages</a>
    <${Top} /><${Lens} /><${Panes} /><${Dock} /><${OpenDialog} /><${Announcer} />`;
}

function skip(event) {
  event.preventDefault();
  section.value = "live";
  requestAnimationFrame(() => (document.getElementById("messages") ?? document.getElementById("main"))?.focus());
}

function Panes() {
  const kept = counts.value.kept > 0;
  const started = kept || (channels.value.length > 0 && identities.value.length > 0);
  const refusedAtOnce = !config.value && trouble.value !== null && trouble.value.kind !== "unreachable" && !started;
  if (playing.value) return html`<${LivePanes} />`;
  if (!token.value || refusedAtOnce) return html`<div class="panes"><${Lazy} key="token" load=${loadNoToken} /></div>`;
  const entry = openSection();
  if (entry) return html`<${Solo} key=${entry.name} load=${entry.load} />`;
  if (!started && unpublished.value && section.value !== "channels") return html`<${Solo} key="unpublished" load=${loadUnpublished} />`;
  if (!started && config.value && section.value !== "channels") return html`<${Solo} key="first" load=${loadFirstRun} />`;
  return html`<${LivePanes} />`;
}

/** A page of the whole width, below what has to be known on every page. */
function Solo({ load }) {
  return html`<div class="panes panes--solo"><div class="notices"><${Notices} /></div><${Lazy} load=${load} /></div>`;
}

function LivePanes() {
  const open = selected.value !== null && selected.value.kind !== "gap";
  return html`<div class="panes" data-view=${comparing.value ? "compare" : "one"} data-open=${open}
    data-section=${section.value} data-tab=${tab.value}>
    <${Left} />
    ${
      drawer.value &&
      html`<button type="button" class="drawer-scrim" aria-label="Close channels and identities"
      onClick=${() => (drawer.value = false)}></button>`
    }
    <main class="centre" id="main" aria-label="Messages"><${Notices} /><${Tools} /><${Chips} /><${List} /><${Foot} /></main>
    ${open && html`<${Lazy} load=${loadDetail} />`}
  </div>`;
}

const EVERY_MS = 5000;
let said = 0;

/** One polite line for those who listen: counts, never contents, at most every five seconds. */
function Announcer() {
  const { word } = streamState();
  const { denied, n } = pulse.value.bars.at(-1) ?? { denied: 0, n: 0 };
  const line = `${word}. ${rate(pulse.value.rate)} messages a second${n && denied ? ", some denied" : ""}.`;
  useEffect(() => {
    const status = document.getElementById("announcer");
    if (!status || Date.now() - said < EVERY_MS || status.textContent === line) return;
    said = Date.now();
    status.textContent = line;
  });
  return null;
}
