// The tab Timing: from the commit to this page.
import { html } from "../vendor/preact.js";
import { receiptsOf } from "../model/feed.js";
import { identityOf } from "../model/identities.js";
import { lagOf } from "../model/message.js";
import { clockTime, milliseconds } from "../format.js";

/** Two clocks only, so two facts only: what the server says about the commit, and when the frame was here. */
export function Timing({ message }) {
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
