// The matrix of tables, identities and operations, and below it what the picked cell is made of.
import { html, useEffect } from "../vendor/preact.js";
import { goTo, place } from "../model/choice.js";
import { askAs, openTable } from "../model/desk.js";
import { evaluate, listedTable, matrix, OPERATIONS, pick, picked, pivot, policies } from "../model/matrix.js";
import { live } from "../model/identities.js";
import { clockTime, count } from "../format.js";
import { Answer, Nothing } from "./answers.js";
import { viewAsHere } from "./here.js";
import { Button, Icon, Who } from "./parts.js";

const SHORT = { select: "read", insert: "ins", update: "upd", delete: "del" };
const VERB = { select: "reads", insert: "may insert", update: "may update", delete: "may delete" };
const ICONS = { all: "v-allowed", some: "v-partial", none: "v-denied", raises: "v-raised", no_grant: "v-skipped" };
const LEGEND = [["all", "all rows"], ["some", "some, of the sample"], ["none", "none"], ["raises", "raises an error"], ["no_grant", "no grant"]];

export function Matrix() {
  const asked = matrix.state.value;
  useEffect(() => {
    policies.ask();
    evaluate();
  }, []);
  const n = live().length;
  return html`<section class="mxwrap" aria-label="Who may do what">
    <header class="p-head p-head--do"><h1>Who may do what</h1>
      <p class="dim">${asked.answer ? `Evaluated ${clockTime(asked.at)} on sampled rows of each table, as each identity, in transactions that were rolled back.`
        : "From really asking on sampled rows, as each identity."}</p>
      <span class="p-do"><${Button} icon="i-user" onClick=${viewAsHere} title="Look through somebody’s eyes to have a column for them"><span>${n ? `Views: ${n}` : "Add a view"}</span><//>
        <${Button} icon="i-refresh" disabled=${asked.busy} onClick=${evaluate}><span>${asked.busy ? "Evaluating…" : "Evaluate again"}</span><//></span></header>
    <${Answer} asked=${asked} words="Asking every table as every identity, on sampled rows." lines=${8} again=${evaluate}>${() =>
      pivot.value.tables.length ? html`<${Sheet} />` : html`<${Nothing} title="No table to ask about."><p>The matrix has the tables of the publication.</p><//>`}<//>
  </section>`;
}

function Sheet() {
  const { columns, tables } = pivot.value;
  return html`<div class="mxscroll scroll-x" tabindex="0" role="region" aria-label="Matrix of roles and tables"><table class="matrix">
      <thead><tr><td rowspan="2"></td>${columns.map((column) => html`<th scope="colgroup" colspan="4" key=${column.key} title=${column.name}>
          ${column.letter && html`<${Who} letter=${column.letter} service=${column.service} />`}${column.name} <span class="dim">${column.role}</span></th>`)}</tr>
        <tr>${columns.map((column) => OPERATIONS.map((operation) => html`<th scope="col" key=${`${column.key} ${operation}`}>${SHORT[operation]}</th>`))}</tr></thead>
      <tbody>${tables.map(({ key, cells }) => html`<tr key=${key}><th scope="row"><${TableName} name=${key} /></th>
        ${columns.map((column) => OPERATIONS.map((operation) => html`<${CellOf} key=${`${column.key} ${operation}`} table=${key} column=${column} operation=${operation}
          cell=${cells.get(column.key)?.[operation]} />`))}</tr>`)}</tbody>
    </table></div>
    <p class="legend legend--mx">${LEGEND.map(([state, words]) => html`<span data-c=${state} key=${state}><${Icon} name=${ICONS[state]} />${words}</span>`)}</p>
    <${Picked} />`;
}

function TableName({ name }) {
  const table = listedTable(name);
  const short = name.replace(/^public\./, "");
  const n = table?.policies.length ?? 0;
  return html`<span class="col">${short}</span>${table && (table.rls
    ? html`<span class=${`typ ${n ? "" : "warn"}`}>${n === 1 ? "1 policy" : `${n} policies`}</span>` : html`<span class="typ warn">policies off</span>`)}`;
}

function wordsOf(cell) {
  switch (cell?.state) {
    case "all": return "all";
    case "some": return `${count(cell.visible)}/${count(cell.sampled)}`;
    case "none": return "none";
    case "raises": return "raises";
    default: return "";
  }
}

function CellOf({ table, column, operation, cell }) {
  const state = cell?.state ?? "no_grant";
  const here = picked.value;
  const on = here !== null && here.table === table && here.who === column.key && here.operation === operation;
  const said = { no_grant: "no grant", raises: "raises an error", some: `${cell?.visible} of ${cell?.sampled} rows` }[state] ?? state;
  return html`<td data-c=${state} class=${on ? "is-picked" : ""}><button class="mx" type="button" aria-pressed=${on}
    aria-label=${`${column.name}, ${operation} on ${table}: ${said}`} onClick=${() => pick(on ? null : { table, who: column.key, operation })}>
    <${Icon} name=${ICONS[state]} /><span>${wordsOf(cell)}</span></button></td>`;
}

/** What the picked cell counted, and by which policies. */
function Picked() {
  const here = picked.value;
  const { columns, tables } = pivot.value;
  const column = columns.find((one) => one.key === here?.who);
  if (!here || !column) return null;
  const cell = tables.find((one) => one.key === here.table)?.cells.get(here.who)?.[here.operation];
  if (!cell) return null;
  const table = listedTable(here.table);
  const known = table?.policies ?? [];
  const { operation } = here;
  const applicable = known.filter((policy) => /^(all|\*)$/i.test(policy.command) || policy.command.toLowerCase() === operation);
  const [schema, name] = table ? [table.schema, table.name] : here.table.split(".");
  const rows = () => {
    if (!column.view) return;
    askAs(column.view.id);
    openTable(schema, name);
    goTo("sql", "tables");
  };
  return html`<section class="picked" aria-label="Picked cell" aria-live="polite"><h2>${sentenceOf(column, here, cell)}</h2>
    ${cell.state === "no_grant" ? html`<p class="dim">The role has no ${here.operation.toUpperCase()} privilege on the table, so policies are not asked.</p>`
      : applicable.length ? html`<div class="scroll-x"><table class="pk"><tbody>${applicable.map((policy) => {
          const counts = (cell.policies ?? []).includes(policy.name);
          return html`<tr key=${policy.name}><th scope="row"><code>${policy.name}</code></th><td class="dim">${policy.kind}</td>
            <td><code>${(here.operation === "insert" ? policy.check ?? policy.using : policy.using ?? policy.check) ?? "true"}</code></td>
            <td class="r">${counts ? "applies" : html`<span class="dim">not for this role</span>`}</td></tr>`;
        })}</tbody></table></div>`
      : html`<p class="dim">${table?.rls ? "No policy is for this operation, so nothing is allowed." : "Row-level security is off: every row is open to whoever has the grant."}</p>`}
    <p class="picked-do">${column.view && here.operation === "select" && cell.state !== "no_grant" && html`<${Button} icon="i-table" onClick=${rows}><span>Show the rows as ${column.name}</span><//>`}
      <${Button} icon="i-change" onClick=${() => (place.value = "policies")}><span>Policies of ${name}</span><//></p>
  </section>`;
}

function sentenceOf(column, { operation, table }, cell) {
  const short = html`<code>${table.replace(/^public\./, "")}</code>`;
  const of = { select: "reads", insert: "may insert", update: "may update", delete: "may delete" }[operation];
  switch (cell.state) {
    case "all": return html`${column.name} ${of} all ${count(cell.sampled)} sampled rows of ${short}`;
    case "some": return html`${column.name} ${of} ${count(cell.visible)} of ${count(cell.sampled)} rows of ${short}`;
    case "raises": return html`Asking as ${column.name} to ${operation} raises an error on ${short}`;
    case "no_grant": return html`${column.name} has no grant to ${operation} on ${short}`;
    default: return html`${column.name} ${VERB[operation]} no row of ${short}`;
  }
}
