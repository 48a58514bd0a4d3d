// Lints: each finding with its severity, what it is about, what it means, and the SQL that mends it.
import { html, useEffect } from "../vendor/preact.js";
import { checkLints, findings, fixed, lints } from "../model/lints.js";
import { clockTime, count, listed } from "../format.js";
import { Answer, Nothing } from "./answers.js";
import { Button, CopyButton, Icon, Sql } from "./parts.js";

const LEVELS = { error: ["denied", "v-denied", "Error"], warning: ["raised", "v-raised", "Warning"], info: ["skipped", "v-info", "Note"] };

/** The section Lints: the same that stands beside the matrix, alone. */
export function LintsPage() {
  return html`<main class="solo" id="main" aria-label="Lints"><div class="page-in page-in--wide"><${Lints} /></div></main>`;
}

export function Lints() {
  const asked = lints.state.value;
  useEffect(() => {
    if (!asked.busy) checkLints();
  }, []);
  return html`<aside class="lints" aria-label="Lints">
    <header class="p-head p-head--do"><h1>Lints</h1>
      <p class="dim" role="status">${asked.answer ? `${sumOf(asked.answer.findings)}, checked ${clockTime(asked.at)}` : "What is wrong about policies and publication"}</p>
      <span class="p-do"><${Button} icon="i-refresh" disabled=${asked.busy} onClick=${checkLints}><span>${asked.busy ? "Checking…" : "Check again"}</span><//></span></header>
    ${fixed.value.length > 0 && html`<p class="mended" role="status"><svg class="ic" aria-hidden="true"><use href="#v-allowed" /></svg>
      <span>Mended since the check before: ${listed(fixed.value.map((finding) => `${finding.title} (${finding.object.name})`))}.</span></p>`}
    <${Answer} asked=${asked} words="Checking policies, grants and the publication." lines=${7} again=${checkLints}>${() =>
      findings.value.length ? html`<ul class="lintlist">${findings.value.map((finding) => html`<${LintItem}
        key=${finding.id} finding=${finding} />`)}</ul>`
        : html`<${Nothing} title="Nothing found."><p>Every check passed.</p><//>`}<//>
  </aside>`;
}

function sumOf(all) {
  const n = (level) => all.filter((finding) => finding.level === level).length;
  const words = [["error", "error"], ["warning", "warning"], ["info", "note"]]
    .map(([level, word]) => [n(level), word])
    .filter(([many]) => Number(many) > 0)
    .map(([many, word]) => `${count(many)} ${word}${many === 1 ? "" : "s"}`);
  return words.length ? listed(words) : "Nothing found";
}

/** "own rows of ", where the finding is about a policy: the words of the service begin with its name. */
function policyIn({ object, detail }) {
  const [, policy] = (object.kind === "policy" && /^“([^”]+)”/.exec(detail)) || [];
  return policy ? `${policy} of ` : "";
}

function LintItem({ finding }) {
  const { name, level, object, title, detail, remedy_sql: sql } = finding;
  const [mark, icon, word] = LEVELS[level] ?? LEVELS.info;
  return html`<li class="lint" data-v=${mark}><details open=${level === "error"}>
    <summary><span class="mark" data-v=${mark}><${Icon} name=${icon} /><span class="vh">${word}</span></span><span class="l-t">${title}</span>
      <code>${policyIn(finding)}${object.schema}.${object.name}</code><${Icon} name="i-chev" cls="l-c" /></summary>
    <p>${detail}</p>
    ${sql && html`<${Sql} text=${sql} />`}
    <p class="l-do">${sql && html`<${CopyButton} text=${sql} words="Copy SQL" cls="btn--small" />`}<span class="dim">${name.replaceAll("_", " ")}</span></p>
  </details></li>`;
}
