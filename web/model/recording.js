// A recording: what was kept, as lines of JSON that anybody can read later without a server. The first line says what it is.
import { parse, write } from "../exact.js";
import { encode, decode } from "../wire/frames.js";
import { wireBytes } from "../wire/texts.js";

export const FORMAT = "realtime-inspector recording";
export const VERSION = 1;
export const MASK = "•••";
/** Fields whose values are masked unless the person says otherwise. */
export const USUAL_FIELDS = ["email", "phone", "password", "secret", "address"];
/** What never leaves the page: it would let somebody come back in another's name. */
const ALWAYS = ["resume", "moment", "access_token", "refresh_token", "token", "apikey"];

/**
 * @typedef {{ letter: string, name: string, kind: string, role: string, claims?: Record<string, unknown>, claims_sha256?: string }} Recorded
 * @typedef {{ format: string, version: number, saved_at: string, messages: number, identities: Recorded[],
 *   masked: string[], tables: import("../api.js").Table[] }} Header
 * @typedef {{ at: number, who: string, frame: import("../wire/frames.js").Frame | null, gap: string, healed: boolean }} Entry
 * @typedef {{ fields: string[], claims: boolean }} Redaction  `claims`: whether they are kept as they are
 */

// --- writing ---------------------------------------------------------------------------------------------------------

/**
 * @param {import("./message.js").Message[]} messages
 * @param {{ identities: import("./identities.js").Identity[], tables: import("../api.js").Table[] }} world
 * @param {Redaction} redaction
 */
export async function record(messages, { identities, tables }, redaction) {
  const letters = new Map(identities.map((one) => [one.id, one.letter]));
  const masked = new Set([...ALWAYS, ...redaction.fields].map((name) => name.toLowerCase()));
  const lines = messages.flatMap((message) => linesOf(message, letters, masked));
  /** @type {Header} */
  const header = {
    format: FORMAT,
    version: VERSION,
    saved_at: new Date().toISOString(),
    messages: messages.length,
    identities: await Promise.all(identities.map((one) => recordedIdentity(one, redaction.claims))),
    masked: redaction.fields,
    tables,
  };
  return [header, ...lines].map((line) => write(line)).join("\n") + "\n";
}

/** @returns {Promise<Recorded>} */
async function recordedIdentity({ letter, name, kind, role, claims }, whole) {
  const known = { letter, name, kind, role };
  if (whole) return { ...known, claims };
  // Only pages that came over TLS, or from this machine, can hash; elsewhere the claims are left out.
  const hash = await crypto.subtle?.digest("SHA-256", new TextEncoder().encode(write(claims)));
  return hash ? { ...known, claims_sha256: [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("") } : known;
}

function linesOf(message, letters, masked) {
  const receipts = message.receipts.filter((receipt) => letters.has(receipt.who));
  if (message.kind === "gap") {
    const who = receipts.map((receipt) => letters.get(receipt.who)).join("");
    return [{ at: message.at, who, gap: message.text, healed: message.healed }];
  }
  return receipts
    .filter((receipt) => receipt.frame)
    .map(({ at, who, frame }) => ({ at, who: letters.get(who), ...wireOf(frame, masked), ...(frame.answers && { answers: frame.answers }) }));
}

/** A frame as it came, apart from the values that are masked. */
function wireOf(frame, masked) {
  const binary = wireBytes(frame);
  if (frame.bytes) return { binary: base64(binary) };
  if (!binary) {
    const payload = maskedCopy(frame.payload, masked);
    return { frame: payload === frame.payload ? frame.text : textOf(frame, payload) };
  }
  const payload = maskedCopy(parse(frame.text), masked);
  const rest = new TextEncoder().encode(write(payload));
  const whole = new Uint8Array(frame.prefix.length + rest.length);
  whole.set(frame.prefix);
  whole.set(rest, frame.prefix.length);
  return { binary: base64(whole) };
}

function textOf({ joinRef, ref, topic, event }, payload) {
  return `${encode(joinRef, ref, topic, event, null).slice(0, -"null]".length)}${write(payload)}]`;
}

/** The same value where nothing in it is masked. */
function maskedCopy(value, masked) {
  if (value === null || typeof value !== "object") return value;
  let changed = false;
  const pairs = Object.entries(value).map(([name, inner]) => {
    const hidden = !Array.isArray(value) && inner !== null && masked.has(name.toLowerCase());
    const next = hidden ? MASK : maskedCopy(inner, masked);
    changed ||= next !== inner;
    return [name, next];
  });
  if (!changed) return value;
  return Array.isArray(value) ? pairs.map(([, inner]) => inner) : Object.fromEntries(pairs);
}

function base64(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

// --- reading ---------------------------------------------------------------------------------------------------------

/** Reads a recording; throws with a sentence where it is none. @returns {{ header: Header, entries: Entry[], broken: number }} */
export function readRecording(/** @type {string} */ text) {
  const [first, ...rest] = text.split("\n").filter((line) => line.trim());
  const header = objectIn(first ?? "");
  if (header?.format !== FORMAT) throw new Error("This file is no recording of an inspector.");
  if (!(header.version <= VERSION)) throw new Error(`This recording has version ${header.version}; this page reads up to ${VERSION}.`);
  const entries = rest.map(entryIn).filter((entry) => entry !== null);
  const identities = (Array.isArray(header.identities) ? header.identities : []).filter((one) => /^[A-Z]$/.test(one?.letter));
  return {
    header: { ...header, identities, tables: Array.isArray(header.tables) ? header.tables : [] },
    entries,
    broken: rest.length - entries.length,
  };
}

function objectIn(line) {
  try {
    const value = JSON.parse(line);
    return value !== null && typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}

/** @returns {Entry | null} */
function entryIn(line) {
  const said = objectIn(line);
  if (!said || typeof said.at !== "number" || typeof said.who !== "string") return null;
  const { at, who } = said;
  if (typeof said.gap === "string") return { at, who, frame: null, gap: said.gap, healed: said.healed !== false };
  const frame = frameIn(said);
  if (frame && typeof said.answers === "string") frame.answers = said.answers;
  return frame && { at, who, frame, gap: "", healed: true };
}

function frameIn({ frame, binary }) {
  if (typeof frame === "string") return decode(frame);
  if (typeof binary !== "string") return null;
  try {
    return decode(Uint8Array.from(atob(binary), (letter) => letter.charCodeAt(0)).buffer);
  } catch {
    return null;
  }
}
