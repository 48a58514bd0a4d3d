// Turns frames of the Realtime protocol, serializer 2.0.0, into values and back: JSON arrays and binary kinds 3 and 4.

import { parse } from "../exact.js";

const USER_BROADCAST_PUSH = 3;
const USER_BROADCAST = 4;
const RAW = 0;
const JSON_TEXT = 1;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The text of a push; order of the array: join_ref, ref, topic, event, payload. */
export function encode(joinRef, ref, topic, event, payload) {
  return JSON.stringify([joinRef, ref, topic, event, payload]);
}

/**
 * A broadcast as binary kind 3 with JSON inside, or as text where a name does not fit the one-byte sizes.
 * @returns {ArrayBuffer | string}
 */
export function encodeBroadcast(joinRef, ref, topic, event, payload) {
  const heads = [joinRef, ref, topic, event, ""].map((text) => encoder.encode(text));
  if (heads.some((head) => head.length > 255)) {
    return encode(joinRef, ref, topic, "broadcast", { type: "broadcast", event, payload });
  }
  const parts = [Uint8Array.of(USER_BROADCAST_PUSH, ...heads.map((head) => head.length), JSON_TEXT), ...heads];
  parts.push(encoder.encode(JSON.stringify(payload)));
  return joined(parts).buffer;
}

function joined(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** One frame as it was received. Its text is what is kept; the payload is parsed again when it is asked for much later. */
export class Frame {
  /**
   * @param {string | null} joinRef @param {string | null} ref @param {string} topic @param {string} event
   * @param {string} text the frame's own text, or the JSON inside a binary frame, or "" for raw bytes
   * @param {number} size bytes on the wire, taking one byte a character
   */
  constructor(joinRef, ref, topic, event, text, size) {
    this.joinRef = joinRef;
    this.ref = ref;
    this.topic = topic;
    this.event = event;
    this.text = text;
    this.size = size;
    /** @type {Uint8Array | null} raw bytes of a broadcast */
    this.bytes = null;
    /** @type {any} */
    this.kept = undefined;
    /** Of a reply: the event of the push that it answers. */
    this.answers = "";
    /** Of a binary broadcast: its event and meta data. */
    this.head = /** @type {{ event: string, meta?: object } | null} */ (null);
    /** Of a binary broadcast: what stood before its payload. @type {Uint8Array | null} */
    this.prefix = null;
  }

  get payload() {
    if (this.kept === undefined) remember(this, this.parse());
    return this.kept;
  }

  /** @returns {any} */
  parse() {
    if (!this.head) return parse(this.text)[4] ?? {};
    return { type: "broadcast", ...this.head, payload: this.bytes ? null : parse(this.text) };
  }
}

const PARSED = 2000;
/** @type {Frame[]} */
const parsed = [];
let oldest = 0;

/** Keeps the payloads of the newest frames only: the texts alone are a fifth of the memory. */
function remember(frame, payload) {
  frame.kept = payload;
  const forgotten = parsed[oldest];
  if (forgotten && forgotten !== frame) forgotten.kept = undefined;
  parsed[oldest] = frame;
  oldest = (oldest + 1) % PARSED;
  return frame;
}

/**
 * The frame in a WebSocket message, or null where it is none: a broken frame must not stop the ones after it.
 * @param {string | ArrayBuffer} data
 */
export function decode(data) {
  try {
    return typeof data === "string" ? decodeText(data) : decodeBinary(new Uint8Array(data));
  } catch {
    return null;
  }
}

function decodeText(text) {
  const [joinRef, ref, topic, event, payload] = parse(text);
  if (typeof topic !== "string" || typeof event !== "string") return null;
  return remember(new Frame(joinRef, ref, interned(topic), interned(event), text, text.length), payload ?? {});
}

function decodeBinary(data) {
  if (data[0] !== USER_BROADCAST) return null;
  const [, topicSize, eventSize, metaSize, encoding] = data;
  let at = 5;
  const take = (size) => decoder.decode(data.subarray(at, (at += size)));
  const topic = interned(take(topicSize));
  const event = interned(take(eventSize));
  const meta = take(metaSize);
  const prefix = data.slice(0, at);
  const rest = data.slice(at);
  const frame = new Frame(null, null, topic, "broadcast", encoding === RAW ? "" : decoder.decode(rest), data.length);
  frame.head = meta ? { event, meta: JSON.parse(meta) } : { event };
  frame.prefix = prefix;
  if (encoding === RAW) frame.bytes = rest;
  return remember(frame, frame.parse());
}

const NAMES = 1000;
/** @type {Map<string, string>} */
const names = new Map();

/** One copy of each topic and event name, not one a message. */
function interned(name) {
  const known = names.get(name);
  if (known !== undefined) return known;
  if (names.size < NAMES) names.set(name, name);
  return name;
}
