// Compare mode's detail: who of those compared saw the message, why the others did not, and the tally of everything kept.
import { html, useMemo } from "../vendor/preact.js";
import { selectWhy, tab } from "../model/choice.js";
import { now } from "../model/clock.js";
import { counts, ring } from "../model/feed.js";
import { columnsIn } from "../model/message.js";
import { identityOf } from "../model/identities.js";
import { compared } from "../model/lens.js";
import { longReason, remedy, saysSame } from "../model/verdicts.js";
import { tableOf } from "../model/session.js";
import { count } from "../format.js";
import { CopyButton, Icon, Mark, Sql, Who } from "./parts.js";

const MARKS = /** @type {const} */ (["allowed", "denied", "raised", "skipped"]);

export function Verdicts({ message }) {
  const some = compared.value.map((id) => identityOf(id)).filter((one) => one !== undefined);
  const saw = some.filter((one) => message.receipt(one.id)?.mark === "allowed").length;
  const noun = message.kind === "change" ? "saw this row" : "received this";
  const hasDiff = message.receipts.some((receipt) => receipt.frame?.event === "postgres_changes");
  return html`<p class="sentence">
      <b>${saw} of ${some.length} ${noun}.</b>
      ${
        hasDiff &&
        html`<button type="button" class="more" onClick=${() => (tab.value = "diff")}>Show the diff<${Icon}
        name="i-chev" /></button>`
      }
    </p>
    <ul class="cmps">${some.map((one) => html`<${Card} key=${one.id} one=${one} message=${message} />`)}</ul>
    <${Tally} some=${some} />`;
}

function Card({ one, message }) {
  const receipt = message.receipt(one.id);
  const mark = receipt?.mark ?? "skipped";
  return html`<li class="cmp" data-v=${mark}>
    <h3><${Who} letter=${one.letter} service=${one.kind === "service"} /><span>${one.name}</span><span class="role">
      ${one.role === one.name ? "" : one.role}</span><${Mark} verdict=${mark} /></h3>
    <${Cause} one=${one} receipt=${receipt} message=${message} />
    ${
      message.eventId &&
      html`<button type="button" class="more cmp-why" aria-label=${`Why, for ${one.name}`}
      onClick=${() => selectWhy(message, one.id)}>Why<${Icon} name="i-chev" /></button>`
    }
  </li>`;
}

function Cause({ one, receipt, message }) {
  if (!receipt) return html`<p class="dim">Nothing about it reached ${one.name}: not subscribed to it, or not joined yet.</p>`;
  if (receipt.mark === "allowed") {
    const columns = receipt.frame?.event === "postgres_changes" ? columnsOf(message, receipt.frame.payload.data) : "";
    return html`<p>${message.kind === "change" ? "Saw the row." : "Received it."}</p>
      ${columns && html`<p class="dim">${columns}</p>`}`;
  }
  const fix = remedy(receipt.reason, message.schema, message.table, one.role);
  return html`<p>${longReason(receipt.reason, one, message.table)}</p>
    ${receipt.detail && !saysSame(receipt.detail, fix) && html`<p class="dim"><code>${receipt.detail}</code></p>`}
    ${fix && html`<div class="cmp-fix"><${Sql} text=${fix} /><${CopyButton} text=${fix} cls="btn--small" /></div>`}`;
}

/** How many of the table's columns came, where not all did. */
function columnsOf(message, data) {
  const table = tableOf(message.schema, message.table);
  const came = new Set(columnsIn(data).map((column) => column.name));
  const without = table?.columns.filter((column) => !came.has(column.name)).map((column) => column.name) ?? [];
  if (!table || !came.size || !without.length) return "";
  return `${came.size} of ${table.columns.length} columns; without ${without.join(", ")}.`;
}

/** Marks over everything kept, counted at most once a second. */
function Tally({ some }) {
  const ids = some.map((one) => one.id).join();
  const second = Math.floor(now.value / 1000);
  const sums = useMemo(() => tally(ids.split(",")), [ids, second]);
  return html`<section class="sub">
    <h3>Over the ${count(counts.value.kept)} kept messages</h3>
    <table class="tally">
      <thead><tr><th scope="col"><span class="vh">Identity</span></th>
        ${MARKS.map((mark) => html`<th scope="col" key=${mark}><${Mark} verdict=${mark} /></th>`)}</tr></thead>
      <tbody>
        ${some.map(
          (one, i) => html`<tr key=${one.id}><th scope="row"><span class="id-l">
          <${Who} letter=${one.letter} service=${one.kind === "service"} />${one.name}</span></th>
          ${MARKS.map((mark) => html`<td key=${mark}>${count(sums[i][mark])}</td>`)}</tr>`,
        )}
      </tbody>
    </table>
  </section>`;
}

function tally(ids) {
  const sums = ids.map(() => ({ allowed: 0, denied: 0, raised: 0, skipped: 0 }));
  for (let seq = ring.first; seq < ring.next; seq += 1) {
    const message = ring.get(seq);
    if (!message || message.kind === "gap" || message.kind === "reply") continue;
    for (const receipt of message.receipts) {
      const at = ids.indexOf(receipt.who);
      if (at >= 0) sums[at][receipt.mark] += 1;
    }
  }
  return sums;
}
