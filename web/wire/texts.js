// A frame as it stood on the wire: exactly as it came in serializer 2.0.0, and as 1.0.0 would have carried the same.
const encoder = new TextEncoder();

/** @typedef {import("./frames.js").Frame} Frame */

/** Where each of the five parts of a 2.0.0 array begins; the first four are texts or null, so only quotes need care. */
function parts(text) {
  const starts = [1];
  let quoted = false;
  for (let at = 1; starts.length < 5 && at < text.length; at += 1) {
    if (text[at] === "\\" && quoted) at += 1;
    else if (text[at] === '"') quoted = !quoted;
    else if (text[at] === "," && !quoted) starts.push(at + 1);
  }
  return starts.map((start, i) => text.slice(start, i < 4 ? starts[i + 1] - 1 : -1).trim());
}

/** The payload's own text, byte for byte. @returns {string} */
export function payloadText(/** @type {Frame} */ frame) {
  if (frame.bytes) return "";
  return frame.head ? frame.text : parts(frame.text)[4];
}

/** The text of 1.0.0, whose keys the service writes in this order; null where 1.0.0 has no form for it: raw bytes. */
export function firstText(/** @type {Frame} */ frame) {
  if (frame.bytes) return null;
  if (!frame.head) {
    const [, ref, topic, event, payload] = parts(frame.text);
    return `{"topic":${topic},"event":${event},"payload":${payload},"ref":${ref}}`;
  }
  const meta = frame.head.meta ? `,"meta":${JSON.stringify(frame.head.meta)}` : "";
  const inner = `{"type":"broadcast","event":${JSON.stringify(frame.head.event)},"payload":${frame.text}${meta}}`;
  return `{"topic":${JSON.stringify(frame.topic)},"event":"broadcast","payload":${inner},"ref":null}`;
}

/** The bytes of a binary frame as they came. @returns {Uint8Array | null} null where the frame was text */
export function wireBytes(/** @type {Frame} */ frame) {
  if (!frame.prefix) return null;
  const rest = frame.bytes ?? encoder.encode(frame.text);
  const whole = new Uint8Array(frame.prefix.length + rest.length);
  whole.set(frame.prefix);
  whole.set(rest, frame.prefix.length);
  return whole;
}

const LINE = 8;

/** Offset, bytes in hexadecimal, and the same as text. */
export function hexLines(/** @type {Uint8Array} */ data, most = 1024) {
  const lines = [];
  for (let at = 0; at < Math.min(data.length, most); at += LINE) {
    const part = [...data.subarray(at, at + LINE)];
    const hex = part.map((byte) => byte.toString(16).padStart(2, "0"));
    const readable = part.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "·"));
    lines.push(`${at.toString(16).padStart(4, "0")}  ${hex.join(" ").padEnd(3 * LINE)} ${readable.join("")}`);
  }
  return lines;
}
