// The messages that are marked, to be compared.
import { signal } from "../vendor/preact.js";

/** @typedef {import("./message.js").Message} Message */

/** The marked messages in the order of marking: the newest two. */
export const marks = signal(/** @type {Message[]} */ ([]));

/** Marks a message, or takes its mark away. */
export function toggleMark(/** @type {Message} */ message) {
  const others = marks.value.filter((one) => one !== message);
  marks.value = others.length < marks.value.length ? others : [...others, message].slice(-2);
}
