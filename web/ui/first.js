// Whole pages for the time before there is a list: no token, nothing published, nothing joined yet.
import { html, useState } from "../vendor/preact.js";
import { dialog } from "../model/choice.js";
import { channels, completed, completedSubscription } from "../model/channels.js";
import { identities, joinEverywhere, live } from "../model/identities.js";
import { checkedAt, config, loadConfig, trouble } from "../model/session.js";
import { quoted } from "../model/sql.js";
import { clockTime } from "../format.js";
import { Button, CopyButton, Icon, Mark, Sql } from "./parts.js";
import { exampleUpdate } from "./quiet.js";
import { TokenForm } from "./tokenform.js";

const openRecording = () => import("./recorder.js").then((module) => module.open());

/** Three things to try. */
export function FirstRun() {
  identities.value;
  const tables = config.value?.tables ?? [];
  const sql = exampleUpdate(tables);
  const joined = channels.value.map((plan) => plan.name);
  const published = tables.length === 1 ? "one table is" : `${tables.length} tables are`;
  return html`<main class="solo empty" id="main" aria-label="First run">
    <div class="empty-in">
      <h1>Nothing has happened yet. Three things to try.</h1>
      <p class="lead-s">The server is up, and ${published} published in <code>${config.value?.publication}</code>.</p>
      <ol class="tries">
        <li class="try"><span class="try-n">${joined.length ? html`<${Icon} name="i-check" label="Done" />` : 1}</span>
          <div class="try-m">
          <h2>Listen</h2>
          ${
            joined.length
              ? html`<p>
            ${joined.join(", ")} will be joined.</p>`
              : html`<p>Join a channel and pick what to hear. You only observe: nobody sees you in presence.</p><${QuickJoin} />`
          }
        </div></li>
        <li class="try"><span class="try-n">2</span><div class="try-m">
          <h2>Make something happen</h2>
          <p>Change a row in psql while you look. This one writes back the values that are there.</p>
          ${sql && html`<div class="try-do"><${Sql} text=${sql} /><${CopyButton} text=${sql} /></div>`}
        </div></li>
        <li class="try"><span class="try-n"><${Icon} name="i-eye" /></span><div class="try-m">
          <h2>Look through someone else’s eyes</h2>
          <p>Pick a user. Each message then says whether that user saw it, and why not.</p>
          <div class="try-do">
            <${Button} icon="i-user" onClick=${() => (dialog.value = { kind: "identity" })}><span>Choose a user</span><//>
            <${Button} icon="i-anon" onClick=${() => (dialog.value = { kind: "identity", preset: "anon" })}>
              <span>View as anon</span><//>
          </div>
        </div></li>
      </ol>
      <${Published} tables=${tables} />
    </div>
  </main>`;
}

function QuickJoin() {
  const [name, setName] = useState("room-1");
  const [changes, setChanges] = useState(true);
  const [presence, setPresence] = useState(true);
  const go = (event) => {
    event.preventDefault();
    if (!name.trim()) return;
    joinEverywhere(completed({ name: name.trim(), presence, changes: changes ? [completedSubscription()] : [] }));
    if (!live().length) dialog.value = { kind: "identity" };
  };
  return html`<form class="join" onSubmit=${go}>
    <label class="field"><span class="lab">Channel</span>
      <input type="text" value=${name} spellcheck=${false} autocomplete="off"
      onInput=${(event) => setName(event.currentTarget.value)} /></label>
    <fieldset class="checks"><legend class="vh">Hear</legend>
      <label><input type="checkbox" checked=${changes} onChange=${(event) => setChanges(event.currentTarget.checked)} /><span>
        <${Icon} name="i-change" />Changes</span></label>
      <label title="Broadcasts of a channel are always heard"><input type="checkbox" checked disabled /><span>
        <${Icon} name="i-broadcast" />Broadcast</span></label>
      <label><input type="checkbox" checked=${presence} onChange=${(event) => setPresence(event.currentTarget.checked)} /><span>
        <${Icon} name="i-presence" />Presence</span></label>
    </fieldset>
    <button type="submit" class="btn btn--primary" disabled=${!name.trim()}>Join</button>
  </form>`;
}

/** Whether the old row comes complete with updates and deletes. */
export function oldRows(table) {
  return { full: "full", f: "full", nothing: "none", n: "none" }[table.replica_identity] ?? "key only";
}

function Published({ tables }) {
  return html`<section class="pubs"><h2>Published tables</h2>
    <table class="ptab"><thead><tr><th scope="col">Table</th><th scope="col">Row policies</th><th scope="col">Old rows</th>
      <th scope="col" class="r">Columns</th></tr></thead>
      <tbody>${tables.map(
        (table) => html`<tr key=${`${table.schema}.${table.name}`}>
        <th scope="row">${table.schema === "public" ? table.name : `${table.schema}.${table.name}`}</th>
        <td>${
          table.rls
            ? html`<${Mark} verdict="allowed" word=${false} label="on" />on`
            : html`<${Mark} verdict="raised"
          word=${false} label="off" />off: everyone with SELECT sees all rows`
        }</td>
        <td>${oldRows(table)}</td><td class="r">${table.columns.length}</td>
      </tr>`,
      )}</tbody></table>
  </section>`;
}

/** Nothing can be streamed, and the SQL that changes it. */
export function Unpublished() {
  const publication = config.value?.publication ?? "supabase_realtime";
  const sql = [
    `alter publication ${quoted(publication)} add table public.your_table;`,
    "-- so that updates and deletes carry the old row, which policies need:",
    "alter table public.your_table replica identity full;",
  ].join("\n");
  return html`<main class="solo empty" id="main" aria-label="Nothing is published">
    <div class="empty-in">
      <p class="kicker"><${Icon} name="v-denied" />Connected, but there is nothing to follow</p>
      <h1>No table is published, so no change can arrive.</h1>
      <p class="lead-s">Postgres only streams tables that are part of the publication <code>${publication}
        </code>. Run this as the owner of both, with the name of your table, then check again.</p>
      <div class="fix"><${Sql} text=${sql} />
        <p class="fix-do"><${Button} icon="i-refresh" cls="btn--primary" onClick=${loadConfig}><span>Check again</span><//>
          <${CopyButton} text=${sql} words="Copy SQL" />
          <span class="dim">Checks by itself every 5 s. Last: ${clockTime(checkedAt.value)}, not yet.</span></p>
      </div>
      <p class="after dim">Broadcast and presence need no table: join a channel all the same.</p>
      <p class="quiet-do"><${Button} icon="i-plus" onClick=${() => (dialog.value = { kind: "join" })}>
        <span>Join a channel</span><//></p>
    </div>
  </main>`;
}

/** The page was opened without a token, or with one that the server refused before anything was shown. */
export function NoToken() {
  const wrong = trouble.value && trouble.value.kind !== "unreachable" ? trouble.value : null;
  return html`<main class="solo empty" id="main" aria-label="No token">
    <div class="empty-in">
      ${
        wrong &&
        html`<p class="kicker" role="alert">
        <${Icon} name="i-lock" />The server refused the token: ${wrong.text}${wrong.hint ? `. ${wrong.hint}` : ""}</p>`
      }
      <h1>This page needs an admin token.</h1>
      <p class="lead-s">Open the address that <code>realtime-inspector demo</code> printed: the token is in it.
        ${" "}Or paste one here; it stays in this tab and is forgotten when the tab closes.
        ${" "}<code>realtime-inspector token --role inspector_admin --sub YOU</code> makes one.</p>
      <${TokenForm} words="Open the inspector" />
      <p class="after dim">A recording needs neither token nor server.</p>
      <p class="quiet-do"><${Button} icon="i-open" onClick=${openRecording}><span>Open a recording</span><//></p>
    </div>
  </main>`;
}
