// What can be said about a change as a case: which row it is about, and who of the known identities may read it.
import { identityOf } from "./identities.js";
import { asText, columnsIn, isRow, rowIn } from "./message.js";
import { keyColumns } from "./session.js";

/** Claims that belong to a token and not to a person; none of them is a secret, but none lasts either. */
const FLEETING = new Set(["exp", "iat", "nbf", "jti", "session_id", "act", "iss", "aud"]);

/**
 * @typedef {{ name: string, role: string, claims: Record<string, unknown>, sees: "yes" | "no" | "forbidden" | "raises" }} Person
 * @typedef {{ schema: string, table: string, op: string, columns: string[], row: Record<string, unknown>,
 *   key: [string, string][], people: Person[] }} Subject
 */

/** @type {Record<string, Person["sees"]>} */
const SEES = { delivered: "yes", hidden_by_policy: "no", left_view: "no", no_privilege: "forbidden", policy_raised: "raises" };

/** Why there is no case, in a sentence; or the case. @returns {{ subject: Subject | null, why: string }} */
export function subjectOf(/** @type {import("./message.js").Message} */ message) {
  const none = (why) => ({ subject: null, why });
  if (message.kind !== "change") return none("Only changes of rows can be tested.");
  const received = message.receipts.filter((receipt) => receipt.frame?.event === "postgres_changes");
  if (!received.length) return none("Nobody who looks received this row, so its values are not here. View as somebody who may see it, too.");
  const rows = received.map((receipt) => dataOf(receipt)).map((data) => (isRow(data.record) ? data.record : rowIn(data, "old_record")));
  const row = rows.reduce((most, next) => (Object.keys(next).length > Object.keys(most).length ? next : most));
  const columns = columnsIn(dataOf(received[0])).map((column) => column.name);
  const key = keyColumns(message.schema, message.table).filter((name) => name in row);
  if (message.op === "DELETE" && Object.keys(row).length < columns.length)
    return none("The deleted row did not come complete. Its table needs replica identity full.");
  if (!key.length) return none("The table has no primary key by which a test could find the row.");
  const people = message.receipts.map(personOf).filter((person) => person !== null);
  if (!people.length) return none("None of the identities of this message is known any more.");
  const { schema, table, op } = message;
  return { subject: { schema, table, op, columns: Object.keys(row), row, key: key.map((name) => [name, asText(row[name])]), people }, why: "" };
}

function dataOf(receipt) {
  return receipt.frame.payload.data;
}

/** @returns {Person | null} */
function personOf(/** @type {import("./message.js").Receipt} */ receipt) {
  const one = identityOf(receipt.who);
  const sees = SEES[receipt.reason];
  return one && sees ? { name: one.name, role: one.role, claims: lasting(one.claims), sees } : null;
}

/** The claims that say who somebody is. */
export function lasting(claims) {
  return Object.fromEntries(Object.entries(claims).filter(([name]) => !FLEETING.has(name)));
}
