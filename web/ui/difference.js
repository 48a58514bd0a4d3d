// The dialog with the difference of the two marked messages, field by field.
import { html, useState } from "../vendor/preact.js";
import { closeDialog } from "../model/choice.js";
import { difference } from "../model/difference.js";
import { marks } from "../model/marks.js";
import { clockTime, count, milliseconds } from "../format.js";
import { Button, Dialog } from "./parts.js";
import { whereOf } from "./row.js";

export function DifferenceDialog() {
  const [all, setAll] = useState(false);
  const [one, other] = marks.value;
  if (!one || !other) return null;
  const lines = difference(one, other);
  const apart = lines.filter(({ first, second }) => first !== second);
  const same = lines.length - apart.length;
  const title = (message) => html`${message.op} ${whereOf(message)} ${message.key} <span class="dim">${clockTime(message.time)}${milliseconds(message.time)}</span>`;
  return html`<${Dialog} title="Difference of two messages" onClose=${closeDialog}>
    <div class="dl-body dl-body--one scroll-x"><table class="diff" data-op="UPDATE">
      <thead><tr><th scope="col">Field</th><th scope="col">${title(one)}</th><th scope="col">${title(other)}</th></tr></thead>
      <tbody>${(all ? lines : apart).map(({ name, first, second }) => html`<tr key=${name} class=${first === second ? "" : "chg"}>
        <th scope="row"><span class="col">${name}</span></th><${Side} text=${first} cls="was" /><${Side} text=${second} cls="now" /></tr>`)}</tbody>
    </table>${!apart.length && html`<p class="diff-note">They say the same.</p>`}</div>
    <footer class="dl-foot"><p class="dim">${count(same)} ${same === 1 ? "field is" : "fields are"} equal</p><span class="dl-do">
      ${same > 0 && html`<${Button} aria-pressed=${all} onClick=${() => setAll(!all)}><span>${all ? "Only what differs" : "Show all"}</span><//>`}
      <${Button} onClick=${() => ((marks.value = []), closeDialog())}><span>Take the marks away</span><//>
      <${Button} data-first onClick=${closeDialog}><span>Close</span><//></span></footer>
  <//>`;
}

function Side({ text, cls }) {
  return text === undefined ? html`<td class="not-known">not there</td>` : html`<td class=${cls}>${text}</td>`;
}
