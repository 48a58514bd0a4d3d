// How far the service's clock is ahead of this one, estimated from heartbeats as NTP does: the quickest answer says most.
import { signal } from "../vendor/preact.js";

const KEPT = 8;
/** Both clocks tell whole milliseconds. */
const COARSE_MS = 1;

/** @type {{ ms: number, error: number }[]} */
let samples = [];

/** `ms`: how far the service is ahead, give or take `error`; `beats`: of how many heartbeats it is the best. */
export const offset = signal(/** @type {{ ms: number, error: number, beats: number } | null} */ (null));

/** A heartbeat was sent and answered at these times of this clock; `theirs` is the service's clock in between. */
export function compareClocks(sent, received, theirs) {
  if (typeof theirs !== "number") return;
  // Wherever between the two it was answered: half the way at most from the middle.
  samples = [...samples, { ms: theirs - (sent + received) / 2, error: (received - sent) / 2 + COARSE_MS }].slice(-KEPT);
  const best = samples.reduce((least, sample) => (sample.error < least.error ? sample : least));
  offset.value = { ...best, beats: samples.length };
}
