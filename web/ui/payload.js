// The tab Message: what came, as a tree, as its own text, and as the frames of both versions of the protocol.
import { html, signal } from "../vendor/preact.js";
import { bytes, count } from "../format.js";
import { firstText, hexLines, payloadText, wireBytes } from "../wire/texts.js";
import { Code, CopyButton, Segments } from "./parts.js";
import { Tree } from "./tree.js";

const FORMS = [
  ["tree", "Tree", ""],
  ["raw", "Raw", ""],
  ["frame", "Frame", ""],
];
/** Kept while one walks through the list. */
const form = signal("tree");
const HEX_BYTES = 1024;

export function Payload({ receipt }) {
  const frame = receipt?.frame;
  if (!frame) return html`<p class="sentence dim">Nothing of it was sent to this view.</p>`;
  return html`<section class="sub">
    <div class="sub-seg"><${Segments} legend="Shown as" hidden=${true} name="payload-form" options=${FORMS} value=${form.value}
      onChange=${(name) => (form.value = name)} /><span class="h3-r">${count(sizeOf(frame))} bytes on the wire</span></div>
    ${form.value === "tree" && html`<${AsTree} frame=${frame} />`}
    ${form.value === "raw" && html`<${AsText} title="Payload" text=${payloadText(frame)} data=${frame.bytes} />`}
    ${form.value === "frame" && html`<${AsFrames} frame=${frame} />`}
  </section>`;
}

function sizeOf(frame) {
  return frame.prefix ? frame.size : new TextEncoder().encode(frame.text).length;
}

function AsTree({ frame }) {
  if (frame.bytes) return html`<${Hex} data=${frame.bytes} />`;
  return html`<ul class="json json--root"><${Tree} value=${frame.payload} /></ul>`;
}

function AsText({ title, text, data = null }) {
  return html`<h3>${title}<span class="h3-r">${!data && html`<${CopyButton} text=${text} cls="btn--small" />`}</span></h3>
    ${data ? html`<${Hex} data=${data} />` : html`<${Code} text=${text} />`}`;
}

function AsFrames({ frame }) {
  const binary = wireBytes(frame);
  const first = firstText(frame);
  return html`${
    binary
      ? html`<h3>2.0.0, binary, as it came</h3><${Hex} data=${binary} />`
      : html`<${AsText} title="2.0.0, as it came" text=${frame.text} />`
  }
    ${
      first === null
        ? html`<h3>1.0.0</h3><p class="dim">Raw bytes have no form in this version: its clients are told nothing of them.</p>`
        : html`<${AsText} title="1.0.0, as an older client is sent it" text=${first} />`
    }`;
}

function Hex({ data }) {
  const lines = hexLines(data, HEX_BYTES);
  if (data.length > HEX_BYTES) lines.push(`… ${bytes(data.length - HEX_BYTES)} more`);
  return html`<pre class="code code--hex" tabindex="0"><code>${lines.join("\n")}</code></pre>`;
}
