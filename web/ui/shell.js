// Puts the page together: bars, panes, the whole-width pages, and the dialog that is open.
import { html, useEffect } from "../vendor/preact.js";
import { dialog, drawer, section, selected, tab } from "../model/choice.js";
import { channels } from "../model/channels.js";
import { counts } from "../model/feed.js";
import { identities } from "../model/identities.js";
import { comparing } from "../model/lens.js";
import { playing } from "../model/player.js";
import { config, token, trouble, unpublished } from "../model/session.js";
import { pulse } from "../model/vitals.js";
import { rate } from "../format.js";
import { ClaimsDialog } from "./claims.js";
import { ColumnsDialog } from "./columnsheet.js";
import { Detail } from "./detail.js";
import { Divider } from "./divider.js";
import { FirstRun, NoToken, Unpublished } from "./first.js";
import { JoinDialog } from "./join.js";
import { Lazy } from "./lazy.js";
import { Left } from "./left.js";
import { Lens } from "./lens.js";
import { List } from "./list.js";
import { Notices } from "./notices.js";
import { IdentityDialog } from "./picker.js";
import { RecordDialog } from "./recorder.js";
import { openSection } from "./sections.js";
import { KeysDialog, MoreDialog, PreviewsDialog } from "./sheets.js";
import { Chips, Foot, Tools } from "./tools.js";
import { Dock, streamState, Top } from "./top.js";

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
  if (!token.value || refusedAtOnce) return html`<div class="panes"><${NoToken} /></div>`;
  const entry = openSection();
  if (entry) return html`<div class="panes"><${Lazy} key=${entry.name} load=${entry.load} /></div>`;
  if (!started && unpublished.value && section.value !== "channels") return html`<div class="panes"><${Unpublished} /></div>`;
  if (!started && config.value && section.value !== "channels") return html`<div class="panes"><${FirstRun} /></div>`;
  return html`<${LivePanes} />`;
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
    ${open && html`<${Divider} /><${Detail} />`}
  </div>`;
}

const loadDisconnect = () => import("./connections.js").then((module) => module.DisconnectDialog);

function OpenDialog() {
  const open = dialog.value;
  if (open === null) return null;
  switch (open.kind) {
    case "identity":
      return html`<${IdentityDialog} key="identity" preset=${open.preset} compare=${open.compare}
        stay=${open.stay} />`;
    case "join":
      return html`<${JoinDialog} key=${`join ${open.name ?? ""}`} name=${open.name} />`;
    case "claims":
      return html`<${ClaimsDialog} key="claims" id=${open.id} />`;
    case "columns":
      return html`<${ColumnsDialog} key="columns" />`;
    case "record":
      return html`<${RecordDialog} key="record" />`;
    case "keys":
      return html`<${KeysDialog} key="keys" />`;
    case "more":
      return html`<${MoreDialog} key="more" />`;
    case "previews":
      return html`<${PreviewsDialog} key="previews" />`;
    case "disconnect":
      return html`<${Lazy} key="disconnect" load=${loadDisconnect} connection=${open.connection} />`;
  }
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
