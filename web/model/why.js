// Why an identity got an event or not: one trace for each message and identity, and what it would be if something were otherwise.
import { signal } from "../vendor/preact.js";
import { fetchWhy, fetchWho } from "../admin.js";
import { sessionOf } from "./desk.js";
import { revision } from "./feed.js";
import { Question } from "./question.js";

/** Whether the fields for what would be otherwise are open. */
export const asksWhatIf = signal(false);

/** @typedef {{ role?: string, claims?: Record<string, unknown>, policy?: object }} WhatIf */
/** @type {WeakMap<object, Map<string, { trace: Question<import("../admin.js").Trace>, whatIf: WhatIf | null }>>} */
const traces = new WeakMap();
/** @type {WeakMap<object, Question<any>>} */
const others = new WeakMap();

/** The question about a message for an identity; it is asked once the tab is looked at. */
export function traceOf(message, identity) {
  let known = traces.get(message);
  if (!known) traces.set(message, (known = new Map()));
  let one = known.get(identity.id);
  if (!one) known.set(identity.id, (one = { trace: new Question(fetchWhy), whatIf: null }));
  return one;
}

/** Asks anew, as things are or as they would be. */
export async function askWhy(message, identity, /** @type {WhatIf | null} */ whatIf = null) {
  const one = traceOf(message, identity);
  one.whatIf = whatIf;
  const body = { event_id: message.eventId, session_id: sessionOf(identity) };
  const { answer } = await one.trace.ask(whatIf ? { ...body, what_if: whatIf } : body);
  if (answer && !message.receipts.length) learn(message, answer);
}

/** Of a message that a link names and that did not come here, its trace tells the rest. */
function learn(message, /** @type {import("../admin.js").Trace} */ { schema, table, key, operation }) {
  Object.assign(message, { schema, table, key: Object.values(key).join(" "), op: operation ?? "", revision: message.revision + 1 });
  revision.value += 1;
}

/** What was answered about a message as things are, by the id of the identity. */
export function answersTo(message) {
  const asked = [...(traces.get(message) ?? [])].map(([id, one]) => ({ id, answer: one.whatIf ? null : one.trace.state.value.answer }));
  return asked.flatMap(({ id, answer }) => (answer ? [{ id, answer }] : []));
}

export function whoOf(message) {
  let one = others.get(message);
  if (!one) others.set(message, (one = new Question(fetchWho)));
  return one;
}
