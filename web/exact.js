// JSON without loss: whole numbers that JavaScript cannot hold stay exact, as bigint, where the browser can tell their digits.

const MANY_DIGITS = /\d{16,}/;
const rawJSON = /** @type {any} */ (JSON).rawJSON;

/** @returns {any} what the text says */
export function parse(/** @type {string} */ text) {
  return MANY_DIGITS.test(text) ? JSON.parse(text, /** @type {any} */ (exactly)) : JSON.parse(text);
}

function exactly(_, value, context) {
  if (typeof value !== "number" || Number.isSafeInteger(value) || !/^-?\d+$/.test(context?.source ?? "")) return value;
  return BigInt(context.source);
}

/** The JSON of a value that `parse` gave. @returns {string} */
export function write(value, indent = 0) {
  return JSON.stringify(value, asDigits, indent);
}

function asDigits(_, value) {
  if (typeof value !== "bigint") return value;
  return rawJSON ? rawJSON(String(value)) : String(value);
}
