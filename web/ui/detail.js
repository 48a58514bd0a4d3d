// The right pane: one message, with a verdict sentence first, then what came, what changed, and how long it took.
import { html } from "../vendor/preact.js";
import { evictedSelection, select, selected, selectedRevision, tab } from "../model/choice.js";
import { receiptsOf, shownReceipt } from "../model/feed.js";
import { identities, identityOf } from "../model/identities.js";
import { comparing } from "../model/lens.js";
import { channelName, lagOf } from "../model/message.js";
import { longReason, remedy, saysSame } from "../model/verdicts.js";
import { bytes, clockTime, milliseconds, shortId } from "../format.js";
import { Diff } from "./diff.js";
import { Button, CopyButton, copyText, Icon, KIND_ICON, Mark, Sql } from "./parts.js";
import { whereOf } from "./row.js";
import { Tree } from "./tree.js";
import { Verdicts } from "./verdicts.js";

const TAB_WORDS = { verdicts: "Verdicts", message: "Message", diff: "Diff", timing: "Timing" };

export function Detail() {
  const message = selected.value;
  selectedRevision.value;
  identities.value;
  if (!message || message.kind === "gap") return null;
  const tabs = tabsOf(message);
  const shown = tabs.includes(tab.value) ? tab.value : tabs[0];
  return html`<aside class="detail" aria-label="Message detail">
    <${Head} message=${message} />
    <div class="tabs" role="tablist" aria-label="Message">
      ${tabs.map(
        (name) => html`<button key=${name} type="button" role="tab" id=${`tab-${name}`} aria-selected=${name === shown}
          aria-controls="tab-panel" tabindex=${name === shown ? 0 : -1} onClick=${() => (tab.value = name)}
          onKeyDown=${(event) => moveTab(event, tabs, shown)}>${TAB_WORDS[name]}</button>`,
      )}
    </div>
    <div class="d-body" role="tabpanel" id="tab-panel" aria-labelledby=${`tab-${shown}`} tabindex="0">
      ${evictedSelection.value && html`<p class="sentence dim">No longer kept in the list.</p>`}
      <${Panel} name=${shown} message=${message} />
    </div>
  </aside>`;
}

/** The tabs that have something to say about a message. */
export function tabsOf(message) {
  const tabs = /** @type {("verdicts" | "message" | "diff" | "timing")[]} */ ([]);
  if (comparing.value) tabs.push("verdicts");
  tabs.push("message");
  if (shownReceipt(message)?.frame?.event === "postgres_changes") tabs.push("diff");
  tabs.push("timing");
  return tabs;
}

/** Moves to the next tab, around the end. */
export function stepTab(by) {
  const message = selected.value;
  if (!message) return;
  const tabs = tabsOf(message);
  const here = Math.max(0, tabs.indexOf(tab.value));
  tab.value = tabs[(here + by + tabs.length) % tabs.length];
}

function moveTab(event, tabs, shown) {
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  tab.value = tabs[(tabs.indexOf(shown) + by + tabs.length) % tabs.length];
  requestAnimationFrame(() => document.getElementById(`tab-${tab.value}`)?.focus());
}

function Head({ message }) {
  return html`<header class="d-head">
    <div class="d-title">
      <${Button} icon="i-back" label="Back to the list" cls="only-narrow" onClick=${() => select(null)} />
      <span class="badge" data-k=${message.kind}><${Icon} name=${KIND_ICON[message.kind]} />${message.op}</span>
      <h1>${whereOf(message)} ${
        message.key &&
        html`<span class="key" title=${message.key}>
        ${message.key.length > 24 ? shortId(message.key) : message.key}</span>`
      }</h1>
      <span class="d-do">
        <${Button} icon="i-copy" label="Copy as JSON" keys="c" onClick=${() => copyMessage(message)} />
        <${Button} icon="i-close" label="Close" keys="Esc" cls="not-narrow" onClick=${() => select(null)} />
      </span>
    </div>
    <dl class="facts">
      <div><dt>at</dt><dd>${clockTime(message.time)}${milliseconds(message.time)}</dd></div>
      <div><dt>channel</dt><dd>${channelName(message.topic) || "the socket itself"}</dd></div>
      ${message.schema && html`<div><dt>schema</dt><dd>${message.schema}</dd></div>`}
    </dl>
  </header>`;
}

/** Copies the message as it came. */
export function copyMessage(message) {
  const frame = shownReceipt(message)?.frame;
  return copyText(JSON.stringify(frame ? frame.payload : { text: message.text }, null, 2));
}

function Panel({ name, message }) {
  if (name === "verdicts") return html`<${Verdicts} message=${message} />`;
  const receipt = shownReceipt(message);
  if (!receipt) return null;
  return html`<${Sentence} message=${message} receipt=${receipt} />
    ${name === "message" && html`<${Payload} receipt=${receipt} />`}
    ${
      name === "diff" &&
      html`<${Diff} message=${message} receipt=${receipt}
      role=${identityOf(receipt.who)?.role ?? "this role"} />`
    }
    ${name === "timing" && html`<${Timing} message=${message} />`}`;
}

/** What this identity got, in one sentence about a person. */
function Sentence({ message, receipt }) {
  const person = identityOf(receipt.who) ?? { name: "This identity", role: "this role" };
  if (receipt.mark === "allowed") {
    const what = message.kind === "change" ? "saw this row" : "received this";
    return html`<p class="sentence"><${Mark} verdict="allowed" word=${false} /><span><b>${person.name} ${what}.</b></span></p>`;
  }
  if (message.kind === "error")
    return html`<p class="sentence sentence--bad"><${Mark} verdict="denied" word=${false} /><span>
    <b>${person.name} was refused.</b></span></p>`;
  const fix = remedy(receipt.reason, message.schema, message.table, person.role);
  return html`<p class=${`sentence ${receipt.mark === "skipped" ? "" : "sentence--bad"}`} data-v=${receipt.mark}>
      <${Mark} verdict=${receipt.mark} word=${false} />
      <span><b>${person.name} did not see this row.</b> ${longReason(receipt.reason, person, message.table)}</span>
    </p>
    ${receipt.detail && !saysSame(receipt.detail, fix) && html`<p class="quoted"><code>${receipt.detail}</code></p>`}
    ${
      fix &&
      html`<section class="sub sub--sql"><h3>To change that<span class="h3-r">
      <${CopyButton} text=${fix} cls="btn--small" /></span></h3><${Sql} text=${fix} /></section>`
    }`;
}

function Payload({ receipt }) {
  const { frame } = receipt;
  if (!frame) return null;
  const size = frame.head ? frame.size : new TextEncoder().encode(frame.text).length;
  return html`<section class="sub">
    <h3>Payload<span class="h3-r">${bytes(size)} on the wire</span></h3>
    ${
      frame.bytes
        ? html`<${Hex} data=${frame.bytes} />`
        : html`<ul class="json json--root"><${Tree} value=${frame.payload} />
      </ul>`
    }
  </section>`;
}

const HEX_BYTES = 1024;

function Hex({ data }) {
  const lines = [];
  for (let at = 0; at < Math.min(data.length, HEX_BYTES); at += 16) {
    const part = [...data.subarray(at, at + 16)];
    const hex = part.map((byte) => byte.toString(16).padStart(2, "0"));
    const readable = part.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "·"));
    lines.push(`${at.toString(16).padStart(4, "0")}  ${hex.join(" ").padEnd(48)} ${readable.join("")}`);
  }
  if (data.length > HEX_BYTES) lines.push(`… ${bytes(data.length - HEX_BYTES)} more`);
  return html`<pre class="code"><code>${lines.join("\n")}</code></pre>`;
}

/** Two clocks only, so two facts only: what the server says about the commit, and when the frame was here. */
function Timing({ message }) {
  const committed = !Number.isNaN(message.commit);
  const receipts = receiptsOf(message);
  const ahead = receipts.some((receipt) => lagOf(message, receipt) < 0) ? ": here the server’s is ahead" : "";
  return html`<section class="sub">
    <h3>Commit to screen</h3>
    <table class="times">
      <thead><tr><th scope="col"><span class="vh">Step</span></th><th scope="col">Time</th><th scope="col" class="r">Lag</th>
        </tr></thead>
      <tbody>
        ${
          committed &&
          html`<tr><th scope="row">committed, by the server’s clock</th><td>
          ${clockTime(message.commit)}${milliseconds(message.commit)}</td><td></td></tr>`
        }
        ${receipts.map((receipt) => {
          const lag = lagOf(message, receipt);
          const word = receipt.mark === "allowed" ? "received" : "verdict received";
          return html`<tr key=${receipt.who}><th scope="row">
            ${word} as ${identityOf(receipt.who)?.name ?? "somebody"}, by this clock</th><td>
            ${clockTime(receipt.at)}${milliseconds(receipt.at)}</td><td class="r">
            ${Number.isNaN(lag) ? "" : `${String(lag).replace("-", "−")} ms`}</td></tr>`;
        })}
      </tbody>
    </table>
    ${committed && html`<p class="diff-note">The lag includes the difference between the two clocks${ahead}.</p>`}
  </section>`;
}
