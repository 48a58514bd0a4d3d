// The policy that is being written: its text, for whom it is tried on real rows, and the text of the migration.
import { computed, signal } from "../vendor/preact.js";
import { askAssistant, fetchTemplates, tryPolicy } from "../admin.js";
import { identities, live } from "./identities.js";
import { sessionOf } from "./desk.js";
import { policies } from "./matrix.js";
import { readScript, writePolicy } from "./policysql.js";
import { quoted } from "./sql.js";
import { Question } from "./question.js";

export const draft = signal("");
/** Ids of the views, and names of roles, that the policy is tried as; null before anybody chose. */
const chosen = signal(/** @type {Set<string> | null} */ (null));
export const trial = new Question(tryPolicy);
export const templates = new Question(fetchTemplates);
export const assistant = new Question(askAssistant);
/** The text that was tried last. */
export const triedText = signal("");

export const readDraft = computed(() => (draft.value.trim() ? readScript(draft.value, listedPolicy) : null));

/** @type {import("./policysql.js").Existing} */
function listedPolicy(schema, table, name) {
  const found = policies.state.value.answer?.tables
    .find((one) => one.schema === schema && one.name === table)
    ?.policies.find((one) => one.name === name);
  const kind = /** @type {any} */ (found?.kind.toLowerCase());
  return found ? { ...found, schema, table, kind, command: found.command.toLowerCase() } : null;
}
/** Which of the text's policies is tried: they are tried one at a time. */
export const which = signal(0);

export const draftPolicy = computed(() => {
  const policies = readDraft.value?.policies ?? [];
  return policies[Math.min(which.value, policies.length - 1)];
});

/** The table that the draft is on, as the service lists it. */
export const draftTable = computed(() => {
  const policy = draftPolicy.value;
  return policy && policies.state.value.answer?.tables.find((table) => table.schema === policy.schema && table.name === policy.table);
});

/** Whom it can be tried as: every live view, and the two roles that every client has. */
export const candidates = computed(() => {
  identities.value;
  const views = live().map((one) => ({ key: one.id, name: one.name, role: one.role, letter: one.letter, service: one.kind === "service", body: { session_id: sessionOf(one) } }));
  const roles = ["anon", "authenticated"]
    .filter((role) => !views.some((view) => view.name === role))
    .map((role) => ({ key: `role ${role}`, name: role, role: "without claims", letter: "", service: false, body: { role, claims: {} } }));
  return [...views, ...roles];
});

export const tried = computed(() => candidates.value.filter((one) => (chosen.value ? chosen.value.has(one.key) : one.letter || candidates.value.every((each) => !each.letter))));

export function toggleTried(key) {
  const next = new Set(tried.value.map((one) => one.key));
  if (!next.delete(key)) next.add(key);
  chosen.value = next;
}

/** Takes up an existing policy. */
export function edit(table, policy) {
  draft.value = writePolicy(table.schema, table.name, policy);
  which.value = 0;
  trial.forget();
}

/** Begins with a template, on a table. */
export function useTemplate(sql, table) {
  draft.value = sql.replaceAll("public.your_table", `${quoted(table.schema)}.${quoted(table.name)}`);
  which.value = 0;
  trial.forget();
}

export function tryDraft() {
  const policy = draftPolicy.value;
  if (!policy || !tried.value.length) return;
  triedText.value = draft.value;
  const { schema, table, ...rest } = policy;
  const replaces = draftTable.value?.policies.some((one) => one.name === policy.name) ? { replaces: policy.name } : {};
  trial.ask({ schema, table, policy: { ...rest, command: rest.command.toUpperCase(), ...replaces }, identities: tried.value.map((one) => one.body), limit: 50 });
}
