// The fields of "what if": other claims, another role, or a policy that does not exist; evaluated, and nothing is changed.
import { html, useState } from "../vendor/preact.js";
import { config } from "../model/session.js";
import { readPolicy, writePolicy } from "../model/policysql.js";
import { known } from "../model/words.js";
import { asksWhatIf, askWhy, traceOf } from "../model/why.js";
import { SqlField } from "./editor.js";
import { Button, Icon } from "./parts.js";

/** @param {import("../model/why.js").WhatIf} whatIf */
export function sayWhatIf({ role, claims, policy }) {
  return [role && `the role ${role}`, claims && "other claims", policy && `with the policy ${/** @type {any} */ (policy).name}`].filter(Boolean).join(", ");
}

function readClaims(text) {
  try {
    const claims = JSON.parse(text);
    const isObject = claims !== null && typeof claims === "object" && !Array.isArray(claims);
    return isObject ? { claims, problem: "" } : { claims: null, problem: "The claims must be a JSON object." };
  } catch (error) {
    return { claims: null, problem: `The claims are not valid JSON: ${error instanceof Error ? error.message : error}` };
  }
}

const TIMES = new Set(["exp", "iat", "nbf", "jti", "session_id", "act", "realtime_inspector", "iss", "aal", "amr"]);
const FIRST = ["sub", "role", "email", "app_metadata", "user_metadata"];

/** The claims that policies usually read: without times and what belongs to the session. */
function plain(claims) {
  const said = Object.keys(claims).filter((name) => !TIMES.has(name));
  const sorted = [...FIRST.filter((name) => said.includes(name)), ...said.filter((name) => !FIRST.includes(name))];
  return JSON.stringify(Object.fromEntries(sorted.map((name) => [name, claims[name]])), null, 2);
}

/** A policy of a trace, as far as rows that are read are concerned. @returns {import("../model/policysql.js").PolicyText | null} */
function standing(traced, schema, table, name) {
  const found = traced.find((one) => one.name === name);
  return found ? { schema, table, name, kind: found.kind, command: found.command.toLowerCase(), roles: found.roles, using: found.expression, check: null } : null;
}

export function WhatIfForm({ person, message }) {
  const before = plain(person.claims);
  const [role, setRole] = useState(person.role);
  const [claims, setClaims] = useState(before);
  const [policy, setPolicy] = useState("");
  const read = readClaims(claims);
  const existing = traceOf(message, person).trace.state.value.answer?.policies ?? [];
  const candidate = policy.trim() ? readPolicy(policy, (schema, table, name) => standing(existing, schema, table, name)) : null;
  const elsewhere = candidate?.policy && (candidate.policy.table !== message.table || candidate.policy.schema !== message.schema);
  const same = role === person.role && claims === before && !candidate;
  const missing = read.problem || candidate?.problem || (elsewhere ? `The policy must be on ${message.schema}.${message.table}.` : "") || (same ? "Change something first." : "");
  const replaced = (name) => (existing.some((one) => one.name === name) ? { replaces: name } : {});
  const go = (event) => {
    event.preventDefault();
    if (missing) return;
    const { name, command, roles, kind, using } = candidate?.policy ?? {};
    askWhy(message, person, {
      ...(role !== person.role && { role }),
      ...(claims !== before && { claims: read.claims }),
      ...(candidate?.policy && { policy: { name, command: command?.toUpperCase(), roles, kind, using, ...replaced(name) } }),
    });
    asksWhatIf.value = false;
  };
  const template = () =>
    setPolicy(writePolicy(message.schema, message.table, { name: "candidate", kind: "permissive", command: "select", roles: [person.role], using: "true", check: null }));
  return html`<form class="whatif" aria-label="What if" onSubmit=${go}>
    <label class="field"><span class="lab">Role</span><select value=${role} onChange=${(event) => setRole(event.currentTarget.value)}>
      ${[...new Set([person.role, ...(config.value?.allowed_roles ?? [])])].map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>
    <label class="field"><span class="lab">Claims<span class="lab-r">JSON, as the policies would read them</span></span>
      <textarea class="mono" rows="7" spellcheck=${false} aria-invalid=${read.problem !== ""} value=${claims}
        onInput=${(event) => setClaims(event.currentTarget.value)}></textarea></label>
    ${policy ? html`<div class="field"><span class="lab">Policy<span class="lab-r">as if it existed; it is never created</span></span>
      <${SqlField} label="Candidate policy" value=${policy} onInput=${setPolicy} schema=${known.value} rows=${4}
        position=${candidate && !candidate.policy ? candidate.position : 0} /></div>`
      : html`<p><${Button} icon="i-plus" cls="btn--quiet" onClick=${template}><span>With another policy</span><//></p>`}
    <p class="send-why" role="status">${missing}</p>
    <p class="whatif-do"><button type="submit" class="btn btn--primary" disabled=${missing !== ""}><${Icon} name="i-flask" /><span>Evaluate, change nothing</span></button>
      <${Button} onClick=${() => (asksWhatIf.value = false)}><span>Close</span><//></p>
  </form>`;
}
