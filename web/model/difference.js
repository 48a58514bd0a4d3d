// In what two messages differ, field by field.
import { receiptsOf, shownReceipt } from "./feed.js";
import { asText, channelName, isRow, rowIn } from "./message.js";

/** Each field that one of the two has, with its text in both; undefined where one has it not. */
export function difference(/** @type {import("./message.js").Message} */ one, /** @type {import("./message.js").Message} */ other) {
  const [first, second] = [fieldsOf(one), fieldsOf(other)];
  const names = [...new Set([...first.keys(), ...second.keys()])];
  return names.map((name) => ({ name, first: first.get(name), second: second.get(name) }));
}

/** @returns {Map<string, string>} */
function fieldsOf(message) {
  const told = [...new Set(receiptsOf(message).map((receipt) => receipt.reason))].join(", ");
  const where = message.table ? `${message.schema}.${message.table}` : channelName(message.topic);
  const fields = new Map([["event", message.op], ["where", where], ["outcome", told]]);
  flatten(contentOf(message), "", fields);
  return fields;
}

/** The row of a change, else what was sent. */
function contentOf(message) {
  const payload = shownReceipt(message)?.frame?.payload;
  const data = payload?.data;
  if (isRow(data)) return isRow(data.record) ? data.record : rowIn(data, "old_record");
  return message.kind === "broadcast" ? payload?.payload : payload;
}

const DEEPEST = 6;

function flatten(value, path, fields, depth = 0) {
  if (isRow(value) && depth < DEEPEST) {
    for (const [name, inner] of Object.entries(value)) flatten(inner, path ? `${path}.${name}` : name, fields, depth + 1);
  } else if (value !== undefined) {
    fields.set(path || "payload", asText(value));
  }
}
