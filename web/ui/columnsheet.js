// The sheet for the list's columns and for how it tells the time.
import { html } from "../vendor/preact.js";
import { closeDialog } from "../model/choice.js";
import { ALWAYS, chooseTime, COLUMNS, columns, TIMES, timeFormat, toggleColumn, usualColumns } from "../model/columns.js";
import { Button, Dialog, Segments } from "./parts.js";

export function ColumnsDialog() {
  return html`<${Dialog} title="Columns and time" onClose=${closeDialog} cls="dialog--small">
    <div class="dl-body dl-body--one record">
      <fieldset class="cols"><legend class="lab">Columns<span class="lab-r">a narrow list leaves some out by itself</span></legend>
        ${COLUMNS.map(
          ({ name, words }) => html`<label class=${`check ${ALWAYS.includes(name) ? "is-off" : ""}`} key=${name}><input type="checkbox"
          checked=${columns.value.has(name)} disabled=${ALWAYS.includes(name)} onChange=${() => toggleColumn(name)} /><span>${words}</span></label>`,
        )}</fieldset>
      <${Segments} legend="Time" name="time-format" options=${TIMES} value=${timeFormat.value} onChange=${chooseTime} />
    </div>
    <footer class="dl-foot"><p class="dim">Kept in this browser.</p><span class="dl-do">
      <${Button} onClick=${usualColumns}>As usual<//><${Button} data-first onClick=${closeDialog}>Close<//></span></footer>
  <//>`;
}
