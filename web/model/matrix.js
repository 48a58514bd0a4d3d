// Who may do what: tables down, roles and live views across, each cell from really asking on sample rows.
import { computed, signal } from "../vendor/preact.js";
import { fetchMatrix, fetchPolicies } from "../admin.js";
import { sessionOf } from "./desk.js";
import { identities, live } from "./identities.js";
import { Question } from "./question.js";

export const OPERATIONS = /** @type {const} */ (["select", "insert", "update", "delete"]);

export const matrix = new Question(fetchMatrix);
export const policies = new Question(fetchPolicies);
/** The picked cell: keys of its row and column, and the operation. */
export const picked = signal(/** @type {{ table: string, who: string, operation: string } | null} */ (null));

export function evaluate() {
  const sessions = live().map(sessionOf);
  return matrix.ask(sessions.length ? { session_ids: sessions } : {});
}

/** @param {any} table text, or schema and name */
export function tableKey(table) {
  return typeof table === "string" ? table : `${table.schema}.${table.name}`;
}

/** How a column is called: a live view by its name, else the role. */
function columnOf(row) {
  const session = row.session_id ?? row.identity?.session_id;
  const view = session && identities.value.find((one) => one.sessions.includes(session));
  if (view) return { key: String(session), name: view.name, role: view.role === view.name ? "" : view.role, letter: view.letter, service: view.kind === "service", view };
  const label = typeof row.identity === "string" ? row.identity : row.identity?.label;
  const role = row.role ?? row.identity?.role ?? "";
  return { key: String(session ?? label ?? role), name: label ?? role, role: label && label !== role ? role : "", letter: "", service: false, view: null };
}

/** The same rows as a table: names down, columns across, cells by both. */
export const pivot = computed(() => {
  const rows = matrix.state.value.answer?.rows ?? [];
  const columns = new Map();
  const tables = new Map();
  for (const row of rows) {
    const column = columnOf(row);
    if (!columns.has(column.key)) columns.set(column.key, column);
    const key = tableKey(row.table);
    if (!tables.has(key)) tables.set(key, new Map());
    tables.get(key).set(column.key, row.cells);
  }
  return { columns: [...columns.values()], tables: [...tables].map(([key, cells]) => ({ key, cells })) };
});

/** What is listed of a table by its key. */
export function listedTable(key) {
  return policies.state.value.answer?.tables.find((table) => tableKey(table) === key);
}
