// The policies of every table, and an editor in which one is written, tried as several identities on real rows, and taken away as a migration.
import { html, useEffect, useState } from "../vendor/preact.js";
import {
  assistant,
  candidates,
  draft,
  draftPolicy,
  draftTable,
  edit,
  readDraft,
  templates,
  toggleTried,
  trial,
  tried,
  triedText,
  tryDraft,
  useTemplate,
  which,
} from "../model/draft.js";
import { policies, tableKey } from "../model/matrix.js";
import { known } from "../model/words.js";
import { count } from "../format.js";
import { Answer, Nothing, Refusal } from "./answers.js";
import { SqlField } from "./editor.js";
import { viewAsHere } from "./here.js";
import { Button, CopyButton, Icon, Mark, Sql, Who } from "./parts.js";
import { cellOf } from "./grid.js";

export function PolicyDesk() {
  useEffect(() => {
    policies.ask();
    templates.once();
  }, []);
  return html`<section class="mxwrap" aria-label="Policies"><${Editor} /><${PolicyList} /></section>`;
}

function Editor() {
  const read = readDraft.value;
  const policy = draftPolicy.value;
  const nobody = tried.value.length ? "" : "Choose at least one identity to try it as.";
  const ready = policy !== undefined && !nobody && !trial.state.value.busy;
  const submit = (event) => {
    event.preventDefault();
    if (ready) tryDraft();
  };
  return html`<header class="p-head"><h1>Write a policy</h1><p class="dim">It is tried on real rows, read-only: nothing is created. To keep it, take the migration with you.</p></header>
    <form class="desk" onSubmit=${submit}>
      <${Templates} />
      <${SqlField} label="Policy as SQL" value=${draft.value} onInput=${(text) => (draft.value = text)} onRun=${() => ready && tryDraft()}
        position=${read?.position ?? 0} schema=${known.value} rows=${7} hint="create policy … on … using (…)" />
      <p class=${read?.problem ? "bad" : "dim"} role="status">${read?.problem || sayDraft(read, policy)}</p>
      <${Which} read=${read} policy=${policy} />
      <div class="aswhom" role="group" aria-label="Try it as"><span class="lab">Try it as</span>
        ${candidates.value.map((one) => html`<button key=${one.key} type="button" class="pill" aria-pressed=${tried.value.includes(one)} title=${one.role} onClick=${() => toggleTried(one.key)}>
          ${one.letter ? html`<${Who} letter=${one.letter} service=${one.service} />` : html`<${Icon} name="i-role" />`}${one.name}</button>`)}
        <${Button} icon="i-plus" cls="btn--quiet" onClick=${viewAsHere}><span>Someone else</span><//></div>
      <div class="desk-do"><button type="submit" class="btn btn--primary" disabled=${!ready}><${Icon} name="i-flask" />
        <span>${trial.state.value.busy ? "Trying…" : "Try it, change nothing"}</span></button><span class="bad">${policy ? nobody : ""}</span></div>
    </form>
    <${Trial} /><${Assistant} />`;
}

function sayDraft(read, policy) {
  if (!read || !policy) return "Begin with a template, with a policy from the list below, or write.";
  const exists = draftTable.value?.policies.some((one) => one.name === policy.name);
  const also = read.others ? ` ${count(read.others)} other ${read.others === 1 ? "statement is" : "statements are"} not tried.` : "";
  if (!draftTable.value) return `The service does not list ${policy.schema}.${policy.table}.${also}`;
  return `${exists ? `Replaces the policy ${policy.name} of ${policy.table}.` : `A new policy of ${policy.table}.`}${also}`;
}

/** Where the text has several policies: which of them is tried. */
function Which({ read, policy }) {
  const all = read?.policies ?? [];
  if (all.length < 2) return null;
  return html`<div class="aswhom" role="group" aria-label="Policy to try"><span class="lab">Of these</span>${all.map(
    (one, i) => html`<button key=${i} type="button" class="pill" aria-pressed=${one === policy} onClick=${() => (which.value = i)}>${one.name}</button>`,
  )}</div>`;
}

function Templates() {
  const [name, setName] = useState("");
  const { answer, problem } = templates.state.value;
  const tables = policies.state.value.answer?.tables ?? [];
  const table = tables.find((one) => tableKey(one) === name) ?? tables[0];
  if (problem) return html`<p class="dim">Templates cannot be listed: ${problem.message}</p>`;
  const all = answer?.templates ?? [];
  if (!all.length || !table) return null;
  return html`<div class="templates" role="group" aria-label="Templates"><span class="lab">Templates for</span>
    <label class="field"><span class="vh">Table of the template</span><select value=${tableKey(table)} onChange=${(event) => setName(event.currentTarget.value)}>
      ${tables.map((one) => html`<option key=${tableKey(one)} value=${tableKey(one)}>${tableKey(one).replace(/^public\./, "")}</option>`)}</select></label>
    ${all.map((one) => html`<button key=${one.id} type="button" class="pill" title=${one.description} onClick=${() => useTemplate(one.sql, table)}>${one.title}</button>`)}</div>`;
}

function Trial() {
  const asked = trial.state.value;
  if (!asked.at && !asked.busy) return null;
  return html`<${Answer} asked=${asked} words="Trying it as each identity." lines=${4} again=${tryDraft}>${(answer) => html`<section class="trial" aria-label="What would change" aria-live="polite">
    <h2>What would change</h2>${triedText.value !== draft.value && html`<p class="dim">The text changed since: try it again.</p>`}
    <ul class="trials">${answer.identities.map((one, i) => html`<${Tried} key=${i} one=${one} person=${tried.value[i]} />`)}</ul>
    ${answer.migration && html`<h3>As a migration<span class="h3-r">${(readDraft.value?.others || (readDraft.value?.policies.length ?? 0) > 1) && html`<${CopyButton} text=${draft.value} words="Copy the whole text" cls="btn--small" />`}
      <${CopyButton} text=${answer.migration} words="Copy as migration" cls="btn--small" /></span></h3><${Sql} text=${answer.migration} />`}
  </section>`}<//>`;
}

function Tried({ one, person }) {
  const name = person?.name ?? one.label;
  const { before, after, sampled, gained, lost, raising, differs, error } = one;
  const same = !gained.length && !lost.length && !raising;
  return html`<li class="tried" data-v=${error || raising ? "raised" : "allowed"}><h3>${person?.letter && html`<${Who} letter=${person.letter} service=${person.service} />`}<span>${name}</span>
      <span class="res">${error ? html`<${Mark} verdict="raised" word=${false} label="error" />not tried` : html`${count(before)} → <b>${count(after)}</b> of ${count(sampled)} rows`}</span></h3>
    ${error ? html`<p class="pol-r">${error}</p>` : same ? html`<p class="dim">${sampled ? `Nothing changes for ${name}.` : "The table has no row to try it on."}</p>` : null}
    ${raising > 0 && html`<p class="pol-r"><${Icon} name="v-raised" /> A policy raises on ${count(raising)} of the rows: ${name} would not see them.</p>`}
    ${differs > 0 && html`<p class="dim">On ${count(differs)} rows the policies, asked one by one, say something else than the selection: see the caveats of Why.</p>`}
    <${Rows} title="gained" mark="allowed" rows=${gained} /><${Rows} title="lost" mark="denied" rows=${lost} /></li>`;
}

function Rows({ title, mark, rows }) {
  if (!rows.length) return null;
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return html`<details class="gained" open=${rows.length < 6}><summary><${Mark} verdict=${mark} word=${false} label=${title} />${count(rows.length)} ${title}</summary>
    <div class="scroll-x"><table class="gtab"><thead><tr>${names.map((name) => html`<th scope="col" key=${name}>${name}</th>`)}</tr></thead>
      <tbody>${rows.map((row, r) => html`<tr key=${r}>${names.map((name) => html`<td key=${name}>${cellOf(row[name])}</td>`)}</tr>`)}</tbody></table></div></details>`;
}

/** An assistant, where the service has one: the schema goes out, rows never do. */
function Assistant() {
  const [open, setOpen] = useState(false);
  const [prompt, setPrompt] = useState("");
  const asked = assistant.state.value;
  const table = draftTable.value ?? policies.state.value.answer?.tables[0];
  const ask = async (event) => {
    event.preventDefault();
    if (prompt.trim()) assistant.ask({ prompt: prompt.trim(), ...(table && { schema: table.schema, table: table.name }) });
  };
  if (!open) return html`<p class="assist-open"><${Button} icon="i-bolt" cls="btn--quiet" onClick=${() => setOpen(true)}><span>Have one written</span><//></p>`;
  return html`<section class="assist" aria-label="Assistant"><form onSubmit=${ask}>
      <label class="field"><span class="lab">What should be allowed<span class="lab-r">names of tables and columns go out to the assistant, rows never do</span></span>
        <textarea rows="2" maxlength="2000" value=${prompt} placeholder="Editors may read every article, others only published ones" onInput=${(event) => setPrompt(event.currentTarget.value)}></textarea></label>
      <p class="whatif-do"><button type="submit" class="btn" disabled=${!prompt.trim() || asked.busy}><${Icon} name="i-bolt" /><span>${asked.busy ? "Asking…" : "Ask the assistant"}</span></button>
        <${Button} cls="btn--quiet" onClick=${() => setOpen(false)}><span>Close</span><//></p></form>
    ${asked.problem ? html`<${Refusal} problem=${asked.problem} />` : asked.answer && html`<div class="assist-a"><p>${asked.answer.explanation}</p><${Sql} text=${asked.answer.sql} />
      <p><${Button} icon="i-check" onClick=${() => (draft.value = asked.answer?.sql ?? "")}><span>Take it into the editor</span><//> <span class="dim">Not tried yet: an assistant can be wrong.</span></p></div>`}
  </section>`;
}

function PolicyList() {
  const asked = policies.state.value;
  return html`<h1 class="pl-h">Policies</h1><${Answer} asked=${asked} words="Reading the policies." lines=${6} again=${() => policies.ask()}>${(answer) => answer.tables.length
    ? answer.tables.map((table) => html`<${TablePolicies} key=${tableKey(table)} table=${table} />`) : html`<${Nothing} title="No table." />`}<//>`;
}

function TablePolicies({ table }) {
  const fresh = { name: `${table.name} policy`, kind: "permissive", command: "select", roles: ["authenticated"], using: "(select auth.uid()) = user_id", check: null };
  return html`<section class="pl"><h2><span>${tableKey(table).replace(/^public\./, "")}</span>${table.rls ? table.forced && html`<span class="tag">forced on the owner</span>` : html`<span class="tag tag--warn"><${Icon} name="i-error" />row-level security is off</span>`}
      <${Button} icon="i-plus" cls="btn--small" aria-label=${`New policy for ${table.name}`} onClick=${() => toEditor(table, fresh)}><span>New</span><//></h2>
    ${table.policies.length ? html`<div class="scroll-x"><table class="pk"><tbody>${table.policies.map((policy) => html`<tr key=${policy.name}>
        <th scope="row"><code>${policy.name}</code></th><td class="dim">${policy.kind}<br />${policy.command.toLowerCase()}, ${policy.roles.join(", ")}</td>
        <td class="pl-x">${policy.using && html`<code>${policy.using}</code>`}${policy.check && policy.check !== policy.using && html`<span class="dim">with check</span> <code>${policy.check}</code>`}</td>
        <td class="r"><${Button} cls="btn--small" aria-label=${`Edit policy ${policy.name} of ${table.name}`} onClick=${() => toEditor(table, policy)}><span>Edit</span><//></td></tr>`)}</tbody></table></div>`
      : html`<p class="dim">${table.rls ? "No policy: nobody but the owner and roles that bypass policies sees a row." : "No policy, and none would be asked."}</p>`}
  </section>`;
}

function toEditor(table, policy) {
  edit(table, policy);
  document.querySelector(".mxwrap")?.scrollTo(0, 0);
}
