// Who is present on each channel, as each identity is told: the state message, then its differences.
import { signal } from "../vendor/preact.js";

/**
 * @typedef {{ since: number, metas: Map<string, Record<string, unknown>> }} Present  metas by phx_ref
 */

/** Moves when somebody came, left or changed. */
export const presenceRevision = signal(0);
/** @type {Map<string, Map<string, Present>>} */
const rooms = new Map();

const MOST_COMINGS = 200;
/** @typedef {{ at: number, key: string, what: "came" | "left" | "changed", meta: Record<string, unknown> | undefined }} Coming */
/** Newest first, by room. @type {Map<string, Coming[]>} */
const comings = new Map();

function note(name, at, key, what, metas) {
  const before = comings.get(name) ?? [];
  comings.set(name, [{ at, key, what, meta: [...metas.values()].at(-1) }, ...before].slice(0, MOST_COMINGS));
}

/** Who came, left and changed on a channel since it was joined, newest first. */
export function comingsOn(who, topic) {
  presenceRevision.value;
  return comings.get(roomOf(who, topic)) ?? [];
}

const roomOf = (who, topic) => `${who} ${topic}`;

/** Reads a frame if it is about presence. Differences before the state are not counted: the state includes them. */
export function applyPresence(frame, who, at) {
  const name = roomOf(who, frame.topic);
  if (frame.event === "presence_state") {
    const before = rooms.get(name);
    const room = new Map();
    for (const [key, entry] of pairs(frame.payload)) {
      room.set(key, { since: before?.get(key)?.since ?? at, metas: metasOf(entry) });
    }
    rooms.set(name, room);
  } else if (frame.event === "presence_diff") {
    const room = rooms.get(name);
    if (!room) return;
    const { joins, leaves } = frame.payload;
    for (const [key, entry] of pairs(joins)) {
      note(name, at, key, room.has(key) ? "changed" : "came", metasOf(entry));
      arrive(room, key, metasOf(entry), at);
    }
    for (const [key, entry] of pairs(leaves)) {
      depart(room, key, metasOf(entry));
      if (!room.has(key)) note(name, at, key, "left", metasOf(entry));
    }
  } else {
    return;
  }
  presenceRevision.value += 1;
}

function pairs(value) {
  return value && typeof value === "object" ? Object.entries(value) : [];
}

function metasOf(entry) {
  const metas = Array.isArray(entry?.metas) ? entry.metas : [];
  return new Map(metas.filter((meta) => meta && typeof meta === "object").map((meta) => [String(meta.phx_ref), meta]));
}

function arrive(room, key, metas, at) {
  const present = room.get(key) ?? { since: at, metas: new Map() };
  for (const [ref, meta] of metas) present.metas.set(ref, meta);
  room.set(key, present);
}

function depart(room, key, metas) {
  const present = room.get(key);
  if (!present) return;
  for (const ref of metas.keys()) present.metas.delete(ref);
  if (present.metas.size === 0) room.delete(key);
}

/** @returns {Map<string, Present> | undefined} undefined until the server told the state */
export function presentOn(who, topic) {
  presenceRevision.value;
  return rooms.get(roomOf(who, topic));
}

/** The channel was left, or the connection lost: what was known no longer holds. */
export function forgetPresence(who, topic = "") {
  for (const name of [...rooms.keys()]) if (topic ? name === roomOf(who, topic) : name.startsWith(`${who} `)) rooms.delete(name);
  presenceRevision.value += 1;
}
