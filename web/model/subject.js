// What can be said about a change as a case: which row it is about, and who of the known identities may read it.
import { identityOf } from "./identities.js";
import { asText, columnsIn, isRow, rowIn } from "./message.js";
import { keyColumns, tableOf } from "./session.js";
import { answersTo } from "./why.js";
import { parse } from "../exact.js";

/** Claims that belong to a token and not to a person; none of them is a secret, but none lasts either. */
const FLEETING = new Set(["exp", "iat", "nbf", "jti", "session_id", "act", "iss", "aud"]);

/**
 * @typedef {{ name: string, role: string, claims: Record<string, unknown>, sees: "yes" | "no" | "forbidden" | "raises" }} Person
 * @typedef {{ schema: string, table: string, op: string, columns: string[], row: Record<string, unknown>,
 *   key: [string, string][], people: Person[] }} Subject
 */

/** @type {Record<string, Person["sees"]>} */
const SEES = { delivered: "yes", hidden_by_policy: "no", left_view: "no", no_privilege: "forbidden", policy_raised: "raises" };
/** The same of the verdict of a trace. @type {Record<string, Person["sees"]>} */
const TRACED = { allowed: "yes", denied: "no", no_privilege: "forbidden", raised: "raises" };

/** Why there is no case, in a sentence; or the case. @returns {{ subject: Subject | null, why: string }} */
export function subjectOf(/** @type {import("./message.js").Message} */ message) {
  const none = (why) => ({ subject: null, why });
  if (message.kind !== "change") return none("Only changes of rows can be tested.");
  const { row, whole } = rowOf(message);
  if (!row) return none("Nobody who looks received this row, so its values are not here. Ask why, or view as somebody who may see it, too.");
  if (message.op === "DELETE" && !whole) return none("The deleted row did not come complete. Its table needs replica identity full.");
  const key = keyColumns(message.schema, message.table).filter((name) => name in row);
  if (!key.length) return none("The table has no primary key by which a test could find the row.");
  const people = peopleOf(message);
  if (!people.length) return none("None of the identities of this message is known any more.");
  const { schema, table, op } = message;
  return { subject: { schema, table, op, columns: Object.keys(row), row, key: key.map((name) => [name, asText(row[name])]), people }, why: "" };
}

/** The row as the one who received most of it did, else as a trace has it; and whether no column is missing. */
function rowOf(message) {
  const received = message.receipts.filter((receipt) => receipt.frame?.event === "postgres_changes").map((receipt) => receipt.frame.payload.data);
  if (!received.length) {
    const traced = answersTo(message).find(({ answer }) => answer.row)?.answer.row;
    return { row: traced ? valuesOf(traced, message) : null, whole: true };
  }
  const rows = received.map((data) => (isRow(data.record) ? data.record : rowIn(data, "old_record")));
  const row = rows.reduce((most, next) => (Object.keys(next).length > Object.keys(most).length ? next : most));
  return { row, whole: Object.keys(row).length >= columnsIn(received[0]).length };
}

/** Texts of a trace as values in JSON: Postgres reads all of them from a text, but for JSON itself. */
function valuesOf(texts, { schema, table }) {
  const types = new Map(tableOf(schema, table)?.columns.map((column) => [column.name, column.type]));
  const isJson = (name) => /^jsonb?$/.test(types.get(name) ?? "");
  return Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, text !== null && isJson(name) ? parse(text) : text]));
}

/** Everybody of whom it is known: by what they got, or by a trace. @returns {Person[]} */
function peopleOf(message) {
  const sees = new Map(answersTo(message).map(({ id, answer }) => [id, TRACED[answer.verdict]]));
  for (const { who, reason } of message.receipts) if (SEES[reason]) sees.set(who, SEES[reason]);
  return [...sees].flatMap(([id, what]) => {
    const one = identityOf(id);
    return one && what ? [{ name: one.name, role: one.role, claims: lasting(one.claims), sees: what }] : [];
  });
}

/** The claims that say who somebody is. */
export function lasting(claims) {
  return Object.fromEntries(Object.entries(claims).filter(([name]) => !FLEETING.has(name)));
}
