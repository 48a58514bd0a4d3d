// One row of the list: what arrived, on which channel, and what each identity got of it.
import { write } from "../exact.js";
import { markOf, shortReason } from "./verdicts.js";

/**
 * @typedef {"change" | "broadcast" | "presence" | "system" | "error" | "reply" | "gap"} Kind
 * @typedef {{ who: string, mark: import("./verdicts.js").Mark, reason: string, detail: string, at: number,
 *   frame: import("../wire/frames.js").Frame | null }} Receipt  what one identity got; `frame` only where it was delivered
 */

/** Mutable on purpose: a second identity's receipt of the same event joins the row that the first one made. */
export class Message {
  /** @param {Kind} kind @param {string} op @param {string} topic @param {number} at ms since 1970 */
  constructor(kind, op, topic, at) {
    this.seq = 0;
    this.kind = kind;
    this.op = op;
    this.topic = topic;
    this.at = at;
    this.schema = "";
    this.table = "";
    this.key = "";
    this.commit = NaN;
    /** The server's names for the change and for its transaction, "" where there are none. */
    this.eventId = "";
    this.commitId = "";
    this.bytes = 0;
    /** @type {Receipt[]} */
    this.receipts = [];
    this.revision = 0;
    /** For gap rows: what happened, and whether it is over. */
    this.text = "";
    this.healed = false;
    /** Written by the view: whether it passes the search, whether it is listed, and its mark for who looks. */
    this.hit = false;
    this.listed = false;
    this.verdict = /** @type {import("./verdicts.js").Mark} */ ("allowed");
  }

  /** @returns {Receipt | undefined} */
  receipt(who) {
    for (const receipt of this.receipts) if (receipt.who === who) return receipt;
    return undefined;
  }

  /** The time to show: of the commit where there was one. */
  get time() {
    return Number.isNaN(this.commit) ? this.at : this.commit;
  }
}

/** Receive time minus commit time in ms, NaN where there is no commit; negative means that the clocks differ. */
export function lagOf(message, receipt) {
  return receipt ? receipt.at - message.commit : NaN;
}

/** What one identity got of it, as JSON. */
export function messageJson(/** @type {Message} */ message, /** @type {Receipt | undefined} */ receipt) {
  return write(receipt?.frame ? receipt.frame.payload : { text: message.text }, 2);
}

const CHANNEL = "realtime:";

/** The name people use for a topic. */
export function channelName(topic) {
  return topic.startsWith(CHANNEL) ? topic.slice(CHANNEL.length) : topic;
}

/**
 * The message and the receipt that a frame gives for one identity.
 * @param {import("../wire/frames.js").Frame} frame
 * @param {string} who the identity's id
 * @param {number} at
 * @param {(schema: string, table: string) => string[]} keyColumns
 */
export function read(frame, who, at, keyColumns) {
  const make = READERS[frame.event] ?? readOther;
  const message = make(frame, at, keyColumns);
  const verdict = frame.event === "system" ? frame.payload.verdict : undefined;
  const named = verdict ?? frame.payload;
  message.eventId = String(named.event_id ?? "");
  message.commitId = String(named.commit_id ?? "");
  /** @type {Receipt} */
  const receipt = { who, mark: "allowed", reason: "delivered", detail: "", at, frame };
  if (verdict) Object.assign(receipt, { mark: markOf(verdict.reason), reason: verdict.reason, detail: verdict.detail ?? "" });
  if (message.kind === "error") Object.assign(receipt, { mark: "denied", reason: "refused" });
  message.receipts.push(receipt);
  message.bytes = frame.size + ROW_BYTES;
  return { message, receipt };
}

/** What a row costs beside its frame's text, roughly. */
const ROW_BYTES = 400;

/**
 * What two identities' frames of the same event have in common, or "" where a frame concerns one connection only. Changes
 * carry the server's event id; a broadcast has no id on most paths, so equal ones are matched in the order they came in.
 */
export function mergeKey(frame) {
  const { event, topic, payload } = frame;
  if (event === "postgres_changes") return payload.event_id === undefined ? "" : `change ${topic} ${payload.event_id}`;
  if (event === "system" && payload.verdict) return `change ${topic} ${payload.verdict.event_id}`;
  if (event === "broadcast") return `broadcast ${topic} ${payload.event} ${digest(frame)}`;
  return event === "presence_diff" ? `presence ${topic} ${digest(frame)}` : "";
}

/** Length and FNV-1a hash of what a frame carries: enough to tell the messages of a few seconds apart. */
function digest({ text, bytes }) {
  const length = bytes ? bytes.length : text.length;
  let hash = 0x811c9dc5;
  for (let i = 0; i < length; i += 1) hash = Math.imul(hash ^ (bytes ? bytes[i] : text.charCodeAt(i)), 0x01000193);
  return `${length} ${hash}`;
}

/** @type {Record<string, (frame: any, at: number, keyColumns: (schema: string, table: string) => string[]) => Message>} */
const READERS = {
  postgres_changes(frame, at, keyColumns) {
    const { data } = frame.payload;
    if (!isRow(data)) throw new TypeError("a change without data");
    const message = change(frame.topic, at, data);
    message.key = keyOf(data, keyColumns(message.schema, message.table));
    return message;
  },

  broadcast(frame, at) {
    return new Message("broadcast", String(frame.payload.event ?? "broadcast"), frame.topic, at);
  },

  presence_state(frame, at) {
    return new Message("presence", "sync", frame.topic, at);
  },

  presence_diff(frame, at) {
    return new Message("presence", diffWord(frame.payload), frame.topic, at);
  },

  system(frame, at) {
    const { verdict, status } = frame.payload;
    if (verdict) return change(frame.topic, at, verdict);
    const kind = status === "error" ? "error" : "system";
    return new Message(kind, kind, frame.topic, at);
  },

  phx_reply(frame, at) {
    if (frame.topic === "phoenix") return new Message("reply", "heartbeat", frame.topic, at);
    const refused = frame.payload.status === "error";
    return new Message(refused ? "error" : "system", refused ? "refused" : "reply", frame.topic, at);
  },

  phx_error(frame, at) {
    return new Message("error", "crash", frame.topic, at);
  },

  phx_close(frame, at) {
    return new Message("system", "close", frame.topic, at);
  },
};

function readOther(frame, at) {
  return new Message("system", frame.event, frame.topic, at);
}

function change(topic, at, { type, schema, table, commit_timestamp: commit }) {
  const message = new Message("change", String(type ?? "change"), topic, at);
  message.schema = String(schema ?? "");
  message.table = String(table ?? "");
  message.commit = commit ? Date.parse(commit) : NaN;
  return message;
}

/** Whether a value is an object with fields, as rows are. */
export function isRow(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** The row in a change under a name, or one without columns where there is none. */
export function rowIn(data, name) {
  return isRow(data[name]) ? data[name] : {};
}

/** The columns that a change says to carry. @returns {{ name: string, type: string }[]} */
export function columnsIn(data) {
  return Array.isArray(data.columns) ? data.columns.filter(isRow) : [];
}

function keyOf(data, keys) {
  const row = isRow(data.record) ? data.record : rowIn(data, "old_record");
  return keys
    .filter((name) => name in row)
    .map((name) => asText(row[name]))
    .join(" ");
}

function diffWord({ joins = {}, leaves = {} }) {
  const joined = Object.keys(joins);
  const left = Object.keys(leaves);
  if (joined.length && left.length) return joined.every((key) => key in leaves) ? "update" : "diff";
  return left.length ? "leave" : "join";
}

/** A gap row: every identity that had a connection saw nothing while it lasted. */
export function gap(text, at, who) {
  const message = new Message("gap", "gap", "", at);
  message.text = text;
  message.bytes = ROW_BYTES;
  message.receipts = who.map((id) => ({ who: id, mark: "skipped", reason: "gap", detail: "", at, frame: null }));
  return message;
}

/** A value as one would type it: text bare, everything else as JSON. */
export function asText(value) {
  return typeof value === "string" ? value : (write(value) ?? "");
}

/**
 * The few words that a row has room for: parts of name, value before and value after.
 * @typedef {{ k: string, was?: unknown, now?: unknown }} Part
 * @param {Message} message @param {Receipt} receipt @param {string[]} keys
 * @returns {Part[]}
 */
export function summary(message, receipt, keys) {
  if (message.kind === "change" && receipt.frame?.event !== "postgres_changes") return [{ k: shortReason(receipt.reason) }];
  if (message.kind === "change") return changeParts(receipt.frame?.payload.data, keys);
  const payload = receipt.frame?.payload ?? {};
  switch (message.kind) {
    case "broadcast":
      return broadcastParts(receipt.frame);
    case "presence":
      return presenceParts(message.op, payload);
    case "reply":
      return [{ k: String(payload.status ?? "") }];
    default:
      return systemParts(message, receipt.frame);
  }
}

const SHOWN = 8;

function changeParts(data, keys) {
  const record = isRow(data.record) ? data.record : null;
  const old = rowIn(data, "old_record");
  if (!record)
    return entries(old)
      .filter(([name]) => !keys.includes(name))
      .map(([k, now]) => ({ k, now }));
  const rest = entries(record).filter(([name]) => !keys.includes(name));
  if (data.type !== "UPDATE") return rest.map(([k, now]) => ({ k, now }));
  const changed = entries(record).filter(([name, now]) => name in old && asText(old[name]) !== asText(now));
  if (changed.length) return changed.map(([k, now]) => ({ k, was: old[k], now }));
  const known = rest.some(([name]) => name in old);
  return known ? [{ k: "same values written again" }] : rest.map(([k, now]) => ({ k, now }));
}

function entries(row) {
  return Object.entries(row ?? {}).slice(0, 64);
}

function broadcastParts(frame) {
  if (!frame) return [];
  if (frame.bytes) return [{ k: `${frame.bytes.length} bytes` }];
  const inner = frame.payload.payload;
  if (inner === null || typeof inner !== "object" || Array.isArray(inner)) return [{ k: "", now: inner }];
  return entries(inner)
    .slice(0, SHOWN)
    .map(([k, now]) => ({ k, now }));
}

function presenceParts(op, payload) {
  if (op === "sync") {
    const names = Object.keys(payload);
    return [{ k: "present", now: names.length ? names.join(", ") : "nobody" }];
  }
  const words = [
    [payload.joins, op === "update" ? "updated" : "joined"],
    [op === "update" ? {} : payload.leaves, "left"],
  ];
  return words.flatMap(([who, word]) => Object.keys(who ?? {}).map((name) => ({ k: name, now: word })));
}

function systemParts(message, frame) {
  const payload = frame?.payload ?? {};
  if (frame?.event === "phx_reply") {
    const response = payload.response;
    const reason = typeof response === "string" ? response : response?.reason;
    if (reason) return [{ k: "reason", now: reason }];
    return [
      { k: String(payload.status ?? ""), now: frame.answers || undefined },
      { k: "ref", now: frame.ref },
    ];
  }
  if (payload.message !== undefined) return [{ k: String(payload.extension ?? ""), now: payload.message }];
  return entries(payload)
    .slice(0, SHOWN)
    .map(([k, now]) => ({ k, now }));
}
