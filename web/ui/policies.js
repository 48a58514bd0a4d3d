// The section Policies: the matrix, the list with the editor, and the lints beside both.
import { html } from "../vendor/preact.js";
import { place } from "../model/choice.js";
import { Lints } from "./lints.js";
import { Matrix } from "./matrix.js";
import { Segments } from "./parts.js";
import { PolicyDesk } from "./policydesk.js";

const PANELS = [
  ["matrix", "Matrix", "i-table"],
  ["policies", "Policies", "i-role"],
];

export function PoliciesPage() {
  const shown = place.value === "policies" ? "policies" : "matrix";
  return html`<main class="solo pol-page" id="main" aria-label="Policies">
    <div class="pol-l">
      <div class="pol-tabs"><${Segments} legend="Panel" hidden=${true} name="policies-panel" options=${PANELS} value=${shown} onChange=${(name) => (place.value = name)} /></div>
      ${shown === "policies" ? html`<${PolicyDesk} />` : html`<${Matrix} />`}
    </div>
    <${Lints} />
  </main>`;
}
