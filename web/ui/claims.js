// Claims: the editor for those one adds by hand, and the sheet that shows what the server resolved.
import { html, useState } from "../vendor/preact.js";
import { closeDialog } from "../model/choice.js";
import { identityOf } from "../model/identities.js";
import { Button, CopyButton, Dialog, Mark } from "./parts.js";

const SET_BY_SERVICE = ["role", "exp", "iat", "nbf", "jti", "session_id", "act"];
const SET_BY_USER = ["sub", "email", "phone"];
const PRESETS = {
  user: [
    ["aal2", { aal: "aal2" }],
    ["app role admin", { app_metadata: { role: "admin" } }],
  ],
  role: [
    ["sub", { sub: "00000000-0000-4000-8000-000000000000" }],
    ["aal2", { aal: "aal2" }],
  ],
};

/**
 * Reads the claims that were typed.
 * @returns {{ claims: Record<string, unknown> | null, problem: string, words: string }}
 */
export function checkClaims(text, kind) {
  if (!text.trim()) return { claims: null, problem: "", words: "none added" };
  let claims;
  try {
    claims = JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : "";
    return { claims: null, problem: `The claims are not valid JSON: ${why}`, words: "not valid JSON" };
  }
  if (claims === null || typeof claims !== "object" || Array.isArray(claims)) {
    return { claims: null, problem: "The claims must be a JSON object.", words: "not an object" };
  }
  const fixed = [...SET_BY_SERVICE, ...(kind === "user" ? SET_BY_USER : [])].filter((name) => name in claims);
  const names = fixed.join(", ");
  if (names) return { claims: null, problem: `The service sets ${names} itself; leave it out.`, words: `${names} not allowed` };
  const n = Object.keys(claims).length;
  return { claims: n ? claims : null, problem: "", words: `valid, ${n === 1 ? "1 claim" : `${n} claims`} added` };
}

/** The claims in a JWT that was pasted, or why they cannot be read. Only its middle part is looked at; it is sent nowhere. */
export function claimsOf(token) {
  const part = token.trim().split(".")[1];
  try {
    const bytes = Uint8Array.from(atob(part.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return claims !== null && typeof claims === "object" ? { claims, problem: "" } : { claims: null, problem: "Its claims are no object." };
  } catch {
    return { claims: null, problem: "This is no JWT: three parts with dots between them." };
  }
}

/** What of a token's claims may be added by hand. */
export function addable(claims) {
  return Object.fromEntries(Object.entries(claims).filter(([name]) => !SET_BY_SERVICE.includes(name)));
}

function Paste({ onClaims }) {
  const [problem, setProblem] = useState("");
  const read = (event) => {
    const { claims, problem: why } = claimsOf(event.currentTarget.value);
    setProblem(event.currentTarget.value.trim() ? why : "");
    if (claims) onClaims(claims);
  };
  return html`<label class="field"><span class="lab">Token<span class="lab-r">read here, sent nowhere</span></span>
    <textarea rows="2" class="mono" aria-label="Token to read the claims of" aria-invalid=${problem !== ""} spellcheck=${false}
      autocomplete="off" onInput=${read}></textarea></label>
    ${problem && html`<p class="paste-bad" role="alert">${problem}</p>`}`;
}

export function ClaimsEditor({ kind, user, role, text, checked, onText, onToken }) {
  const [pasting, setPasting] = useState(false);
  const over = new Set(Object.keys(checked.claims ?? {}));
  const add = (more) => {
    const before = checked.claims ?? {};
    onText(JSON.stringify({ ...before, ...more }, null, 2));
  };
  const lines = Math.max(1, text.split("\n").length);
  return html`<div class="lab"><span>Claims to add</span><span class="lab-r">
    ${text.trim() && html`<${Mark} verdict=${checked.problem ? "denied" : "allowed"} word=${false} />`}${checked.words}</span>
    </div>
    <div class="editor">
      <pre class="editor-base" role="group" aria-label="Set by the service">
        ${baseClaims(kind, user, role).map(
          ([name, value]) => html`<span class=${`ln ${over.has(name) ? "del" : ""}`} key=${name}><span class="no"></span>
        <span class="sg">${over.has(name) ? "−" : " "}</span>${`"${name}": `}${value}</span>`,
        )}</pre>
      <div class="editor-own">
        <pre class="editor-no" aria-hidden="true">
          ${Array.from(
            { length: lines },
            (_, i) => html`<span class="ln" key=${i}><span class="no">${i + 1}</span>
          <span class="sg">${text.trim() ? "+" : ""}</span></span>`,
          )}</pre>
        <textarea aria-label="Claims to add, as JSON" aria-invalid=${checked.problem !== ""} spellcheck=${false}
          rows=${lines + 1} placeholder=${'{ "aal": "aal2" }'} value=${text}
          onInput=${(event) => onText(event.currentTarget.value)} onKeyDown=${indent}></textarea>
      </div>
    </div>
    <p class="presets"><span class="dim">Set</span>
      ${PRESETS[kind].map(
        ([words, more]) => html`<button key=${words} class="pill" type="button" onClick=${() => add(more)}>
      ${words}</button>`,
      )}
      <button class="pill" type="button" onClick=${() => onText("")}>as stored</button>
      <button class="pill" type="button" aria-pressed=${pasting} onClick=${() => setPasting(!pasting)}>Paste a token…</button></p>
    ${pasting && html`<${Paste} onClaims=${onToken} />`}`;
}

/** What is known before the server resolves the rest. */
function baseClaims(kind, user, role) {
  const known =
    kind === "user"
      ? [
          ["sub", user?.id],
          ["email", user?.email],
          ["role", user?.role],
        ]
      : [["role", role]];
  if (kind === "user" && user?.app_metadata) known.push(["app_metadata", user.app_metadata]);
  const lines = known.map(([name, value]) => [name, value === undefined || value === null ? "…" : JSON.stringify(value)]);
  return lines;
}

/** Tab leaves the field, so that the keyboard is never caught; Enter keeps the indentation. */
function indent(event) {
  if (event.key !== "Enter") return;
  const field = event.currentTarget;
  const line = field.value.slice(0, field.selectionStart).split("\n").at(-1) ?? "";
  const space = /^ */.exec(line)?.[0] ?? "";
  if (!space) return;
  event.preventDefault();
  field.setRangeText(`\n${space}`, field.selectionStart, field.selectionEnd, "end");
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

/** What the server resolved, word for word. */
export function ClaimsDialog({ id }) {
  const one = identityOf(id);
  if (!one) return null;
  const text = JSON.stringify(one.claims, null, 2);
  const added = new Set(Object.keys(one.ask.claims ?? {}));
  return html`<${Dialog} title=${`Claims of ${one.label}`} onClose=${closeDialog} cls="dialog--small">
    <div class="dl-body dl-body--one">
      <p>Resolved by the server. Postgres reads them as <code>request.jwt.claims</code>, under the role <code>${one.role}
        </code>.</p>
      <div class="editor editor--read" tabindex="0" role="group" aria-label="Claims as JSON">
        <code>${text.split("\n").map(
          (line, i) => html`<span class=${`ln ${isAdded(line, added) ? "add" : ""}`} key=${i}>
          <span class="no">${i + 1}</span><span class="sg">${isAdded(line, added) ? "+" : " "}</span>${line}</span>`,
        )}</code>
      </div>
    </div>
    <footer class="dl-foot"><p class="dim">
      ${added.size ? `Added by you: ${[...added].join(", ")}.` : "Nothing was added to what is stored."}</p><span class="dl-do">
      <${CopyButton} text=${text} words="Copy JSON" /><${Button} onClick=${closeDialog}>Close<//></span></footer>
  <//>`;
}

function isAdded(line, added) {
  const name = /^ {2}"([^"]+)":/.exec(line)?.[1];
  return name !== undefined && added.has(name);
}
