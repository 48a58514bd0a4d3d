// What the list says while it has nothing to list, and why.
import { html } from "../vendor/preact.js";
import { dialog } from "../model/choice.js";
import { channels, sayFilter } from "../model/channels.js";
import { now } from "../model/clock.js";
import { counts } from "../model/feed.js";
import { problem, query, showAll } from "../model/filter.js";
import { identities, identityOf, live } from "../model/identities.js";
import { looking, onlyDifferences } from "../model/lens.js";
import { playing } from "../model/player.js";
import { config, tableOf } from "../model/session.js";
import { quoted } from "../model/sql.js";
import { count, listed } from "../format.js";
import { Button, CopyButton, Mark, Sql } from "./parts.js";

export function EmptyList() {
  identities.value;
  const { hidden } = counts.value;
  if (hidden > 0 || query.value) return html`<${AllHidden} hidden=${hidden} />`;
  if (playing.value) return html`<${Quiet} title="Nothing of the recording yet." />`;
  if (!live().length) {
    return html`<${Quiet} title="Nobody looks.">
      <p>A stream begins when you look through somebody’s eyes.</p>
      <p class="quiet-do"><${Button} icon="i-eye" onClick=${() => (dialog.value = { kind: "identity" })}>
        <span>View as someone</span><//></p>
    <//>`;
  }
  if (!channels.value.length) {
    return html`<${Quiet} title="No channel joined.">
      <p class="quiet-do"><${Button} icon="i-plus" onClick=${() => (dialog.value = { kind: "join" })}>
        <span>Join a channel</span><//></p>
    <//>`;
  }
  return html`<${Listening} />`;
}

/** The same below the first rows, as long as they only tell of joining. */
export function StillQuiet() {
  const spoken = [...counts.value.tally].some(([key, n]) => n > 0 && /^(change|broadcast) /.test(key));
  return !spoken && live().length > 0 && channels.value.length > 0 && !query.value && html`<${Listening} />`;
}

function AllHidden({ hidden }) {
  const why = problem.value || (onlyDifferences.value ? "The views agree about everything that was found." : "");
  return html`<${Quiet} title=${`Nothing to list, ${count(hidden)} hidden by filters.`}>
    ${why && html`<p>${why}</p>`}
    <p class="quiet-do"><${Button} onClick=${() => ((onlyDifferences.value = false), showAll())}><span>Show all</span><//></p>
  <//>`;
}

function Listening() {
  const names = listed(live().map((one) => one.name));
  const sql = exampleUpdate(config.value?.tables ?? []);
  const refused = refusals();
  if (refused.length) return html`<${Refused} all=${refused} />`;
  return html`<${Quiet} title=${`Listening as ${names}. Nothing has happened yet.`}>
    <${Checks} />
    ${
      sql &&
      html`<p>Change a row in psql. This one writes back the values that are there:</p>
      <div class="try-do"><${Sql} text=${sql} /><${CopyButton} text=${sql} /></div>`
    }
  <//>`;
}

const PATIENCE_MS = 10_000;

/** Channels that somebody who looks was refused, with the server's own reason. */
function refusals() {
  return looking.value
    .map((id) => identityOf(id))
    .flatMap((one) => Object.entries(one?.channels ?? {}).map(([name, { state, why }]) => ({ one, name, state, why })))
    .filter(({ state }) => state === "refused");
}

function Refused({ all }) {
  return html`<${Quiet} title=${all.length === 1 ? `${all[0].one?.name} was not let into ${all[0].name}.` : "Some were not let in."}>
    ${all.map(({ one, name, why }) => html`<p key=${`${one?.id} ${name}`}>${one?.name} on ${name}: <q>${why}</q></p>`)}
    <p class="dim">It is tried again with growing pauses.</p>
    <p class="quiet-do"><${Button} icon="i-more" onClick=${() => (dialog.value = { kind: "join", name: all[0].name })}>
      <span>Change or leave ${all[0].name}</span><//></p>
  <//>`;
}

/** After ten quiet seconds: what could be wrong, and that it is not. */
function Checks() {
  const opened = Math.max(...live().map((one) => one.news?.since ?? 0));
  if (now.value - opened < PATIENCE_MS) return null;
  const plans = channels.value.filter((plan) => plan.changes.length);
  const joined = live().every((one) => channels.value.every((plan) => one.channels[plan.name]?.state === "joined"));
  const named = plans.flatMap((plan) => plan.changes).filter((one) => one.table !== "*");
  const missing = named.filter((one) => !tableOf(one.schema, one.table));
  const filtered = named.filter((one) => one.filter !== "");
  const checks = [
    [live().every((one) => one.news?.state === "open"), "The connection is open", "The connection is not open"],
    [joined, "Every channel is joined", "Not every channel is joined yet"],
    [plans.length > 0, "Changes are subscribed to", "No channel subscribes to changes: only broadcasts and presence can arrive"],
    [!missing.length, "The tables are published", `Not published: ${missing.map((one) => one.table).join(", ")}`],
    [!filtered.length, "No filter stands in the way", `A filter can hide changes: ${filtered.map((one) => sayFilter(one.filter)).join("; ")}`],
  ];
  return html`<ul class="ladder-s" aria-label="What was checked">${checks.map(
    ([good, yes, no]) => html`<li key=${yes}><${Mark} verdict=${good ? "allowed" : "raised"} word=${false} label=${good ? "in order" : "look here"} />
    ${good ? yes : no}</li>`,
  )}</ul>
    ${checks.every(([good]) => good) && html`<p class="dim">A row that the view may not see would be listed as denied. So nothing was written.</p>`}`;
}

function Quiet({ title, children = null }) {
  return html`<div class="quiet"><h2>${title}</h2>${children}</div>`;
}

/** An update that alters nothing, on a row of a published table; "" where no table has a column to write. */
export function exampleUpdate(/** @type {import("../api.js").Table[]} */ tables) {
  for (const table of tables) {
    const key = table.columns.find((column) => column.key);
    const others = table.columns.filter((column) => !column.key);
    const other = others.find((column) => column.type === "text") ?? others[0];
    if (!key || !other) continue;
    const name = `${quoted(table.schema)}.${quoted(table.name)}`;
    const [set, by] = [quoted(other.name), quoted(key.name)];
    return `update ${name} set ${set} = ${set}\nwhere ${by} in (select ${by} from ${name} limit 1);`;
  }
  return "";
}
