// The tab Timing: from the commit to this page, and how far the two clocks that say so agree.
import { html } from "../vendor/preact.js";
import { receiptsOf } from "../model/feed.js";
import { identityOf } from "../model/identities.js";
import { lagOf } from "../model/message.js";
import { offset } from "../model/offset.js";
import { clockTime, milliseconds } from "../format.js";

export function Timing({ message }) {
  const committed = !Number.isNaN(message.commit);
  return html`<section class="sub">
    <h3>Commit to screen</h3>
    <table class="times">
      <thead><tr><th scope="col"><span class="vh">Step</span></th><th scope="col">Time</th><th scope="col" class="r">Measured</th>
        ${committed && offset.value && html`<th scope="col" class="r">Estimated</th>`}</tr></thead>
      <tbody>
        ${
          committed &&
          html`<tr><th scope="row">committed, by the database’s clock</th><td>
          ${clockTime(message.commit)}${milliseconds(message.commit)}</td><td></td>${offset.value && html`<td></td>`}</tr>`
        }
        ${receiptsOf(message).map((receipt) => html`<${Step} key=${receipt.who} receipt=${receipt} message=${message} />`)}
      </tbody>
    </table>
    ${committed && html`<${Clocks} />`}
  </section>`;
}

function Step({ receipt, message }) {
  const lag = lagOf(message, receipt);
  const word = receipt.mark === "allowed" ? "received" : "verdict received";
  const known = !Number.isNaN(lag);
  return html`<tr><th scope="row">${word} as ${identityOf(receipt.who)?.name ?? "somebody"}, by this clock</th><td>
    ${clockTime(receipt.at)}${milliseconds(receipt.at)}</td><td class="r">${known && `${signed(lag)} ms`}</td>
    ${known && offset.value && html`<td class="r"><b>${signed(rounded(lag + offset.value.ms))}</b> ± ${rounded(offset.value.error)} ms</td>`}</tr>`;
}

const rounded = (value) => Number(value.toFixed(Math.abs(value) < 100 ? 1 : 0));
const signed = (value) => String(value).replace("-", "−");

/** What is known about the difference of the clocks: measured is never mixed with estimated. */
function Clocks() {
  const known = offset.value;
  if (!known)
    return html`<p class="diff-note">Measured across two clocks, which have not been compared yet: no heartbeat has been answered.</p>`;
  const { ms, error, beats } = known;
  const where = Math.abs(ms) <= error ? "agree" : `differ: the service’s is ${rounded(Math.abs(ms))} ms ${ms > 0 ? "ahead" : "behind"}`;
  return html`<p class="diff-note">Measured across two clocks. They ${where}, give or take ${rounded(error)} ms, by the quickest of
    ${" "}${beats === 1 ? "one heartbeat" : `${beats} heartbeats`}; the estimate takes that into account. The database’s and the
    ${" "}service’s clock are taken as one.</p>`;
}
