// The SQL desk: what is written, in which mode, as whom, and which table is looked through. Nothing of it is kept or in the address.
import { computed, signal } from "../vendor/preact.js";
import { fetchRows, runSql } from "../admin.js";
import { identities, live } from "./identities.js";
import { viewed } from "./lens.js";
import { Question } from "./question.js";

/** @typedef {"read" | "rollback" | "commit"} Mode */

export const statement = signal("");
/** @type {import("../vendor/preact.js").Signal<Mode>} */
export const mode = signal("read");
const chosen = signal("");
/** Bumped with each edit after a run, so that a mark does not stay on text that changed. */
export const ranText = signal("");
/** @type {Question<import("../admin.js").Result>} */
export const run = new Question(runSql);

/** As whom: the chosen view, as long as it lives, else the one that is looked through, else any. */
export const asker = computed(() => {
  identities.value;
  const some = live();
  return some.find((one) => one.id === chosen.value) ?? some.find((one) => one.id === viewed.value) ?? some[0] ?? null;
});

export function askAs(id) {
  chosen.value = id;
  run.forget();
  if (table.value) browse();
}

/** The session of a view that the service is told: the newest one. */
export function sessionOf(identity) {
  return identity.sessions.at(-1) ?? identity.id;
}

export function runStatement() {
  const one = asker.value;
  if (!one || !statement.value.trim()) return;
  ranText.value = statement.value;
  run.ask({ session_id: sessionOf(one), sql: statement.value, mode: mode.value, limit: 200 });
}

export const PAGE = 50;
/** @type {import("../vendor/preact.js").Signal<{ schema: string, name: string } | null>} */
export const table = signal(null);
export const offset = signal(0);
/** "column.asc", "column.desc" or "" for none. */
export const order = signal("");
/** @type {Question<import("../admin.js").Result>} */
export const rows = new Question(fetchRows);

export function browse() {
  const one = asker.value;
  if (!one || !table.value) return;
  const { schema, name } = table.value;
  rows.ask(schema, name, { session_id: sessionOf(one), limit: PAGE, offset: offset.value, order: order.value });
}

export function openTable(schema, name) {
  table.value = { schema, name };
  offset.value = 0;
  order.value = "";
  rows.forget();
  browse();
}

export function turnPage(by) {
  offset.value = Math.max(0, offset.value + by * PAGE);
  browse();
}

/** Orders by a column, then the other way round, then not at all. */
export function orderBy(column) {
  const next = { [`${column}.asc`]: `${column}.desc`, [`${column}.desc`]: "" }[order.value];
  order.value = next ?? `${column}.asc`;
  offset.value = 0;
  browse();
}
