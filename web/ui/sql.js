// The section SQL: statements as somebody, in a transaction that reads, is rolled back, or is committed; and tables as somebody.
import { html } from "../vendor/preact.js";
import { place } from "../model/choice.js";
import { asker, askAs, mode, ranText, run, runStatement, statement } from "../model/desk.js";
import { live } from "../model/identities.js";
import { adminName } from "../model/session.js";
import { known } from "../model/words.js";
import { count } from "../format.js";
import { Answer, Nothing } from "./answers.js";
import { SqlField } from "./editor.js";
import { viewAsHere } from "./here.js";
import { Button, Icon, Segments, Who } from "./parts.js";
import { Grid } from "./grid.js";
import { Tables } from "./tables.js";

const PANELS = [
  ["query", "Query", "i-system"],
  ["tables", "Tables", "i-table"],
];
const MODES = [
  ["read", "Read only", "i-eye"],
  ["rollback", "Roll back", "i-refresh"],
  ["commit", "Commit", "i-error"],
];
const MODE_WORDS = {
  read: "In a read-only transaction: whatever writes is refused.",
  rollback: "The effect is shown and then rolled back; sequences move on, nothing else stays.",
};
const DONE = { read: "read only", rollback: "rolled back", commit: "committed" };

export function SqlPage() {
  const shown = place.value === "tables" ? "tables" : "query";
  const one = asker.value;
  return html`<main class="solo" id="main" aria-label="SQL">
    <div class="page-in page-in--wide">
      <header class="p-head p-head--do"><h1>SQL</h1>
        <p class="dim">As one of the identities you look through, with its role, its claims and its policies.</p>
        <span class="p-do"><${Segments} legend="Panel" hidden=${true} name="sql-panel" options=${PANELS} value=${shown}
          onChange=${(name) => (place.value = name)} /></span></header>
      ${one ? html`<${AsWhom} one=${one} />${shown === "tables" ? html`<${Tables} />` : html`<${Query} one=${one} />`}` : html`<${Nobody} />`}
    </div>
  </main>`;
}

export function Nobody() {
  return html`<${Nothing} title="Nobody looks.">
    <p>A statement needs somebody to run as. Each is recorded with the reason of the view.</p>
    <p><${Button} icon="i-eye" cls="btn--primary" onClick=${viewAsHere}><span>View as someone</span><//></p>
  <//>`;
}

/** The views to choose from. */
function AsWhom({ one }) {
  return html`<div class="aswhom" role="group" aria-label="Run as">
    <span class="lab">As</span>
    ${live().map(
      (each) => html`<button key=${each.id} type="button" class="pill" aria-pressed=${each.id === one.id} title=${`${each.label}, ${each.role}`}
        onClick=${() => askAs(each.id)}><${Who} letter=${each.letter} service=${each.kind === "service"} />${each.name}</button>`,
    )}
    <${Button} icon="i-plus" cls="btn--quiet" onClick=${viewAsHere}><span>Someone else</span><//>
  </div>`;
}

function Query({ one }) {
  const asked = run.state.value;
  const commits = mode.value === "commit";
  const same = ranText.value === statement.value;
  const position = same ? Number(asked.problem?.more.position ?? 0) : 0;
  const empty = !statement.value.trim();
  const submit = (event) => {
    event.preventDefault();
    runStatement();
  };
  return html`<form class="desk" onSubmit=${submit}>
      <${SqlField} label="SQL statement" value=${statement.value} onInput=${(text) => (statement.value = text)} onRun=${runStatement}
        position=${position} schema=${known.value} rows=${8} hint="select * from …" />
      <div class="desk-do">
        <${Segments} legend="Transaction" hidden=${true} name="sql-mode" options=${MODES} value=${mode.value}
          onChange=${(name) => (mode.value = name)} />
        <p class=${commits ? "commits" : "dim"} role="status">${commits
          ? html`<${Icon} name="v-raised" /><b>Commits: what it writes stays.</b> Recorded under ${adminName.value}.`
          : MODE_WORDS[mode.value]}</p>
        <button type="submit" class=${`btn ${commits ? "btn--danger" : "btn--primary"}`} disabled=${empty || asked.busy}
          title=${empty ? "Write a statement first" : "Ctrl+Enter"}>
          <${Icon} name=${commits ? "v-raised" : "i-play"} /><span>${asked.busy ? "Running…" : `${commits ? "Commit" : "Run"} as ${one.name}`}</span></button>
      </div>
    </form>
    ${asked.problem ? html`<${SqlProblem} problem=${asked.problem} text=${ranText.value} />` : (asked.busy || asked.answer) &&
      html`<${Answer} asked=${asked} words="The statement is running." lines=${3}>${(answer) => html`<${Outcome} answer=${answer} one=${one} />`}<//>`}`;
}

/** Postgres' own words, its code, and where in the text. */
function SqlProblem({ problem, text }) {
  const { sqlstate, position, detail } = problem.more;
  return html`<div class="refusal" role="alert">
    <p class="refusal-h"><${Icon} name="i-error" /><b>${problem.message}</b></p>
    <p class="refusal-q">${sqlstate ? html`<code>SQLSTATE ${sqlstate}</code>` : problem.code && html`<code>${problem.code}</code>`}
      ${position > 0 && html`<span>${placeOf(text, position)}</span>`}</p>
    ${detail && html`<p>${detail}</p>`}${problem.hint && html`<p>${problem.hint}</p>`}
  </div>`;
}

function placeOf(text, position) {
  const before = [...text].slice(0, position - 1).join("").split("\n");
  return `line ${before.length}, character ${[...(before.at(-1) ?? "")].length + 1}`;
}

/** What each statement showed; with several, all of them in their order. */
function Outcome({ answer, one }) {
  const { notices = [], results = [answer] } = answer;
  return html`<section class="outcome" aria-label="Result" aria-live="polite">
    ${notices.map((text, i) => html`<p class="dim" key=${i}>${typeof text === "string" ? text : (text.message ?? JSON.stringify(text))}</p>`)}
    ${results.map((result, i) => html`<${Shown} key=${i} result=${result} mode=${answer.mode} one=${one} label=${results.length > 1 ? `Rows of statement ${i + 1}` : "Rows"} />`)}
  </section>`;
}

function Shown({ result, mode, one, label }) {
  const { columns, rows: found, row_count: n, truncated, command, milliseconds } = result;
  const facts = [
    String(command ?? ""),
    `${count(n)} ${n === 1 ? "row" : "rows"}${truncated ? `, the first ${count(found.length)} shown` : ""}`,
    `${count(Math.round(milliseconds))} ms`,
  ];
  return html`<p class="outcome-h"><span class="tag" data-mode=${mode}>${DONE[mode] ?? mode}</span><span>${facts.filter(Boolean).join(", ")}</span></p>
    ${columns.length > 0 && (found.length ? html`<${Grid} columns=${columns} rows=${found} label=${label} />`
      : html`<p class="nothing-row">No rows: ${one.name} sees none that match.</p>`)}`;
}
