// What else came of the same transaction, below what is open.
import { html } from "../vendor/preact.js";
import { select } from "../model/choice.js";
import { receiptsOf, sameCommit, shownReceipt } from "../model/feed.js";
import { count } from "../format.js";
import { Icon, KIND_ICON, Mark } from "./parts.js";
import { rowName, whereOf } from "./row.js";

const SHOWN = 12;

/** The other changes of its transaction that concern who looks. */
export function matesOf(message) {
  return sameCommit(message).filter((mate) => receiptsOf(mate).length > 0);
}

export function Commit({ message }) {
  const mates = matesOf(message);
  if (!mates.length) return null;
  return html`<section class="sub">
    <h3>Also in this commit<span class="h3-r">${count(mates.length)}</span></h3>
    <ul class="minis">${mates.slice(0, SHOWN).map((mate) => html`<${Mate} key=${mate.seq} mate=${mate} />`)}</ul>
    ${mates.length > SHOWN && html`<p class="dim">${count(mates.length - SHOWN)} more in the list.</p>`}
  </section>`;
}

function Mate({ mate }) {
  return html`<li><button type="button" class="mini" data-k=${mate.kind} aria-label=${rowName(mate)} onClick=${() => select(mate)}>
    <${Icon} name=${KIND_ICON[mate.kind]} /><span class="c-op">${mate.op}</span><span class="mini-t">${whereOf(mate)}
      <span class="key">${mate.key}</span></span><${Mark} verdict=${shownReceipt(mate)?.mark ?? "skipped"} />
  </button></li>`;
}
