// The right pane: one message, with a verdict sentence first, then the tab that is open.
import { html } from "../vendor/preact.js";
import { evictedSelection, select, selected, selectedRevision, tab } from "../model/choice.js";
import { linkToMessage } from "../model/address.js";
import { shownReceipt } from "../model/feed.js";
import { identities, identityOf } from "../model/identities.js";
import { channelName } from "../model/message.js";
import { longReason, remedy, saysSame } from "../model/verdicts.js";
import { clockTime, milliseconds, shortId } from "../format.js";
import { Commit, matesOf } from "./commit.js";
import { Divider } from "./divider.js";
import { Lazy } from "./lazy.js";
import { Button, CopyButton, copyText, Icon, KIND_ICON, Mark, Sql } from "./parts.js";
import { whereOf } from "./row.js";
import { copyMessage, tabsOf } from "./tabs.js";

/** With the line between it and the list. */
export function DividedDetail() {
  return html`<${Divider} /><${Detail} />`;
}

function Detail() {
  const message = selected.value;
  selectedRevision.value;
  identities.value;
  if (!message || message.kind === "gap") return null;
  const tabs = tabsOf(message);
  const shown = tabs.find((one) => one.name === tab.value) ?? tabs[0];
  return html`<aside class="detail" aria-label="Message detail">
    <${Head} message=${message} />
    <div class="tabs" role="tablist" aria-label="Message">
      ${tabs.map(
        ({ name, words }) => html`<button key=${name} type="button" role="tab" id=${`tab-${name}`} aria-selected=${name === shown.name}
          aria-controls="tab-panel" tabindex=${name === shown.name ? 0 : -1} onClick=${() => (tab.value = name)}
          onKeyDown=${(event) => moveTab(event, tabs, shown)}>${words}</button>`,
      )}
    </div>
    <div class="d-body" role="tabpanel" id="tab-panel" aria-labelledby=${`tab-${shown.name}`} tabindex="0">
      ${message.receipts.length ? evictedSelection.value && html`<p class="sentence dim">No longer kept in the list.</p>`
        : html`<p class="sentence dim">Not in the list of this page; this is what the service knows of it.</p>`}
      <${Panel} key=${shown.name} shown=${shown} message=${message} />
    </div>
  </aside>`;
}

function moveTab(event, tabs, shown) {
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  tab.value = tabs[(tabs.indexOf(shown) + by + tabs.length) % tabs.length].name;
  requestAnimationFrame(() => document.getElementById(`tab-${tab.value}`)?.focus());
}

function Head({ message }) {
  const mates = matesOf(message).length;
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
        ${message.eventId && html`<${Button} icon="i-link" label="Copy a link to this message" onClick=${() => copyText(linkToMessage(message))} />`}
        <${Button} icon="i-close" label="Close" keys="Esc" cls="not-narrow" onClick=${() => select(null)} />
      </span>
    </div>
    <dl class="facts">
      ${message.receipts.length > 0 && html`<div><dt>at</dt><dd>${clockTime(message.time)}${milliseconds(message.time)}</dd></div>
      <div><dt>channel</dt><dd>${channelName(message.topic) || "the socket itself"}</dd></div>`}
      ${message.schema && html`<div><dt>schema</dt><dd>${message.schema}</dd></div>`}
      ${mates > 0 && html`<div><dt>commit</dt><dd>${mates + 1} changes</dd></div>`}
    </dl>
  </header>`;
}

function Panel({ shown, message }) {
  const receipt = shownReceipt(message);
  return html`${!shown.whole && receipt && html`<${Sentence} message=${message} receipt=${receipt} />`}
    <${Lazy} load=${shown.load} message=${message} receipt=${receipt} />
    ${["diff", "message"].includes(shown.name) && html`<${Commit} message=${message} />`}`;
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
