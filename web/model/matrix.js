// Who may do what: tables down, roles and live views across, each cell from really asking on sample rows.
import { computed } from "../vendor/preact.js";
import { fetchMatrix, fetchPolicies } from "../admin.js";
import { place } from "./choice.js";
import { sessionOf } from "./desk.js";
import { identities, live } from "./identities.js";
import { Question } from "./question.js";

export const OPERATIONS = /** @type {const} */ (["select", "insert", "update", "delete"]);

export const matrix = new Question(fetchMatrix);
export const policies = new Question(fetchPolicies);
/** The picked cell: keys of its row and column, and the operation. */
export const picked = computed(() => {
  const said = new URLSearchParams(place.value);
  const [table, who, operation] = ["table", "who", "operation"].map((name) => said.get(name));
  return table && who && operation ? { table, who, operation } : null;
});

/** Picks a cell, or none; it stands in the link. */
export function pick(/** @type {{ table: string, who: string, operation: string } | null} */ cell) {
  place.value = cell ? new URLSearchParams(cell).toString() : "";
}

/** Ids of the views that were asked about, in the order of their columns, which come after those of the roles. */
let asked = /** @type {string[]} */ ([]);

export function evaluate() {
  const views = live();
  asked = views.map((one) => one.id);
  return matrix.ask(views.length ? { session_ids: views.map(sessionOf) } : {});
}

/** @param {any} table text, or schema and name */
export function tableKey(table) {
  return typeof table === "string" ? table : `${table.schema}.${table.name}`;
}

/** How a column is called: a live view by its name, a role by its own. */
function columnOf(row, view) {
  if (!view) return { key: `role ${row.role}`, name: row.role, role: "", letter: "", service: false, view: null };
  const { id, name, letter, kind } = view;
  return { key: id, name, role: row.role === name ? "" : row.role, letter, service: kind === "service", view };
}

/** The same rows as a table: names down, columns across, cells by both. Each table has the roles first, then the views. */
export const pivot = computed(() => {
  const rows = matrix.state.value.answer?.rows ?? [];
  const tables = new Map();
  for (const row of rows) {
    const key = tableKey(row.table);
    if (!tables.has(key)) tables.set(key, []);
    tables.get(key).push(row);
  }
  const first = [...tables.values()][0] ?? [];
  const columns = first.map((row, i) => columnOf(row, identities.value.find((one) => one.id === asked[i - (first.length - asked.length)])));
  const keys = columns.map((column) => column.key);
  const cellsOf = (of) => new Map(keys.map((key, i) => [key, of[i]?.cells]));
  columns.sort((a, b) => Number(b.view !== null) - Number(a.view !== null)); // those one looks through stand first
  return { columns, tables: [...tables].map(([key, of]) => ({ key, cells: cellsOf(of) })) };
});

/** What is listed of a table by its key. */
export function listedTable(key) {
  return policies.state.value.answer?.tables.find((table) => tableKey(table) === key);
}
