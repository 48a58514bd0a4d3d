// How many kept messages each saved view would list: counted anew now and then, a slice at a time, so that nothing waits for it.
import { effect, signal } from "../vendor/preact.js";
import { receiptsOf, ring, rules } from "./feed.js";
import { listed } from "./filter.js";
import { looking } from "./lens.js";
import { parseSearch } from "./search.js";
import { views } from "./views.js";

/** By name; a view that is missing was not counted yet, or its search makes no sense. */
export const viewCounts = signal(/** @type {Map<string, number>} */ (new Map()));

const SLICE_MS = 2;
const PAUSE_MS = 100;
const REST_MS = 4000;
let timer = 0;

/** Counts until the function that is given back is called. */
export function countViews() {
  const stopWatching = effect(() => {
    views.value;
    looking.value;
    begin();
  });
  return () => {
    stopWatching();
    clearTimeout(timer);
  };
}

function begin() {
  const counting = views.peek().map((one) => ({ name: one.name, search: parseSearch(one.q), off: new Set(one.off), n: 0 }));
  clearTimeout(timer);
  timer = window.setTimeout(() => goOn(counting.filter(({ search }) => !search.problem), ring.first), PAUSE_MS);
}

function goOn(counting, from) {
  const end = performance.now() + SLICE_MS;
  let seq = Math.max(from, ring.first);
  for (; seq < ring.next && (seq % 64 || performance.now() < end); seq += 1) {
    const message = ring.get(seq);
    if (message && message.kind !== "gap" && rules.concerns(message)) count(counting, message);
  }
  const done = seq >= ring.next;
  if (done) viewCounts.value = new Map(counting.map(({ name, n }) => [name, n]));
  timer = window.setTimeout(done ? begin : () => goOn(counting, seq), done ? REST_MS : PAUSE_MS);
}

function count(counting, message) {
  const verdict = rules.verdict(message);
  const receipts = receiptsOf(message);
  for (const one of counting) {
    if (listed(message.kind, verdict, one.off) && (!one.search.test || one.search.test(message, receipts))) one.n += 1;
  }
}
