// The pulse of what is looked at: messages a second over the last 48 seconds, and how long a commit takes to the screen.
import { signal } from "../vendor/preact.js";

const SECONDS = 48;
const RATE_SECONDS = 5;
const LAGS = 1000;

/**
 * @typedef {{ n: number, denied: number, hole: boolean }} Bar
 * @typedef {{ bars: Bar[], rate: number, channels: Map<string, number>, p50: number, p95: number, skewed: boolean }} Pulse
 */

/** @type {import("../vendor/preact.js").Signal<Pulse>} */
export const pulse = signal({ bars: [], rate: 0, channels: new Map(), p50: NaN, p95: NaN, skewed: false });

/** @type {Map<number, { n: number, denied: number, channels: Map<string, number> }>} */
const seconds = new Map();
/** @type {Set<number>} */
const holes = new Set();
/** @type {{ at: number, lag: number }[]} */
let lags = [];

/** Counts a message that came for somebody who looks. */
export function countMessage(topic, denied, at) {
  const second = Math.floor(at / 1000);
  const bar = seconds.get(second) ?? { n: 0, denied: 0, channels: new Map() };
  seconds.set(second, bar);
  bar.n += 1;
  bar.denied += denied ? 1 : 0;
  bar.channels.set(topic, (bar.channels.get(topic) ?? 0) + 1);
}

export function countLag(lag, at) {
  if (Number.isNaN(lag)) return;
  lags.push({ at, lag });
  if (lags.length > 2 * LAGS) lags = lags.slice(-LAGS);
}

/** Draws the pulse anew at the end of a second; `down`: nothing could have come in that second. */
export function beat(at, down) {
  const current = Math.floor(at / 1000);
  if (down) holes.add(current);
  for (const second of seconds.keys()) if (second < current - SECONDS) seconds.delete(second);
  for (const second of holes) if (second < current - SECONDS) holes.delete(second);
  const bars = Array.from({ length: SECONDS }, (_, i) => barOf(current - SECONDS + i));
  const recent = lags
    .filter((entry) => entry.at > at - SECONDS * 1000)
    .map((entry) => entry.lag)
    .sort((a, b) => a - b);
  pulse.value = {
    bars,
    rate: bars.slice(-RATE_SECONDS).reduce((sum, bar) => sum + bar.n, 0) / RATE_SECONDS,
    channels: channelRates(current),
    p50: quantile(recent, 0.5),
    p95: quantile(recent, 0.95),
    skewed: recent.length > 0 && recent[0] < 0,
  };
}

/** @returns {Bar} */
function barOf(second) {
  const { n = 0, denied = 0 } = seconds.get(second) ?? {};
  return { n, denied, hole: holes.has(second) };
}

function channelRates(current) {
  const rates = new Map();
  for (let second = current - RATE_SECONDS; second < current; second += 1) {
    for (const [topic, n] of seconds.get(second)?.channels ?? []) rates.set(topic, (rates.get(topic) ?? 0) + n / RATE_SECONDS);
  }
  return rates;
}

function quantile(sorted, share) {
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] : NaN;
}

/** Forgets everything, for a new view. */
export function resetVitals() {
  seconds.clear();
  holes.clear();
  lags = [];
}
