// The search language: words, "phrases", /patterns/, field:value and -not; every term must hold.
import { labels } from "./lens.js";
import { asText, channelName, lagOf, rowIn } from "./message.js";

/**
 * @typedef {import("./message.js").Message} Message
 * @typedef {import("./message.js").Receipt} Receipt
 * @typedef {(message: Message, receipts: Receipt[]) => boolean} Test  given the receipts of those who look
 * @typedef {(receipt: Receipt, message: Message) => boolean} ReceiptTest  what one identity got; several must hold of the same one
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
    const tests = /** @type {Test[]} */ ([]);
    const together = /** @type {ReceiptTest[]} */ ([]);
    for (const [, not, field, value] of terms) {
      const named = field !== undefined && isField(field);
      const ofReceipt = named ? receiptTest(field.toLowerCase(), unquoted(value)) : null;
      if (!not && !field) words.push(...markable(value));
      if (ofReceipt && !not) together.push(ofReceipt);
      else if (ofReceipt) tests.push((message, receipts) => !receipts.some((receipt) => ofReceipt(receipt, message)));
      else tests.push(turned(not, named ? fieldTest(field.toLowerCase(), unquoted(value)) : textTest(field ? `${field}:${value}` : value)));
    }
    const one = (receipt, message) => together.every((test) => test(receipt, message));
    if (together.length) tests.push((message, receipts) => receipts.some((receipt) => one(receipt, message)));
    const all = (message, receipts) => tests.every((test) => test(message, receipts));
    return { test: tests.length ? all : null, words, problem: "" };
  } catch (error) {
    return { test: null, words: [], problem: error instanceof Error ? error.message : String(error) };
  }
}

/** @returns {Test} */
function turned(not, test) {
  return not ? (message, receipts) => !test(message, receipts) : test;
}

/** The names that stand before a colon, with an example each, for the help sheet. */
export const FIELDS = {
  table: "table:tweets",
  schema: "schema:public",
  op: "op:update",
  kind: "kind:broadcast",
  channel: "channel:room-1",
  key: "key:42",
  commit: "commit:9fQz",
  user: "user:alice",
  verdict: "verdict:denied",
  reason: "reason:hidden_by_policy",
  policy: "policy:own_tweets",
  lag: "lag:>200",
  latency: "latency:>200",
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

/** @returns {ReceiptTest | null} */
function receiptTest(field, value) {
  const [name, ...path] = field.split(".");
  if (name === "lag" || name === "latency") return lagTest(name, value);
  if (name === "new" || name === "old") return valueTest(name, path.join("."), value);
  if (!["user", "verdict", "reason", "policy"].includes(name)) return null;
  const matches = matcher(value);
  switch (name) {
    case "user":
      return ({ who }) => matches(labels.get(who) ?? "");
    case "verdict":
      return ({ mark }) => matches(mark);
    case "policy":
      return ({ detail }) => detail !== "" && matches(detail);
    default:
      return ({ reason }) => matches(reason);
  }
}

/** @returns {Test} */
function fieldTest(field, value) {
  const matches = field === "key" ? exactly(value) : matcher(value);
  switch (field) {
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
    case "commit":
      return (message) => message.commitId !== "" && matches(message.commitId);
    default:
      return (message) => matches(message.key);
  }
}

function exactly(value) {
  return value.startsWith("/") ? matcher(value) : (text) => text === value;
}

/** @returns {ReceiptTest} */
function lagTest(name, value) {
  const parts = COMPARED.exec(value);
  if (!parts) throw new Error(`${name}:${value} needs a number of milliseconds, such as ${name}:>200`);
  const limit = Number(parts[2]);
  const holds = {
    ">": (lag) => lag > limit,
    ">=": (lag) => lag >= limit,
    "<": (lag) => lag < limit,
    "<=": (lag) => lag <= limit,
    "=": (lag) => lag === limit,
  }[parts[1] ?? "="];
  return (receipt, message) => receipt.frame !== null && (holds?.(lagOf(message, receipt)) ?? false);
}

/** @returns {ReceiptTest} */
function valueTest(side, column, value) {
  if (!column) throw new Error(`${side}: needs a column, such as ${side}.status:ready`);
  const matches = matcher(value);
  return (receipt) => {
    if (receipt.frame?.event !== "postgres_changes") return false;
    const row = rowIn(receipt.frame.payload.data, side === "new" ? "record" : "old_record");
    const name = Object.keys(row).find((key) => key.toLowerCase() === column);
    return name !== undefined && matches(asText(row[name]));
  };
}
