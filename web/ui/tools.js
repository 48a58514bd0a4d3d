// Above and below the list: search, compare, pause, the chips with their counts, and the foot that says what is kept.
import { html } from "../vendor/preact.js";
import { dialog, drawer, follow, following, listedRows, newer, paused, selected, togglePause } from "../model/choice.js";
import { CAPACITY, cleared, clearList, counts, undoClear, view } from "../model/feed.js";
import { CHIPS, chipOf, off, onlyChip, problem, query, showAll, toggleChip } from "../model/filter.js";
import { identities, watchable } from "../model/identities.js";
import { compared, comparing, onlyDifferences } from "../model/lens.js";
import { marks } from "../model/marks.js";
import { now } from "../model/clock.js";
import { trouble } from "../model/session.js";
import { clockTime, count } from "../format.js";
import { Button, Icon } from "./parts.js";

const CHIP_WORDS = {
  change: "Changes",
  broadcast: "Broadcast",
  presence: "Presence",
  system: "System",
  denied: "Denied",
  skipped: "Skipped",
  reply: "Heartbeats",
};
const CHIP_ICONS = {
  change: "i-change",
  broadcast: "i-broadcast",
  presence: "i-presence",
  system: "i-system",
  denied: "v-denied",
  skipped: "v-skipped",
  reply: "i-reply",
};
const VERDICTS = ["denied", "skipped"];

export function Tools() {
  identities.value;
  return html`<div class="tools">
    <${Button} icon="i-pane" label="Channels and identities" cls="only-drawer" aria-expanded=${drawer.value}
      onClick=${() => (drawer.value = !drawer.value)} />
    <${Search} />
    <div class="tool-end">
      ${
        comparing.value
          ? html`<${Button} icon="i-filter" aria-pressed=${onlyDifferences.value}
          onClick=${() => (onlyDifferences.value = !onlyDifferences.value)}><span>Only differences</span><//>`
          : watchable().length > 0 &&
            html`<${Button} icon="i-compare" onClick=${startComparing} title="Compare views (d)">
          <span>Compare</span><//>`
      }
      <${Button} icon="i-columns" label="Columns and time" onClick=${() => (dialog.value = { kind: "columns" })} />
      <${Button} icon="i-save" label="Save or open a recording" onClick=${() => (dialog.value = { kind: "record" })} />
      <${Button} icon="i-trash" label="Clear the list" onClick=${clearList} disabled=${!counts.value.kept} />
      <${Button} icon=${paused.value ? "i-play" : "i-pause"} cls="pausebtn" keys="Space" aria-pressed=${paused.value}
        title=${paused.value ? "Resume" : "Pause"} onClick=${togglePause}>
        <span>${paused.value ? "Resume" : "Pause"}</span>
      <//>
    </div>
  </div>`;
}

/** Compares everybody who looks; with one identity only, asks for a second one. */
export function startComparing() {
  const ids = watchable().map((one) => one.id);
  if (ids.length > 1) compared.value = ids;
  else dialog.value = { kind: "identity", compare: true };
}

function Search() {
  const wrong = problem.value;
  const escape = (event) => {
    if (event.key !== "Escape" || event.isComposing) return;
    if (query.value) query.value = "";
    else document.getElementById("messages")?.focus();
    event.stopPropagation();
  };
  return html`<label class=${`search ${wrong ? "search--bad" : ""}`}>
    <${Icon} name="i-search" /><span class="vh">Search messages</span>
    <input
      id="search"
      type="search"
      value=${query.value}
      placeholder="Search, or verdict:denied"
      spellcheck=${false}
      autocomplete="off"
      aria-invalid=${wrong !== ""}
      aria-describedby="search-problem"
      onInput=${(event) => (query.value = event.currentTarget.value)}
      onKeyDown=${escape}
    />
    <span id="search-problem" class="search-bad" role="status">${wrong}</span>
    ${query.value ? !wrong && html`<${Found} />` : html`<kbd aria-hidden="true">/</kbd>`}
  </label>`;
}

/** How many were found, and which of them is open. */
function Found() {
  const all = listedRows.value;
  const at = selected.value ? view.place(selected.value.seq) : -1;
  const here = at >= 0 && at < all && view.at(at) === selected.value;
  return html`<span class="hint" role="status">${here ? `${count(at + 1)}/${count(all)}` : `${count(all)} found`}</span>`;
}

/** How many messages a chip would list, given the other filters. */
function chipCounts(tally, without) {
  const sums = Object.fromEntries(CHIPS.map((chip) => [chip, 0]));
  for (const [key, n] of tally) {
    const [kind, verdict] = key.split(" ");
    const chip = chipOf(kind);
    const mark = verdict === "raised" ? "denied" : verdict;
    if (!(chip in sums)) continue;
    if (!VERDICTS.includes(mark) || !without.has(mark)) sums[chip] += n;
    if (VERDICTS.includes(mark) && !without.has(chip)) sums[mark] += n;
  }
  return sums;
}

export function Chips() {
  const without = off.value;
  const sums = chipCounts(counts.value.tally, without);
  return html`<div class="chips" role="group" aria-label="Kinds and verdicts listed">
    ${CHIPS.map(
      (chip) => html`<button
        key=${chip}
        type="button"
        class="chip"
        data-k=${chip}
        aria-pressed=${!without.has(chip)}
        title=${VERDICTS.includes(chip) ? CHIP_WORDS[chip] : `${CHIP_WORDS[chip]}; with Shift only these`}
        onClick=${(event) => (event.shiftKey ? onlyChip(chip) : toggleChip(chip))}
      >
        <${Icon} name=${CHIP_ICONS[chip]} /><span>${CHIP_WORDS[chip]}</span><b>${count(sums[chip])}</b>
      </button>`,
    )}
  </div>`;
}

export function Foot() {
  const { kept, hidden, evicted, oldest } = counts.value;
  return html`<footer class="foot">
    <span class="foot-l">
      <b>${count(kept)}</b> <span class="wide">of ${count(CAPACITY)}</span> kept
      ${
        cleared.value &&
        html`<span class="sep"></span><span role="status"><b>${count(cleared.value.count)}</b> cleared${" "}
        <button type="button" class="link" onClick=${undoClear}>Undo</button>
        <span class="wide"> (${Math.max(0, Math.ceil((cleared.value.until - now.value) / 1000))} s)</span></span>`
      }
      ${evicted > 0 && html`<span class="sep"></span><span><b>${count(evicted)}</b> let go</span>`}
      ${kept > 0 && html`<span class="wide"><span class="sep"></span>oldest ${clockTime(oldest)}</span>`}
      ${
        hidden > 0 &&
        html`<span class="sep"></span><span><b>${count(hidden)}
        </b> hidden<span class="wide"> by filters</span> <button type="button" class="link" onClick=${showAll}>Show all</button>
        </span>`
      }
      ${marks.value.length > 0 && html`<span class="sep"></span><${Marked} />`}
    </span>
    <${Tail} />
  </footer>`;
}

/** How one goes on from what is marked. */
function Marked() {
  if (marks.value.length < 2) return html`<span role="status"><b>1</b> marked<span class="wide">, <kbd>x</kbd> marks another</span></span>`;
  return html`<span role="status"><b>2</b> marked <button type="button" class="link" onClick=${() => (dialog.value = { kind: "difference" })}>Difference</button></span>`;
}

function Tail() {
  if (newer.value > 0) {
    return html`<button class="newer" type="button" onClick=${follow}>
      <${Icon} name="i-down" /><span>${paused.value ? "Paused, " : ""}${count(newer.value)} newer</span><kbd aria-hidden="true">End</kbd>
    </button>`;
  }
  if (paused.value) return html`<span class="tail tail--off">Paused</span>`;
  if (trouble.value?.kind === "unreachable") return html`<span class="tail tail--off">Not following</span>`;
  if (!following.value)
    return html`<button class="tail tail--off" type="button" onClick=${follow}>Not following<kbd aria-hidden="true">End</kbd>
    </button>`;
  return html`<span class="tail"><i class="dot"></i>Following<kbd aria-hidden="true">End</kbd></span>`;
}
