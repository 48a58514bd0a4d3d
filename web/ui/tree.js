// A JSON value as a tree that opens and closes with mouse and keyboard; long texts are cut and can be shown whole.
import { html, useState } from "../vendor/preact.js";
import { count } from "../format.js";
import { Icon } from "./parts.js";

const LONG = 240;
const MANY = 100;
const OPEN_DEPTH = 3;

export function Tree({ value, name = "", depth = 0 }) {
  if (value === null || typeof value !== "object") return html`<li class="leaf-j">${key(name)}<${Leaf} value=${value} /></li>`;
  return html`<${Branch} value=${value} name=${name} depth=${depth} />`;
}

function Branch({ value, name, depth }) {
  const [open, setOpen] = useState(depth < OPEN_DEPTH);
  const [all, setAll] = useState(false);
  const isList = Array.isArray(value);
  const entries = Object.entries(value);
  const size = isList ? `[${count(entries.length)}]` : `{${count(entries.length)}}`;
  if (!entries.length) return html`<li class="leaf-j">${key(name)}<span class="j-p">${isList ? "[]" : "{}"}</span></li>`;
  const shown = all ? entries : entries.slice(0, MANY);
  return html`<li>
    <button type="button" class="j-fold" aria-expanded=${open} onClick=${() => setOpen(!open)}><${Icon} name="i-chev" />
      ${key(name)}<span class="j-p">${size}</span></button>
    ${
      open &&
      html`<ul class="json">
      ${shown.map(([child, inner]) => html`<${Tree} key=${child} name=${child} value=${inner} depth=${depth + 1} />`)}
      ${
        shown.length < entries.length &&
        html`<li><button type="button" class="link" onClick=${() => setAll(true)}>
        ${count(entries.length - shown.length)} more</button></li>`
      }
    </ul>`
    }
  </li>`;
}

function key(name) {
  return name !== "" && html`<span class="j-k">${name}</span>`;
}

function Leaf({ value }) {
  const [whole, setWhole] = useState(false);
  if (value === null) return html`<i class="null">null</i>`;
  if (typeof value !== "string") return html`<span class="j-n">${String(value)}</span>`;
  if (whole || value.length <= LONG) return html`<span class="j-s">${JSON.stringify(value)}</span>`;
  return html`<span class="j-s">${JSON.stringify(value.slice(0, LONG))}…</span> <button type="button" class="link"
    onClick=${() => setWhole(true)}>${count(value.length)} characters</button>`;
}
