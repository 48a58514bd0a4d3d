// The search language: words, "phrases", /patterns/, field:value and -not; every term must hold.
import { asText, channelName, lagOf, rowIn } from "./message.js";

/**
 * @typedef {import("./message.js").Message} Message
 * @typedef {import("./message.js").Receipt} Receipt
 * @typedef {(message: Message, receipts: Receipt[]) => boolean} Test  given the receipts of those who look
 * @typedef {{ test: Test | null, words: string[], problem: string }} Search  `words`: to mark in what is shown;
 *   `problem`: why the text is no search, then the list stays as it was
 */

const TERM = /(-?)(?:([a-z_]+(?:\.[^\s:"]+)?):)?("(?:[^"\\]|\\.)*"?|\/(?:[^/\\]|\\.)+\/i?|[^\s]+)/gi;
const COMPARED = /^([<>]=?|=)?\s*(-?\d+(?:\.\d+)?)$/;

/** @returns {Search} */
export function parseSearch(/** @type {string} */ text) {
  const terms = [...text.trim().matchAll(TERM)];
  const words = /** @type {string[]} */ ([]);
  try {
    const tests = terms.map(([, not, field, value]) => {
      const named = field !== undefined && isField(field);
      const test = named ? fieldTest(field.toLowerCase(), unquoted(value)) : textTest(field ? `${field}:${value}` : value);
      if (!not && !field) words.push(...markable(value));
      return not ? (message, receipts) => !test(message, receipts) : test;
    });
    const all = (message, receipts) => tests.every((test) => test(message, receipts));
    return { test: tests.length ? all : null, words, problem: "" };
  } catch (error) {
    return { test: null, words: [], problem: error instanceof Error ? error.message : String(error) };
  }
}

/** The names that stand before a colon, with an example each, for the help sheet. */
export const FIELDS = {
  table: "table:tweets",
  schema: "schema:public",
  op: "op:update",
  kind: "kind:broadcast",
  channel: "channel:room-1",
  key: "key:42",
  verdict: "verdict:denied",
  reason: "reason:hidden_by_policy",
  lag: "lag:>200",
  new: "new.status:ready",
  old: "old.status:draft",
};

function isField(field) {
  return field.split(".")[0].toLowerCase() in FIELDS;
}

function unquoted(value) {
  return value.startsWith('"') ? value.slice(1).replace(/"$/, "").replace(/\\(.)/g, "$1") : value;
}

function markable(value) {
  return value.startsWith("/") && value.length > 2 && /\/i?$/.test(value) ? [] : [unquoted(value).toLowerCase()].filter(Boolean);
}

/** @returns {(text: string) => boolean} */
function matcher(value) {
  const pattern = /^\/(.+)\/(i?)$/.exec(value);
  if (!pattern) {
    const plain = new RegExp(unquoted(value).replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "i");
    return (text) => plain.test(text);
  }
  try {
    const own = new RegExp(pattern[1], pattern[2]);
    return (text) => own.test(text);
  } catch {
    throw new Error(`/${pattern[1]}/ is not a valid pattern`);
  }
}

/** @returns {Test} */
function textTest(value) {
  const matches = matcher(value);
  const inRow = ({ op, table, topic, key }) => matches(op) || matches(table) || matches(channelName(topic)) || matches(key);
  const inReceipt = ({ reason, frame }) => matches(reason) || (frame !== null && matches(frame.text));
  return (message, receipts) => inRow(message) || receipts.some(inReceipt);
}

/** @returns {Test} */
function fieldTest(field, value) {
  const [name, ...path] = field.split(".");
  if (name === "lag") return lagTest(value);
  if (name === "new" || name === "old") return valueTest(name, path.join("."), value);
  const matches = name === "key" ? exactly(value) : matcher(value);
  switch (name) {
    case "table":
      return (message) => matches(message.table);
    case "schema":
      return (message) => matches(message.schema);
    case "op":
      return (message) => matches(message.op);
    case "kind":
      return (message) => matches(message.kind);
    case "channel":
      return (message) => message.topic !== "" && matches(channelName(message.topic));
    case "key":
      return (message) => matches(message.key);
    case "verdict":
      return (_, receipts) => receipts.some((receipt) => matches(receipt.mark));
    default:
      return (_, receipts) => receipts.some((receipt) => matches(receipt.reason));
  }
}

function exactly(value) {
  return value.startsWith("/") ? matcher(value) : (text) => text === value;
}

/** @returns {Test} */
function lagTest(value) {
  const parts = COMPARED.exec(value);
  if (!parts) throw new Error(`lag:${value} needs a number of milliseconds, such as lag:>200`);
  const limit = Number(parts[2]);
  const holds = {
    ">": (lag) => lag > limit,
    ">=": (lag) => lag >= limit,
    "<": (lag) => lag < limit,
    "<=": (lag) => lag <= limit,
    "=": (lag) => lag === limit,
  }[parts[1] ?? "="];
  return (message, receipts) => receipts.some((receipt) => receipt.frame !== null && holds?.(lagOf(message, receipt)));
}

/** @returns {Test} */
function valueTest(side, column, value) {
  if (!column) throw new Error(`${side}: needs a column, such as ${side}.status:ready`);
  const matches = matcher(value);
  return (_, receipts) =>
    receipts.some((receipt) => {
      if (receipt.frame?.event !== "postgres_changes") return false;
      const row = rowIn(receipt.frame.payload.data, side === "new" ? "record" : "old_record");
      const name = Object.keys(row).find((key) => key.toLowerCase() === column);
      return name !== undefined && matches(asText(row[name]));
    });
}
