// What the list says while it has nothing to list, and why.
import { html } from "../vendor/preact.js";
import { dialog } from "../model/choice.js";
import { channels } from "../model/channels.js";
import { counts } from "../model/feed.js";
import { problem, query, showAll } from "../model/filter.js";
import { identities, live } from "../model/identities.js";
import { onlyDifferences } from "../model/lens.js";
import { playing } from "../model/player.js";
import { config } from "../model/session.js";
import { quoted } from "../model/sql.js";
import { count, listed } from "../format.js";
import { Button, CopyButton, Sql } from "./parts.js";

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
  return html`<${Quiet} title=${`Listening as ${names}. Nothing has happened yet.`}>
    ${
      sql &&
      html`<p>Change a row in psql. This one writes back the values that are there:</p>
      <div class="try-do"><${Sql} text=${sql} /><${CopyButton} text=${sql} /></div>`
    }
  <//>`;
}

function Quiet({ title, children = null }) {
  return html`<div class="quiet" role="presentation"><h2>${title}</h2>${children}</div>`;
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
