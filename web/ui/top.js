// The top bar: where one is, the sections, and the pulse of the stream.
import { html } from "../vendor/preact.js";
import { dialog, goTo, section } from "../model/choice.js";
import { channels } from "../model/channels.js";
import { now } from "../model/clock.js";
import { identities, identityOf, live } from "../model/identities.js";
import { comparing, looking } from "../model/lens.js";
import { playing } from "../model/player.js";
import { config, trouble } from "../model/session.js";
import { pulse } from "../model/vitals.js";
import { rate } from "../format.js";
import { Button, Icon } from "./parts.js";
import { sections } from "./sections.js";
import { flipTheme } from "./theme.js";

export function Top() {
  return html`<header class="top">
    <a class="brand" href="#main" aria-label="Inspector" onClick=${(event) => go(event, "live")}>
      <svg class="brand-m" aria-hidden="true"><use href="#mark" /></svg><span>Inspector</span>
    </a>
    <span class="server" title=${config.value ? `realtime-inspector ${config.value.version}` : ""}><span>${location.host}
      </span> <span class="dim">${config.value?.version ?? ""}</span></span>
    <nav class="nav" aria-label="Sections">
      ${sections().map(
        ({ name, words }) => html`<a key=${name} href=${`#section=${name}`}
          aria-current=${section.value === name ? "page" : undefined} onClick=${(event) => go(event, name)}>${words}</a>`,
      )}
    </nav>
    <${Vitals} />
    <div class="top-end">
      <${Button} icon="i-moon" label="Switch between light and dark" keys="t" onClick=${flipTheme} />
      <${Button} icon="i-help" label="Keyboard and search" keys="?" onClick=${() => (dialog.value = { kind: "keys" })} />
    </div>
    <${Button} icon="i-more" label="More" cls="only-narrow" onClick=${() => (dialog.value = { kind: "more" })} />
  </header>`;
}

/** The sections again, for thumbs. */
export function Dock() {
  const [first, ...others] = sections().filter((entry) => entry.dock);
  const entries = [first, { name: "channels", words: "Channels", icon: "i-broadcast" }, ...others];
  return html`<nav class="dock only-narrow" aria-label="Sections">
    ${entries.map(
      ({ name, words, icon }) => html`<a key=${name} href=${`#section=${name}`}
        aria-current=${section.value === name ? "page" : undefined} onClick=${(event) => go(event, name)}>
        <${Icon} name=${icon} /><span>${words}</span>
      </a>`,
    )}
  </nav>`;
}

function go(event, name) {
  event.preventDefault();
  goTo(name);
}

/** What the stream is doing, in a word, or the cause where it stands still. */
export function streamState() {
  now.value;
  identities.value;
  if (playing.value) return { word: "Recording", icon: "i-record", stopped: false };
  const kind = trouble.value?.kind;
  const connections = looking.value.map((id) => identityOf(id)).filter((one) => one?.state === "live");
  const open = connections.filter((one) => one?.news?.state === "open");
  if (kind === "unreachable" && !open.length) return { word: "No server", icon: "i-error", stopped: true };
  if (kind === "expired" && !open.length) return { word: "Token expired", icon: "i-lock", stopped: true };
  if (kind === "refused" && !open.length) return { word: "Token refused", icon: "i-lock", stopped: true };
  if (!connections.length) return { word: config.value ? "Connected" : "Connecting", icon: "", stopped: false };
  const all = open.length === connections.length;
  if (!all) return { word: open.length ? "Partly live" : "Reconnecting", icon: "i-error", stopped: !open.length };
  return { word: channels.value.length ? "Live" : "Connected", icon: "", stopped: false };
}

function Vitals() {
  const { word, icon, stopped } = streamState();
  const flows = !stopped && word !== "Connecting" && live().length > 0 && channels.value.length > 0;
  return html`<div class="vitals">
    <span class="state" data-s=${stopped ? "stopped" : "live"}>
      ${icon ? html`<${Icon} name=${icon} />` : html`<i class="dot"></i>`}${word}</span>
    ${flows && html`<${Spark} />`} ${flows && !comparing.value && html`<${Lag} />`}
  </div>`;
}

function Spark() {
  const { bars, rate: perSecond } = pulse.value;
  const highest = Math.max(0, ...bars.map((bar) => bar.n));
  const most = Math.max(4, highest);
  const label = `Messages per second over the last ${bars.length} seconds: now ${rate(perSecond)}, highest ${highest}`;
  return html`<span class="vital">
    <svg class="spark" viewBox="0 0 144 20" role="img" aria-label=${label}>
      ${bars.map(({ n, denied, hole }, i) => {
        if (hole) return null;
        const height = n ? Math.max(1, Math.round((n / most) * 18)) : 1;
        const red = denied ? Math.max(1, Math.round((denied / most) * 18)) : 0;
        return html`<rect key=${`n${i}`} x=${i * 3} y=${20 - height} width="2" height=${height} />
          ${red > 0 && html`<rect key=${`d${i}`} class="den" x=${i * 3} y=${20 - red} width="2" height=${red} />`}`;
      })}
    </svg>
    <b>${rate(perSecond)}</b><span class="u">msg/s</span>
  </span>`;
}

function Lag() {
  const { p50, p95, skewed } = pulse.value;
  if (Number.isNaN(p50)) return null;
  const doubt = skewed ? "; some are negative, so the two clocks differ" : "";
  const title = `Commit to this page, median and 95th percentile of the last 48 s${doubt}`;
  return html`<span class="vital wide" title=${title}><span class="u">lag</span><b>${inUnit(p50, p95)}</b>
    <span class="u">/ ${inUnit(p95, p95)} ${unit(p95)}${skewed ? " incl. clock skew" : ""}</span></span>`;
}

const SLOW_MS = 10_000;

function unit(highest) {
  return highest < SLOW_MS ? "ms" : "s";
}

function inUnit(value, highest) {
  return String(Math.round(highest < SLOW_MS ? value : value / 1000)).replace("-", "−");
}
