// Old and new row next to each other, column by column, with words where a value is not known.
import { html, useState } from "../vendor/preact.js";
import { channelOf } from "../model/channels.js";
import { identityOf } from "../model/identities.js";
import { asText, channelName, columnsIn, rowIn } from "../model/message.js";
import { tableOf } from "../model/session.js";
import { Icon } from "./parts.js";

const OLD_VALUES = "Only the columns of the replica identity come with their old value. For all of them, set";

/**
 * @typedef {{ name: string, type: string, was: unknown, now: unknown, hasWas: boolean, hasNow: boolean, changed: boolean }} Line
 */

/** The lines of a change, by what can be said about them. */
export function linesOf(data) {
  const { type } = data;
  const before = rowIn(data, "old_record");
  const after = rowIn(data, "record");
  const columns = columnsIn(data);
  const names = [...new Set([...columns.map((column) => column.name), ...Object.keys(after), ...Object.keys(before)])];
  const types = Object.fromEntries(columns.map((column) => [column.name, column.type]));
  return names.map((name) => {
    const hasWas = name in before;
    const hasNow = name in after;
    const changed = type === "UPDATE" ? hasWas && hasNow && asText(before[name]) !== asText(after[name]) : true;
    return { name, type: types[name] ?? "", was: before[name], now: after[name], hasWas, hasNow, changed };
  });
}

export function Diff({ message, receipt }) {
  const { data } = receipt.frame.payload;
  const role = identityOf(receipt.who)?.role ?? "this role";
  const lines = linesOf(data);
  const update = data.type === "UPDATE";
  const known = lines.filter((line) => line.hasWas || line.hasNow);
  const loud = known.filter((line) => line.changed);
  const unknownBefore = update && known.some((line) => line.hasNow && !line.hasWas);
  const same = update ? known.filter((line) => line.hasWas && !line.changed) : [];
  const open = update ? known.filter((line) => line.changed || !line.hasWas) : loud;
  return html`<table class="diff" data-op=${data.type}>
      <thead><tr><th scope="col">Column</th>${
        update
          ? html`<th scope="col">Before</th>
        <th scope="col">After</th>`
          : html`<th scope="col">${data.type === "DELETE" ? "Deleted row" : "New row"}</th>`
      }</tr>
        </thead>
      <tbody>
        ${open.map((line) => html`<${Line} key=${line.name} line=${line} op=${data.type} />`)}
        ${[...leftOut(data, lines), ...missing(message, data, role)].map(
          ({ name, type, why, icon }) => html`<tr class="odd" key=${name}>
          ${heading(name, type)}<td colspan="2">${icon && html`<${Icon} name=${icon} />`}${why}</td></tr>`,
        )}
      </tbody>
    </table>
    ${unknownBefore && html`<p class="diff-note">${OLD_VALUES} <code>replica identity full</code>.</p>`}
    ${same.length > 0 && html`<${Same} lines=${same} />`}`;
}

function heading(name, type) {
  return html`<th scope="row"><span class="col">${name}</span>${type && html`<span class="typ" title=${type}>${type}</span>`}</th>`;
}

function Line({ line, op }) {
  const { name, type, was, now, hasWas, hasNow } = line;
  if (op === "UPDATE" && !hasWas)
    return html`<tr>${heading(name, type)}<td class="not-known">not in replica identity</td><td>
    ${shown(now)}</td></tr>`;
  return html`<tr class="chg">
    ${heading(name, type)}
    ${hasWas && html`<td class="was">${shown(was)}</td>`}${hasNow && html`<td class="now">${shown(now)}</td>`}
  </tr>`;
}

function shown(value) {
  if (value === null) return html`<i class="null">null</i>`;
  return asText(value);
}

/** Columns that came without any value, and why: the event was too large, or the log does not repeat what is stored out of line. */
function leftOut(data, lines) {
  const errors = Array.isArray(data.errors) ? data.errors : [];
  const large = errors.some((error) => String(error).includes("413"));
  const logged = data.type === "DELETE" ? "not in replica identity" : "unchanged and stored out of line (TOAST), so not in the log";
  const why = large ? "left out: the event was too large" : logged;
  return lines.filter((line) => !line.hasWas && !line.hasNow).map(({ name, type }) => ({ name, type, why, icon: "" }));
}

/** Columns of the table that did not come, and why. */
function missing(message, data, role) {
  const table = tableOf(message.schema, message.table);
  if (!table) return [];
  const came = new Set(columnsIn(data).map((column) => column.name));
  if (!came.size) return [];
  const plan = channelOf(channelName(message.topic));
  const selects = plan?.changes.some((one) => one.select.length > 0 && one.table === message.table) ?? false;
  const why = selects ? "not selected by this subscription" : `not granted to ${role}`;
  const icon = selects ? "" : "i-lock";
  return table.columns.filter((column) => !came.has(column.name)).map(({ name, type }) => ({ name, type, why, icon }));
}

function Same({ lines }) {
  const [open, setOpen] = useState(false);
  const words = `${lines.length} ${lines.length === 1 ? "column" : "columns"} unchanged`;
  return html`<button class="fold" type="button" aria-expanded=${open} onClick=${() => setOpen(!open)}>
      <${Icon} name="i-chev" /><span>${words}</span>
        ${!open && html`<span class="fold-s">${lines.map((line) => line.name).join(", ")}</span>`}
    </button>
    ${
      open &&
      html`<table class="diff diff--same"><tbody>
      ${lines.map(
        (line) => html`<tr key=${line.name}>${heading(line.name, line.type)}<td colspan="2">${shown(line.now)}</td>
        </tr>`,
      )}
    </tbody></table>`
    }`;
}
