// The table browser: the rows that an identity can read, page by page, in the order one wants.
import { html, useEffect } from "../vendor/preact.js";
import { asker, browse, offset, openTable, order, orderBy, PAGE, rows, table, turnPage } from "../model/desk.js";
import { config } from "../model/session.js";
import { count } from "../format.js";
import { Answer, Nothing, Skeleton } from "./answers.js";
import { Grid } from "./grid.js";
import { Button, Icon } from "./parts.js";

export function Tables() {
  if (!config.value) return html`<${Skeleton} words="Asking which tables there are." />`;
  const all = config.value.tables;
  if (!all.length) return html`<${Nothing} title="No table is published."><p>The browser lists what the publication has.</p><//>`;
  const open = table.value;
  return html`<div class="browser">
    <nav class="browser-l" aria-label="Tables"><ul>${all.map(({ schema, name, rls }) => {
      const here = open?.schema === schema && open.name === name;
      return html`<li key=${`${schema}.${name}`}><button type="button" class="tab-b" aria-current=${here ? "true" : undefined}
        onClick=${() => openTable(schema, name)}><${Icon} name="i-table" /><b>${name}</b>
        <span class="dim">${schema === "public" ? "" : schema}</span>${!rls && html`<span class="tag tag--warn">no policies</span>`}</button></li>`;
    })}</ul></nav>
    ${open ? html`<${Browser} key=${`${open.schema}.${open.name}`} open=${open} />`
      : html`<${Nothing} title="Choose a table."><p>Its rows are read as ${asker.value?.name}.</p><//>`}
  </div>`;
}

function Browser({ open }) {
  const asked = rows.state.value;
  useEffect(() => {
    if (!asked.at && !asked.busy) browse();
  }, []);
  const shown = asked.answer?.rows.length ?? 0;
  const first = offset.value + 1;
  return html`<section class="browser-r" aria-label=${open.name}>
    <header class="browser-h"><h2>${open.name}</h2><span class="dim">${shown ? `rows ${count(first)} to ${count(first + shown - 1)}` : ""}</span>
      <span class="grow"></span>
      <${Button} icon="i-back" label="Previous page" disabled=${offset.value === 0 || asked.busy} onClick=${() => turnPage(-1)} />
      <${Button} icon="i-chev" label="Next page" disabled=${shown < PAGE || asked.busy} onClick=${() => turnPage(1)} />
      <${Button} icon="i-refresh" label="Read again" disabled=${asked.busy} onClick=${browse} />
    </header>
    <${Answer} asked=${asked} words=${`Reading ${open.name} as ${asker.value?.name}.`} again=${browse}>${(answer) =>
      answer.rows.length || offset.value
        ? html`<${Grid} columns=${answer.columns} rows=${answer.rows} label=${`Rows of ${open.name}`} order=${order.value} onOrder=${orderBy} />`
        : html`<${Nothing} title=${`${asker.value?.name} sees no row of ${open.name}.`}>
          <p>There may be rows that its policies hide: ask why in the section Policies.</p><//>`}<//>
  </section>`;
}
