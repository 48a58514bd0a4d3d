// Saved views: a search and what is switched off, under a name, for this browser. Never what was found.
import { signal } from "../vendor/preact.js";
import { batch } from "../vendor/preact.js";
import { off, OFF_AT_FIRST, query } from "./filter.js";

const KEPT = "inspector.views";
const MOST = 20;

/** @typedef {{ name: string, q: string, off: string[] }} SavedView */
/** @type {SavedView[]} */
const EXAMPLES = [
  { name: "Denied to anyone", q: "verdict:denied", off: OFF_AT_FIRST },
  { name: "Slower than 50 ms", q: "lag:>50", off: OFF_AT_FIRST },
];

/** @type {import("../vendor/preact.js").Signal<SavedView[]>} */
export const views = signal(recalled());

function recalled() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT) ?? "null");
    return Array.isArray(kept) ? kept.filter((one) => typeof one?.name === "string" && Array.isArray(one.off)) : EXAMPLES;
  } catch {
    return EXAMPLES;
  }
}

function keep(next) {
  views.value = next.slice(0, MOST);
  localStorage.setItem(KEPT, JSON.stringify(views.value));
}

const sorted = (names) => [...names].sort().join();

/** The saved view that is looked at now. */
export function viewNow() {
  const switched = sorted(off.value);
  return views.value.find((one) => one.q === query.value && sorted(one.off) === switched);
}

/** Whether there is something about the list that could be saved. */
export function isOwnView() {
  return !viewNow() && (query.value.trim() !== "" || sorted(off.value) !== sorted(OFF_AT_FIRST));
}

export function saveView(name) {
  const one = { name: name.trim(), q: query.value, off: [...off.value] };
  if (one.name) keep([...views.value.filter((other) => other.name !== one.name), one]);
}

export function dropView(name) {
  keep(views.value.filter((one) => one.name !== name));
}

/** Looks at a saved view, or at everything again where it is looked at already. */
export function toggleView(/** @type {SavedView} */ one) {
  const back = viewNow() === one;
  batch(() => {
    query.value = back ? "" : one.q;
    off.value = new Set(back ? OFF_AT_FIRST : one.off);
  });
}
