// The tab Message: what came, as a tree or as bytes.
import { html } from "../vendor/preact.js";
import { bytes } from "../format.js";
import { Tree } from "./tree.js";

export function Payload({ receipt }) {
  const { frame } = receipt;
  if (!frame) return null;
  const size = frame.head ? frame.size : new TextEncoder().encode(frame.text).length;
  return html`<section class="sub">
    <h3>Payload<span class="h3-r">${bytes(size)} on the wire</span></h3>
    ${
      frame.bytes
        ? html`<${Hex} data=${frame.bytes} />`
        : html`<ul class="json json--root"><${Tree} value=${frame.payload} />
      </ul>`
    }
  </section>`;
}

const HEX_BYTES = 1024;

function Hex({ data }) {
  const lines = [];
  for (let at = 0; at < Math.min(data.length, HEX_BYTES); at += 16) {
    const part = [...data.subarray(at, at + 16)];
    const hex = part.map((byte) => byte.toString(16).padStart(2, "0"));
    const readable = part.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "·"));
    lines.push(`${at.toString(16).padStart(4, "0")}  ${hex.join(" ").padEnd(48)} ${readable.join("")}`);
  }
  if (data.length > HEX_BYTES) lines.push(`… ${bytes(data.length - HEX_BYTES)} more`);
  return html`<pre class="code"><code>${lines.join("\n")}</code></pre>`;
}
