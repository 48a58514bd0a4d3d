// What a verdict's reason means: which mark it gets, and how it is said in a sentence about a person.
import { quoted } from "./sql.js";

/**
 * @typedef {"allowed" | "denied" | "raised" | "skipped"} Mark
 * @typedef {{ name: string, role: string }} Person
 */

/** @type {Record<string, Mark>} */
const MARKS = {
  delivered: "allowed",
  no_privilege: "denied",
  hidden_by_policy: "denied",
  old_row_unknown: "denied",
  left_view: "denied",
  policy_raised: "raised",
};

/** @returns {Mark} anything that is no answer to "may this identity read it" is skipped */
export function markOf(reason) {
  return MARKS[reason] ?? "skipped";
}

/** From weak to strong: what to show of several verdicts about one row. */
export const STRENGTH = { skipped: 0, denied: 1, raised: 2, allowed: 3 };

/** In a few words, for a row of the list. */
const SHORT = {
  filtered: "does not match the filter",
  filter_failed: "the filter failed",
  no_privilege: "no SELECT privilege",
  hidden_by_policy: "hidden by row policies",
  policy_raised: "a row policy raised an error",
  row_gone: "gone before it could be checked",
  no_key: "no primary key",
  old_row_unknown: "old row unknown",
  columns_changed: "the table was altered meanwhile",
  lookup_too_slow: "takes too long to find without a primary key",
  left_view: "out of sight now",
  unsupported_relation: "this kind of table is not supported",
  internal_error: "a fault of the service",
};

/** @param {string} reason */
export function shortReason(reason) {
  return SHORT[reason] ?? String(reason);
}

/** @type {Record<string, (person: Person, table: string) => string>} */
const LONG = {
  delivered: () => "",
  filtered: () => "The row does not match the filter of this subscription.",
  filter_failed: () => "The filter of this subscription could not be applied.",
  no_privilege: (person, table) => `The role ${person.role} has no SELECT privilege on ${table}.`,
  hidden_by_policy: (person) => `No row policy lets ${person.name} read it.`,
  policy_raised: () => "A row policy raised an error, which counts as a refusal.",
  row_gone: () => "The row was deleted or moved on before it could be checked.",
  no_key: (_, table) => `${table} has no primary key, so the row cannot be looked up again.`,
  columns_changed: (_, table) => `${table} was altered before the change could be handled.`,
  lookup_too_slow: (_, table) => `${table} has no primary key and is too large to be read as a whole for each change.`,
  old_row_unknown: () => "The row was not sent before, and it is gone without its old values, so no policy could be checked on it.",
  left_view: (person) => `The change took the row out of what ${person.name} may see; a DELETE says so.`,
  unsupported_relation: (_, table) => `${table} is a kind of table that is not supported yet.`,
  internal_error: () => "The service failed on this change; its log says how.",
};

/** One sentence: the cause. */
export function longReason(reason, person, table) {
  return (LONG[reason] ?? (() => String(reason)))(person, table);
}

/** What to do about it, where something can be done: SQL to paste. */
export function remedy(reason, schema, table, role) {
  const name = `${quoted(schema)}.${quoted(table)}`;
  if (reason === "no_privilege") return `grant select on ${name} to ${quoted(role)};`;
  if (reason === "old_row_unknown") return `alter table ${name} replica identity full;`;
  return "";
}

/** Whether the server's own words say no more than the remedy below them. */
export function saysSame(detail, fix) {
  return fix !== "" && detail.includes(fix.replace(/;$/, ""));
}
