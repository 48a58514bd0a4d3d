// The section Policies: what is wrong with tables and policies, and what mends it.
import { html } from "../vendor/preact.js";
import { Lints } from "./lints.js";

export function PoliciesPage() {
  return html`<main class="solo" id="main" aria-label="Policies"><div class="page-in page-in--wide"><${Lints} /></div></main>`;
}
