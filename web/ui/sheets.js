// Small sheets: the keys and the search language, and what does not fit into a narrow top bar.
import { html } from "../vendor/preact.js";
import { closeDialog, dialog, goTo } from "../model/choice.js";
import { now } from "../model/clock.js";
import { clearList } from "../model/feed.js";
import { EXTEND_BELOW_MS, extend, identities, identityOf, live, watchable } from "../model/identities.js";
import { compared, comparing, onlyDifferences, viewed } from "../model/lens.js";
import { PREVIEWS, previews, togglePreview } from "../model/previews.js";
import { FIELDS } from "../model/search.js";
import { config } from "../model/session.js";
import { sections } from "./sections.js";
import { singleKeys } from "./keys.js";
import { Button, Dialog } from "./parts.js";
import { flipTheme } from "./theme.js";
import { startComparing } from "./tools.js";

const KEYS = [
  ["j k or ↓ ↑", "next, previous message"],
  ["Enter, Esc", "open, back"],
  ["/", "search"],
  ["n N", "next, previous match"],
  ["Space", "pause or resume"],
  ["End", "follow the newest"],
  ["1 2 3 4 5", "changes, broadcast, presence, system, heartbeats; with Shift only these"],
  ["6", "denied"],
  ["f, w", "diff, why"],
  ["[ ]", "previous, next tab"],
  ["x", "mark a message"],
  ["d", "difference of two marked messages, else compare views"],
  ["i", "view as someone"],
  ["Shift+L", "stop every view, or start one"],
  ["Shift+Esc", "stop viewing"],
  ["c", "copy the message as JSON"],
  ["y", "copy a link to this search"],
  ["b", "send"],
  ["Shift+J", "join a channel"],
  ["t", "light or dark"],
  ["?", "this sheet"],
];

export function KeysDialog() {
  return html`<${Dialog} title="Keyboard and search" onClose=${closeDialog}>
    <div class="dl-body">
      <div class="dl-l"><h2 class="lab">Keys</h2>
        <dl class="keys">${KEYS.map(([key, does]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${does}</dd></div>`)}
          </dl>
        <label class="check"><input type="checkbox" checked=${singleKeys.value}
          onChange=${(event) => (singleKeys.value = event.currentTarget.checked)} />
          <span>Single keys work<span class="dim">Off while you type; switch them off as a whole here.</span></span></label>
      </div>
      <div><h2 class="lab">Search</h2>
        <p>Words, <code>"a phrase"</code>, <code>/a pattern/i</code>, and fields.
          ${" "}Every term must hold; <code>-term</code> excludes.</p>
        <ul class="fields">${Object.entries(FIELDS).map(
          ([name, example]) => html`<li key=${name}><code>${example}</code>
          </li>`,
        )}</ul>
        <p class="dim">It searches what the identity in view received, and nothing else.</p>
      </div>
    </div>
    <footer class="dl-foot"><p class="dim">realtime-inspector ${config.value?.version ?? ""}</p><span class="dl-do">
      <${Button} onClick=${() => (dialog.value = { kind: "previews" })}>Feature previews<//>
      <${Button} data-first onClick=${closeDialog}>Close<//></span></footer>
  <//>`;
}

/** What a narrow window has no room for; everything that a wide one offers is here. */
export function MoreDialog() {
  identities.value;
  const one = identityOf(viewed.value);
  const soon = live().filter((identity) => identity.expiresAt - now.value < EXTEND_BELOW_MS);
  const then = (work) => () => {
    closeDialog();
    work();
  };
  return html`<${Dialog} title="More" onClose=${closeDialog} cls="dialog--small">
    <div class="dl-body dl-body--one more-do">
      <${Button} icon="i-moon" onClick=${flipTheme}><span>Switch between light and dark</span><//>
      <${Button} icon="i-help" onClick=${() => (dialog.value = { kind: "keys" })}><span>Keyboard and search</span><//>
      <${Button} icon="i-more" onClick=${() => (dialog.value = { kind: "previews" })}><span>Feature previews</span><//>
      ${
        watchable().length > 1 &&
        !comparing.value &&
        html`<${Button} icon="i-compare" onClick=${then(startComparing)}>
        <span>Compare views</span><//>`
      }
      ${
        comparing.value &&
        html`<${Button} icon="i-filter" aria-pressed=${onlyDifferences.value}
        onClick=${() => (onlyDifferences.value = !onlyDifferences.value)}><span>Only differences</span><//>
        <${Button} icon="i-eye" onClick=${then(() => (compared.value = []))}><span>Back to one view</span><//>`
      }
      ${
        one?.state === "live" &&
        html`<${Button} icon="i-user" onClick=${() => (dialog.value = { kind: "claims", id: one.id })}>
        <span>Claims of ${one.name}</span><//>`
      }
      ${soon.map(
        (identity) => html`<${Button} key=${identity.id} icon="i-clock" onClick=${then(() => extend(identity.id))}>
        <span>Extend ${identity.name}’s view</span><//>`,
      )}
      <${Button} icon="i-save" onClick=${() => (dialog.value = { kind: "record" })}><span>Save or open a recording</span><//>
      <${Button} icon="i-trash" onClick=${then(clearList)}><span>Clear the list</span><//>
      ${sections()
        .filter((entry) => !entry.dock)
        .map(
          ({ name, words, icon }) => html`<${Button} key=${name} icon=${icon} onClick=${then(() => goTo(name))}>
        <span>${words}</span><//>`,
        )}
      <${Button} icon="i-eye" onClick=${() => (dialog.value = { kind: "identity" })}><span>View as someone else</span><//>
      <${Button} icon="i-plus" onClick=${() => (dialog.value = { kind: "join" })}><span>Join a channel</span><//>
    </div>
    <footer class="dl-foot"><p class="dim">realtime-inspector ${config.value?.version ?? ""}</p><span class="dl-do">
      <${Button} onClick=${closeDialog}>Close<//></span></footer>
  <//>`;
}

/** Switches for what is not finished. */
export function PreviewsDialog() {
  return html`<${Dialog} title="Feature previews" onClose=${closeDialog} cls="dialog--small">
    <div class="dl-body dl-body--one">
      <p>What is not finished yet can be tried here. The switches hold for this browser.</p>
      ${PREVIEWS.map(
        ({ name, words, hint }) => html`<label class="check" key=${name}><input type="checkbox" checked=${previews.value.has(name)}
          onChange=${() => togglePreview(name)} /><span>${words}<span class="dim">${hint}</span></span></label>`,
      )}
      ${!PREVIEWS.length && html`<p class="dim">Nothing at the moment: all that this version has is on.</p>`}
    </div>
    <footer class="dl-foot"><p></p><span class="dl-do"><${Button} data-first onClick=${closeDialog}>Close<//></span></footer>
  <//>`;
}
