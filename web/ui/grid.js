// Rows of a result, as Postgres wrote them: text, and null as what it is.
import { html } from "../vendor/preact.js";
import { Icon } from "./parts.js";

const LONGEST = 400;

/** `order`: "column.asc" or "column.desc"; `onOrder` makes the heads buttons. */
export function Grid({ columns, rows, label, order = "", onOrder = null }) {
  return html`<div class="scroll-x grid-x" tabindex="0" role="region" aria-label=${label}><table class="gtab">
    <thead><tr>${columns.map((column, i) => html`<th scope="col" key=${i} aria-sort=${sortOf(column.name, order, onOrder)}>
      ${onOrder ? html`<${Sorter} column=${column} order=${order} onOrder=${onOrder} />` : html`<${Name} column=${column} />`}</th>`)}</tr></thead>
    <tbody>${rows.map((row, r) => html`<tr key=${r}>${row.map((cell, c) => html`<td key=${c}>${cellOf(cell)}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

function Name({ column }) {
  return html`<span class="col">${column.name}</span><span class="typ">${column.type}</span>`;
}

function Sorter({ column, order, onOrder }) {
  const way = sortOf(column.name, order, true);
  return html`<button type="button" class="sorter" onClick=${() => onOrder(column.name)}><${Name} column=${column} />
    ${way && html`<${Icon} name="i-down" cls=${way === "ascending" ? "up" : ""} />`}</button>`;
}

function sortOf(name, order, sorts) {
  if (!sorts) return undefined;
  return { [`${name}.asc`]: "ascending", [`${name}.desc`]: "descending" }[order];
}

export function cellOf(cell) {
  if (cell === null || cell === undefined) return html`<span class="null dim">null</span>`;
  const text = typeof cell === "string" ? cell : JSON.stringify(cell);
  return text.length > LONGEST ? html`<span title=${text.slice(0, 4000)}>${text.slice(0, LONGEST)}…</span>` : text;
}
