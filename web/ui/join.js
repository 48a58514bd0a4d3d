// The dialog to join a channel or to change one: what to hear of it, and the same in supabase-js.
import { html, useEffect, useState } from "../vendor/preact.js";
import { closeDialog, section } from "../model/choice.js";
import { pythonCode, scriptCode } from "../model/code.js";
import { channelOf, completed, completedSubscription } from "../model/channels.js";
import { joinEverywhere, leaveEverywhere, live } from "../model/identities.js";
import { config, loadConfig, tableOf } from "../model/session.js";
import { dialog } from "../model/choice.js";
import { Button, CopyButton, Dialog, Icon } from "./parts.js";

const EVENTS = [
  ["*", "any event"],
  ["INSERT", "insert"],
  ["UPDATE", "update"],
  ["DELETE", "delete"],
];
const OPERATORS = ["eq", "neq", "lt", "lte", "gt", "gte", "in", "is", "like", "ilike"];

export function JoinDialog({ name = "" }) {
  const known = channelOf(name);
  const [plan, setPlan] = useState(
    () => known ?? completed({ changes: config.value?.tables.length ? [completedSubscription()] : [] }),
  );
  const set = (change) => setPlan({ ...plan, ...change });
  useEffect(() => void loadConfig(), []);
  const names = known ? [name] : namesIn(plan.name);
  const missing = names.length ? "" : "Name the channel first.";
  const go = (event) => {
    event.preventDefault();
    if (missing) return;
    for (const one of names) joinEverywhere({ ...plan, name: one });
    closeDialog();
    section.value = "live";
    if (!live().length) dialog.value = { kind: "identity" };
  };
  const leave = () => {
    leaveEverywhere(name);
    closeDialog();
  };
  const [python, setPython] = useState(false);
  const code = (python ? pythonCode : scriptCode)({ ...plan, name: names[0] ?? "" }, location.origin);
  const next = live().length
    ? `Joins as ${live()
        .map((one) => one.name)
        .join(", ")}.`
    : "Next you choose through whose eyes to look.";
  return html`<${Dialog} title=${known ? `Channel ${name}` : "Join a channel"} onClose=${closeDialog} cls="dialog--join">
    <form class="dl-form" onSubmit=${go}>
      <div class="dl-body">
        <div class="dl-l">
          <label class="field"><span class="lab">Channel<span class="lab-r">${known ? "" : "several with commas between"}</span></span>
            <input type="text" aria-label="Channel" data-first value=${plan.name} placeholder="room-1" readonly=${Boolean(known)} spellcheck=${false}
              autocomplete="off" onInput=${(event) => set({ name: event.currentTarget.value })} />
          </label>
          <${Check} label="Private" checked=${plan.private} onChange=${(on) => set({ private: on })}
            hint="Who may join and send is decided by policies on realtime.messages." />
          <fieldset class="opts"><legend class="lab">Broadcast</legend>
            <${Check} label="Hear what you send yourself" checked=${plan.self} onChange=${(self) => set({ self })} />
            <${Check} label="Ask for an acknowledgement of each message" checked=${plan.ack}
              onChange=${(ack) => set({ ack })} />
            ${
              plan.private &&
              html`<label class="field field--inline"><span>Stored messages to send first</span><input type="number" min="0" max="25"
              value=${plan.replay} onInput=${(event) => set({ replay: Number(event.currentTarget.value) || 0 })} /></label>`
            }
          </fieldset>
          <fieldset class="opts"><legend class="lab">Presence</legend>
            <${Check} label="Observe who is there" hint="Nobody sees you until you track yourself." checked=${plan.presence}
              onChange=${(presence) => set({ presence })} />
            ${
              plan.presence &&
              html`<label class="field">
              <span class="lab">Key<span class="lab-r">for when you track; empty: the server makes one</span></span>
              <input type="text" value=${plan.presenceKey} spellcheck=${false} autocomplete="off"
              onInput=${(event) => set({ presenceKey: event.currentTarget.value })} /></label>`
            }
          </fieldset>
        </div>
        <div class="dl-r">
          <${Changes} plan=${plan} set=${set} />
          <div class="lab lab--code"><span>The same in ${python ? "Python" : "supabase-js"}</span><span class="lab-r">
            <${Button} cls="btn--small" onClick=${() => setPython(!python)}>${python ? "supabase-js" : "Python"}<//>
            <${CopyButton} text=${code} cls="btn--small" /></span></div>
          <pre class="code code--join" tabindex="0"><code>${code}</code></pre>
        </div>
      </div>
      <footer class="dl-foot">
        <p class="dim">${missing || next}</p>
        <span class="dl-do">
          ${known && html`<${Button} onClick=${leave}>Leave the channel<//>`}
          <${Button} onClick=${closeDialog}>Cancel<//>
          <button type="submit" class="btn btn--primary" disabled=${missing !== ""}>${known ? "Join again" : "Join"}</button>
        </span>
      </footer>
    </form>
  <//>`;
}

/** The names that were typed, each once. */
function namesIn(text) {
  return [...new Set(text.split(",").map((one) => one.trim()).filter(Boolean))];
}

function Check({ label, hint = "", checked, disabled = false, onChange = (_) => {} }) {
  return html`<label class=${`check ${disabled ? "is-off" : ""}`}>
    <input type="checkbox" checked=${checked} disabled=${disabled}
      onChange=${(event) => onChange(event.currentTarget.checked)} />
    <span>${label}${hint && html`<span class="dim">${hint}</span>`}</span>
  </label>`;
}

function Changes({ plan, set }) {
  const change = (at, more) => set({ changes: plan.changes.map((one, i) => (i === at ? { ...one, ...more } : one)) });
  const remove = (at) => set({ changes: plan.changes.filter((_, i) => i !== at) });
  const add = () => {
    const [table] = config.value?.tables ?? [];
    set({ changes: [...plan.changes, completedSubscription({ schema: table?.schema, table: table?.name })] });
  };
  return html`<fieldset class="opts"><legend class="lab">Database changes<span
    class="lab-r">of tables in ${config.value?.publication ?? "the publication"}</span></legend>
    <ul class="sus">${plan.changes.map(
      (one, at) => html`<${SubscriptionForm} key=${at} one=${one}
      onChange=${(more) => change(at, more)} onRemove=${() => remove(at)} />`,
    )}</ul>
    <${Button} icon="i-plus" cls="btn--quiet" onClick=${add}><span>Add a subscription</span><//>
  </fieldset>`;
}

function SubscriptionForm({ one, onChange, onRemove }) {
  const tables = config.value?.tables ?? [];
  const table = tableOf(one.schema, one.table);
  const value = JSON.stringify([one.schema, one.table]);
  const choose = (event) => {
    const [schema, name] = JSON.parse(event.currentTarget.value);
    onChange({ schema, table: name, filter: "", select: [] });
  };
  const every = [...new Set(["public", ...tables.map((known) => known.schema)])].map((schema) => [schema, "*"]);
  const options = [...tables.map((known) => [known.schema, known.name]), ...every];
  if (!options.some((option) => JSON.stringify(option) === value)) options.unshift([one.schema, one.table]);
  return html`<li class="su">
    <div class="su-row">
      <label class="field su-table"><select aria-label="Table" value=${value} onChange=${choose}>
        ${options.map(
          ([schema, name]) => html`<option key=${`${schema}.${name}`} value=${JSON.stringify([schema, name])}>
          ${name === "*" ? `every table in ${schema}` : schema === "public" ? name : `${schema}.${name}`}</option>`,
        )}
      </select></label>
      <label class="field"><select aria-label="Event" value=${one.event} onChange=${(event) => onChange({ event: event.currentTarget.value })}>
        ${EVENTS.map(([event, words]) => html`<option key=${event} value=${event}>${words}</option>`)}
      </select></label>
      <${Button} icon="i-close" label="Remove this subscription" onClick=${onRemove} />
    </div>
    ${
      one.table !== "*" &&
      html`<${TableFacts} table=${table} name=${one.table} />
      <${Filter} one=${one} table=${table} onChange=${onChange} /><${Select} one=${one} table=${table} onChange=${onChange} />`
    }
  </li>`;
}

function TableFacts({ table, name }) {
  if (!table)
    return html`<p class="su-facts su-facts--bad"><${Icon} name="v-denied" />
    ${name} is not published, so no change of it can arrive.</p>`;
  const key = table.columns.filter((column) => column.key).map((column) => column.name);
  return html`<p class="su-facts">
    <span class=${`tag ${table.rls ? "" : "tag--warn"}`}>${table.rls ? "row policies on" : "row policies off: all rows for everybody with SELECT"}</span>
    <span class="tag">${table.replica_identity === "full" ? "old rows complete" : "old rows: key only"}</span>
    <span class=${`tag ${key.length ? "" : "tag--warn"}`}>${key.length ? `key ${key.join(", ")}` : "no primary key"}</span>
  </p>`;
}

/** A filter as column, operator and value; written out where it is something else. */
function Filter({ one, table, onChange }) {
  const parts = /^([^=,]+)=([a-z]+)\.([^,]*)$/.exec(one.filter);
  const simple = Boolean(table) && (!one.filter || (parts !== null && OPERATORS.includes(parts[2])));
  const [column, operator, value] = parts ? parts.slice(1) : ["", "eq", ""];
  const build = (next) => onChange({ filter: next.column ? `${next.column}=${next.operator}.${next.value}` : "" });
  const [raw, setRaw] = useState(!simple);
  const toggle = html`<${Button} icon=${raw ? "i-filter" : "i-system"} label=${raw ? "Build the filter" : "Write the filter out"}
    disabled=${raw && !simple} onClick=${() => setRaw(!raw)} />`;
  if (raw || !simple) {
    return html`<div class="su-row su-raw"><label class="field"><input aria-label="Filter" type="text" value=${one.filter} placeholder="Filter, such as id=eq.1" spellcheck=${false}
      onInput=${(event) => onChange({ filter: event.currentTarget.value })} /></label>${toggle}</div>`;
  }
  return html`<div class="su-row su-filter">
    <label class="field"><select aria-label="Filter on column" value=${column} onChange=${(event) => build({ column: event.currentTarget.value, operator, value })}>
      <option value="">no filter</option>
      ${table.columns.map(({ name }) => html`<option key=${name} value=${name}>${name}</option>`)}
    </select></label>
    ${
      column &&
      html`<label class="field"><select aria-label="Operator" value=${operator} onChange=${(event) => build({ column, operator: event.currentTarget.value, value })}>
      ${OPERATORS.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>
      <label class="field"><input aria-label="Value" type="text" value=${value} placeholder=${operator === "in" ? "(a,b)" : "value"} spellcheck=${false}
        onInput=${(event) => build({ column, operator, value: event.currentTarget.value })} /></label>`
    }
    ${toggle}
  </div>`;
}

function Select({ one, table, onChange }) {
  if (!table) return null;
  const toggle = (name) => {
    const others = one.select.filter((other) => other !== name);
    onChange({ select: others.length < one.select.length ? others : [...others, name] });
  };
  return html`<details class="su-select" open=${one.select.length > 0}>
    <summary>${one.select.length ? `${one.select.length} columns selected` : "Every column"}</summary>
    <div class="su-columns">${table.columns.map(
      ({ name }) => html`<label class="check" key=${name}>
      <input type="checkbox" checked=${one.select.includes(name)} onChange=${() => toggle(name)} /><span>${name}</span>
      </label>`,
    )}</div>
  </details>`;
}
